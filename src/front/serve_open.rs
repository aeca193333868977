//! Answers that need no token: the documents of the public folder.
//!
//! Reads files whose names are constants or the host's own words, beneath a folder that is this process's root, and
//! nothing that the peer named.

use std::path::Path;

use crate::http::{HttpError, OpenPath, Response};
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{optional, read_bounded};

/// The answer to a GET of `path`; `public` is the folder.
///
/// # Errors
/// [`HttpError::UNREADABLE`] for a document that is there and cannot be read.
pub fn answer(path: OpenPath, public: &Path) -> Result<Response, HttpError> {
    match path {
        OpenPath::Health => Ok(Response::sentence(200, "ok").not_stored()),
        OpenPath::Document(document) => {
            let path = public.join(document.file_name());
            match optional(read_bounded(&path, MAX_PUBLIC_FILE)) {
                Ok(Some(document)) => Ok(Response::json(document)),
                Ok(None) => Ok(Response::no_content()),
                Err(_) => Err(HttpError::UNREADABLE),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Document, Method};

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("front-open-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_document_is_sent_as_it_lies_there() {
        let folder = folder("document");
        std::fs::write(folder.join("deploy.json"), "{\"status\":\"ok\"}\n").unwrap();
        let answer = answer(OpenPath::Document(Document::named("deploy")), &folder).unwrap();
        let text = String::from_utf8(answer.bytes(Method::Get)).unwrap();
        assert!(
            text.ends_with("\r\n\r\n{\"status\":\"ok\"}\n") && text.contains("application/json"),
            "{text}"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_document_that_is_not_there_yet_is_the_204() {
        let folder = folder("missing");
        assert_eq!(
            answer(OpenPath::Document(Document::named("deploy")), &folder)
                .unwrap()
                .status(),
            204
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_document_that_cannot_be_read_is_not_taken_for_a_missing_one() {
        let folder = folder("folder");
        std::fs::create_dir_all(folder.join("deploy.json")).unwrap();
        assert_eq!(
            answer(OpenPath::Document(Document::named("deploy")), &folder),
            Err(HttpError::UNREADABLE)
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn health_needs_no_file() {
        let answer = answer(OpenPath::Health, Path::new("/nonexistent")).unwrap();
        assert!(answer.bytes(Method::Get).ends_with(b"\r\n\r\nok\n"));
    }
}
