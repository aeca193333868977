//! One text of the terraform settings -> one checked value. An error is the sentence of what it should be.

use super::{DEFAULT_MODULE, HealthUrl, Module};
use crate::config::{Account, pins, value};
use crate::limits::{MAX_LIST, MAX_MODULE_NAME, MAX_MODULE_PATH};

/// Where the configuration is fetched from: `https://`, `http://` to this machine alone, or `file://` with an absolute
/// path. Credentials have no place in it: git would show them to everyone who can list processes.
pub fn repo_url(text: &str) -> Result<String, String> {
    const SHOULD: &str = "an https:// URL of a git repository, an http:// one to loopback, or file:///PATH (no user, query \
                          or fragment)";
    if let Some(path) = text.strip_prefix("file://") {
        let good = value::path(path).is_ok() && path.bytes().all(|b| b.is_ascii_graphic());
        return if good {
            Ok(text.to_owned())
        } else {
            Err(SHOULD.into())
        };
    }
    let uri = value::url(text).filter(|uri| value::may_be_fetched(text) && uri.query().is_none());
    let path = uri.as_ref().map_or("/", |uri| uri.path());
    let names_a_repository = matches!(path.split('/').collect::<Vec<_>>()[..], ["", owner, name]
        if !owner.is_empty() && !matches!(name, "" | ".git"));
    match is_on_github(text) {
        _ if path == "/" => Err(SHOULD.into()),
        true if !names_a_repository => Err("https://github.com/OWNER/NAME.git".into()),
        _ => Ok(text.to_owned()),
    }
}

/// Whether it is a repository on github.com, so that only a GitHub App can read it when it is private.
pub fn is_on_github(repo_url: &str) -> bool {
    value::url(repo_url).is_some_and(|uri| {
        uri.scheme_str() == Some("https")
            && uri
                .host()
                .is_some_and(|host| host.eq_ignore_ascii_case("github.com"))
    })
}

/// The API of GitHub: without a slash at its end, so that paths can be put behind it.
pub fn api_url(text: &str) -> Result<String, String> {
    match value::fetchable(text) {
        Ok(good) if !good.contains('?') => Ok(good.trim_end_matches('/').to_owned()),
        _ => Err("an https:// URL such as https://HOST/api/v3, or an http:// one to loopback".into()),
    }
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
            value::fetchable(url).map_err(|should| format!("NAME=URL,...; `{url}` should be {should}"))?;
        Ok(HealthUrl {
            module: name.to_owned(),
            url,
        })
    };
    pairs(text, "NAME=URL")?.into_iter().map(health_url).collect()
}

/// Names of modules with what follows their `=`.
fn pairs<'a>(text: &'a str, form: &str) -> Result<Vec<(&'a str, &'a str)>, String> {
    let entries = pins::list(text, MAX_LIST, &format!("of {form}"))?;
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
    match text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.to_owned()),
        false => Err("without blanks, in plain ASCII".into()),
    }
}

/// `unix:///...`, `tcp://HOST:PORT`, `ssh://...`: docker reads the rest.
pub fn docker_host(text: &str) -> Result<String, String> {
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
pub fn word(text: &str) -> Result<String, String> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match (1..=128).contains(&text.len()) && text.bytes().all(letter) {
        true => Ok(text.to_owned()),
        false => Err("one word of letters, digits, `-`, `_` and `.`".into()),
    }
}

/// The id of an installation, which becomes a part of a path.
pub fn installation(text: &str) -> Result<String, String> {
    match (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(text.to_owned()),
        false => Err("the number of the App's installation".into()),
    }
}

/// A workflow up to its `@`: a pull request's reference varies, and follows.
pub fn workflow_prefix(text: &str) -> Result<String, String> {
    let file = pins::exact(text)?;
    let good = file
        .strip_suffix('@')
        .is_some_and(|file| file.contains('/') && !file.contains('@'));
    match good {
        true => Ok(text.to_owned()),
        false => {
            Err("OWNER/NAME/.github/workflows/FILE@, up to and with the `@`, and nothing after it".into())
        }
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
