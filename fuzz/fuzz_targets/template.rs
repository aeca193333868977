//! An Unraid template: whatever comes out keeps every other byte, and rewriting twice is rewriting once.
#![no_main]

use engram_deployer::deploy::unraid::template::Template;
use libfuzzer_sys::fuzz_target;

const IMAGE: &str = "ghcr.io/x/y";

fuzz_target!(|bytes: &[u8]| {
    let Ok(template) = Template::read(bytes) else {
        return;
    };
    let Ok(once) = template.with_version(IMAGE, "0.5.61") else {
        assert!(template.reference(IMAGE).is_err(), "named, but not to be changed");
        return;
    };
    let reference = template.reference(IMAGE).expect("what can be changed is named");
    let replaced = replaced(bytes, &once, b"ghcr.io/x/y:0.5.61").expect("another byte has changed");
    if !replaced.contains(&b'&') {
        assert_eq!(without_cdata(replaced).trim(), reference);
    }

    let again = Template::read(&once).expect("its own writing is read");
    assert_eq!(again.name, template.name);
    assert_eq!(again.reference(IMAGE), Ok("ghcr.io/x/y:0.5.61"));
    assert_eq!(again.with_version(IMAGE, "0.5.61").as_deref(), Ok(&once[..]));
    let other = again.with_version(IMAGE, "10.0.0").expect("another version");
    let back = Template::read(&other).expect("its own writing is read");
    assert_eq!(back.with_version(IMAGE, "0.5.61").as_deref(), Ok(&once[..]));
});

/// What stood in the place of `new`, when everything around it is the same and it stands between the two tags.
fn replaced<'a>(before: &'a [u8], after: &[u8], new: &[u8]) -> Option<&'a [u8]> {
    let places = (0..after.len()).filter(|place| after[*place..].starts_with(new));
    let mut fitting = places.filter_map(|place| {
        let (head, tail) = (&after[..place], &after[place + new.len()..]);
        let rest = before.strip_prefix(head)?;
        let inside = rest.strip_suffix(tail)?;
        (head.ends_with(b">") && tail.starts_with(b"</Repository")).then_some(inside)
    });
    fitting.next()
}

fn without_cdata(text: &[u8]) -> String {
    let text = String::from_utf8(text.to_vec()).expect("a template is UTF-8");
    let mut bare = String::new();
    let mut rest = text.as_str();
    while let Some((words, inside)) = rest.split_once("<![CDATA[") {
        let (verbatim, after) = inside.split_once("]]>").expect("CDATA that ends");
        bare.push_str(words);
        bare.push_str(verbatim);
        rest = after;
    }
    assert!(!rest.contains('<'), "more than text was replaced: {text}");
    bare.push_str(rest);
    bare
}
