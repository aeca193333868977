use super::*;

fn pieces(text: &str) -> Result<Vec<String>, Broken> {
    let mut reader = Reader::new(text)?;
    let mut found = Vec::new();
    while let Some(piece) = reader.piece()? {
        found.push(format!("{piece:?} {}", &text[reader.place()]));
    }
    Ok(found)
}

fn refused(text: &str) -> &'static str {
    pieces(text).expect_err(text).what
}

#[test]
fn pieces_stand_where_they_say() {
    let text = "\u{feff}<?xml version=\"1.0\"?>\r\n<!-- a - b --><a x='1' y = \"&lt;2\"\n><b/>t&amp;u<![CDATA[<c>]]></a >\n";
    let found = pieces(text).unwrap();
    assert_eq!(
        found,
        [
            "Aside <?xml version=\"1.0\"?>",
            "Text(\"\\r\\n\") \r\n",
            "Aside <!-- a - b -->",
            "Open(\"a\") <a x='1' y = \"&lt;2\"\n>",
            "Open(\"b\") <b/>",
            "Close ",
            "Text(\"t&amp;u\") t&amp;u",
            "Verbatim(\"<c>\") <![CDATA[<c>]]>",
            "Close </a >",
            "Text(\"\\n\") \n",
        ]
    );
}

#[test]
fn what_libxml_refuses_is_refused() {
    for (text, what) in [
        ("", "no element"),
        ("  ", "no element"),
        ("<a>", "within an element"),
        ("<a></b>", "does not fit"),
        ("<a><b></a></b>", "does not fit"),
        ("<a></a><b/>", "second root"),
        ("<a/>x", "outside of the root"),
        ("x<a/>", "outside of the root"),
        ("<![CDATA[x]]><a/>", "outside of the root"),
        ("<a>]]></a>", "`]]>`"),
        ("<a>&</a>", "`&`"),
        ("<a>&nbsp;</a>", "`&`"),
        ("<a>&#0;</a>", "`&`"),
        ("<a>&#x+41;</a>", "`&`"),
        ("<a>&#xD800;</a>", "`&`"),
        ("<a>\u{1}</a>", "control"),
        ("<a>\u{fffe}</a>", "control"),
        ("<a b></a>", "without a quoted value"),
        ("<a b=c></a>", "without a quoted value"),
        ("<a b='c></a>", "without a quoted value"),
        ("<a b='<'></a>", "bare"),
        ("<a b='&'></a>", "bare"),
        ("<a b='1' b='2'/>", "twice"),
        ("<a b='1'c='2'/>", "cannot be read"),
        ("<a", "does not end"),
        ("<a/", "does not end"),
        ("<a / >", "does not end"),
        ("< a/>", "begins nothing"),
        ("<1/>", "begins nothing"),
        ("<!-- a -- b --><a/>", "comment"),
        ("<!-- a ---><a/>", "comment"),
        ("<!--", "does not end"),
        ("<a><![CDATA[</a>", "does not end"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "document type"),
        ("<a/><!DOCTYPE a>", "document type"),
        ("<!DOCTYPE a><!DOCTYPE a><a/>", "document type"),
        ("<!DOCTYPE ><a/>", "document type"),
        ("<!DOCTYPEa><a/>", "document type"),
        ("<!DOCTYPE a b><a/>", "document type"),
        ("<?xml?><a/>", "declaration"),
        ("<?xml versikn='1.0'?><a/>", "declaration"),
        ("<?xml version='1.1'?><a/>", "declaration"),
        ("<?xml version='1.0'encoding='UTF-8'?><a/>", "declaration"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "declaration"),
        ("<?xml version='1.0' standalone='?'?><a/>", "declaration"),
        ("<?xml version='1.0' x='y'?><a/>", "declaration"),
        ("<?XML version='1.0'?><a/>", "declaration"),
        (" <?xml version='1.0'?><a/>", "declaration"),
        ("<a><?xml version='1.0'?></a>", "declaration"),
        ("<? a?><a/>", "instruction"),
        ("<?a\"?><a/>", "instruction"),
        ("<a>&#xFFFF;</a>", "`&`"),
        ("<a\u{d7}/>", "attribute"),
        ("<b:a xmlns:b='c'/>", "namespace"),
    ] {
        assert!(refused(text).contains(what), "{text}: {}", refused(text));
    }
}

#[test]
fn what_declares_that_it_is_what_we_read_is_read() {
    for head in [
        "<?xml version='1.0'?>",
        "\u{feff}<?xml version = \"1.0\"\r\n encoding='utf-8' standalone=\"yes\" ?>",
        "<?xml version='1.0' standalone='no'?><?xml-stylesheet?>",
        "<?b c?><!DOCTYPE  a\n>",
    ] {
        assert!(
            pieces(&format!("{head}<a xmlns:b='c' b:d=''/>")).is_ok(),
            "{head}"
        );
    }
}

#[test]
fn the_line_of_a_fault_is_told() {
    assert_eq!(pieces("<a>\n\n<b>&</b></a>").unwrap_err().line, 3);
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(pieces(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(refused(&nested(MAX_DEPTH + 1)), "elements nested too deeply");
}

#[test]
fn no_cut_of_a_document_panics() {
    let text = "\u{feff}<?x?><!DOCTYPE a><a b='\u{e9}&amp;'><!-- \u{e9} --><c/><![CDATA[\u{e9}]]>\u{e9}</a>";
    for (end, _) in text.char_indices() {
        assert!(pieces(&text[..end]).is_err(), "{end}");
    }
    for (start, _) in text.char_indices() {
        let _ = pieces(&text[start..]);
    }
}
