//! [http] What a front does with a connection: a real front process, a real TLS client, and the test as the session.

use crate::support::certificate::Certificate;
use crate::support::folder::Folder;
use crate::support::front::{Front, UID, settings};
use crate::support::process::{go_first, installed, output_of, text};
use crate::support::tls_client::{End, TlsClient};
use crate::support::{long_tests, wait_until};
use engram_deployer::http::HttpError;
use engram_deployer::limits::{MAX_BODY, MAX_HEADERS, MAX_TARGET, REQUEST_DEADLINE, STALLED_CALLER};
use engram_deployer::link::{Caller, FromFront, Head, ToFront, encode};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const HEAD: &str = "POST /deploy HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a.b.c\r\n";
const BODY: &str = r#"{"version":"0.5.61"}"#;

fn post() -> String {
    format!("{HEAD}Content-Length: {}\r\n\r\n{BODY}", BODY.len())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The whole answer of a fresh front to these bytes, which it answers by itself.
#[track_caller]
fn answer_to(bytes: &[u8]) -> String {
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(bytes).expect("sending the request");
    let (answer, end) = client.read_to_end();
    assert_eq!(end, End::Complete, "{answer:?}");
    answer
}

#[track_caller]
fn assert_refused(name: &str, answer: &str, refusal: HttpError) {
    let status = format!("HTTP/1.1 {} ", refusal.status);
    let sentence = format!("\r\n\r\n{}\n", refusal.sentence);
    assert!(
        answer.starts_with(&status) && answer.ends_with(&sentence),
        "{name}: {answer:?}"
    );
    for header in [
        "Content-Type: text/plain; charset=utf-8",
        "Connection: close",
        "Request-Id: 0123abcd",
    ] {
        assert!(
            answer.contains(&format!("\r\n{header}\r\n")),
            "{name} lacks {header}: {answer:?}"
        );
    }
}

/// What is wrong, how the good request is made so, and what it meets: the 4xx table of the contract.
fn malformed() -> Vec<(&'static str, String, HttpError)> {
    let good = post();
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from:?}");
        good.replacen(from, to, 1)
    };
    let chunked = |body: &str| format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}");
    let length = "Content-Length: 20";
    vec![
        (
            "two lengths",
            swap(length, "Content-Length: 20\r\nContent-Length: 20"),
            HttpError::LENGTH,
        ),
        (
            "no number",
            swap(length, "Content-Length: +20"),
            HttpError::LENGTH,
        ),
        (
            "length and coding",
            swap(length, "Content-Length: 20\r\nTransfer-Encoding: chunked"),
            HttpError::LENGTH,
        ),
        (
            "another coding",
            swap(length, "Transfer-Encoding: gzip, chunked"),
            HttpError::CODING,
        ),
        (
            "neither",
            swap("Content-Length: 20\r\n", ""),
            HttpError::LENGTH_REQUIRED,
        ),
        (
            "a folded header",
            swap("Bearer", "\r\n Bearer"),
            HttpError::HEADER,
        ),
        ("a bare CR", swap("Bearer", "Bea\rrer"), HttpError::LINE_END),
        (
            "a bare LF",
            swap("localhost\r\n", "localhost\n"),
            HttpError::LINE_END,
        ),
        (
            "a space before the colon",
            swap("Host:", "Host :"),
            HttpError::HEADER,
        ),
        ("a NUL", swap("Bearer", "Bea\0rer"), HttpError::LINE_END),
        (
            "a control character",
            swap("Bearer", "Bea\x1brer"),
            HttpError::HEADER,
        ),
        (
            "no header name",
            swap("Host: localhost", "localhost"),
            HttpError::HEADER,
        ),
        (
            "two hosts",
            swap("Host:", "Host: other\r\nHost:"),
            HttpError::HOST,
        ),
        ("no host", swap("Host: localhost\r\n", ""), HttpError::HOST),
        (
            "a host that is none",
            swap("localhost", "local host"),
            HttpError::HOST,
        ),
        (
            "absolute form",
            swap("/deploy", "https://localhost/deploy"),
            HttpError::TARGET,
        ),
        (
            "a dot segment",
            swap("/deploy", "/runs/../deploy"),
            HttpError::TARGET,
        ),
        ("an escape", swap("/deploy", "/%64eploy"), HttpError::TARGET),
        (
            "an escaped dot segment",
            swap("/deploy", "/runs/%2e%2e/deploy"),
            HttpError::TARGET,
        ),
        ("a fragment", swap("/deploy", "/deploy#x"), HttpError::TARGET),
        ("two spaces", swap("POST /", "POST  /"), HttpError::REQUEST_LINE),
        ("no version", swap(" HTTP/1.1", ""), HttpError::REQUEST_LINE),
        (
            "a later version",
            swap("HTTP/1.1", "HTTP/2.0"),
            HttpError::VERSION,
        ),
        (
            "bytes beyond the length",
            format!("{good}x"),
            HttpError::BYTES_BEYOND,
        ),
        (
            "a second request",
            format!("{good}{good}"),
            HttpError::BYTES_BEYOND,
        ),
        (
            "a second GET",
            format!("{0}{0}", get("/healthz")),
            HttpError::BYTES_BEYOND,
        ),
        (
            "bytes beyond the chunks",
            chunked("0\r\n\r\nx"),
            HttpError::BYTES_BEYOND,
        ),
        (
            "a chunk size that is none",
            chunked("+5\r\nhello\r\n0\r\n\r\n"),
            HttpError::CHUNK,
        ),
        (
            "a chunk of another length",
            chunked("4\r\nhello\r\n0\r\n\r\n"),
            HttpError::CHUNK,
        ),
        (
            "an endless extension",
            chunked(&format!("5;{}", "x".repeat(4096))),
            HttpError::CHUNK,
        ),
        (
            "a trailer",
            chunked("0\r\nAuthorization: Bearer x\r\n\r\n"),
            HttpError::CHUNK,
        ),
        (
            "a body in a GET",
            "GET /status HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx".into(),
            HttpError::BODY_NOT_ALLOWED,
        ),
        (
            "chunks in 1.0",
            chunked("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
            HttpError::CODING,
        ),
        (
            "another expectation",
            swap("Host:", "Expect: 200-ok\r\nHost:"),
            HttpError::EXPECTATION,
        ),
        (
            "a long target",
            swap("/deploy", &format!("/{}", "a".repeat(MAX_TARGET))),
            HttpError::TARGET_TOO_LONG,
        ),
        (
            "a large head",
            swap("Host:", &format!("X: {}\r\nHost:", "a".repeat(20_000))),
            HttpError::HEAD_TOO_LARGE,
        ),
        (
            "many headers",
            swap("Host:", &format!("{}Host:", "X: y\r\n".repeat(MAX_HEADERS))),
            HttpError::HEAD_TOO_LARGE,
        ),
        (
            "a large body",
            swap(length, &format!("Content-Length: {}", MAX_BODY + 1)),
            HttpError::BODY_TOO_LARGE,
        ),
        ("large chunks", chunked("ffff\r\n"), HttpError::BODY_TOO_LARGE),
        ("no such path", get("/deploy.json"), HttpError::NOT_FOUND),
        (
            "an endpoint that is not there",
            swap("/deploy", "/tf-apply"),
            HttpError::NOT_FOUND,
        ),
        ("its status", get("/tf-apply/status"), HttpError::NOT_FOUND),
        (
            "a GET of an endpoint",
            get("/deploy"),
            HttpError::method_not_allowed("POST"),
        ),
        (
            "a POST to a status",
            swap("/deploy", "/status"),
            HttpError::method_not_allowed("GET, HEAD"),
        ),
        (
            "a DELETE of a log",
            get("/runs/x/log").replace("GET", "DELETE"),
            HttpError::method_not_allowed("GET"),
        ),
    ]
}

