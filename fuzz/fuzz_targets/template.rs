//! An Unraid template: whatever comes out keeps every other byte, and rewriting twice is rewriting once.
#![no_main]

use engram_deployer::deploy::unraid::template::Template;
use libfuzzer_sys::fuzz_target;

const IMAGE: &str = "ghcr.io/x/y";
const NEW: &str = "ghcr.io/x/y:0.5.61";

fuzz_target!(|text: &str| {
    let Ok(template) = Template::read(text) else {
        return;
    };
    let Ok(once) = template.with_repository(IMAGE, NEW) else {
        assert!(template.reference(IMAGE).is_err(), "named, but not to be changed");
        return;
    };
    let reference = template.reference(IMAGE).expect("what can be changed is named");
    let replaced = replaced(text, &once).expect("another byte has changed");
    assert_eq!(replaced.trim(), reference);

    let again = Template::read(&once).expect("its own writing is read");
    assert_eq!(again.first_text("Name"), template.first_text("Name"));
    assert_eq!(again.reference(IMAGE), Ok(NEW));
    assert_eq!(again.with_repository(IMAGE, NEW).as_deref(), Ok(&*once));
});

/// What stood in the place of the new text, when everything around it is the same and it stands between the two tags.
fn replaced<'a>(before: &'a str, after: &str) -> Option<&'a str> {
    after.match_indices(NEW).find_map(|(place, _)| {
        let (head, tail) = (&after[..place], &after[place + NEW.len()..]);
        let inside = before.strip_prefix(head)?.strip_suffix(tail)?;
        (head.ends_with('>') && tail.starts_with("</Repository")).then_some(inside)
    })
}
