//! The other side of the fence: the process that makes the request. It gives up its privileges before it does.

use std::io::{self, Write};

use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Error, http};

use crate::config;
use crate::fetch::{FetchRequest, FetchResponse};
use crate::limits::{FETCH_MEMORY, FETCH_OPEN_FILES};
use crate::os::descriptor;
use crate::os::privilege::Confinement;

/// Headers of an answer that tell why a request was refused; no other is taken. Lower case.
const TELLING: [&str; 2] = ["retry-after", "x-ratelimit-remaining"];

/// Bytes of such a header.
const LONGEST_HEADER: usize = 64;

/// The role itself: the request on standard input, what came of it on standard output.
///
/// # Errors
/// When the request cannot be read or privileges cannot be given up; nothing was fetched then.
pub fn role() -> io::Result<()> {
    descriptor::close_inherited(&[])?;
    let order: FetchRequest = serde_json::from_slice(&descriptor::take_stdin()?)?;
    nix::unistd::alarm::set(order.seconds);
    let confinement = Confinement {
        root: None,
        identity: order.identity,
        descriptors: FETCH_OPEN_FILES,
        address_space: FETCH_MEMORY,
        processor_seconds: u64::from(order.seconds),
    };
    confinement.enter()?;
    let answer = serde_json::to_vec(&request(&order))?;
    let mut out = io::stdout();
    out.write_all(&answer)?;
    out.flush()
}

fn request(order: &FetchRequest) -> Result<FetchResponse, String> {
    if !config::may_be_fetched(&order.url) {
        return Err("only https, or http to loopback, is fetched".into());
    }
    let agent: Agent = Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("engram-deployer/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls(order)?)
        .build()
        .into();
    let mut built = http::Request::builder()
        .method(order.method.as_str())
        .uri(&order.url);
    for (name, value) in &order.headers {
        built = built.header(name, value);
    }
    let sent = match &order.body {
        Some(body) => built.body(body.as_str()).map(|request| agent.run(request)),
        None => built.body(()).map(|request| agent.run(request)),
    };
    let mut response = sent
        .map_err(|_| "the request has a header that is none in HTTP".to_owned())?
        .map_err(plain)?;
    let limited = response.body_mut().with_config().limit(order.most as u64);
    let body = limited.read_to_vec().map_err(plain)?;
    Ok(FetchResponse {
        status: response.status().as_u16(),
        headers: telling(response.headers()),
        body,
    })
}

/// Those of [`TELLING`], as far as they are short plain text.
fn telling(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |name: &str| {
        headers
            .get(name)?
            .to_str()
            .ok()
            .filter(|text| text.len() <= LONGEST_HEADER)
    };
    let found = TELLING
        .iter()
        .filter_map(|name| Some((name.to_string(), text(name)?.to_owned())));
    found.collect()
}

fn tls(order: &FetchRequest) -> Result<TlsConfig, String> {
    let builder = TlsConfig::builder().provider(TlsProvider::Rustls);
    let Some(pem) = &order.authorities else {
        return Ok(builder.build());
    };
    let mut roots = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        if let PemItem::Certificate(certificate) = item.map_err(plain)? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err("the file of authorities holds no certificate".into());
    }
    Ok(builder.root_certs(RootCerts::from(roots)).build())
}

fn plain(error: Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        Error::BodyExceedsLimit(most) => format!("the answer is larger than {most} bytes"),
        other => other.to_string(),
    }
}