#[test]
fn http_every_malformed_request_is_refused_with_a_sentence_before_any_gate() {
    for (name, bytes, refusal) in malformed() {
        let mut front = Front::ready();
        let mut client = front.connected();
        client.send(bytes.as_bytes()).expect("sending the request");
        let (answer, end) = client.read_to_end();
        assert_eq!(end, End::Complete, "{name}: {answer:?}");
        assert_refused(name, &answer, refusal);
        if let Some(allow) = refusal.allow {
            assert!(
                answer.contains(&format!("\r\nAllow: {allow}\r\n")),
                "{name}: {answer:?}"
            );
        }
        drop(client);
        let words = front.last_words();
        assert!(
            !words.iter().any(|frame| matches!(frame, FromFront::Request(_))),
            "{name}: {words:?}"
        );
        assert!(front.wait().is_success(), "{name}");
    }
}

#[test]
fn http_a_body_that_is_no_text_is_refused() {
    let mut bytes = post().into_bytes();
    *bytes.last_mut().unwrap() = 0xff;
    assert_refused("not UTF-8", &answer_to(&bytes), HttpError::BODY_NOT_TEXT);
}

#[test]
fn http_a_request_that_ends_early_is_refused() {
    let whole = post();
    let head = whole.find("\r\n\r\n").unwrap() + 4;
    for (cut, refusal) in [
        (1, HttpError::ENDS_EARLY),
        (head - 1, HttpError::ENDS_EARLY),
        (head, HttpError::ENDS_EARLY),
        (whole.len() - 1, HttpError::ENDS_EARLY),
    ] {
        let mut front = Front::ready();
        let mut client = front.connected();
        client.send(&whole.as_bytes()[..cut]).expect("sending a part");
        client.finish_sending();
        let (answer, _) = client.read_to_end();
        assert_refused(&format!("cut at {cut}"), &answer, refusal);
    }
}

