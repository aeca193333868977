//! An Unraid template: which container it is for, and its image in one place. Text in, text out; no I/O.
//!
//! The edit replaces the text of the one `<Repository>` and keeps every other byte: Unraid's own page rewrites the whole
//! file and loses what it does not know, and that must never be our doing. This is no XML parser. It finds elements,
//! skips comments and CDATA, and refuses what it would have to guess at; whether Unraid's script then made a container of
//! the right image, `docker inspect` proves.

use std::ops::Range;

use crate::deploy::reference::same_image;

/// What a deploy needs to know of a template.
#[derive(Debug)]
pub struct Template<'a> {
    text: &'a str,
    /// In the order in which they begin.
    elements: Vec<Element<'a>>,
}

#[derive(Debug)]
struct Element<'a> {
    name: &'a str,
    /// Between its tags.
    inside: Range<usize>,
    /// How many elements it is in.
    depth: usize,
}

impl<'a> Template<'a> {
    /// Finds the elements of a template.
    ///
    /// # Errors
    /// With the line, where tags do not pair up or something stands there that no template has.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let mut elements: Vec<Element> = Vec::new();
        let mut open = Vec::new();
        let mut at = 0;
        while let Some(found) = text[at..].find('<') {
            at += found;
            let broken = |what: &str| format!("line {}: {what}", 1 + text[..at].matches('\n').count());
            let markup = markup(&text[at..]);
            let (length, tag) = markup.ok_or_else(|| broken("something begins here that does not end"))?;
            let after = at + length;
            match tag {
                None => {}
                Some(tag) if tag.starts_with('!') || tag.contains('<') => {
                    return Err(broken("a document type, or a `<` within a tag"));
                }
                Some(tag) if tag.starts_with('/') => {
                    let last = open.pop().map(|index: usize| &mut elements[index]);
                    let last = last.filter(|last| last.name == tag[1..].trim_end());
                    let last = last.ok_or_else(|| broken("an end tag that does not fit"))?;
                    last.inside.end = at;
                }
                Some(tag) => {
                    let depth = open.len();
                    if !tag.ends_with('/') {
                        open.push(elements.len());
                    }
                    elements.push(Element {
                        name: tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or(""),
                        inside: after..after,
                        depth,
                    });
                }
            }
            at = after;
        }
        match open.is_empty() && !elements.is_empty() {
            true => Ok(Self { text, elements }),
            false => Err("it ends within an element, or has none".into()),
        }
    }

    /// What the first element of this name holds, as it is written: `update_container` takes the first at any depth.
    pub fn first_text(&self, name: &str) -> Option<&'a str> {
        let first = self.elements.iter().find(|element| element.name == name)?;
        Some(&self.text[first.inside.clone()])
    }

    /// The image it names, tag and all.
    ///
    /// # Errors
    /// When it names none, several, or one of another name than `image`.
    pub fn reference(&self, image: &str) -> Result<&'a str, String> {
        Ok(self.text[self.repository(image)?].trim())
    }

    /// The template with `text` within its `<Repository>`.
    ///
    /// # Errors
    /// Those of [`Template::reference`].
    pub fn with_repository(&self, image: &str, text: &str) -> Result<String, String> {
        let Range { start, end } = self.repository(image)?;
        Ok(format!("{}{text}{}", &self.text[..start], &self.text[end..]))
    }

    fn repository(&self, image: &str) -> Result<Range<usize>, String> {
        let named = self.elements.iter().filter(|one| one.name == "Repository");
        let all: Vec<&Element> = named.collect();
        let [one] = all[..] else {
            return Err(format!(
                "it has {} <Repository> elements instead of one",
                all.len()
            ));
        };
        let text = self.text[one.inside.clone()].trim();
        if text.contains(['<', '&']) || one.depth != 1 {
            return Err("its <Repository> is no plain text, or is within another element".into());
        }
        match same_image(text, image) {
            true => Ok(one.inside.clone()),
            false => Err(format!(
                "its image is \"{text}\" and not {image}: is DEPLOYER_IMAGE right?"
            )),
        }
    }
}

