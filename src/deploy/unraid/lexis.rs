//! The small parts of XML: characters, names, references, quoted values. Pure; strict as [`super::xml`] says.

/// `text` with its references resolved; `None` when one is unknown or is no character.
pub fn resolve(text: &str) -> Option<String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('&') {
        resolved.push_str(&rest[..place]);
        let (name, after) = rest[place + 1..].split_once(';')?;
        resolved.push(character(name)?);
        rest = after;
    }
    resolved.push_str(rest);
    Some(resolved)
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |hex| (hex, 16));
            // from_str_radix would take a sign.
            let plain = digits.chars().all(|c| c.is_digit(radix));
            let number = u32::from_str_radix(digits, radix).ok().filter(|_| plain)?;
            char::from_u32(number).filter(|c| is_character(*c))
        }
    }
}

/// The name that `text` begins with; empty where it begins with none.
pub fn name_of(text: &str) -> &str {
    let starts = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':');
    if !text.starts_with(starts) {
        return "";
    }
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    &text[..text.find(|c| !goes_on(c)).unwrap_or(text.len())]
}

/// Whether this follows `<?xml` in a document that is what we take it for: libxml reads by what is declared here.
pub fn is_declaration(text: &str) -> bool {
    let Some(("1.0", rest)) = declared(text, "version") else {
        return false;
    };
    let (encoding, rest) = declared(rest, "encoding").unwrap_or(("UTF-8", rest));
    let (standalone, rest) = declared(rest, "standalone").unwrap_or(("no", rest));
    encoding.eq_ignore_ascii_case("UTF-8")
        && matches!(standalone, "yes" | "no")
        && rest.trim_start_matches(is_blank).is_empty()
}

/// The value in ` name="value"`, and what follows it.
fn declared<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let rest = text.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(name).filter(|_| rest.len() < text.len())?;
    quoted(rest)
}

/// The value in `="value"`, and what follows it.
pub fn quoted(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim_start_matches(is_blank).strip_prefix('=')?;
    let rest = rest.trim_start_matches(is_blank);
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split_once(quote)
}

/// `Char` of XML 1.0.
pub fn is_character(c: char) -> bool {
    (c >= ' ' || is_blank(c)) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// White space of XML.
pub fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved() {
        assert_eq!(resolve("a&lt;&#66;&#x43;&amp;amp;").unwrap(), "a<BC&amp;");
        assert_eq!(resolve("&"), None);
        assert_eq!(resolve("&;"), None);
    }
}
