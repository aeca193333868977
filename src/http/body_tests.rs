use super::*;

/// Feeds `bytes` in pieces; the body, and how many bytes it took.
fn read_in_pieces(
    framing: Framing,
    bytes: &[u8],
    size: usize,
) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let mut reader = BodyReader::new(framing);
    let mut total = 0;
    for piece in bytes.chunks(size).chain([&[][..]]) {
        let (used, progress) = reader.feed(piece)?;
        total += used;
        if let Some(body) = progress {
            return Ok(Some((body, total)));
        }
    }
    Ok(None)
}

fn read(framing: Framing, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    let whole = read_in_pieces(framing, bytes, bytes.len().max(1));
    assert_eq!(
        whole,
        read_in_pieces(framing, bytes, 1),
        "a body means the same in one piece and byte by byte"
    );
    whole
}

fn chunked(bytes: &str) -> Result<Option<(Vec<u8>, usize)>, HttpError> {
    read(Framing::Chunked, bytes.as_bytes())
}

#[test]
fn an_empty_body_needs_no_byte_and_takes_none() {
    assert_eq!(read(Framing::Length(0), b""), Ok(Some((vec![], 0))));
    assert_eq!(read(Framing::Length(0), b"x"), Ok(Some((vec![], 0))));
}

#[test]
fn a_body_by_length_is_exactly_that_long() {
    assert_eq!(
        read(Framing::Length(5), b"hello"),
        Ok(Some((b"hello".to_vec(), 5)))
    );
    assert_eq!(
        read(Framing::Length(5), b"hello, world"),
        Ok(Some((b"hello".to_vec(), 5)))
    );
    assert_eq!(read(Framing::Length(5), b"hell"), Ok(None));
    assert_eq!(read(Framing::Length(2), b"\0\r"), Ok(Some((b"\0\r".to_vec(), 2))));
}

#[test]
fn chunks_are_joined() {
    let sent = "5\r\nhello\r\n07\r\n, world\r\nA\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(
        chunked(sent),
        Ok(Some((b"hello, world0123456789".to_vec(), sent.len())))
    );
    assert_eq!(chunked("0\r\n\r\n"), Ok(Some((vec![], 5))));
    assert_eq!(chunked("0\r\n\r\nGET /"), Ok(Some((vec![], 5))));
}

#[test]
fn a_chunked_body_cut_anywhere_is_incomplete_and_the_rest_completes_it() {
    let sent = b"5;a=b\r\nhello\r\n3\r\n\r\n0\r\n0\r\n\r\n";
    for cut in 0..sent.len() {
        let mut reader = BodyReader::new(Framing::Chunked);
        assert_eq!(reader.feed(&sent[..cut]), Ok((cut, None)), "at {cut}");
        let done = reader.feed(&sent[cut..]);
        assert_eq!(
            done,
            Ok((sent.len() - cut, Some(b"hello\r\n0".to_vec()))),
            "at {cut}"
        );
    }
}

#[test]
fn a_chunk_size_is_hexadecimal_digits() {
    let sizes = [
        "",
        "+5",
        "-5",
        "0x5",
        " 5",
        "5 ",
        "5\t",
        "g",
        "5,5",
        "000000005",
        "fffffffff",
        "\u{665}",
    ];
    for size in sizes {
        assert_eq!(
            chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n")),
            Err(HttpError::CHUNK),
            "{size:?}"
        );
    }
}

#[test]
fn a_chunk_ends_where_it_was_said_to() {
    assert_eq!(chunked("5\r\nhello!\r\n0\r\n\r\n"), Err(HttpError::CHUNK));
    assert_eq!(chunked("6\r\nhello\r\n0\r\n\r\n"), Err(HttpError::LINE_END));
    assert_eq!(chunked("5\r\nhello0\r\n\r\n"), Err(HttpError::CHUNK));
}

#[test]
fn line_ends_are_cr_lf_here_too() {
    assert_eq!(chunked("5\nhello\r\n0\r\n\r\n"), Err(HttpError::LINE_END));
    assert_eq!(chunked("5\r\nhello\n0\r\n\r\n"), Err(HttpError::LINE_END));
    assert_eq!(chunked("5\r\nhello\r0\r\n\r\n"), Err(HttpError::LINE_END));
    assert_eq!(chunked("5\rhello\r\n0\r\n\r\n"), Err(HttpError::LINE_END));
    assert_eq!(chunked("0\r\n\n"), Err(HttpError::LINE_END));
    assert_eq!(chunked("0\r\n\rx"), Err(HttpError::LINE_END));
    assert_eq!(chunked("5\0\r\nhello\r\n0\r\n\r\n"), Err(HttpError::LINE_END));
}

#[test]
fn extensions_are_forgotten_and_bounded() {
    let with = |extension: &str| chunked(&format!("5{extension}\r\nhello\r\n0;last\r\n\r\n"));
    for extension in [";", ";a", ";a=b", "; a = \"b c\" ; d"] {
        assert_eq!(with(extension).unwrap().unwrap().0, b"hello", "{extension:?}");
    }
    let longest = format!(";{}", "a".repeat(MAX_CHUNK_LINE - 3));
    assert!(with(&longest).is_ok());
    assert_eq!(with(&format!("{longest}aa")), Err(HttpError::CHUNK));
    for extension in [";\x01", ";a\x7f", ";\u{e4}"] {
        assert_eq!(with(extension), Err(HttpError::CHUNK), "{extension:?}");
    }
}

#[test]
fn trailers_are_refused() {
    for trailer in ["Authorization: Bearer x\r\n", "X: y\r\n", " \r\n", "0"] {
        assert_eq!(
            chunked(&format!("5\r\nhello\r\n0\r\n{trailer}\r\n")),
            Err(HttpError::CHUNK),
            "{trailer:?}"
        );
    }
}

#[test]
fn chunks_together_have_the_bound_of_a_body() {
    let body = |first: usize, second: usize| {
        format!(
            "{first:x}\r\n{}\r\n{second:x}\r\n{}\r\n0\r\n\r\n",
            "a".repeat(first),
            "b".repeat(second)
        )
    };
    assert_eq!(
        chunked(&body(MAX_BODY - 1, 1)).unwrap().unwrap().0.len(),
        MAX_BODY
    );
    assert_eq!(chunked(&body(MAX_BODY - 1, 2)), Err(HttpError::BODY_TOO_LARGE));
    assert_eq!(chunked("ffffffff\r\n"), Err(HttpError::BODY_TOO_LARGE));
}

#[test]
fn a_body_at_its_bound_in_chunks_of_one_byte_is_taken() {
    let sent = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(MAX_BODY));
    assert_eq!(chunked(&sent).unwrap().unwrap().0.len(), MAX_BODY);
}

#[test]
fn framing_out_of_all_proportion_is_refused() {
    let one = format!("1;{}\r\nx\r\n", "a".repeat(MAX_CHUNK_LINE - 4));
    assert_eq!(
        chunked(&one.repeat(MAX_BODY_WIRE / one.len() + 1)),
        Err(HttpError::BODY_TOO_LARGE)
    );
}
