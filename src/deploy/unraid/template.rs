//! An Unraid template: which container it is for, and its image in one place. Bytes in, bytes out; no I/O.
//!
//! The edit replaces the text of the one top-level `<Repository>` and keeps every other byte: Unraid's own page rewrites
//! the whole file and loses what it does not know, and that must never be our doing. A template that does not name our
//! image is somebody else's container and is refused.

use std::ops::Range;

use super::lexis::resolve;
use super::xml::{Broken, Piece, Reader};
use crate::deploy::reference::same_image;

/// What a deploy needs to know of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<'a> {
    text: &'a str,
    /// The text of the first `<Name>` at any depth, as `update_container` reads it.
    pub name: Option<String>,
    repositories: Vec<Repository>,
}

/// A top-level `<Repository>`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Repository {
    /// Between its tags; empty and useless where it is `<Repository/>`.
    inside: Range<usize>,
    /// Its text, references resolved.
    text: String,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Text and CDATA alone.
    Words,
    /// Anything else inside: elements, comments.
    Mixed,
}

impl<'a> Template<'a> {
    /// Reads a template.
    ///
    /// # Errors
    /// Where it is not XML that `update_container` would read, in UTF-8.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Broken> {
        let text = std::str::from_utf8(bytes).map_err(|error| Broken {
            line: 1 + bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count(),
            what: "not UTF-8",
        })?;
        let mut repositories = Vec::new();
        let mut reader = Reader::new(text)?;
        while let Some(piece) = reader.piece()? {
            if piece == Piece::Open("Repository") && reader.depth() == 2 {
                repositories.push(inside(&mut reader)?);
            }
        }
        Ok(Self {
            text,
            name: first_name(text)?,
            repositories,
        })
    }

    /// The image it names, tag and all.
    ///
    /// # Errors
    /// When it names none, several, or one of another name than `image`.
    pub fn reference(&self, image: &str) -> Result<&str, String> {
        self.repository(image).map(|repository| repository.text.trim())
    }

    /// The template with `image:version` as its image; the same bytes when it names that already.
    ///
    /// # Errors
    /// Those of [`Template::reference`].
    pub fn with_version(&self, image: &str, version: &str) -> Result<Vec<u8>, String> {
        self.with_inside(image, &format!("{image}:{version}"))
    }

    /// The template with the text of its `<Repository>` as `other` has it, byte for byte.
    ///
    /// # Errors
    /// Those of [`Template::reference`], for either.
    pub fn with_repository_of(&self, other: &Template<'_>, image: &str) -> Result<Vec<u8>, String> {
        let inside = other.repository(image)?.inside.clone();
        self.with_inside(image, &other.text[inside])
    }

    fn with_inside(&self, image: &str, text: &str) -> Result<Vec<u8>, String> {
        let inside = &self.repository(image)?.inside;
        let (before, after) = (&self.text[..inside.start], &self.text[inside.end..]);
        Ok(format!("{before}{text}{after}").into_bytes())
    }

    fn repository(&self, image: &str) -> Result<&Repository, String> {
        let repository = match self.repositories.as_slice() {
            [] => return Err("it has no <Repository>: there is nothing to write the version to".into()),
            [one] => one,
            several => {
                return Err(format!(
                    "it has {} <Repository> elements: which of them counts is not for us to guess",
                    several.len()
                ));
            }
        };
        if repository.shape == Shape::Mixed {
            return Err("its <Repository> holds more than text".into());
        }
        if !same_image(repository.text.trim(), image) {
            return Err(format!(
                "its image is {:?} and not {image}: it is another container's template, or DEPLOYER_IMAGE is wrong",
                repository.text.trim()
            ));
        }
        Ok(repository)
    }
}

/// By a reading of its own: it may stand within anything, a `<Repository>` too.
fn first_name(text: &str) -> Result<Option<String>, Broken> {
    let mut reader = Reader::new(text)?;
    while let Some(piece) = reader.piece()? {
        if piece == Piece::Open("Name") {
            return Ok(Some(inside(&mut reader)?.text));
        }
    }
    Ok(None)
}

