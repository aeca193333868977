//! Tickets: files `<number>-<run id>` in the queue folder, each locked by the run that holds it.
//!
//! That a ticket is locked means that its run lives, and nothing else does: the kernel frees it with the holder's last
//! descriptor. What stands in it is in [`crate::queue::notes`].

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use crate::config::Places;
use crate::os::{files, lock};
use crate::queue::RunId;

/// A ticket in the folder, as anybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketFile {
    /// Its place in the queue.
    pub number: u64,
    /// Whose it is.
    pub id: RunId,
    pub path: PathBuf,
}

/// All tickets, lowest first.
pub fn list(places: &Places) -> io::Result<Vec<TicketFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(places.queue())? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| TicketFile::named(places, name)));
    }
    found.sort();
    Ok(found)
}

/// The ticket of one run.
pub fn of(places: &Places, id: &RunId) -> io::Result<Option<TicketFile>> {
    Ok(list(places)?.into_iter().find(|ticket| ticket.id == *id))
}

impl TicketFile {
    pub fn new(places: &Places, number: u64, id: &RunId) -> Self {
        let mut ticket = Self {
            number,
            id: id.clone(),
            path: places.queue(),
        };
        ticket.path.push(ticket.file_name());
        ticket
    }

    /// The ticket named `name`, whether or not it is there.
    pub fn named(places: &Places, name: &str) -> Option<Self> {
        let (number, id) = name.split_once('-')?;
        let ticket = Self::new(places, number.parse().ok()?, &RunId::parse(id)?);
        (ticket.file_name() == name).then_some(ticket)
    }

    /// Ten digits sort as numbers do.
    pub fn file_name(&self) -> String {
        format!("{:010}-{}", self.number, self.id)
    }

    /// Whether a living process holds it. A ticket that is gone is held by nobody.
    pub fn is_live(&self) -> io::Result<bool> {
        lock::is_held(&self.path)
    }

    /// Removes the file; one that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        files::optional(fs::remove_file(&self.path)).map(drop)
    }
}

/// Makes the next ticket, locked before it is there under its name. As long as the lock, or a child's copy of that
/// descriptor, is open, its run lives. The caller holds the queue lock.
pub(super) fn make(places: &Places, id: &RunId) -> io::Result<(File, TicketFile)> {
    let number = list(places)?.last().map_or(1, |last| last.number + 1);
    let file = TicketFile::new(places, number, id);
    let temporary = places.queue().join(format!(".{id}"));
    let lock = lock::try_exclusive(&temporary)?
        .ok_or_else(|| io::Error::other(format!("{} is somebody else's", temporary.display())))?;
    fs::rename(&temporary, &file.path)?;
    Ok((lock, file))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Leaves a ticket as a dead holder does.
    pub(crate) fn die<T>(file: &TicketFile, holder: T) {
        lock::testing::let_go(holder, || !file.is_live().unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing::Scratch;
    use std::time::SystemTime;

    #[test]
    fn tickets_are_numbered_in_order_and_live_as_long_as_they_are_held() {
        let scratch = Scratch::new("ticket-order");
        let ids = [(); 3].map(|()| RunId::new(SystemTime::now()).unwrap());
        let tickets = ids.each_ref().map(|id| make(&scratch.0, id).unwrap());
        let seen = list(&scratch.0).unwrap();
        assert_eq!(
            seen.iter().map(|one| &one.id).collect::<Vec<_>>(),
            ids.iter().collect::<Vec<_>>()
        );
        assert!(seen.iter().all(|one| one.is_live().unwrap()));
        for (lock, file) in tickets {
            testing::die(&file, lock);
        }
        let (_lock, next) = make(&scratch.0, &RunId::new(SystemTime::now()).unwrap()).unwrap();
        assert_eq!(next.number, 4);
    }

    #[test]
    fn nothing_but_a_ticket_is_taken_for_one() {
        let scratch = Scratch::new("ticket-names");
        for name in [
            "",
            ".20260102T030405Z-01234567",
            "1-20260102T030405Z-01234567",
            "+000000001-20260102T030405Z-01234567",
        ] {
            assert_eq!(TicketFile::named(&scratch.0, name), None, "{name}");
        }
    }
}
