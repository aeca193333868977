//! One text of the terraform settings -> one checked value. An error is the sentence of what it should be.

use super::{DEFAULT_MODULE, HealthUrl, Module};
use crate::config::pins::{self, checked, is_word};
use crate::config::{Account, url, value};
use crate::limits::{MAX_LIST, MAX_MODULE_NAME, MAX_MODULE_PATH};

/// Where the configuration is fetched from: `https://`, `http://` to this machine alone, or `file://` with an absolute
/// path. Credentials have no place in it: git would show them to everyone who can list processes.
pub fn repo_url(text: &str) -> Result<String, String> {
    const SHOULD: &str = "an https:// URL of a git repository, an http:// one to loopback, or file:///PATH (no user, query \
                          or fragment)";
    if let Some(path) = text.strip_prefix("file://") {
        let good = value::path(path).is_ok() && path.bytes().all(|b| b.is_ascii_graphic());
        return checked(text, good, SHOULD);
    }
    let uri = url::url(text).filter(|uri| url::may_be_fetched(text) && uri.query().is_none());
    let path = uri.as_ref().map_or("/", |uri| uri.path());
    if !is_on_github(text) {
        return checked(text, path != "/", SHOULD);
    }
    let good = matches!(path.split('/').collect::<Vec<_>>()[..], ["", owner, name]
        if !owner.is_empty() && !matches!(name, "" | ".git"));
    checked(text, good, "https://github.com/OWNER/NAME.git")
}

/// Whether it is a repository on github.com, so that only a GitHub App can read it when it is private.
pub fn is_on_github(repo_url: &str) -> bool {
    url::url(repo_url).is_some_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri
                .host()
                .is_some_and(|host| host.eq_ignore_ascii_case("github.com"))
    })
}

/// The API of GitHub: without a slash at its end, so that paths can be put behind it.
pub fn api_url(text: &str) -> Result<String, String> {
    const SHOULD: &str = "an https:// URL such as https://HOST/api/v3, or an http:// one to loopback";
    let good = url::may_be_fetched(text) && !text.contains('?');
    checked(text.trim_end_matches('/'), good, SHOULD)
}

/// A folder beneath the checkout; `.` is the checkout itself. Whether links in it lead out is asked where it is used.
pub fn module_path(text: &str) -> Result<String, String> {
    let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
    let names: Vec<&str> = names.collect();
    let leads_out = text.starts_with('/') || names.contains(&"..");
    if text.is_empty() || text.len() > MAX_MODULE_PATH || leads_out {
        return Err("a folder in the repository: relative, without `..`, such as `infra`, or `.`".into());
    }
    match names.as_slice() {
        [] => Ok(".".into()),
        names => Ok(names.join("/")),
    }
}

/// `NAME=PATH,NAME=PATH`.
pub fn modules(text: &str) -> Result<Vec<Module>, String> {
    let mut modules: Vec<Module> = Vec::new();
    for (name, path) in pairs(text, "NAME=PATH")? {
        let path =
            module_path(path).map_err(|should| format!("NAME=PATH,...; `{path}` should be {should}"))?;
        let taken = name == DEFAULT_MODULE || modules.iter().any(|module| module.name == name);
        if taken {
            return Err(format!(
                "NAME=PATH,NAME=PATH with each name once (`{DEFAULT_MODULE}` is DEPLOYER_TF_APPLY_ROOT_DIR; `{name}` is \
                 there twice)"
            ));
        }
        modules.push(Module {
            name: name.to_owned(),
            path,
        });
    }
    Ok(modules)
}

/// `NAME=URL,NAME=URL`; a module may have several.
pub fn health_urls(text: &str) -> Result<Vec<HealthUrl>, String> {
    let health_url = |(name, url): (&str, &str)| {
        let url =
            url::fetchable(url).map_err(|should| format!("NAME=URL,...; `{url}` should be {should}"))?;
        Ok(HealthUrl {
            module: name.to_owned(),
            url,
        })
    };
    pairs(text, "NAME=URL")?.into_iter().map(health_url).collect()
}

/// Names of modules with what follows their `=`. A name is fit for a file's name, and for a query without escapes.
fn pairs<'a>(text: &'a str, form: &str) -> Result<Vec<(&'a str, &'a str)>, String> {
    let is_name = |name: &str| {
        let lower = !name.contains(|c: char| c.is_ascii_uppercase());
        is_word(name, b"_-") && lower && !name.starts_with(['_', '-']) && name.len() <= MAX_MODULE_NAME
    };
    let pair = |entry: &'a str| match entry.split_once('=') {
        Some((name, value)) if is_name(name) => Ok((name, value)),
        _ => Err(format!(
            "{form},{form} with names of a-z, 0-9, `_` and `-` (`{entry}` is not)"
        )),
    };
    let entries = pins::list(text, MAX_LIST, &format!("of {form}"))?;
    entries.into_iter().map(pair).collect()
}

/// `None` is root.
pub fn apply_user(text: &str) -> Result<Option<Account>, String> {
    match text {
        "root" => Ok(None),
        _ => value::account(text)
            .map(Some)
            .map_err(|_| "`root`, the name of another user, or a number that is uid and gid".into()),
    }
}

/// A credential; the error never quotes it.
pub fn secret(text: &str) -> Result<String, String> {
    let good = text.bytes().all(|b| b.is_ascii_graphic());
    checked(text, good, "without blanks, in plain ASCII")
}

/// `unix:///...`, `tcp://HOST:PORT`, `ssh://...`: docker reads the rest.
pub fn docker_host(text: &str) -> Result<String, String> {
    const SHOULD: &str = "a docker host such as `unix:///var/run/docker.sock` or `tcp://HOST:PORT`";
    let parts = text.split_once("://");
    let whole = parts.is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    checked(text, whole && text.bytes().all(|b| b.is_ascii_graphic()), SHOULD)
}

/// A word that stands in a URL or an environment as it is: an id, a region.
pub fn word(text: &str) -> Result<String, String> {
    let good = is_word(text, b"-_.") && text.len() <= 128;
    checked(text, good, "one word of letters, digits, `-`, `_` and `.`")
}

/// The id of an installation, which becomes a part of a path.
pub fn installation(text: &str) -> Result<String, String> {
    let good = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    checked(text, good, "the number of the App's installation")
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