/// Reads on to the end of the element that was just opened.
fn inside(reader: &mut Reader<'_>) -> Result<Repository, Broken> {
    let depth = reader.depth();
    let start = reader.place().end;
    let mut found = Repository {
        inside: start..start,
        text: String::new(),
        shape: Shape::Words,
    };
    while let Some(piece) = reader.piece()? {
        match piece {
            Piece::Close if reader.depth() < depth => {
                found.inside.end = reader.place().start;
                return Ok(found);
            }
            Piece::Text(words) => found.text.push_str(&resolve(words).unwrap_or_default()),
            Piece::Verbatim(words) => found.text.push_str(words),
            Piece::Open(_) | Piece::Close | Piece::Aside => found.shape = Shape::Mixed,
        }
    }
    // The reader refuses a text that ends within an element, so this is never reached.
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "ghcr.io/x/y";

    fn rewritten(text: &str) -> Result<String, String> {
        let template = Template::read(text.as_bytes()).map_err(|broken| broken.to_string())?;
        let bytes = template.with_version(IMAGE, "0.5.61")?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    fn around(inside: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<Container version=\"2\">\n  <Name>app</Name>\n{inside}\n</Container>\n"
        )
    }

    /// Everything that has confused editors of such files: the right place is marked.
    const CONFUSING: &str = "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
        <!-- <Repository>ghcr.io/x/y:1</Repository> -->\r\n\
        <!DOCTYPE Container>\r\n\
        <Container version=\"2\" Repository='<not this>' >\r\n\
        \t<Name>app</Name>\r\n\
        <Overview><![CDATA[<Repository>ghcr.io/x/y:2</Repository>]]></Overview>\r\n\
        <Data><Repository>ghcr.io/x/y:3</Repository></Data>\r\n\
        <RepositoryX>ghcr.io/x/y:4</RepositoryX><repository>ghcr.io/x/y:5</repository>\r\n\
        <Repository  a=\"b>c\" ><![CDATA[ghcr.io]]>&#47;x/y:HERE</Repository\t>\r\n\
        <Config Name=\"&lt;Repository&gt;\" Type='x'>\u{e4}&lt;Repository&gt;ghcr.io/x/y:6&lt;/Repository&gt;</Config>\r\n\
        <?Repository ghcr.io/x/y:7?>\r\n\
        </Container><!-- end -->\n\n";

    #[test]
    fn only_the_top_level_repository_changes_and_every_other_byte_stays() {
        let text = CONFUSING.replace("'<not this>'", "'not this'");
        let (before, rest) = text.split_once("<![CDATA[ghcr.io]]>&#47;x/y:HERE").unwrap();
        assert_eq!(
            rewritten(&text).unwrap(),
            format!("{before}ghcr.io/x/y:0.5.61{rest}")
        );
    }

    #[test]
    fn a_bare_angle_in_an_attribute_is_not_read_at_all() {
        assert!(rewritten(CONFUSING).unwrap_err().contains("line 4"));
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
            ("", "no <Repository>"),
            (
                "<Config><Repository>ghcr.io/x/y:1</Repository></Config>",
                "no <Repository>",
            ),
            (&format!("<!-- {one} -->"), "no <Repository>"),
            (&format!("{one}{one}"), "2 <Repository> elements"),
            ("<Repository/>", "its image is \"\""),
            ("<Repository></Repository>", "its image is \"\""),
            (
                "<Repository>ghcr.io/x/yy:1</Repository>",
                "its image is \"ghcr.io/x/yy:1\"",
            ),
            ("<Repository>x/y:1</Repository>", "DEPLOYER_IMAGE"),
            ("<Repository>ghcr.io/x/<b>y</b></Repository>", "more than text"),
            ("<Repository>ghcr.io/x/y<!-- z --></Repository>", "more than text"),
        ] {
            let error = rewritten(&around(inside)).expect_err(inside);
            assert!(error.contains(why), "{inside}: {error}");
        }
    }

    #[test]
    fn the_first_name_at_any_depth_counts_and_is_not_trimmed() {
        let name = |text: &str| Template::read(text.as_bytes()).unwrap().name;
        assert_eq!(
            name("<C><Config Name='a'/><Name>b</Name><Name>c</Name></C>").unwrap(),
            "b"
        );
        assert_eq!(name("<C><V><Name>a</Name></V><Name>b</Name></C>").unwrap(), "a");
        assert_eq!(name("<C><Name> a</Name></C>").unwrap(), " a");
        assert_eq!(name("<C><Name><![CDATA[a]]>&amp;</Name></C>").unwrap(), "a&");
        assert_eq!(name("<C><Name/></C>").unwrap(), "");
        assert_eq!(name("<C><name>a</name></C>"), None);
        assert_eq!(
            name("<C><Repository><Name>a</Name></Repository><Name>b</Name></C>").unwrap(),
            "a"
        );
    }

    #[test]
    fn what_is_no_utf8_is_refused_with_its_line() {
        let broken = Template::read(b"<C>\n\xff</C>").unwrap_err();
        assert_eq!((broken.line, broken.what), (2, "not UTF-8"));
        assert!(Template::read(b"\xff\xfe<\0C\0/\0>\0").is_err());
    }

    /// A small generator of documents, so that the promise is not only kept for those we thought of.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % sides
        }

        fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
            from[self.roll(from.len())]
        }

        fn filling(&mut self, depth: usize) -> String {
            let mut text = String::new();
            for _ in 0..self.roll(5) {
                let leaf = self.pick(&[
                    "\r\n",
                    "  \t",
                    "\u{fc}\u{4e2d}",
                    "&lt;Repository&gt;",
                    "<Config Name=\"Repository\" Target='&quot;'/>",
                    "<!-- <Repository>ghcr.io/x/y:9</Repository> -->",
                    "<![CDATA[</Container><Repository>]]>",
                    "<?Repository x?>",
                    "<Name>n</Name>",
                    "]] ",
                    ">",
                    "'\"",
                ]);
                text.push_str(leaf);
                if depth > 0 && self.roll(2) == 0 {
                    let inner = self.filling(depth - 1);
                    text.push_str(&format!(
                        "<Data ><Repository>ghcr.io/x/y:8{inner}</Repository></Data\n>"
                    ));
                }
            }
            text
        }
    }

    #[test]
    fn whatever_surrounds_the_repository_is_kept() {
        for seed in 0..3000 {
            let mut dice = Dice(seed);
            let (before, after) = (dice.filling(3), dice.filling(3));
            let head = dice.pick(&["", "\u{feff}", "<?xml version='1.0'?>", "<!-- x -->\n"]);
            let old = dice.pick(&[
                "ghcr.io/x/y",
                "ghcr.io/x/y:1",
                "\n ghcr.io/x/y:0.5.61 ",
                "ghcr.io/x/y@sha256:1",
            ]);
            let document = |repository: &str| {
                format!("{head}<Container>{before}<Repository>{repository}</Repository>{after}</Container>\n")
            };
            let wanted = document("ghcr.io/x/y:0.5.61");
            assert_eq!(rewritten(&document(old)).as_ref(), Ok(&wanted), "seed {seed}");
            assert_eq!(rewritten(&wanted).as_ref(), Ok(&wanted), "seed {seed}");
        }
    }

    #[test]
    fn no_damage_makes_it_panic_or_hang() {
        let text = CONFUSING.as_bytes();
        let mut dice = Dice(7);
        for _ in 0..3000 {
            let mut bytes = text.to_vec();
            for _ in 0..=dice.roll(4) {
                let place = dice.roll(bytes.len());
                match dice.roll(3) {
                    0 => bytes[place] = b"<>&'\"]-!/\xff"[dice.roll(10)],
                    1 => drop(bytes.remove(place)),
                    _ => bytes.truncate(place + 1),
                }
            }
            if let Ok(template) = Template::read(&bytes) {
                let _ = template.with_version(IMAGE, "1.2.3");
            }
        }
        let deep = "<a>".repeat(300_000);
        assert!(Template::read(deep.as_bytes()).is_err());
    }
}
