use super::*;
use crate::limits::{MAX_BODY, MAX_HEADERS};

/// A request that is accepted; each test spoils one thing of it.
const GOOD: &str = "POST /deploy HTTP/1.1\r\nHost: host:8443\r\nUser-Agent: curl/8\r\nAuthorization: Bearer a.b.c\r\n\
                    Content-Length: 21\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n";

fn read(bytes: &[u8]) -> Result<Head, HttpError> {
    let whole = read_in_pieces(bytes, bytes.len());
    assert_eq!(
        whole,
        read_in_pieces(bytes, 1),
        "a head means the same in one piece and byte by byte"
    );
    whole
}

fn read_in_pieces(bytes: &[u8], size: usize) -> Result<Head, HttpError> {
    let mut reader = HeadReader::default();
    for piece in bytes.chunks(size.max(1)) {
        if let (_, Some(head)) = reader.feed(piece)? {
            return Ok(head);
        }
    }
    Err(HttpError::ENDS_EARLY)
}

/// The good request with `from` replaced, which must be in it.
fn spoiled(from: &str, to: &str) -> Result<Head, HttpError> {
    assert!(GOOD.contains(from), "{from:?} is not in the request");
    read(GOOD.replacen(from, to, 1).as_bytes())
}

/// The good request with one more header line.
fn with_line(line: &str) -> Result<Head, HttpError> {
    spoiled("Content-Type:", &format!("{line}\r\nContent-Type:"))
}

fn get(target: &str) -> Result<Head, HttpError> {
    read(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes())
}

#[test]
fn a_good_head_says_what_it_said() {
    let head = read(GOOD.as_bytes()).unwrap();
    assert_eq!(head.method, "POST");
    assert_eq!(head.path, "/deploy");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(21));
    assert!(!head.expects_continue);
    assert_eq!(head.authorization, ["Bearer a.b.c"]);
}

#[test]
fn bytes_after_the_head_are_left_alone() {
    let mut bytes = GOOD.as_bytes().to_vec();
    bytes.extend_from_slice(b"{\"version\"");
    let (used, progress) = HeadReader::default().feed(&bytes).unwrap();
    assert_eq!(used, GOOD.len());
    assert!(progress.is_some());
}

#[test]
fn a_head_cut_anywhere_is_incomplete_and_the_rest_completes_it() {
    let whole = read(GOOD.as_bytes());
    for cut in 0..GOOD.len() {
        let (first, second) = GOOD.as_bytes().split_at(cut);
        let mut reader = HeadReader::default();
        assert_eq!(reader.feed(first), Ok((cut, None)), "at {cut}");
        let (used, progress) = reader.feed(second).unwrap();
        assert_eq!(used, second.len());
        assert_eq!(progress, Some(whole.clone().unwrap()), "at {cut}");
    }
}

#[test]
fn a_reader_knows_whether_anything_came() {
    let mut reader = HeadReader::default();
    assert!(reader.is_untouched());
    reader.feed(b"G").unwrap();
    assert!(!reader.is_untouched());
}

#[test]
fn a_bare_cr_is_refused() {
    assert_eq!(spoiled("curl/8", "curl\r8"), Err(HttpError::LINE_END));
    assert_eq!(
        spoiled("/deploy HTTP/1.1\r\n", "/deploy HTTP/1.1\r\r\n"),
        Err(HttpError::LINE_END)
    );
    assert_eq!(spoiled("POST", "\rPOST"), Err(HttpError::LINE_END));
}

#[test]
fn a_bare_lf_is_refused() {
    assert_eq!(spoiled("curl/8\r\n", "curl/8\n"), Err(HttpError::LINE_END));
    assert_eq!(
        read(GOOD.replace("\r\n", "\n").as_bytes()),
        Err(HttpError::LINE_END)
    );
    assert_eq!(read(b"\nGET / HTTP/1.1\r\n"), Err(HttpError::LINE_END));
}

#[test]
fn a_nul_is_refused_anywhere() {
    for at in 0..GOOD.len() {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes[at] = 0;
        assert_eq!(read(&bytes), Err(HttpError::LINE_END), "at {at}");
    }
}

#[test]
fn a_request_line_has_three_parts_and_single_spaces() {
    let lines = [
        "POST /deploy",
        "POST  /deploy HTTP/1.1",
        "POST /deploy  HTTP/1.1",
        " POST /deploy HTTP/1.1",
        "POST /deploy HTTP/1.1 ",
        "POST\t/deploy\tHTTP/1.1",
        "POST /deploy http/1.1",
        "POST /deploy HTTP/1",
        "",
        "POST /deploy HTTP/1.10",
        "POST /deploy HTTP/x.1",
        "PO(ST /deploy HTTP/1.1",
        "POST /de ploy HTTP/1.1",
        "POST /deploy HTTPS/1.1",
        " /deploy HTTP/1.1",
    ];
    for line in lines {
        assert_eq!(
            spoiled("POST /deploy HTTP/1.1", line),
            Err(HttpError::REQUEST_LINE),
            "{line:?}"
        );
    }
}