/// How long the tag, comment, CDATA section or instruction is that `text` begins with, and what stands between `<` and `>`,
/// if it is a tag; `None` where it does not end.
fn markup(text: &str) -> Option<(usize, Option<&str>)> {
    for (begin, end) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
        if let Some(rest) = text.strip_prefix(begin) {
            return Some((begin.len() + rest.find(end)? + end.len(), None));
        }
    }
    let mut quote = None;
    for (place, c) in text.char_indices() {
        match quote {
            None if c == '>' => return Some((place + 1, Some(&text[1..place]))),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "ghcr.io/x/y";

    fn rewritten(text: &str) -> Result<String, String> {
        Template::read(text)?.with_repository(IMAGE, "ghcr.io/x/y:0.5.61")
    }

    fn around(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Container version=\"2\">\n  <Name>app</Name>\n{inside}\n</Container>\n"
        )
    }

    /// Everything that has confused editors of such files: the right place is marked.
    const CONFUSING: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
        <!-- <Repository>ghcr.io/x/y:1</Repository> -->\r\n\
        <Container version=\"2\" Repository='not this' >\r\n\
        \t<Name>app</Name>\r\n\
        <Overview><![CDATA[<Repository>ghcr.io/x/y:2</Repository>]]></Overview>\r\n\
        <RepositoryX>ghcr.io/x/y:4</RepositoryX><repository>ghcr.io/x/y:5</repository>\r\n\
        <Repository  a=\"b>c\" >ghcr.io/x/y:HERE</Repository\t>\r\n\
        <Config Name=\"&lt;Repository&gt;\" Type='x'>\u{e4}&lt;Repository&gt;ghcr.io/x/y:6&lt;/Repository&gt;</Config>\r\n\
        <PostArgs>--a &amp;&amp; b</PostArgs><?Repository ghcr.io/x/y:7?>\r\n\
        </Container><!-- end -->\n\n";

    #[test]
    fn only_the_repository_changes_and_every_other_byte_stays() {
        let (before, rest) = CONFUSING.split_once("ghcr.io/x/y:HERE").unwrap();
        assert_eq!(
            rewritten(CONFUSING).unwrap(),
            format!("{before}ghcr.io/x/y:0.5.61{rest}")
        );
    }

    #[test]
    fn what_a_deploy_may_have_to_refuse_can_be_seen() {
        let template = Template::read(CONFUSING).unwrap();
        assert_eq!(template.first_text("PostArgs"), Some("--a &amp;&amp; b"));
        assert_eq!(template.first_text("Network"), None);
    }

    #[test]
    fn rewriting_twice_is_rewriting_once() {
        for old in [
            "ghcr.io/x/y",
            " ghcr.io/x/y:0.5.60\n",
            "ghcr.io/x/y:latest@sha256:ab",
            "ghcr.io/x/y:0.5.61",
        ] {
            let once = rewritten(&around(&format!("<Repository>{old}</Repository>"))).unwrap();
            assert_eq!(once, around("<Repository>ghcr.io/x/y:0.5.61</Repository>"));
            assert_eq!(rewritten(&once).unwrap(), once);
        }
    }

    #[test]
    fn none_two_another_image_and_nested_things_are_refused() {
        let one = "<Repository>ghcr.io/x/y:1</Repository>";
        for (inside, why) in [
            ("", "0 <Repository> elements"),
            (&format!("<Config>{one}</Config>"), "within another element"),
            (&format!("<!-- {one} -->"), "0 <Repository> elements"),
            (&format!("<![CDATA[{one}]]>"), "0 <Repository> elements"),
            (&format!("{one}{one}"), "2 <Repository> elements"),
            (&format!("{one}<Data>{one}</Data>"), "2 <Repository> elements"),
            ("<Repository/>", "its image is \"\""),
            ("<Repository></Repository>", "its image is \"\""),
            (
                "<Repository>ghcr.io/x/yy:1</Repository>",
                "its image is \"ghcr.io/x/yy:1\"",
            ),
            ("<Repository>x/y:1</Repository>", "DEPLOYER_IMAGE"),
            ("<Repository>ghcr.io/x/<b>y</b></Repository>", "no plain text"),
            ("<Repository>ghcr.io/x/y<!-- z --></Repository>", "no plain text"),
            ("<Repository>ghcr.io&#47;x/y:1</Repository>", "no plain text"),
        ] {
            let error = rewritten(&around(inside)).expect_err(inside);
            assert!(error.contains(why), "{inside}: {error}");
        }
    }

    #[test]
    fn the_first_name_at_any_depth_counts_and_is_not_trimmed() {
        let name = |text: &'static str| Template::read(text).unwrap().first_text("Name");
        assert_eq!(
            name("<C><Config Name='a'/><Name>b</Name><Name>c</Name></C>"),
            Some("b")
        );
        assert_eq!(name("<C><V><Name>a</Name></V><Name>b</Name></C>"), Some("a"));
        assert_eq!(name("<C><Name> a</Name></C>"), Some(" a"));
        assert_eq!(name("<C><Name/></C>"), Some(""));
        assert_eq!(name("<C><name>a</name></C>"), None);
    }

    #[test]
    fn what_would_have_to_be_guessed_at_is_refused_with_its_line() {
        for (text, why) in [
            ("", "or has none"),
            ("<a>", "ends within an element"),
            ("<a></b>", "line 1: an end tag"),
            ("<a>\n<b></a></b>", "line 2: an end tag"),
            ("</a>", "an end tag"),
            ("<a b='c></a>", "does not end"),
            ("<a", "does not end"),
            ("<a b='<'></a>", "`<` within a tag"),
            ("<!--", "does not end"),
            ("<a>\n\n<![CDATA[</a>", "line 3: something"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "a document type"),
            ("<!DOCTYPE a><a/>", "a document type"),
        ] {
            let error = Template::read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn no_damage_makes_it_panic_or_hang() {
        let mut state = 7_u64;
        let mut dice = |sides: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % sides
        };
        for _ in 0..3000 {
            let mut letters: Vec<char> = CONFUSING.chars().collect();
            for _ in 0..=dice(4) {
                let place = dice(letters.len());
                match dice(3) {
                    0 => letters[place] = ['<', '>', '&', '\'', '"', ']', '-', '!', '/', '\u{e9}'][dice(10)],
                    1 => drop(letters.remove(place)),
                    _ => letters.truncate(place + 1),
                }
            }
            let _ = rewritten(&letters.into_iter().collect::<String>());
        }
        assert!(Template::read(&"<a>".repeat(300_000)).is_err());
    }
}
