//! Answers that need no token: the documents of the public folder.
//!
//! Reads files whose names are constants or the host's own words, beneath a folder that is this process's root, and
//! nothing that the peer named.

use std::path::Path;

use crate::http::{HttpError, Response};
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{optional, read_bounded};

/// The answer to a GET of the document in the file `path`.
///
/// # Errors
/// [`HttpError::UNREADABLE`] when it is there and cannot be read.
pub fn document(path: &Path) -> Result<Response, HttpError> {
    match optional(read_bounded(path, MAX_PUBLIC_FILE)) {
        Ok(Some(document)) => Ok(Response::json(document)),
        Ok(None) => Ok(Response::no_content()),
        Err(_) => Err(HttpError::UNREADABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("front-open-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_document_is_sent_as_it_lies_there() {
        let folder = folder("document");
        std::fs::write(folder.join("deploy.json"), "{\"status\":\"ok\"}\n").unwrap();
        let answer = document(&folder.join("deploy.json")).unwrap();
        let text = String::from_utf8(answer.bytes("GET")).unwrap();
        assert!(
            text.ends_with("\r\n\r\n{\"status\":\"ok\"}\n") && text.contains("application/json"),
            "{text}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_document_that_is_not_there_yet_is_the_204() {
        let folder = folder("missing");
        assert_eq!(document(&folder.join("deploy.json")).unwrap().status, 204);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_document_that_cannot_be_read_is_not_taken_for_a_missing_one() {
        let folder = folder("folder");
        std::fs::create_dir_all(folder.join("deploy.json")).unwrap();
        assert_eq!(document(&folder.join("deploy.json")), Err(HttpError::UNREADABLE));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
