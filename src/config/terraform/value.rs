//! One text of the terraform settings -> one checked value. What it should be stands in `contrib/settings.txt`.

use std::collections::BTreeSet;

use super::{DEFAULT_MODULE, HealthUrl, Module};
use crate::config::pins::{is_word, list};
use crate::config::{url, value};
use crate::limits::{MAX_LIST, MAX_MODULE_NAME, MAX_MODULE_PATH};
use crate::secret::Secret;

/// Where the configuration is fetched from: `https://`, `http://` to this machine alone, or `file://` with an absolute
/// path. Credentials have no place in it: git would show them to everyone who can list processes.
pub fn repo_url(text: &str) -> Option<String> {
    if let Some(path) = text.strip_prefix("file://") {
        return value::path(path).and_then(|_| plain(text));
    }
    let uri = url::url(&url::fetchable(text)?)?;
    let names: Vec<&str> = uri.path().split('/').skip(1).collect();
    let good = match names[..] {
        _ if !is_on_github(text) => uri.path() != "/",
        [owner, name] => !owner.is_empty() && !matches!(name, "" | ".git"),
        _ => false,
    };
    (good && uri.query().is_none()).then(|| text.to_owned())
}

/// Whether it is a repository on github.com, so that only a GitHub App can read it when it is private.
pub fn is_on_github(repo_url: &str) -> bool {
    let is_github = |host: &str| host.eq_ignore_ascii_case("github.com");
    url::url(repo_url)
        .is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some_and(is_github))
}

/// The API of GitHub: without a slash at its end, so that paths can be put behind it.
pub fn api_url(text: &str) -> Option<String> {
    let url = url::fetchable(text).filter(|url| !url.contains('?'))?;
    Some(url.trim_end_matches('/').to_owned())
}

/// A folder beneath the checkout; `.` is the checkout itself. Whether links in it lead out is asked where it is used.
pub fn module_path(text: &str) -> Option<String> {
    let names = text.split('/').filter(|name| !matches!(*name, "" | "."));
    let names: Vec<&str> = names.collect();
    let leads_out = text.starts_with('/') || names.contains(&"..");
    if text.is_empty() || text.len() > MAX_MODULE_PATH || leads_out {
        return None;
    }
    Some(if names.is_empty() {
        ".".into()
    } else {
        names.join("/")
    })
}

/// `NAME=PATH,NAME=PATH`, each name once; the first module's is taken.
pub fn modules(text: &str) -> Option<Vec<Module>> {
    let modules = list(text, MAX_LIST, |entry| {
        let (name, path) = named(entry)?;
        let path = module_path(path)?;
        Some(Module { name, path })
    })?;
    let names = modules.iter().map(|module| module.name.as_str());
    let names: BTreeSet<&str> = names.chain([DEFAULT_MODULE]).collect();
    (names.len() > modules.len()).then_some(modules)
}

/// `NAME=URL,NAME=URL`; a module may have several.
pub fn health_urls(text: &str) -> Option<Vec<HealthUrl>> {
    list(text, MAX_LIST, |entry| {
        let (module, url) = named(entry)?;
        let url = url::fetchable(url)?;
        Some(HealthUrl { module, url })
    })
}

/// The name of a module, and what follows its `=`. It is fit for a file's name, and for a query without escapes.
fn named(entry: &str) -> Option<(String, &str)> {
    let (name, value) = entry.split_once('=')?;
    let lower = !name.contains(|c: char| c.is_ascii_uppercase());
    let good =
        is_word(name, b"_-") && lower && !name.starts_with(['_', '-']) && name.len() <= MAX_MODULE_NAME;
    good.then(|| (name.to_owned(), value))
}

/// `None` is root.
pub fn apply_user(text: &str) -> Option<Option<String>> {
    match text {
        "root" => Some(None),
        _ => value::user(text).map(Some),
    }
}

/// A credential.
pub fn secret(text: &str) -> Option<Secret> {
    plain(text).map(Secret::new)
}

/// Anything without blanks.
pub fn plain(text: &str) -> Option<String> {
    text.bytes()
        .all(|b| b.is_ascii_graphic())
        .then(|| text.to_owned())
}

/// `unix:///...`, `tcp://HOST:PORT`, `ssh://...`: docker reads the rest.
pub fn docker_host(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    plain(text).filter(|_| !scheme.is_empty() && !rest.is_empty())
}

/// A word that stands in a URL or an environment as it is: an id, a region.
pub fn word(text: &str) -> Option<String> {
    (is_word(text, b"-_.") && text.len() <= 128).then(|| text.to_owned())
}

/// The id of an installation, which becomes a part of a path.
pub fn installation(text: &str) -> Option<String> {
    text.parse::<u64>().ok().map(|number| number.to_string())
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
