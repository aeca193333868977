//! What a tool prints: bytes in, harmless bounded lines out; and a stream that is read without waiting.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::event::{CUT, harmless};
use crate::limits::{MAX_LINE, MAX_LOG, TAIL_BYTES, TAIL_LINES};
use crate::os::watch::Watch;
use crate::os::{descriptor, files};

/// Cuts bytes into lines. A newline or a carriage return ends one, since progress bars use the latter; empty lines are
/// left out; what is not UTF-8, and control characters, are replaced; a line over [`MAX_LINE`] loses its rest.
#[derive(Default)]
pub struct Lines {
    pending: Vec<u8>,
    cut: bool,
    /// The line that is pending began before what we have of it.
    torn: bool,
    /// The last [`TAIL_LINES`] lines, oldest first.
    pub tail: VecDeque<String>,
}

impl Lines {
    /// Takes bytes in; every line that they complete goes to `each`.
    pub fn push(&mut self, bytes: &[u8], each: &mut dyn FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let ends = matches!(part.last(), Some(b'\n' | b'\r'));
            let text = &part[..part.len() - usize::from(ends)];
            let room = MAX_LINE - self.pending.len();
            self.cut |= text.len() > room;
            self.pending.extend(text.iter().take(room));
            if ends {
                self.finish(each);
            }
        }
    }

    /// Gives out what has no newline behind it.
    pub fn finish(&mut self, each: &mut dyn FnMut(&str)) {
        let mut line = harmless(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        if std::mem::take(&mut self.cut) {
            line.push_str(CUT);
        }
        if std::mem::take(&mut self.torn) || line.trim().is_empty() {
            return;
        }
        each(&line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Leaves out `bytes`, and what is left then of the line in which they end: a secret might be torn there.
    fn skip(&mut self, bytes: u64, each: &mut dyn FnMut(&str)) {
        self.finish(each);
        each(&format!("... ({bytes} bytes left out)"));
        self.torn = true;
    }
}

/// One stream of a tool.
pub struct Stream {
    /// A pipe, which breaks when we die, and with it a tool that prints on; or a file. `None` when no more will come.
    from: Option<File>,
    /// Of a file, so that a tool which must not be cut can print on whatever becomes of us. It has no end, and the disk gets
    /// back what has been read.
    watch: Option<Watch>,
    pub lines: Lines,
    /// Instead of lines all that has come, and how much may; of more than that the first byte tells.
    pub whole: Option<(Vec<u8>, usize)>,
    /// Bytes that have been read.
    read: u64,
    /// Those of them that the disk has back.
    given_back: u64,
}

/// Bytes that one pass reads at most, so that a tool that prints without end cannot keep us from its deadline.
const PASS: u64 = 256 * 1024;

/// Bytes that have been read of a file when the disk gets them back.
const GIVE_BACK: u64 = 4 * 1024 * 1024;

impl Stream {
    /// A stream through a pipe, and the writing end for the tool.
    pub fn pipe() -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = io::pipe()?;
        descriptor::set_nonblocking(&reader)?;
        Ok((Self::of(OwnedFd::from(reader).into(), None), writer.into()))
    }

    /// A stream through a file that is made as `path`. The name stays: whoever completes this run after a crash can read
    /// what the tool said last.
    pub fn kept(path: &Path) -> io::Result<(Self, OwnedFd)> {
        // Appending, because what the tool starts may open its standard streams anew.
        let writer = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let reader = OpenOptions::new().read(true).write(true).open(path)?;
        let watch = Watch::on_each_write(path);
        Ok((Self::of(reader, Some(watch)), writer.into()))
    }

    fn of(from: File, watch: Option<Watch>) -> Self {
        Self {
            from: Some(from),
            watch,
            lines: Lines::default(),
            whole: None,
            read: 0,
            given_back: 0,
        }
    }

    /// What to wait for; `None` where nothing will come, or only a timer can see it.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match (&self.from, &self.watch) {
            (Some(_), Some(watch)) => watch.descriptor(),
            (from, _) => from.as_ref().map(AsFd::as_fd),
        }
    }

    /// Whether every writer is gone. What is kept in a file never says so.
    pub fn is_closed(&self) -> bool {
        self.from.is_none()
    }

    /// Reads what is there, a bounded amount of it. Where it stops at its bound, [`Stream::descriptor`] is ready still.
    pub fn read(&mut self, each: &mut dyn FnMut(&str)) {
        let mut buffer = [0u8; 16 * 1024];
        let until = self.read + PASS;
        while self.read < until {
            let Some(from) = &mut self.from else { return };
            let mut count = from.read(&mut buffer);
            if let (Ok(0), Some(watch)) = (&count, &self.watch) {
                // Only at its end, and then looked at once more: whatever comes from now on wakes us.
                watch.drain();
                count = from.read(&mut buffer).and_then(|count| match count {
                    0 => Err(io::ErrorKind::WouldBlock.into()),
                    count => Ok(count),
                });
            }
            match count {
                Ok(count) if count > 0 => self.take(&buffer[..count], each),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => return self.close(each),
            }
        }
    }

    /// Reads all that was printed by now, and no more: what a process that the tool left behind prints is not waited for.
    /// Of more than [`MAX_LOG`] only the end is read: a hostile tool can make its file as long as the filesystem allows,
    /// without writing a byte.
    pub fn read_rest(&mut self, each: &mut dyn FnMut(&str)) {
        let mut passes = 0;
        if let (Some(file), Some(_)) = (&mut self.from, &self.watch) {
            let printed = file.metadata().map_or(0, |facts| facts.len());
            let place = printed.saturating_sub(MAX_LOG);
            if place > self.read && file.seek(SeekFrom::Start(place)).is_ok() {
                self.lines.skip(place - self.read, each);
                self.read = place;
            }
            passes = printed.saturating_sub(self.read) / PASS;
        }
        // A pipe holds less than one.
        for _ in 0..=passes {
            self.read(each);
        }
        self.close(each);
    }

    /// No more is expected: the last line counts even without its newline.
    fn close(&mut self, each: &mut dyn FnMut(&str)) {
        self.from = None;
        self.lines.finish(each);
    }

    fn take(&mut self, part: &[u8], each: &mut dyn FnMut(&str)) {
        self.read += part.len() as u64;
        if let (Some(file), Some(_)) = (&self.from, &self.watch)
            && self.read - self.given_back > GIVE_BACK
        {
            self.given_back = self.read - TAIL_BYTES;
            files::give_back(file, self.given_back);
        }
        match &mut self.whole {
            Some((bytes, most)) => bytes.extend(part.iter().take(*most + 1 - bytes.len())),
            None => self.lines.push(part, each),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn lines(parts: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        let mut each = |line: &str| seen.push(line.to_owned());
        for part in parts {
            lines.push(part, &mut each);
        }
        lines.finish(&mut each);
        seen
    }

    #[test]
    fn lines_come_out_the_same_however_the_bytes_are_cut() {
        let bytes = b"one\r\ntwo 10%\rtwo 20%\n\n\nthree";
        let expected = ["one", "two 10%", "two 20%", "three"];
        assert_eq!(lines(&[bytes]), expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(lines(&single), expected);
    }

    #[test]
    fn a_tools_escape_sequences_and_broken_utf8_are_made_harmless() {
        assert_eq!(lines(&[b"\x1b[2Jgone\xff\n"]), ["\u{fffd}[2Jgone\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_room_than_a_long_one() {
        let endless = vec![b'x'; 10 * MAX_LINE];
        let seen = lines(&[&endless, &endless, b"\nnext"]);
        assert_eq!(seen.len(), 2);
        assert!(seen[0].len() < MAX_LINE + 20 && seen[0].ends_with("(cut)"));
        assert_eq!(seen[1], "next");
    }

    #[test]
    fn of_a_file_without_end_only_the_end_is_read() {
        let path = std::env::temp_dir().join(format!("output-endless-{}", std::process::id()));
        let (mut stream, writer) = Stream::kept(&path).unwrap();
        let mut writer = File::from(writer);
        let mut seen = Vec::new();
        let mut each = |line: &str| seen.push(line.to_owned());
        writer.write_all(b"begin\nhalf").unwrap();
        stream.read(&mut each);
        // Ten times what an hour would read.
        let hole = 1 << 43;
        writer.set_len(hole).unwrap();
        writer.write_all(b"secret\nend\n").unwrap();
        stream.read_rest(&mut each);
        let left_out = hole + 11 - MAX_LOG - 10;
        assert_eq!(
            seen,
            [
                "begin",
                "half",
                &format!("... ({left_out} bytes left out)"),
                "end"
            ]
        );
    }

    #[test]
    fn what_has_been_read_of_a_long_output_takes_no_disk_and_its_end_stays() {
        use std::os::unix::fs::MetadataExt;
        let path = std::env::temp_dir().join(format!("output-long-{}", std::process::id()));
        let (mut stream, writer) = Stream::kept(&path).unwrap();
        let (mut writer, mut lines) = (File::from(writer), 0);
        let block = b"a line of output\n".repeat(PASS as usize / 17);
        for _ in 0..40 {
            writer.write_all(&block).unwrap();
            stream.read(&mut |_| lines += 1);
            stream.read(&mut |_| lines += 1);
        }
        writer.write_all(b"the end\n").unwrap();
        assert_eq!(lines, 40 * (PASS as usize / 17));
        let facts = fs::metadata(&path).unwrap();
        assert!(
            facts.blocks() * 512 < facts.len() / 4,
            "{} blocks",
            facts.blocks()
        );
        assert!(
            files::read_end(&path, TAIL_BYTES)
                .unwrap()
                .ends_with(b"of output\nthe end\n")
        );
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        let mut lines = Lines::default();
        for number in 0..100 {
            lines.push(format!("{number}\n").as_bytes(), &mut |_| {});
        }
        assert_eq!(lines.tail.len(), TAIL_LINES);
        assert_eq!(lines.tail.back().unwrap(), "99");
    }
}
