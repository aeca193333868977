//! Clients in Python, with other people's libraries.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

pub fn interpreter() -> String {
    std::env::var("FLEET_PYTHON").expect("FLEET_PYTHON is not set: run fleet/tests/run.sh, which makes it")
}

fn script(name: &str) -> String {
    format!("{}/tests/support/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script to its end; what it printed, by lines of JSON.
pub fn run(name: &str, arguments: &[&str]) -> Vec<serde_json::Value> {
    let output = Command::new(interpreter()).arg(script(name)).args(arguments).output().unwrap();
    let (out, err) = (super::text(&output.stdout), super::text(&output.stderr));
    assert!(output.status.success(), "{name}: {out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// A script that one talks with by lines.
pub struct Talk {
    child: Child,
    from: BufReader<ChildStdout>,
}

impl Talk {
    pub fn start(name: &str, arguments: &[&str]) -> Talk {
        let mut child = Command::new(interpreter())
            .arg(script(name))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Talk { child, from }
    }

    pub fn read(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|why| panic!("{line:?}: {why}"))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