#[test]
fn http_a_refusal_reaches_a_caller_that_is_still_sending() {
    let mut front = Front::ready();
    let mut client = front.connected();
    let head = HEAD.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nContent-Length: 400000\r\n");
    client
        .send(format!("{head}\r\n").as_bytes())
        .expect("sending the head");
    for _ in 0..25 {
        // A record that the other side is not interested in any more may fail to go.
        let _ = client.send(&[b'x'; 16_000]);
    }
    assert_refused(
        "a body in full flow",
        &client.read_to_end().0,
        HttpError::BODY_TOO_LARGE,
    );
}

#[test]
fn http_a_request_byte_by_byte_is_the_same_request() {
    let mut front = Front::ready();
    let mut client = front.connected();
    for byte in post().as_bytes() {
        client.send(&[*byte]).expect("sending a byte");
    }
    let request = front.request();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/deploy")
    );
    assert_eq!(request.authorization, ["Bearer a.b.c"]);
    assert_eq!(request.body, BODY);
}

#[test]
fn http_two_authorization_headers_reach_the_session() {
    let mut front = Front::ready();
    let mut client = front.connected();
    let bytes = post().replace("Host:", "authorization: Bearer d.e.f\r\nHost:");
    client.send(bytes.as_bytes()).expect("sending the request");
    assert_eq!(front.request().authorization, ["Bearer d.e.f", "Bearer a.b.c"]);
    let headers = vec![("Retry-After".to_string(), "5".to_string())];
    let sentence = Some("missing or malformed Authorization header".to_string());
    front.say(&ToFront::Head(Head {
        status: 401,
        headers,
        sentence,
    }));
    let (answer, end) = client.read_to_end();
    assert_eq!(end, End::Complete);
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nRetry-After: 5\r\n") && answer.contains("\r\nRequest-Id: 0123abcd\r\n"),
        "{answer}"
    );
    assert!(
        answer.ends_with("\r\n\r\nmissing or malformed Authorization header\n"),
        "{answer}"
    );
}

#[test]
fn http_chunked_bodies_are_joined() {
    let mut front = Front::ready();
    let mut client = front.connected();
    let chunks = r#"8;a="b"
{"versio
000c
n":"0.5.61"}
0

"#
    .replace('\n', "\r\n");
    client
        .send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}").as_bytes())
        .expect("sending the request");
    assert_eq!(front.request().body, BODY);
}