#[test]
fn methods_are_case_sensitive() {
    assert_eq!(spoiled("POST", "post").unwrap().method, "post");
    assert_eq!(spoiled("POST", "DELETE").unwrap().method, "DELETE");
}

#[test]
fn other_versions_are_the_505() {
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0"] {
        assert_eq!(spoiled("HTTP/1.1", version), Err(HttpError::VERSION), "{version}");
    }
    assert_eq!(read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Err(HttpError::VERSION));
}

#[test]
fn only_a_path_is_a_target() {
    let targets = [
        "https://host/deploy",
        "http://host/status",
        "host:443",
        "*",
        "status",
        "?x",
        "\\status",
        "%2fstatus",
    ];
    for target in targets {
        assert_eq!(get(target), Err(HttpError::TARGET), "{target}");
    }
    assert_eq!(
        read(b"CONNECT host:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
        Err(HttpError::TARGET)
    );
    assert_eq!(
        read(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        Err(HttpError::TARGET)
    );
}

#[test]
fn dot_segments_are_refused() {
    for target in [
        "/..",
        "/../status",
        "/runs/../status",
        "/runs/..",
        "/.",
        "/./status",
        "/status/.",
        "//../x",
        "/..?x",
    ] {
        assert_eq!(get(target), Err(HttpError::TARGET), "{target}");
    }
    for harmless in ["/...", "/.hidden", "/a..b", "/..x", "/status?x=../.."] {
        assert!(get(harmless).is_ok(), "{harmless}");
    }
}

#[test]
fn a_percent_sign_in_the_path_is_refused_whatever_it_encodes() {
    for target in [
        "/%73tatus",
        "/runs/%2e%2e/status",
        "/status%00",
        "/status%2flog",
        "/%",
        "/status%3Fx",
        "/%25",
    ] {
        assert_eq!(get(target), Err(HttpError::TARGET), "{target}");
    }
}

#[test]
fn bytes_that_no_target_has_are_refused() {
    for byte in (1..=0x20_u8).chain(0x7f..=0xff).chain(*b"#\"<>\\^`{|}[]") {
        for place in ["/st", "/st?x="] {
            if place.contains('?') && b"\"<>\\^`{|}[]".contains(&byte) {
                continue;
            }
            let mut bytes = format!("GET {place}").into_bytes();
            bytes.push(byte);
            bytes.extend_from_slice(b"x HTTP/1.1\r\nHost: h\r\n\r\n");
            let refusal = read(&bytes).unwrap_err();
            let expected = match byte {
                b' ' => HttpError::REQUEST_LINE,
                b'\r' => HttpError::LINE_END,
                b'\n' => HttpError::LINE_END,
                _ => HttpError::TARGET,
            };
            assert_eq!(refusal, expected, "{byte:#x} after {place}");
        }
    }
}

#[test]
fn a_query_is_not_part_of_the_path() {
    for query in ["", "x=1", "x=%2e%2e/../a?b&c=[]"] {
        let head = get(&format!("/status?{query}")).unwrap();
        assert_eq!((head.path.as_str(), head.query.as_str()), ("/status", query));
    }
    assert_eq!(get("/status").unwrap().query, "");
}

#[test]
fn a_target_has_exactly_its_bound() {
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert!(get(&target(MAX_TARGET)).is_ok());
    assert_eq!(get(&target(MAX_TARGET + 1)), Err(HttpError::TARGET_TOO_LONG));
    assert_eq!(get(&target(8 * MAX_TARGET)), Err(HttpError::TARGET_TOO_LONG));
    assert_eq!(
        get(&format!("/status?{}", "a".repeat(MAX_TARGET))),
        Err(HttpError::TARGET_TOO_LONG)
    );
}

#[test]
fn an_overlong_request_line_is_refused_before_it_ends() {
    let mut reader = HeadReader::default();
    assert_eq!(reader.feed(&[b'A'; 4 * MAX_TARGET]), Err(HttpError::REQUEST_LINE));
    let mut reader = HeadReader::default();
    let mut bytes = b"GET /".to_vec();
    bytes.resize(4 * MAX_TARGET, b'a');
    assert_eq!(reader.feed(&bytes), Err(HttpError::TARGET_TOO_LONG));
}

#[test]
fn a_head_has_exactly_its_bound() {
    let padded = |total: usize| {
        let rest = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
            "a".repeat(total - rest)
        )
        .into_bytes()
    };
    assert!(read(&padded(MAX_HEAD)).is_ok());
    assert_eq!(read(&padded(MAX_HEAD + 1)), Err(HttpError::HEAD_TOO_LARGE));
    assert_eq!(
        HeadReader::default().feed(&padded(4 * MAX_HEAD)),
        Err(HttpError::HEAD_TOO_LARGE)
    );
}

#[test]
fn headers_have_exactly_their_number() {
    let with = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
        .into_bytes()
    };
    assert!(read(&with(MAX_HEADERS)).is_ok());
    assert_eq!(read(&with(MAX_HEADERS + 1)), Err(HttpError::HEAD_TOO_LARGE));
}

