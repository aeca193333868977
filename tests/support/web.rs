//! The smallest HTTP server: a thread a connection, one request, one answer. For what the daemon talks to in the tests.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A listener on loopback, at any port for 0, and its URL without a slash at the end.
pub fn listen(port: u16) -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("listening on loopback");
    let address = listener.local_addr().expect("a listener's own address");
    (listener, format!("http://{address}"))
}

/// Answers every request with a status and a body, until the process ends.
pub fn serve(listener: TcpListener, answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                if let Some(request) = Request::read(&stream) {
                    let (status, body) = answer(&request);
                    // A caller that has gone is its own affair.
                    let _ = respond(stream, status, &body);
                }
            });
        }
    });
}

/// A request, as far as our servers look at it.
pub struct Request {
    target: String,
    /// The value of its (last) `Authorization` header.
    pub authorization: Option<String>,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, where its length is given.
    pub body: String,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Request> {
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut reader = BufReader::new(stream.take(256 * 1024));
        let lines = reader.by_ref().lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let target = head.first()?.split(' ').nth(1)?.to_string();
        let headers = head.iter().skip(1).filter_map(|line| line.split_once(':'));
        let headers: Vec<(String, String)> = headers
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_string()))
            .collect();
        let of = |name: &str| {
            let found = headers.iter().rfind(|(found, _)| found == name);
            found.map(|(_, value)| value.clone())
        };
        let length = of("content-length").and_then(|length| length.parse().ok());
        let mut body = String::new();
        reader
            .take(length.unwrap_or_default())
            .read_to_string(&mut body)
            .ok()?;
        Some(Request {
            target,
            authorization: of("authorization"),
            headers,
            body,
        })
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(found, _)| *found == name)
            .map(|(_, value)| percent_decoded(value))
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn respond(mut stream: TcpStream, status: u16, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} issuer\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