#[test]
fn http_a_caller_that_expects_100_continue_is_told_to_go_on() {
    let mut front = Front::ready();
    let mut client = front.connected();
    let head = format!(
        "{HEAD}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        BODY.len()
    );
    client.send(head.as_bytes()).expect("sending the head");
    assert_eq!(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(BODY.as_bytes()).expect("sending the body");
    assert_eq!(front.request().body, BODY);
    // And curl, which waits a second for it and then goes on without.
    let mut front = Front::ready();
    let curl = front.curl().start(
        "/deploy",
        &[
            "-d",
            BODY,
            "-H",
            "Expect: 100-continue",
            "--expect100-timeout",
            "20",
        ],
    );
    front.hand_over(true);
    assert_eq!(front.request().body, BODY);
    front.begin();
    front.line(r#"{"status":"ok"}"#);
    front.say(&ToFront::End);
    assert_eq!(curl.finish().body().trim(), r#"{"status":"ok"}"#);
}

#[test]
fn http_a_refused_caller_is_not_told_to_go_on() {
    let head = format!("{HEAD}Expect: 100-continue\r\nContent-Length: 20\r\n\r\n");
    let answer = answer_to(head.replace("/deploy", "/nowhere").as_bytes());
    assert_refused("100-continue to nowhere", &answer, HttpError::NOT_FOUND);
}

#[test]
fn http_head_gets_the_head_alone() {
    let answer = answer_to(b"HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        answer.contains("\r\nContent-Length: 3\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer:?}"
    );
    let answer = answer_to(b"HEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 404 ") && answer.ends_with("\r\n\r\n"),
        "{answer:?}"
    );
}

#[test]
fn http_1_0_gets_a_stream_that_ends_with_the_connection() {
    let mut front = Front::ready();
    let mut client = front.connected();
    client
        .send(post().replace("HTTP/1.1", "HTTP/1.0").as_bytes())
        .expect("sending the request");
    front.request();
    front.begin();
    front.line("{\"n\":1}");
    front.line("{\"n\":2}");
    front.say(&ToFront::End);
    let (answer, end) = client.read_to_end();
    assert_eq!(end, End::Complete);
    assert!(
        answer.ends_with("\r\n\r\n{\"n\":1}\n{\"n\":2}\n") && !answer.contains("Transfer-Encoding"),
        "{answer:?}"
    );
}

#[test]
fn http_every_line_is_a_chunk_that_reaches_the_caller_within_100_ms_and_in_order() {
    go_first();
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    front.request();
    front.begin();
    let head = client.read_until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for header in [
        "Content-Type: application/x-ndjson",
        "Transfer-Encoding: chunked",
        "Cache-Control: no-store",
        "Run-Id: 20260102T030405Z-0123abcd",
        "Request-Id: 0123abcd",
        "Connection: close",
    ] {
        assert!(
            head.contains(&format!("\r\n{header}\r\n")),
            "lacks {header}: {head}"
        );
    }
    let mut times = Vec::new();
    for number in 0..50 {
        let line = format!("{{\"n\":{number:02}}}");
        let said = Instant::now();
        front.line(&line);
        assert_eq!(client.read_until("}\n\r\n"), format!("9\r\n{line}\n\r\n"));
        times.push(said.elapsed());
    }
    // One or the other may have been kept waiting by what else the machine does.
    times.sort();
    assert!(times[25] < Duration::from_millis(100), "{times:?}");
    front.say(&ToFront::End);
    assert_eq!(client.read_to_end(), ("0\r\n\r\n".to_string(), End::Complete));
    drop(client);
    assert!(front.wait().is_success());
}

#[test]
fn http_lines_that_come_together_are_chunks_of_their_own_and_lose_no_order() {
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    front.request();
    front.begin();
    client.read_until("\r\n\r\n");
    let lines: Vec<String> = (0..3000).map(|number| format!("{{\"n\":{number:04}}}")).collect();
    let frames: Vec<u8> = lines
        .iter()
        .flat_map(|line| encode(&ToFront::Line(line.clone())).expect("a frame"))
        .collect();
    // And a part of the next one: what is complete does not wait for it.
    let (next, said) = (
        encode(&ToFront::Line("{}".into())).expect("a frame"),
        Instant::now(),
    );
    let writer = thread::spawn(move || {
        assert!(front.try_write(&[&frames, &next[..9]].concat()));
        (front, next)
    });
    let chunks: String = lines.iter().map(|line| format!("b\r\n{line}\n\r\n")).collect();
    let mut seen = Vec::new();
    while seen.len() < chunks.len() {
        seen.extend(client.read_some().expect("more lines"));
    }
    assert_eq!(text(&seen), chunks);
    assert!(said.elapsed() < Duration::from_secs(40), "{:?}", said.elapsed());
    let (mut front, next) = writer.join().expect("the writer");
    assert!(front.try_write(&next[9..]));
    front.say(&ToFront::End);
    assert_eq!(
        client.read_to_end(),
        ("3\r\n{}\n\r\n0\r\n\r\n".to_string(), End::Complete)
    );
}

#[test]
fn http_a_stream_whose_session_died_is_cut_and_not_ended() {
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    front.request();
    front.begin();
    front.line("{}");
    front.hang_up();
    let (answer, end) = client.read_to_end();
    assert_eq!(end, End::Cut);
    assert!(answer.ends_with("3\r\n{}\n\r\n"), "{answer:?}");
}

#[test]
fn http_a_session_that_dies_before_it_answered_is_a_502() {
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    front.request();
    front.hang_up();
    assert_refused("no session", &client.read_to_end().0, HttpError::NO_ANSWER);
}

#[test]
fn http_a_caller_that_dies_is_noticed_before_the_next_line() {
    let mut front = Front::ready();
    let mut curl = front.curl().start("/deploy", &["-d", BODY]);
    front.hand_over(true);
    front.request();
    front.begin();
    front.line("{\"phase\":\"queued\"}");
    curl.wait_for("queued");
    let died = Instant::now();
    curl.vanish();
    let words = front.last_words();
    assert!(died.elapsed() < Duration::from_secs(30), "{:?}", died.elapsed());
    assert!(
        matches!(&words[..], [FromFront::Log(message)] if message.contains("gone")),
        "{words:?}"
    );
    front.wait();
}

#[test]
fn http_a_caller_that_closes_one_direction_still_gets_its_answer() {
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    client.finish_sending();
    front.request();
    front.begin();
    // Long enough for the front to have seen it.
    thread::sleep(Duration::from_millis(200));
    front.line("{}");
    front.say(&ToFront::End);
    let (answer, _) = client.read_to_end();
    assert!(answer.ends_with("3\r\n{}\n\r\n0\r\n\r\n"), "{answer:?}");
}

#[test]
fn http_what_a_caller_sends_while_it_waits_disturbs_nothing() {
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    front.request();
    for _ in 0..10 {
        client.send(&[b'x'; 4000]).expect("sending what nobody asked for");
    }
    front.begin();
    front.line("{}");
    front.say(&ToFront::End);
    assert!(client.read_to_end().0.ends_with("3\r\n{}\n\r\n0\r\n\r\n"));
}

#[test]
fn http_a_slow_caller_meets_the_deadline_wherever_it_is_slow() {
    let slow_in_body = format!("{HEAD}Content-Length: 20\r\n\r\n");
    let stories: [(&str, bool); 3] = [("", false), ("GET /healthz HT", true), (&slow_in_body, true)];
    let threads: Vec<_> = stories
        .map(|(start, is_said)| (start.to_string(), is_said))
        .map(meets_the_deadline)
        .into();
    for thread in threads {
        thread.join().expect("a slow caller");
    }
}

fn meets_the_deadline((start, is_said): (String, bool)) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut front = Front::ready();
        let began = Instant::now();
        let answer = if is_said {
            let mut client = front.connected();
            client.send(start.as_bytes()).expect("sending the start");
            // It goes on, byte by byte, more often than any timeout on a single read would be.
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(500));
                client.send(b"T").expect("sending a byte");
            }
            client.read_to_end().0
        } else {
            let mut socket = TcpStream::connect(front.address()).expect("connecting");
            front.hand_over(true);
            socket.write_all(&[0x16]).expect("half a record");
            let mut bytes = Vec::new();
            socket.read_to_end(&mut bytes).expect("reading to the end");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let took = began.elapsed();
        let slack = Duration::from_millis(100);
        assert!(
            took + slack > REQUEST_DEADLINE && took < REQUEST_DEADLINE * 4,
            "{start:?} took {took:?}"
        );
        if is_said {
            assert_refused(&start, &answer, HttpError::TOO_SLOW);
        } else {
            assert_eq!(answer, "");
        }
        let words = front.last_words();
        assert!(matches!(&words[..], [FromFront::Log(_)]), "{words:?}");
    })
}

