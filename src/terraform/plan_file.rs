//! The files of a configuration as they lie in a saved plan, which is a ZIP archive: terraform applies these and no others.
//!
//! Nothing is unpacked. Terraform's compression gives the same bytes for the same content (and other bytes for another
//! content, since they can be unpacked), so the packed bytes are what counts. What the archive says is not trusted: a plan
//! that runs hostile code may have written it.

use std::io;

use crate::limits::MAX_PLAN_FILE;

/// The last record of an archive, without a comment (APPNOTE.TXT 4.3.16): terraform writes none.
const END: usize = 22;

/// A record of the directory, before its name (4.3.12).
const RECORD: usize = 46;

/// The header before a file's bytes, before its name (4.3.7).
const HEADER: usize = 30;

/// The name of each file of the configuration, and of the providers' lock file, with the number of its compression method,
/// a byte, and its packed bytes.
///
/// # Errors
/// When it is no archive as terraform writes them: an encrypted plan of OpenTofu is none.
pub fn configuration(plan: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let last = part(plan, plan.len().saturating_sub(END), END)?;
    if !last.starts_with(b"PK\x05\x06") {
        return Err(bad());
    }
    let mut directory = part(plan, number(last, 16, 4)?, number(last, 12, 4)?)?;
    let (mut files, mut total) = (Vec::new(), 0);
    while directory.starts_with(b"PK\x01\x02") {
        let length = |at| number(directory, at, 2);
        let name = String::from_utf8_lossy(part(directory, RECORD, length(28)?)?);
        if name.starts_with("tfconfig/") || name == ".terraform.lock.hcl" {
            let header = part(plan, number(directory, 42, 4)?, HEADER)?;
            let names = number(header, 26, 2)? + number(header, 28, 2)?;
            let begin = number(directory, 42, 4)? + HEADER + names;
            let packed = part(plan, begin, number(directory, 20, 4)?)?;
            // Many records may name the same bytes.
            total += packed.len() as u64;
            if total > MAX_PLAN_FILE {
                return Err(bad());
            }
            files.push((name.into_owned(), [&directory[10..11], packed].concat()));
        }
        let next = RECORD + length(28)? + length(30)? + length(32)?;
        directory = directory.get(next..).ok_or_else(bad)?;
    }
    match directory {
        [] => Ok(files),
        _ => Err(bad()),
    }
}

fn part(bytes: &[u8], at: usize, length: usize) -> io::Result<&[u8]> {
    let part = bytes.get(at..).and_then(|rest| rest.get(..length));
    part.ok_or_else(bad)
}

/// A number of so many bytes, the least significant first.
fn number(record: &[u8], at: usize, length: usize) -> io::Result<usize> {
    let bytes = part(record, at, length)?.iter().rev();
    Ok(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn bad() -> io::Error {
    io::Error::other("the saved plan is no ZIP archive as terraform writes it")
}
