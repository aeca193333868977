//! An Unraid template, with libxml2 as second opinion: it is what reads the file after us. What we accept it accepts, and
//! name and image are where it sees them, before and after the edit.
#![no_main]

use engram_deployer::deploy::unraid::template::Template;
use engram_deployer_fuzz::libxml::Document;
use libfuzzer_sys::fuzz_target;

const IMAGE: &str = "ghcr.io/x/y";

fuzz_target!(|bytes: &[u8]| {
    let Ok(template) = Template::read(bytes) else {
        return;
    };
    let theirs = Document::read(bytes).expect("libxml2 refuses what we read");
    let name = template.name.as_deref().map(without_line_ends);
    assert_eq!(theirs.first_name.as_deref().map(without_line_ends), name);
    let Ok(reference) = template.reference(IMAGE) else {
        return;
    };
    assert_eq!(theirs.repositories.len(), 1);
    assert_eq!(
        without_line_ends(theirs.repositories[0].trim()),
        without_line_ends(reference)
    );

    let rewritten = template.with_version(IMAGE, "0.5.61").expect("named");
    let theirs = Document::read(&rewritten).expect("libxml2 refuses what we write");
    assert_eq!(theirs.first_name.as_deref().map(without_line_ends), name);
    assert_eq!(theirs.repositories, ["ghcr.io/x/y:0.5.61"]);
});

/// How many of them there are depends on the version of libxml2, and no name that docker takes has one.
fn without_line_ends(text: &str) -> String {
    text.replace(['\r', '\n'], "")
}