#[test]
fn http_a_caller_that_takes_no_byte_is_let_go() {
    if !long_tests() {
        return;
    }
    let mut front = Front::ready();
    let mut client = front.connected();
    client.send(post().as_bytes()).expect("sending the request");
    front.request();
    front.begin();
    let began = Instant::now();
    let line = "x".repeat(8000);
    while began.elapsed() < STALLED_CALLER + Duration::from_secs(10) {
        let bytes = engram_deployer::link::encode(&ToFront::Line(line.clone())).expect("a frame");
        if !front.try_write(&bytes) {
            assert!(began.elapsed() > STALLED_CALLER);
            return;
        }
    }
    panic!("the front still waits for a caller that reads nothing");
}

#[test]
fn http_open_paths_are_answered_from_the_public_folder() {
    let document = "{\"status\":\"ok\"}\n";
    for (path, name) in [
        ("/status", "deploy.json"),
        ("/status?x=1", "deploy.json"),
        ("/tf-plan/status", "tf-plan.json"),
        ("/runs", "runs.json"),
    ] {
        let mut front = Front::ready();
        front.folder.write(&format!("public/{name}"), document);
        let curl = front.curl().start(path, &["-v"]);
        front.hand_over(true);
        let answer = curl.finish();
        assert_eq!(
            (answer.status, answer.body().trim()),
            (200, document.trim()),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("request-id"), Some("0123abcd"));
        assert_eq!(front.last_words(), []);
    }
    assert!(answer_to(get("/status").as_bytes()).starts_with("HTTP/1.1 204 "));
    assert!(answer_to(get("/healthz").as_bytes()).ends_with("\r\n\r\nok\n"));
}

