//! One text of the terraform settings -> one checked value. An error is the sentence of what it should be.

use super::url::{self, Scheme, Url};
use super::{Account, HealthUrl, Lockfile, Module, RequireDigest, RequireSha, value};
use crate::limits::{MAX_MODULE_NAME, MAX_MODULE_PATH};
use crate::secret::Secret;

/// The name of the module that a request means which names none.
pub(super) const FIRST_MODULE: &str = "default";

/// Whether a plan gets the credentials of an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Yes,
    No,
}

/// Where the configuration is fetched from: `https://`, `http://` to this machine alone, or `file://` with an absolute
/// path. Credentials have no place in it: git would show them to everyone who can list processes.
pub(super) fn repo_url(text: &str) -> Result<String, String> {
    let should = "an https:// URL of a git repository, an http:// one to loopback, or file:///PATH (no user, query or \
                  fragment)";
    let good = match text.strip_prefix("file://") {
        Some(path) => value::path(path).is_ok() && path.bytes().all(|b| b.is_ascii_graphic()),
        None => url::fetchable(text).is_ok() && !text.contains('?') && has_path(text),
    };
    if !good {
        return Err(should.into());
    }
    if is_on_github(text) && !names_a_repository(text) {
        return Err("https://github.com/OWNER/NAME.git".into());
    }
    Ok(text.to_owned())
}

/// Whether it is a repository on github.com, so that only a GitHub App can read it when it is private.
pub(super) fn is_on_github(repo_url: &str) -> bool {
    matches!(url::split(repo_url), Some(Url { scheme: Scheme::Https, host })
        if host.eq_ignore_ascii_case("github.com"))
}

fn has_path(text: &str) -> bool {
    path_of(text).is_some_and(|path| !path.is_empty())
}

fn names_a_repository(text: &str) -> bool {
    let parts = path_of(text).and_then(|path| path.split_once('/'));
    parts.is_some_and(|(owner, name)| {
        let name = name.strip_suffix(".git").unwrap_or(name);
        !owner.is_empty() && !name.is_empty() && !name.contains('/')
    })
}

/// What comes after the host and its slash.
fn path_of(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    rest.split_once('/').map(|(_, path)| path)
}

/// The API of GitHub: without a slash at its end, so that paths can be put behind it.
pub(super) fn api_url(text: &str) -> Result<String, String> {
    match url::fetchable(text) {
        Ok(good) if !good.contains('?') => Ok(good.trim_end_matches('/').to_owned()),
        _ => Err("an https:// URL such as https://HOST/api/v3, or an http:// one to loopback".into()),
    }
}

/// A git reference in full, in letters that git takes for nothing else (git-check-ref-format(1)).
pub(super) fn reference(text: &str) -> Result<String, String> {
    let letter = |b: u8| b.is_ascii_graphic() && !b"~^:?*[\\,".contains(&b);
    let name = text.strip_prefix("refs/").unwrap_or_default();
    let good = !name.is_empty()
        && text.bytes().all(letter)
        && !text.contains("..")
        && !text.contains("@{")
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
        && text.len() <= crate::limits::MAX_PIN;
    match good {
        true => Ok(text.to_owned()),
        false => Err("one full git reference such as `refs/heads/main`".into()),
    }
}

/// A folder beneath the checkout; `.` is the checkout itself. Whether links in it lead out is asked where it is used.
pub(super) fn module_path(text: &str) -> Result<String, String> {
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
pub(super) fn modules(text: &str) -> Result<Vec<Module>, String> {
    let mut modules: Vec<Module> = Vec::new();
    for (name, path) in pairs(text, "NAME=PATH")? {
        let path =
            module_path(path).map_err(|should| format!("NAME=PATH,...; `{path}` should be {should}"))?;
        let taken = name == FIRST_MODULE || modules.iter().any(|module| module.name == name);
        if taken {
            return Err(format!(
                "NAME=PATH,NAME=PATH with each name once (`{FIRST_MODULE}` is DEPLOYER_TF_APPLY_ROOT_DIR; `{name}` is \
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
pub(super) fn health_urls(text: &str) -> Result<Vec<HealthUrl>, String> {
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

/// Names of modules with what follows their `=`.
fn pairs<'a>(text: &'a str, form: &str) -> Result<Vec<(&'a str, &'a str)>, String> {
    let entries = value::entries(text, &format!("of {form}"))?;
    let pair = |entry: &'a str| match entry.split_once('=') {
        Some((name, value)) if is_module_name(name) => Ok((name, value)),
        _ => Err(format!(
            "{form},{form} with names of a-z, 0-9, `_` and `-` (`{entry}` is not)"
        )),
    };
    entries.into_iter().map(pair).collect()
}

/// Fit for a file's name, and for a query without escapes.
fn is_module_name(name: &str) -> bool {
    let first = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= MAX_MODULE_NAME
        && name.bytes().next().is_some_and(first)
        && name.bytes().all(|b| first(b) || matches!(b, b'_' | b'-'))
}

/// `None` is root.
pub(super) fn apply_user(text: &str) -> Result<Option<Account>, String> {
    match text {
        "root" => Ok(None),
        _ => value::account(text)
            .map(Some)
            .map_err(|_| "`root`, the name of another user, or a number that is uid and gid".into()),
    }
}

/// A credential; the error never quotes it.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    match text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(Secret::new(text.to_owned())),
        false => Err("without blanks, in plain ASCII".into()),
    }
}

/// `unix:///...`, `tcp://HOST:PORT`, `ssh://...`: docker reads the rest.
pub(super) fn docker_host(text: &str) -> Result<String, String> {
    let good = text
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        && text.bytes().all(|b| b.is_ascii_graphic());
    match good {
        true => Ok(text.to_owned()),
        false => Err("a docker host such as `unix:///var/run/docker.sock` or `tcp://HOST:PORT`".into()),
    }
}

/// A word that stands in a URL or an environment as it is: an id, a region.
pub(super) fn word(text: &str) -> Result<String, String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match (1..=128).contains(&text.len()) && text.bytes().all(letter) {
        true => Ok(text.to_owned()),
        false => Err("one word of letters, digits, `-`, `_` and `.`".into()),
    }
}

/// The id of an installation, which becomes a part of a path.
pub(super) fn installation(text: &str) -> Result<String, String> {
    match (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("the number of the App's installation".into()),
    }
}

/// `DEPLOYER_TF_PLAN_SHARE_CREDENTIALS`.
pub(super) fn share(text: &str) -> Result<Share, String> {
    match text {
        "yes" => Ok(Share::Yes),
        "no" => Ok(Share::No),
        _ => Err("`yes` or `no`".into()),
    }
}

/// `DEPLOYER_TF_APPLY_REQUIRE_SHA`.
pub(super) fn require_sha(text: &str) -> Result<RequireSha, String> {
    value::switch(text).map(|on| if on { RequireSha::On } else { RequireSha::Off })
}

/// `DEPLOYER_TF_APPLY_REQUIRE_DIGEST`.
pub(super) fn require_digest(text: &str) -> Result<RequireDigest, String> {
    value::switch(text).map(|on| if on { RequireDigest::On } else { RequireDigest::Off })
}

/// `DEPLOYER_TF_LOCKFILE`.
pub(super) fn lockfile(text: &str) -> Result<Lockfile, String> {
    match text {
        "readonly" => Ok(Lockfile::ReadOnly),
        "update" => Ok(Lockfile::Update),
        _ => Err("`readonly` or `update`".into()),
    }
}

#[cfg(test)]
#[path = "tf_value_tests.rs"]
mod tests;
