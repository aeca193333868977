//! Which path is answered by whom: the little of the contract that the front knows.
//!
//! Open paths it answers itself from the public folder; the rest it relays, knowing nothing of tokens or pins.

use super::{HttpError, Method};

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The front answers.
    Open(OpenPath),
    /// The session answers, gates first.
    Relayed,
}

/// A path that needs no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenPath {
    /// `/healthz`
    Health,
    /// A document of the public folder.
    Document(Document),
}

/// The name of a file in the public folder. Made from constants and from the names that the host configured, and never
/// from what a peer sent: a peer's name is only compared with those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document(String);

impl Document {
    /// The file's name.
    pub fn file_name(&self) -> &str {
        &self.0
    }

    fn of(name: &str) -> Document {
        Document(format!("{name}.json"))
    }

    /// A document of this name, for the tests of whoever reads documents.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Document {
        Document::of(name)
    }
}

/// The paths of statuses, each with its endpoint: without that one there is none.
const STATUSES: [(&str, &str); 3] = [
    ("/status", "deploy"),
    ("/tf-apply/status", "tf-apply"),
    ("/tf-plan/status", "tf-plan"),
];

/// Endpoints whose status can be narrowed to one module.
const OF_MODULES: [&str; 2] = ["tf-apply", "tf-plan"];

const OPEN_METHODS: &str = "GET, HEAD";
const ENDPOINT_METHODS: &str = "POST";
const LOG_METHODS: &str = "GET";

/// The routes of this host.
#[derive(Clone, Debug)]
pub struct Routes {
    endpoints: Vec<String>,
    modules: Vec<String>,
}

impl Routes {
    /// Routes with these configured endpoints, by their names (`deploy` has the path `/deploy`), and terraform's modules.
    pub fn new(endpoints: Vec<String>, modules: Vec<String>) -> Routes {
        Routes { endpoints, modules }
    }

    /// Where a request goes.
    ///
    /// # Errors
    /// `NotFound`, or `MethodNotAllowed` with the methods that the path has.
    pub fn find(&self, method: Method, path: &str, query: &str) -> Result<Route, HttpError> {
        if let Some(open) = self.open(path, query) {
            return match method {
                Method::Get | Method::Head => Ok(Route::Open(open)),
                Method::Post | Method::Other => Err(HttpError::MethodNotAllowed(OPEN_METHODS)),
            };
        }
        let (allowed, name) = match path {
            path if self.is_endpoint(path) => (Method::Post, ENDPOINT_METHODS),
            path if is_log(path) => (Method::Get, LOG_METHODS),
            _ => return Err(HttpError::NotFound),
        };
        if method == allowed {
            Ok(Route::Relayed)
        } else {
            Err(HttpError::MethodNotAllowed(name))
        }
    }

    fn open(&self, path: &str, query: &str) -> Option<OpenPath> {
        match path {
            "/healthz" => Some(OpenPath::Health),
            "/runs" => Some(OpenPath::Document(Document::of("runs"))),
            _ => self.status(path, query).map(OpenPath::Document),
        }
    }

    /// The last result of an endpoint, of one module where the query names one. Other members of a query are ignored,
    /// as a query is everywhere else.
    fn status(&self, path: &str, query: &str) -> Option<Document> {
        let (_, endpoint) = STATUSES.iter().find(|(status, _)| *status == path)?;
        if !self.has(endpoint) {
            return None;
        }
        let mut named = query
            .split('&')
            .filter_map(|member| member.strip_prefix("module="));
        match (named.next(), named.next()) {
            (Some(name), None) if OF_MODULES.contains(endpoint) => {
                let module = self.modules.iter().find(|module| *module == name)?;
                Some(Document::of(&format!("{endpoint}.{module}")))
            }
            (Some(_), Some(_)) if OF_MODULES.contains(endpoint) => None,
            _ => Some(Document::of(endpoint)),
        }
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

    fn asked(method: Method, path: &str, query: &str) -> Result<Route, HttpError> {
        let endpoints = vec!["deploy".into(), "tf-plan".into()];
        Routes::new(endpoints, vec!["default".into(), "dash-1".into()]).find(method, path, query)
    }

    fn find(method: Method, path: &str) -> Result<Route, HttpError> {
        asked(method, path, "")
    }

    fn document(name: &str) -> Result<Route, HttpError> {
        Ok(Route::Open(OpenPath::Document(Document(name.into()))))
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
                    Err(HttpError::MethodNotAllowed("GET, HEAD")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn each_status_is_its_own_document() {
        let get = |path| find(Method::Get, path);
        assert_eq!(get("/status"), document("deploy.json"));
        assert_eq!(get("/tf-plan/status"), document("tf-plan.json"));
        assert_eq!(get("/runs"), document("runs.json"));
        assert_eq!(get("/healthz"), Ok(Route::Open(OpenPath::Health)));
    }

    #[test]
    fn a_status_is_narrowed_to_a_module_that_there_is() {
        let get = |query| asked(Method::Get, "/tf-plan/status", query);
        for (query, name) in [
            ("module=default", "tf-plan.default.json"),
            ("module=dash-1", "tf-plan.dash-1.json"),
            ("x=y&module=default&z", "tf-plan.default.json"),
            ("", "tf-plan.json"),
            ("modules=x&Module=y", "tf-plan.json"),
        ] {
            assert_eq!(get(query), document(name), "{query}");
        }
        for query in [
            "module=",
            "module=other",
            "module=Default",
            "module=default%20",
            "module=../deploy",
            "module=default/../../x",
            "module=default.json",
            "module=dash%2D1",
            "module=default&module=default",
            "module=default&module=other",
        ] {
            assert_eq!(get(query), Err(HttpError::NotFound), "{query}");
        }
    }

    #[test]
    fn a_query_changes_nothing_elsewhere() {
        for query in ["module=default", "module=other", "module=a&module=b"] {
            assert_eq!(asked(Method::Get, "/status", query), document("deploy.json"));
            assert_eq!(asked(Method::Get, "/runs", query), document("runs.json"));
            assert_eq!(asked(Method::Post, "/tf-plan", query), Ok(Route::Relayed));
            let status = asked(Method::Get, "/tf-apply/status", query);
            assert_eq!(status, Err(HttpError::NotFound), "not configured");
        }
    }

    #[test]
    fn an_endpoint_is_relayed_for_post_alone() {
        for path in ["/deploy", "/tf-plan"] {
            assert_eq!(find(Method::Post, path), Ok(Route::Relayed));
            for method in [Method::Get, Method::Head, Method::Other] {
                assert_eq!(
                    find(method, path),
                    Err(HttpError::MethodNotAllowed("POST")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_not_configured_is_not_found_nor_is_its_status() {
        for method in [Method::Get, Method::Post, Method::Other] {
            assert_eq!(find(method, "/tf-apply"), Err(HttpError::NotFound));
            assert_eq!(find(method, "/tf-apply/status"), Err(HttpError::NotFound));
        }
    }

    #[test]
    fn a_runs_log_is_relayed_for_get_alone() {
        let path = "/runs/20260102T030405Z-0123abcd/log";
        assert_eq!(find(Method::Get, path), Ok(Route::Relayed));
        for method in [Method::Head, Method::Post, Method::Other] {
            assert_eq!(find(method, path), Err(HttpError::MethodNotAllowed("GET")));
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
                assert_eq!(find(method, path), Err(HttpError::NotFound), "{path}");
            }
        }
    }
}