#[test]
fn a_folded_header_is_refused() {
    assert_eq!(with_line("X: a\r\n b"), Err(HttpError::HEADER));
    assert_eq!(with_line("X: a\r\n\tb"), Err(HttpError::HEADER));
    assert_eq!(spoiled("Host:", " Host:"), Err(HttpError::HEADER));
    assert_eq!(with_line("X: a\r\n "), Err(HttpError::HEADER));
}

#[test]
fn white_space_before_the_colon_is_refused() {
    assert_eq!(
        spoiled("Content-Length:", "Content-Length :"),
        Err(HttpError::HEADER)
    );
    assert_eq!(spoiled("Host:", "Host\t:"), Err(HttpError::HEADER));
}

#[test]
fn a_header_line_has_a_name_and_a_colon() {
    for line in [
        "X",
        ": value",
        "a b: c",
        "x(y): z",
        "x@y: z",
        "\u{e4}: z",
        "\"x\": y",
        "x,y: z",
    ] {
        assert_eq!(with_line(line), Err(HttpError::HEADER), "{line:?}");
    }
}

#[test]
fn control_characters_in_a_value_are_refused() {
    for byte in (1..0x20_u8).chain([0x7f]) {
        let expected = match byte {
            b'\t' => continue,
            b'\r' => HttpError::LINE_END,
            b'\n' => HttpError::LINE_END,
            _ => HttpError::HEADER,
        };
        assert_eq!(
            spoiled("curl/8", &format!("curl{}8", char::from(byte))),
            Err(expected),
            "{byte:#x}"
        );
    }
    assert!(spoiled("curl/8", "curl\t8").is_ok());
}

#[test]
fn http_1_1_needs_one_host() {
    assert_eq!(spoiled("Host: host:8443\r\n", ""), Err(HttpError::HOST));
    assert_eq!(with_line("Host: host:8443"), Err(HttpError::HOST));
    assert_eq!(with_line("hOST: other"), Err(HttpError::HOST));
}

#[test]
fn http_1_0_needs_no_host_but_never_has_two() {
    assert!(read(b"GET /status HTTP/1.0\r\n\r\n").is_ok());
    assert_eq!(
        read(b"GET /status HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
        Err(HttpError::HOST)
    );
}

#[test]
fn a_host_is_a_host() {
    for host in ["", "host", "host:8443", "[::1]:8443", "10.0.0.1", "a_b.example"] {
        assert!(spoiled("host:8443", host).is_ok(), "{host:?}");
    }
    for host in ["a b", "a/b", "user@host", "a,\tb", "h\u{f6}st", "a?b"] {
        assert_eq!(spoiled("host:8443", host), Err(HttpError::HOST), "{host:?}");
    }
}

#[test]
fn two_lengths_are_refused_even_when_equal() {
    assert_eq!(with_line("Content-Length: 21"), Err(HttpError::LENGTH));
    assert_eq!(with_line("content-length: 22"), Err(HttpError::LENGTH));
    assert_eq!(spoiled("21", "21, 21"), Err(HttpError::LENGTH));
}

#[test]
fn a_length_is_digits() {
    for length in ["", "+21", "-1", "0x15", "21 21", "2_1", "1e3", "21;", "\u{0661}"] {
        assert_eq!(
            spoiled(" 21", &format!(" {length}")),
            Err(HttpError::LENGTH),
            "{length:?}"
        );
    }
    assert_eq!(spoiled("21", "0021").unwrap().framing, Framing::Length(21));
    assert_eq!(spoiled("21", "0").unwrap().framing, Framing::Length(0));
}

#[test]
fn a_length_over_the_bound_is_the_413_however_large() {
    assert_eq!(
        spoiled("21", &MAX_BODY.to_string()).unwrap().framing,
        Framing::Length(MAX_BODY)
    );
    for length in [(MAX_BODY + 1).to_string(), u64::MAX.to_string(), "9".repeat(200)] {
        assert_eq!(spoiled("21", &length), Err(HttpError::BODY_TOO_LARGE), "{length}");
    }
}

#[test]
fn a_length_with_a_transfer_coding_is_refused_in_either_order() {
    assert_eq!(with_line("Transfer-Encoding: chunked"), Err(HttpError::LENGTH));
    assert_eq!(
        spoiled("Host:", "Transfer-Encoding: chunked\r\nHost:"),
        Err(HttpError::LENGTH)
    );
}

#[test]
fn chunked_is_the_only_coding_and_comes_once() {
    let coded = |value: &str| spoiled("Content-Length: 21", &format!("Transfer-Encoding: {value}"));
    assert_eq!(coded("chunked").unwrap().framing, Framing::Chunked);
    assert_eq!(coded("Chunked").unwrap().framing, Framing::Chunked);
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "",
        "xchunked",
        "chunked;a",
        "\"chunked\"",
        "identity",
    ] {
        assert_eq!(coded(value), Err(HttpError::CODING), "{value:?}");
    }
    assert_eq!(
        coded("chunked\r\nTransfer-Encoding: chunked"),
        Err(HttpError::CODING)
    );
    assert_eq!(
        coded("chunked\r\nTransfer-Encoding: identity"),
        Err(HttpError::CODING)
    );
}

