//! Unraid's side of a deploy: a container's template, and the stand-in for `update_container`.

use super::folder::Folder;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

/// A template folder and the script that reads it.
pub struct Unraid {
    folder: Folder,
}

impl Unraid {
    /// Both, without a template.
    pub fn new() -> Unraid {
        let folder = Folder::new("unraid");
        fs::create_dir(folder.join("templates-user")).expect("a template folder");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/update_container.sh");
        symlink(script, folder.join("update_container")).expect("linking update_container");
        let unraid = Unraid { folder };
        unraid.behave("");
        unraid
    }

    /// For `DEPLOYER_TEMPLATE_DIR`.
    pub fn templates(&self) -> PathBuf {
        self.folder.join("templates-user")
    }

    /// For `DEPLOYER_UPDATE_CONTAINER_PATH`.
    pub fn update_container(&self) -> PathBuf {
        self.folder.join("update_container")
    }

    /// What `update_container` does wrong from now on, in the words of its head: `remove-only`; none for the usual.
    pub fn behave(&self, word: &str) {
        self.configure(word, 0);
    }

    /// How long `update_container` has neither the old container nor the new one, from now on.
    pub fn pause(&self, seconds: u32) {
        self.configure("", seconds);
    }

    fn configure(&self, word: &str, pause: u32) {
        let folder = self.templates();
        let settings = format!(
            "TEMPLATE_DIR='{}'\nBEHAVE='{word}'\nPAUSE={pause}\n",
            folder.display()
        );
        self.folder.write("update_container.conf", settings);
    }

    /// How often, and with which arguments, `update_container` was called.
    pub fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.folder.join("update_container.calls")).unwrap_or_default();
        calls.lines().map(str::to_string).collect()
    }

    /// Writes the template of a container that publishes the application on a port of loopback; where it is.
    pub fn template(&self, name: &str, reference: &str, port: u16) -> PathBuf {
        let text = template_text(name, reference, port);
        self.folder.write(&format!("templates-user/my-{name}.xml"), text)
    }

    /// Writes this text over that template.
    pub fn write(&self, name: &str, text: &str) {
        self.folder.write(&format!("templates-user/my-{name}.xml"), text);
    }

    /// Shell text that `update_container` carries out each time before it begins; `$1` is the container.
    pub fn before_each(&self, script: &str) {
        let folder = self.templates();
        let settings = format!("TEMPLATE_DIR='{}'\n{script}\n", folder.display());
        self.folder.write("update_container.conf", settings);
    }

    /// The text of that template now.
    pub fn read(&self, name: &str) -> String {
        let path = self.templates().join(format!("my-{name}.xml"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
    }
}

/// The text of a template, with what a careless rewrite would spoil: entities, CRLF inside a text, an empty element, two spaces.
pub fn template_text(name: &str, reference: &str, port: u16) -> String {
    let config = |kind: &str, target: &str, mode: &str, value: &str| {
        format!(
            "  <Config Name=\"{target}\" Target=\"{target}\" Default=\"\" Mode=\"{mode}\" Description=\"\" Type=\"{kind}\" Display=\"always\" Required=\"false\" Mask=\"false\">{value}</Config>\n"
        )
    };
    [
        "<?xml version=\"1.0\"?>\n<Container version=\"2\">\n",
        &format!("  <Name>{name}</Name>\n  <Repository>{reference}</Repository>\n"),
        "  <Registry/>\n  <Network>bridge</Network>\n  <Shell>sh</Shell>\n  <Privileged>false</Privileged>\n",
        "  <Overview>Notes,  linked &amp; \"found\" &lt;fast&gt;&#xD;\n Caf\u{e9}</Overview>\n",
        "  <ExtraParams>--label \"engram.note=two words\"</ExtraParams>\n  <PostArgs/>\n",
        &config("Port", "8000", "tcp", &format!("127.0.0.1:{port}")),
        &config("Variable", "GREETING", "", "a &amp; b"),
        "</Container>\n",
    ]
    .concat()
}
