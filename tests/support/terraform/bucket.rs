//! An S3 server on loopback with one bucket: moto, which knows the conditional writes that terraform locks with.

use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::time::Duration;

use super::python;
use crate::support::folder::Folder;
use crate::support::process::{Running, installed, output_of, text};

/// The bucket's name.
const NAME: &str = "engram-state";

/// Without a signature objects are for nobody; what it says is not looked at.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=t/20260102/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// curl would say that it is a form.
const PLAIN: &str = "Content-Type: application/octet-stream";

/// The server, with nothing in its bucket. It ends when dropped.
pub struct Bucket {
    server: Option<Running>,
    folder: Folder,
    port: u16,
}

impl Bucket {
    /// On a port of its own.
    #[track_caller]
    pub fn start() -> Bucket {
        let folder = Folder::new("bucket");
        for _ in 0..5 {
            let port = crate::support::free_port();
            if let Some(server) = Bucket::try_start(&folder, port) {
                let bucket = Bucket {
                    server: Some(server),
                    folder,
                    port,
                };
                bucket.ask(&["-X", "PUT"], "").expect("making a bucket");
                return bucket;
            }
        }
        panic!("moto did not start in five attempts: {}", log(&folder));
    }

    /// `None` when it ended before it answered: another program was faster to take the port.
    #[track_caller]
    fn try_start(folder: &Folder, port: u16) -> Option<Running> {
        let mut command = Command::new(python());
        command
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(port.to_string());
        let mut server = Running::start(command.current_dir(folder.path()), &folder.join("log"));
        let answers = || {
            let mut curl = installed("curl", "curl");
            curl.args(["-s", "-m", "1", "-o", "/dev/null"]);
            curl.arg(format!("http://127.0.0.1:{port}/"));
            curl.status().is_ok_and(|status| status.success())
        };
        let up = crate::support::came_true(Duration::from_secs(60), || server.ended() || answers());
        assert!(up, "moto does not answer: {}", log(folder));
        (!server.ended()).then_some(server)
    }

    /// The block that keeps terraform's state under `key`, with locks.
    pub fn backend(&self, key: &str) -> String {
        let url = format!("http://127.0.0.1:{}", self.port);
        format!(
            r#"terraform {{
  backend "s3" {{
    bucket                      = "{NAME}"
    key                         = "{key}"
    region                      = "us-east-1"
    use_lockfile                = true
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_requesting_account_id  = true
    skip_region_validation      = true
    endpoints                   = {{ s3 = "{url}", sts = "{url}", iam = "{url}" }}
  }}
}}
"#
        )
    }

    /// The names of all objects.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        let list = self.ask(&[], "?list-type=2").expect("a list of objects");
        let keys = list.split("<Key>").skip(1);
        keys.filter_map(|rest| rest.split("</Key>").next())
            .map(str::to_owned)
            .collect()
    }

    /// An object; `None` when there is none.
    pub fn get(&self, key: &str) -> Option<String> {
        self.ask(&[], &format!("/{key}"))
    }

    /// A state as terraform wrote it.
    #[track_caller]
    pub fn state(&self, key: &str) -> Option<Value> {
        let text = self.get(key)?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{key}: {error}: {text}")))
    }

    /// Who holds the lock of a state.
    #[track_caller]
    pub fn lock(&self, key: &str) -> Option<Value> {
        self.state(&format!("{key}.tflock"))
    }

    /// Writes an object.
    #[track_caller]
    pub fn put(&self, key: &str, content: &str) {
        let file = self.folder.write("object", content);
        let from = format!("@{}", file.display());
        let put = self.ask(
            &["-X", "PUT", "-H", PLAIN, "--data-binary", &from],
            &format!("/{key}"),
        );
        assert!(put.is_some(), "writing the object {key}: {}", log(&self.folder));
    }

    /// Removes an object.
    #[track_caller]
    pub fn remove(&self, key: &str) {
        let removed = self.ask(&["-X", "DELETE"], &format!("/{key}"));
        assert!(removed.is_some(), "removing the object {key}");
    }

    /// From now on every request waits, as with a network that swallows everything.
    pub fn pause(&self) {
        self.server().signal(Signal::SIGSTOP);
    }

    /// The end of [`Bucket::pause`].
    pub fn resume(&self) {
        self.server().signal(Signal::SIGCONT);
    }

    /// Ends it: requests are refused, and all objects are gone.
    pub fn end(&mut self) {
        self.server = None;
    }

    fn server(&self) -> &Running {
        self.server.as_ref().expect("the bucket was ended by the test")
    }

    /// The answer's body, when its status is one of success.
    fn ask(&self, arguments: &[&str], target: &str) -> Option<String> {
        let mut curl = installed("curl", "curl");
        curl.args(["-s", "-f", "-m", "20", "-H", SIGNED]).args(arguments);
        curl.arg(format!("http://127.0.0.1:{}/{NAME}{target}", self.port));
        let output = output_of(&mut curl, b"");
        output.status.success().then(|| text(&output.stdout))
    }
}

/// The resources of a state, as configurations name them, sorted; those that are tainted end in `!`.
pub fn resources(state: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for resource in state["resources"].as_array().into_iter().flatten() {
        for instance in resource["instances"].as_array().into_iter().flatten() {
            let tainted = if instance["status"] == "tainted" { "!" } else { "" };
            let name = resource["name"].as_str().unwrap_or_default();
            if resource["mode"] == "managed" {
                names.push(format!("{name}{tainted}"));
            }
        }
    }
    names.sort();
    names
}

fn log(folder: &Folder) -> String {
    text(&fs::read(folder.join("log")).unwrap_or_default())
}
