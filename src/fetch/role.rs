//! The other side of the fence: the process that makes the request. It gives up its privileges before it does.

use std::io::{self, Write};

use ureq::http;

use crate::config;
use crate::fetch::Report;
use crate::fetch::request::{FetchRequest, FetchResponse, LONGEST_HEADER, Method, TELLING};
use crate::limits::{FETCH_MEMORY, FETCH_OPEN_FILES};
use crate::os::descriptor;
use crate::os::privilege::{Confinement, Identity};

/// The role itself: order on standard input, report and body on standard output.
///
/// # Errors
/// When the order cannot be read or privileges cannot be given up; nothing was fetched then.
pub fn role() -> io::Result<()> {
    descriptor::close_inherited(&[])?;
    let order: FetchRequest = serde_json::from_slice(&descriptor::take_stdin()?)?;
    nix::unistd::alarm::set(order.seconds);
    let confinement = Confinement {
        root: None,
        identity: Identity {
            uid: order.uid,
            gid: order.gid,
        },
        descriptors: FETCH_OPEN_FILES,
        address_space: FETCH_MEMORY,
        processor_seconds: u64::from(order.seconds),
    };
    confinement.enter()?;
    let (report, body) = match request(&order) {
        Ok(answer) => (
            Report::Answered {
                status: answer.status,
                headers: answer.headers,
                length: answer.body.len(),
            },
            answer.body,
        ),
        Err(why) => (Report::Failed { why }, Vec::new()),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    out.write_all(b"\n")?;
    out.write_all(&body)?;
    out.flush()
}

fn request(order: &FetchRequest) -> Result<FetchResponse, String> {
    if !config::may_be_fetched(&order.url) {
        return Err("only https, or http to loopback, is fetched".into());
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("engram-deployer/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls(order)?)
        .build()
        .into();
    let built = builder(order);
    let sent = match &order.body {
        Some(body) => built.body(body.as_str()).map(|request| agent.run(request)),
        None => built.body(()).map(|request| agent.run(request)),
    };
    let mut response = sent
        .map_err(|_| "the order has a header that is none in HTTP".to_owned())?
        .map_err(|error| plain(&error))?;
    let status = response.status().as_u16();
    let headers = telling(response.headers());
    let body = response
        .body_mut()
        .with_config()
        .limit(order.most as u64)
        .read_to_vec();
    Ok(FetchResponse {
        status,
        headers,
        body: body.map_err(|error| plain(&error))?,
    })
}

fn builder(order: &FetchRequest) -> http::request::Builder {
    let method = match order.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Delete => http::Method::DELETE,
    };
    let built = http::Request::builder().method(method).uri(&order.url);
    order.headers.iter().fold(built, |built, header| {
        built.header(&header.name, header.value.expose())
    })
}

/// Those of [`TELLING`], as far as they are short plain text.
fn telling(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let found = TELLING
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), text(name)?)));
    found.filter(|(_, value)| value.len() <= LONGEST_HEADER).collect()
}

fn tls(order: &FetchRequest) -> Result<ureq::tls::TlsConfig, String> {
    let builder = ureq::tls::TlsConfig::builder().provider(ureq::tls::TlsProvider::Rustls);
    let Some(pem) = &order.authorities else {
        return Ok(builder.build());
    };
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(pem.as_bytes()) {
        if let ureq::tls::PemItem::Certificate(certificate) = item.map_err(|error| plain(&error))? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err("the file of authorities holds no certificate".into());
    }
    Ok(builder.root_certs(ureq::tls::RootCerts::from(roots)).build())
}

fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::BodyExceedsLimit(most) => format!("the answer is larger than {most} bytes"),
        other => other.to_string(),
    }
}
