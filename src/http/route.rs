//! Which path is answered by whom: the little of the contract that the front knows.
//!
//! Open paths it answers itself from the public folder; the rest it relays, knowing nothing of tokens or pins.

use super::{HttpError, Result};

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/healthz`, which needs no token.
    Health,
    /// A file of the public folder, which needs no token either. Its name is made of constants and of names that the host
    /// configured, and never of what a peer sent: a peer's name is only compared with those.
    Document(String),
    /// The session answers, gates first.
    Relayed,
}

/// The paths of statuses, each with its endpoint: without that one there is none. Those of terraform can be narrowed to
/// one module.
const STATUSES: [(&str, &str); 3] = [
    ("/status", "deploy"),
    ("/tf-apply/status", "tf-apply"),
    ("/tf-plan/status", "tf-plan"),
];

/// The routes of this host.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Those that are configured, by their names: `deploy` has the path `/deploy`.
    pub endpoints: Vec<String>,
    /// Of terraform.
    pub modules: Vec<String>,
}

impl Routes {
    /// Where a request goes.
    ///
    /// # Errors
    /// That there is no such path, or which methods it has.
    pub fn find(&self, method: &str, path: &str, query: &str) -> Result<Route> {
        let (route, allowed) = match path {
            "/healthz" => (Route::Health, "GET, HEAD"),
            "/runs" => (Route::Document("runs.json".into()), "GET, HEAD"),
            _ if self.is_endpoint(path) => (Route::Relayed, "POST"),
            _ if is_log(path) => (Route::Relayed, "GET"),
            _ => (self.status(path, query).ok_or(HttpError::NOT_FOUND)?, "GET, HEAD"),
        };
        match allowed.split(", ").any(|one| one == method) {
            true => Ok(route),
            false => Err(HttpError::method_not_allowed(allowed)),
        }
    }

    /// The last result of an endpoint, of one module where the query names one. Other members of a query are ignored,
    /// as a query is everywhere else.
    fn status(&self, path: &str, query: &str) -> Option<Route> {
        let (_, endpoint) = STATUSES.iter().find(|(status, _)| *status == path)?;
        if !self.has(endpoint) {
            return None;
        }
        let named = query
            .split('&')
            .filter_map(|member| member.strip_prefix("module="));
        let named: Vec<&str> = named.filter(|_| *endpoint != "deploy").collect();
        let name = match named[..] {
            [] => format!("{endpoint}.json"),
            [name] => {
                let module = self.modules.iter().find(|module| *module == name)?;
                format!("{endpoint}.{module}.json")
            }
            _ => return None,
        };
        Some(Route::Document(name))
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
    let id = path
        .strip_prefix("/runs/")
        .and_then(|rest| rest.strip_suffix("/log"));
    id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, path: &str, query: &str) -> Result<Route, HttpError> {
        let endpoints = vec!["deploy".into(), "tf-plan".into()];
        Routes {
            endpoints,
            modules: vec!["default".into(), "dash-1".into()],
        }
        .find(method, path, query)
    }

    fn find(method: &str, path: &str) -> Result<Route, HttpError> {
        asked(method, path, "")
    }

    fn document(name: &str) -> Result<Route, HttpError> {
        Ok(Route::Document(name.into()))
    }

    #[test]
    fn open_paths_are_answered_to_get_and_head_alone() {
        for path in ["/status", "/tf-plan/status", "/healthz", "/runs"] {
            for method in ["GET", "HEAD"] {
                assert!(
                    matches!(find(method, path), Ok(Route::Health | Route::Document(_))),
                    "{path}"
                );
            }
            for method in ["POST", "PUT"] {
                assert_eq!(
                    find(method, path),
                    Err(HttpError::method_not_allowed("GET, HEAD")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn each_status_is_its_own_document() {
        let get = |path| find("GET", path);
        assert_eq!(get("/status"), document("deploy.json"));
        assert_eq!(get("/tf-plan/status"), document("tf-plan.json"));
        assert_eq!(get("/runs"), document("runs.json"));
        assert_eq!(get("/healthz"), Ok(Route::Health));
    }

    #[test]
    fn a_status_is_narrowed_to_a_module_that_there_is() {
        let get = |query| asked("GET", "/tf-plan/status", query);
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
            assert_eq!(get(query), Err(HttpError::NOT_FOUND), "{query}");
        }
    }

    #[test]
    fn a_query_changes_nothing_elsewhere() {
        for query in ["module=default", "module=other", "module=a&module=b"] {
            assert_eq!(asked("GET", "/status", query), document("deploy.json"));
            assert_eq!(asked("GET", "/runs", query), document("runs.json"));
            assert_eq!(asked("POST", "/tf-plan", query), Ok(Route::Relayed));
            let status = asked("GET", "/tf-apply/status", query);
            assert_eq!(status, Err(HttpError::NOT_FOUND), "not configured");
        }
    }

    #[test]
    fn an_endpoint_is_relayed_for_post_alone() {
        for path in ["/deploy", "/tf-plan"] {
            assert_eq!(find("POST", path), Ok(Route::Relayed));
            for method in ["GET", "HEAD", "PUT"] {
                assert_eq!(
                    find(method, path),
                    Err(HttpError::method_not_allowed("POST")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn an_endpoint_that_is_not_configured_is_not_found_nor_is_its_status() {
        for method in ["GET", "POST", "PUT"] {
            assert_eq!(find(method, "/tf-apply"), Err(HttpError::NOT_FOUND));
            assert_eq!(find(method, "/tf-apply/status"), Err(HttpError::NOT_FOUND));
        }
    }

    #[test]
    fn a_runs_log_is_relayed_for_get_alone() {
        let path = "/runs/20260102T030405Z-0123abcd/log";
        assert_eq!(find("GET", path), Ok(Route::Relayed));
        for method in ["HEAD", "POST", "PUT"] {
            assert_eq!(find(method, path), Err(HttpError::method_not_allowed("GET")));
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
            for method in ["GET", "POST"] {
                assert_eq!(find(method, path), Err(HttpError::NOT_FOUND), "{path}");
            }
        }
    }
}
