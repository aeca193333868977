//! Configurations as text, each a piece that others can stand beside. All of it is built into terraform, so nothing is
//! fetched, but for [`slow_things`].

use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::web;

/// State in a file.
pub fn local_backend(path: &std::path::Path) -> String {
    format!(
        "terraform {{\n  backend \"local\" {{ path = \"{}\" }}\n}}\n",
        path.display()
    )
}

/// A resource that is there at once.
pub fn thing(name: &str, input: &str) -> String {
    format!("resource \"terraform_data\" \"{name}\" {{ input = \"{input}\" }}\n")
}

/// Such resources, one after another.
pub fn chain(names: &[&str]) -> String {
    let mut text = String::new();
    let mut before = String::new();
    for name in names {
        let _ = writeln!(
            text,
            "resource \"terraform_data\" \"{name}\" {{\n  input = \"{name}\"\n{before}}}"
        );
        before = format!("  depends_on = [terraform_data.{name}]\n");
    }
    text
}

/// A resource whose making is a shell command, after the resource `after` when it has a name.
pub fn making(name: &str, command: &str, after: &str) -> String {
    let command = command.replace('\\', "\\\\").replace('"', "\\\"");
    let after = match after {
        "" => String::new(),
        name => format!("  depends_on = [terraform_data.{name}]\n"),
    };
    format!(
        "resource \"terraform_data\" \"{name}\" {{\n{after}  provisioner \"local-exec\" {{ command = \"{command}\" }}\n}}\n"
    )
}

/// An output.
pub fn output(name: &str, value: &str) -> String {
    format!("output \"{name}\" {{ value = \"{value}\" }}\n")
}

/// An output that terraform does not show.
pub fn sensitive(name: &str, value: &str) -> String {
    format!("output \"{name}\" {{\n  value     = \"{value}\"\n  sensitive = true\n}}\n")
}

/// A plan of at least so many lines; a multiple of 1000.
pub fn lines(count: usize) -> String {
    // A range has at most 1024 members.
    format!(
        "output \"lines\" {{\n  value = flatten([for i in range({}) : [for j in range(1000) : \"line ${{i}} ${{j}}\"]])\n}}\n",
        count / 1000
    )
}

/// A plan, and an apply, that take so many seconds to read something.
pub fn waiting(sleeper: &str, seconds: u32) -> String {
    format!(
        "data \"terraform_remote_state\" \"wait\" {{\n  backend = \"http\"\n  config  = {{ address = \"{sleeper}/{seconds}\" }}\n}}\n"
    )
}

/// A data source whose output `value` is what `world` answers with when it is read.
pub fn read_from(world: &World, name: &str) -> String {
    format!(
        "data \"terraform_remote_state\" \"{name}\" {{\n  backend = \"http\"\n  config  = {{ address = \"{}\" }}\n}}\n",
        world.url
    )
}

/// What a data source reads, which somebody changes.
pub struct World {
    url: String,
    value: Arc<Mutex<String>>,
}

impl World {
    /// A server on loopback with this value.
    pub fn of(value: &str) -> World {
        let (listener, url) = web::listen(0);
        let value = Arc::new(Mutex::new(value.to_owned()));
        let answered = Arc::clone(&value);
        web::serve(listener, move |_| {
            let value = answered.lock().expect("the value").clone();
            let state = json!({
                "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "x", "resources": [],
                "outputs": {"value": {"value": value, "type": "string"}},
            });
            (200, state.to_string())
        });
        World { url, value }
    }

    /// From now on it answers with this.
    pub fn becomes(&self, value: &str) {
        *self.value.lock().expect("the value") = value.to_owned();
    }
}

/// A module from a place that cannot be reached.
pub fn module_from(source: &str) -> String {
    format!("module \"far\" {{ source = \"{source}\" }}\n")
}

/// Things of the slow provider, one after another, with the seconds that each takes.
pub fn slow_things(things: &[(&str, u32)]) -> String {
    let mut text = String::from(
        "terraform {\n  required_providers {\n    slow = {\n      source  = \"example.test/engram/slow\"\n      version = \"1.0.0\"\n    }\n  }\n}\n",
    );
    let mut before = String::new();
    for (name, seconds) in things {
        let _ = writeln!(
            text,
            "resource \"slow_thing\" \"{name}\" {{\n  name    = \"{name}\"\n  seconds = {seconds}\n{before}}}"
        );
        before = format!("  depends_on = [slow_thing.{name}]\n");
    }
    text
}

/// A server that answers with an empty state after as many seconds as its path says; its URL. For [`waiting`].
pub fn sleeper() -> String {
    const STATE: &str =
        r#"{"version":4,"terraform_version":"1.11.4","serial":1,"lineage":"x","outputs":{},"resources":[]}"#;
    let (listener, url) = web::listen(0);
    web::serve(listener, |request| {
        let seconds = request.path().trim_start_matches('/').parse().unwrap_or_default();
        thread::sleep(Duration::from_secs(seconds));
        (200, STATE.into())
    });
    url
}
