//! How much room a disk has.

use std::io;
use std::path::Path;

/// Bytes that may still be written below `path`, by others than root (statvfs(3)).
pub fn free(path: &Path) -> io::Result<u64> {
    let facts = nix::sys::statvfs::statvfs(path)?;
    Ok(facts.blocks_available().saturating_mul(facts.fragment_size()))
}

/// Whether what is written below `path` stays in memory.
pub fn is_in_memory(path: &Path) -> io::Result<bool> {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    Ok(statfs(path)?.filesystem_type() == TMPFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_a_disk() {
        assert!(is_in_memory(Path::new("/dev/shm")).unwrap() && !is_in_memory(Path::new("/proc")).unwrap());
    }

    #[test]
    fn a_disk_has_room_and_no_disk_is_an_error() {
        assert!(free(&std::env::temp_dir()).unwrap() > 0);
        assert!(free(Path::new("/nowhere/at/all")).is_err());
    }
}