#[test]
fn http_1_0_has_no_coding() {
    let bytes = b"POST /deploy HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(bytes), Err(HttpError::CODING));
}

#[test]
fn a_post_says_how_long_it_is() {
    assert_eq!(
        spoiled("Content-Length: 21\r\n", ""),
        Err(HttpError::LENGTH_REQUIRED)
    );
}

#[test]
fn a_get_has_no_body() {
    assert_eq!(
        read(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n"),
        Err(HttpError::BODY_NOT_ALLOWED)
    );
    assert_eq!(
        read(b"HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(HttpError::BODY_NOT_ALLOWED)
    );
    assert!(read(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").is_ok());
}

#[test]
fn the_only_expectation_is_100_continue() {
    assert!(with_line("Expect: 100-continue").unwrap().expects_continue);
    assert!(with_line("expect: 100-Continue").unwrap().expects_continue);
    for value in [
        "200-ok",
        "",
        "100-continue, x",
        "100-continue=1",
        "100-continue\r\nExpect: x",
        "x\r\nExpect: 100-continue",
    ] {
        assert_eq!(
            with_line(&format!("Expect: {value}")),
            Err(HttpError::EXPECTATION),
            "{value:?}"
        );
    }
}

#[test]
fn http_1_0_expects_nothing() {
    let head = |value: &str| {
        read(format!("POST /d HTTP/1.0\r\nContent-Length: 2\r\nExpect: {value}\r\n\r\n").as_bytes())
    };
    assert!(!head("100-continue").unwrap().expects_continue);
    assert!(!head("200-ok").unwrap().expects_continue);
}

#[test]
fn every_authorization_header_is_passed_on() {
    assert_eq!(
        with_line("authorization: Basic x").unwrap().authorization,
        ["Bearer a.b.c", "Basic x"]
    );
    assert_eq!(
        with_line("AUTHORIZATION:").unwrap().authorization,
        ["Bearer a.b.c", ""]
    );
    assert!(
        spoiled("Authorization: Bearer a.b.c\r\n", "")
            .unwrap()
            .authorization
            .is_empty()
    );
    assert!(
        with_line("Proxy-Authorization: Bearer x")
            .unwrap()
            .authorization
            .len()
            == 1
    );
}

#[test]
fn white_space_around_a_value_is_not_part_of_it() {
    assert_eq!(
        spoiled(" Bearer a.b.c", "Bearer a.b.c").unwrap().authorization,
        ["Bearer a.b.c"]
    );
    assert_eq!(
        spoiled("Bearer a.b.c", " \t Bearer  a.b.c \t")
            .unwrap()
            .authorization,
        ["Bearer  a.b.c"]
    );
    assert_eq!(spoiled(" 21", "21\t").unwrap().framing, Framing::Length(21));
}

#[test]
fn an_authorization_that_is_no_text_cannot_become_a_token() {
    let mut bytes = GOOD.as_bytes().to_vec();
    let at = GOOD.find("a.b.c").unwrap();
    bytes[at] = 0xff;
    assert_eq!(read(&bytes).unwrap().authorization, ["Bearer \u{fffd}.b.c"]);
}