#[test]
fn http_open_paths_are_closed_to_a_source_that_may_not_read_them() {
    let mut front = Front::ready();
    front.folder.write("public/deploy.json", "{}");
    let mut client = TlsClient::connect(front.address(), &front.certificate.cert);
    front.hand_over(false);
    client
        .send(get("/status").as_bytes())
        .expect("sending the request");
    assert_refused("a source", &client.read_to_end().0, HttpError::SOURCE);
}

#[test]
fn http_without_tls_is_answered_with_a_sentence() {
    let mut front = Front::ready();
    let mut socket = TcpStream::connect(front.address()).expect("connecting");
    front.hand_over(true);
    socket
        .write_all(get("/status").as_bytes())
        .expect("sending the request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("reading the answer");
    assert_refused("clear text", &answer, HttpError::NOT_TLS);
}

#[test]
fn http_a_port_probe_is_nobody_and_noise_is_one_line_of_the_log() {
    let mut front = Front::ready();
    let socket = TcpStream::connect(front.address()).expect("connecting");
    front.hand_over(true);
    drop(socket);
    assert_eq!(front.last_words(), []);
    let mut front = Front::ready();
    let mut socket = TcpStream::connect(front.address()).expect("connecting");
    front.hand_over(true);
    socket.write_all(&[0x16; 600]).expect("sending noise");
    socket.shutdown(Shutdown::Write).expect("closing one direction");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("reading the alert");
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
    let words = front.last_words();
    assert!(
        matches!(&words[..], [FromFront::Log(message)] if message.contains("TLS")),
        "{words:?}"
    );
}

#[test]
fn http_both_versions_of_tls_are_spoken_with_and_without_alpn_and_no_older_one() {
    for arguments in [
        &["--tlsv1.3"][..],
        &["--tls-max", "1.2"],
        &["--no-alpn"],
        &["--http1.0"],
        &["--http2"],
    ] {
        let mut front = Front::ready();
        let curl = front.curl().start("/healthz", arguments);
        front.hand_over(true);
        assert_eq!(curl.finish().body().trim(), "ok", "{arguments:?}");
    }
    let mut front = Front::ready();
    let ciphers = ["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    let curl = front
        .curl()
        .start("/healthz", &[&["--tlsv1.0"][..], &ciphers].concat());
    front.hand_over(true);
    assert_eq!(curl.finish().status, 0);
}

#[test]
fn http_tls_can_neither_be_resumed_nor_renegotiated() {
    let mut front = Front::ready();
    let address = front.address().to_string();
    let accept = thread::spawn(move || {
        front.hand_over(true);
        front.last_words();
    });
    let mut openssl = installed("openssl", "openssl");
    openssl.args([
        "s_client",
        "-connect",
        &address,
        "-tls1_2",
        "-servername",
        "localhost",
        "-ign_eof",
    ]);
    let said = text(&output_of(&mut openssl, get("/healthz").as_bytes()).stdout);
    accept.join().expect("the front");
    assert!(
        said.contains("\nok\n") && !said.contains("TLS session ticket:"),
        "{said}"
    );
}

#[test]
fn http_a_front_ends_with_its_session_at_every_stage() {
    let mut waiting = Front::ready();
    waiting.hang_up();
    assert!(waiting.wait().is_success());
    let mut reading = Front::ready();
    let mut client = reading.connected();
    client.send(b"GET /healthz HT").expect("sending a part");
    reading.hang_up();
    reading.wait();
    let mut early = Front::started();
    early.hang_up();
    early.wait();
}

#[test]
fn http_a_front_that_cannot_serve_says_why() {
    let folder = Folder::new("broken");
    let certificate = Certificate::create(&folder, "tls");
    let other = Certificate::create(&folder, "other");
    let public = folder.join("public");
    fs::create_dir(&public).expect("a public folder");
    let settings = settings(&certificate.cert, &other.key, &public);
    let mut front = Front::with(folder, certificate, &settings);
    let words = front.last_words();
    assert!(
        matches!(&words[..], [FromFront::Broken(message)] if message.contains("tls.pem") && message.contains("other.key")),
        "{words:?}"
    );
    assert!(!front.wait().is_success());
}

#[test]
fn http_a_frame_that_makes_no_sense_ends_a_front() {
    let mut front = Front::ready();
    front.line("a line before any connection");
    assert!(!front.wait().is_success());
    let mut front = Front::ready();
    front.say(&ToFront::Connection(Caller {
        request_id: "x".into(),
        open_paths: true,
    }));
    assert!(!front.wait().is_success());
}

#[test]
fn privileges_of_a_front_are_gone_when_it_says_ready() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut front = Front::started();
    assert_eq!(front.hear(), Some(FromFront::Ready));
    let process = format!("/proc/{}", front.pid());
    let status = fs::read_to_string(format!("{process}/status")).expect("reading its status");
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a field of the status");
        line.split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    let id = UID.to_string();
    assert_eq!(field("Uid:"), vec![id.clone(); 4]);
    assert_eq!(field("Gid:"), vec![id; 4]);
    assert!(field("Groups:").is_empty());
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    let root = fs::read_link(format!("{process}/root")).expect("reading its root");
    assert_eq!(
        root,
        fs::canonicalize(front.folder.join("public")).expect("the public folder")
    );
    wait_until("nothing but 0 to 3 is open", Duration::from_secs(2), || {
        fs::read_dir(format!("{process}/fd")).is_ok_and(|open| open.count() == 4)
    });
}
