//! Which path is answered by whom: the little of the contract that the front knows.
//!
//! Open paths it answers itself from the public folder; the rest it relays, knowing nothing of tokens or pins.

use super::{Method, Refusal};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The front answers.
    Open(OpenPath),
    /// The session answers, gates first.
    Relayed,
}

/// A path that needs no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenPath {
    /// `/healthz`
    Health,
    /// A document of the public folder, by its file name.
    Document(&'static str),
}

/// Open paths: the path, the name of the endpoint without which there is none, what is answered.
const OPEN: [(&str, Option<&str>, OpenPath); 5] = [
    ("/healthz", None, OpenPath::Health),
    ("/runs", None, OpenPath::Document("runs.json")),
    ("/status", Some("deploy"), OpenPath::Document("deploy.json")),
    (
        "/tf-apply/status",
        Some("tf-apply"),
        OpenPath::Document("tf-apply.json"),
    ),
    (
        "/tf-plan/status",
        Some("tf-plan"),
        OpenPath::Document("tf-plan.json"),
    ),
];

const OPEN_METHODS: &str = "GET, HEAD";
const ENDPOINT_METHODS: &str = "POST";
const LOG_METHODS: &str = "GET";

/// The routes of this host.
#[derive(Clone, Debug)]
pub struct Routes {
    endpoints: Vec<String>,
}

impl Routes {
    /// Routes with these configured endpoints, by their names: `deploy` has the path `/deploy`.
    pub fn new(endpoints: Vec<String>) -> Routes {
        Routes { endpoints }
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// `NotFound`, or `MethodNotAllowed` with the methods that the path has.
    pub fn find(&self, method: Method, path: &str) -> Result<Route, Refusal> {
        if let Some(open) = self.open(path) {
            return match method {
                Method::Get | Method::Head => Ok(Route::Open(open)),
                Method::Post | Method::Other => Err(Refusal::MethodNotAllowed(OPEN_METHODS)),
            };
        }
        let (allowed, name) = match path {
            path if self.is_endpoint(path) => (Method::Post, ENDPOINT_METHODS),
            path if is_log(path) => (Method::Get, LOG_METHODS),
            _ => return Err(Refusal::NotFound),
        };
        if method == allowed {
            Ok(Route::Relayed)
        } else {
            Err(Refusal::MethodNotAllowed(name))
        }
    }

    fn open(&self, path: &str) -> Option<OpenPath> {
        let (_, endpoint, open) = OPEN.iter().find(|(open, _, _)| *open == path)?;
        endpoint
            .is_none_or(|endpoint| self.has(endpoint))
            .then_some(*open)
    }

    fn is_endpoint(&self, path: &str) -> bool {
        path.strip_prefix('/').is_some_and(|name| self.has(name))
    }

    fn has(&self, endpoint: &str) -> bool {
        self.endpoints.iter().any(|configured| configured == endpoint)
    }
}

/// `/runs/<id>/log`. Whether the id is one is for the session to say.
fn is_log(path: &str) -> bool {
    path.strip_prefix("/runs/")
        .and_then(|rest| rest.strip_suffix("/log"))
        .is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: Method, path: &str) -> Result<Route, Refusal> {
        Routes::new(vec!["deploy".into(), "tf-plan".into()]).find(method, path)
    }

    #[test]
    fn open_paths_are_answered_to_get_and_head_alone() {
        for path in ["/status", "/tf-plan/status", "/healthz", "/runs"] {
            for method in [Method::Get, Method::Head] {
                assert!(matches!(find(method, path), Ok(Route::Open(_))), "{path}");
            }
            for method in [Method::Post, Method::Other] {
                assert_eq!(
                    find(method, path),
                    Err(Refusal::MethodNotAllowed("GET, HEAD")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn each_status_is_its_own_document() {
        let document = |path| find(Method::Get, path);
        assert_eq!(
            document("/status"),
            Ok(Route::Open(OpenPath::Document("deploy.json")))
        );
        assert_eq!(
            document("/tf-plan/status"),
            Ok(Route::Open(OpenPath::Document("tf-plan.json")))
        );
        assert_eq!(
            document("/runs"),
            Ok(Route::Open(OpenPath::Document("runs.json")))
        );
        assert_eq!(document("/healthz"), Ok(Route::Open(OpenPath::Health)));
    }

    #[test]
    fn an_endpoint_is_relayed_for_post_alone() {
        for path in ["/deploy", "/tf-plan"] {
            assert_eq!(find(Method::Post, path), Ok(Route::Relayed));
            for method in [Method::Get, Method::Head, Method::Other] {
                assert_eq!(
                    find(method, path),
                    Err(Refusal::MethodNotAllowed("POST")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_not_configured_is_not_found_nor_is_its_status() {
        for method in [Method::Get, Method::Post, Method::Other] {
            assert_eq!(find(method, "/tf-apply"), Err(Refusal::NotFound));
            assert_eq!(find(method, "/tf-apply/status"), Err(Refusal::NotFound));
        }
    }

    #[test]
    fn a_runs_log_is_relayed_for_get_alone() {
        let path = "/runs/20260102T030405Z-0123abcd/log";
        assert_eq!(find(Method::Get, path), Ok(Route::Relayed));
        for method in [Method::Head, Method::Post, Method::Other] {
            assert_eq!(find(method, path), Err(Refusal::MethodNotAllowed("GET")));
        }
    }

    #[test]
    fn nothing_near_a_path_is_a_path() {
        let near = [
            "/",
            "//",
            "/Status",
            "/status/",
            "//status",
            "/deploy/",
            "/deploy/x",
            "/runs/",
            "/runs//log",
            "/runs/a/b/log",
            "/runs/a/log/",
            "/runs/log",
            "/deploy.json",
            "/healthz;x",
        ];
        for path in near {
            for method in [Method::Get, Method::Post] {
                assert_eq!(find(method, path), Err(Refusal::NotFound), "{path}");
            }
        }
    }
}
