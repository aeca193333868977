//! Images of the application (`app.rs`): built once, imported in as many versions as a test likes.

use super::docker::{docker, ensure_running};
use super::folder::Folder;
use super::process::{installed, output_of, run, text};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A version of the application, to be imported and pushed.
pub struct Image<'a> {
    version: &'a str,
    changes: Vec<String>,
    noise: usize,
}

impl<'a> Image<'a> {
    /// One that behaves.
    pub fn of(version: &'a str) -> Image<'a> {
        let changes = vec!["ENTRYPOINT [\"/app\"]".into(), format!("ENV VERSION={version}")];
        Image {
            version,
            changes,
            noise: 0,
        }
    }

    /// One that misbehaves, in the words of `app.rs`: `exit=1`, `status=500`.
    pub fn behaving(self, words: &str) -> Image<'a> {
        self.change(format!("ENV BEHAVE={words}"))
    }

    /// With a label, such as `org.opencontainers.image.revision`.
    pub fn labelled(self, name: &str, value: &str) -> Image<'a> {
        self.change(format!("LABEL {name}={value}"))
    }

    /// With a health check of Docker's own, every second.
    pub fn with_healthcheck(self) -> Image<'a> {
        self.change(
            "HEALTHCHECK --interval=1s --timeout=2s --retries=2 CMD [\"/app\",\"healthcheck\"]".into(),
        )
    }

    /// With so many MiB of noise beside the program, which nothing compresses.
    pub fn with_noise(mut self, mebibytes: usize) -> Image<'a> {
        self.noise = mebibytes;
        self
    }

    fn change(mut self, change: String) -> Image<'a> {
        self.changes.push(change);
        self
    }

    /// Imports it as `REPOSITORY:VERSION`; the image's id. It is on this host only.
    pub fn import(self, repository: &str) -> String {
        ensure_running();
        let mut command = installed("docker", "docker.io");
        command.arg("import");
        for change in &self.changes {
            command.args(["--change", change]);
        }
        let output = output_of(
            command.args(["-", &format!("{repository}:{}", self.version)]),
            &content_with(self.noise),
        );
        assert!(output.status.success(), "docker import: {}", text(&output.stderr));
        text(&output.stdout).trim().to_string()
    }

    /// Imports it, pushes it to the repository's registry, and takes it off the host; the image's id.
    pub fn push(self, repository: &str) -> String {
        let reference = format!("{repository}:{}", self.version);
        let id = self.import(repository);
        docker(&["push", "--quiet", &reference]);
        docker(&["image", "rm", &reference]);
        id
    }
}

/// The content of every image: a tar with the program in it.
fn content() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| {
        let folder = Folder::new("app");
        build(&folder.join("app"));
        let tar = output_of(
            Command::new("tar")
                .arg("-C")
                .arg(folder.path())
                .args(["-c", "app"]),
            b"",
        );
        assert!(tar.status.success(), "tar: {}", text(&tar.stderr));
        tar.stdout
    })
}

/// The same with so many MiB of noise beside it.
fn content_with(noise: usize) -> Vec<u8> {
    if noise == 0 {
        return content().to_owned();
    }
    let folder = Folder::new("noise");
    let tar = folder.write("content.tar", content());
    let random = File::open("/dev/urandom").expect("the kernel's random bytes");
    let mut bytes = Vec::new();
    let length = noise as u64 * 1024 * 1024;
    random.take(length).read_to_end(&mut bytes).expect("random bytes");
    folder.write("noise", bytes);
    run(Command::new("tar")
        .arg("-rf")
        .arg(&tar)
        .arg("-C")
        .arg(folder.path())
        .arg("noise"));
    fs::read(tar).expect("a tar")
}

/// Builds the application, linked statically because the image has no libc.
fn build(program: &Path) {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    run(
        Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args([
                "--edition",
                "2024",
                "-O",
                "-C",
                "target-feature=+crt-static",
                "-C",
                "strip=symbols",
                "-C",
                "panic=abort",
            ])
            .args(["--target", &target, "-o"])
            .arg(program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/app.rs")),
    );
}
