//! The files of a configuration as they lie in a saved plan, which is a ZIP archive: terraform applies these and no others.
//!
//! Nothing is unpacked. Terraform's compression gives the same bytes for the same content (and other bytes for another
//! content, since they can be unpacked), so the packed bytes are what is hashed. What the archive says is not trusted: a plan
//! that runs hostile code may have written it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::hash::sha256;
use crate::limits::{MAX_PLAN_JSON, MAX_PLAN_VALUE};

/// The last record of an archive, without a comment (APPNOTE.TXT 4.3.16): terraform writes none.
const END: usize = 22;

/// A record of the directory, before its name (4.3.12).
const RECORD: usize = 46;

/// The header before a file's bytes, before its name (4.3.7).
const HEADER: usize = 30;

/// The name of each file of the configuration, and of the providers' lock file, with the SHA-256 of the number of its
/// compression method, a byte, and its packed bytes.
///
/// # Errors
/// When it is no archive as terraform writes them: an encrypted plan of OpenTofu is none.
pub(super) fn configuration(plan: &File) -> io::Result<Vec<(String, [u8; 32])>> {
    let end = plan.metadata()?.len();
    let tail = bytes(plan, end.saturating_sub(END as u64), END as u64)?;
    if !tail.starts_with(b"PK\x05\x06") {
        return Err(bad());
    }
    let mut directory = &bytes(plan, number(&tail, 16, 4)?, number(&tail, 12, 4)?)?[..];
    let (mut files, mut total) = (Vec::new(), 0);
    while directory.starts_with(b"PK\x01\x02") {
        let length = |at| number(directory, at, 2).map(|length| length as usize);
        let name = directory.get(RECORD..RECORD + length(28)?).ok_or_else(bad)?;
        let name = String::from_utf8_lossy(name).into_owned();
        if name.starts_with("tfconfig/") || name == ".terraform.lock.hcl" {
            let mut content = vec![number(directory, 10, 1)? as u8];
            content.extend(packed(
                plan,
                number(directory, 42, 4)?,
                number(directory, 20, 4)?,
            )?);
            total += content.len() as u64;
            if total > MAX_PLAN_JSON {
                return Err(bad());
            }
            files.push((name, sha256(&content)));
        }
        let next = RECORD + length(28)? + length(30)? + length(32)?;
        directory = directory.get(next..).ok_or_else(bad)?;
    }
    match directory {
        [] => Ok(files),
        _ => Err(bad()),
    }
}

fn packed(plan: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let header = bytes(plan, at, HEADER as u64)?;
    let names = number(&header, 26, 2)? + number(&header, 28, 2)?;
    bytes(plan, at + HEADER as u64 + names, length)
}

fn bytes(plan: &File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    if length > MAX_PLAN_VALUE {
        return Err(bad());
    }
    let mut bytes = vec![0; length as usize];
    plan.read_exact_at(&mut bytes, at).map_err(|_| bad())?;
    Ok(bytes)
}

/// A number of so many bytes, the least significant first.
fn number(record: &[u8], at: usize, length: usize) -> io::Result<u64> {
    let bytes = record.get(at..at + length).ok_or_else(bad)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn bad() -> io::Error {
    io::Error::other("the saved plan is no ZIP archive as terraform writes it")
}
