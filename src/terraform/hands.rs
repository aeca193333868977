//! How a tool is started for a plan, or for an apply: as whom, with what environment, within which walls.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Side, TerraformConfig};
use crate::run::{Ending, Tool};
use crate::secret::Secret;
use crate::terraform::work::{Kind, Work};

/// The hands of one run.
#[derive(Clone, Copy, Debug)]
pub struct Hands<'a> {
    /// Everything.
    pub config: &'a Config,
    /// Its part for terraform.
    pub terraform: &'a TerraformConfig,
    /// Who the tools run as, and with which credentials.
    pub side: &'a Side,
    /// Within which walls.
    pub kind: Kind,
    /// Where.
    pub work: &'a Work,
}

/// One tool to start.
#[derive(Clone, Debug)]
pub struct Errand {
    /// With a slash, or looked for on `PATH`.
    pub program: PathBuf,
    /// After the program's own name. No secret belongs here.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Where it stands, as it sees it: beneath [`Work::seen`].
    pub directory: PathBuf,
    /// How long it may take.
    pub deadline: Duration,
    /// How it is ended before that.
    pub ending: Ending,
    /// What it can read from descriptor 3, once.
    pub pipe: Option<Secret>,
}

impl Hands<'_> {
    /// The tool as a step starts it.
    pub fn tool(&self, errand: Errand) -> Tool {
        Tool {
            program: errand.program,
            arguments: errand.arguments,
            environment: errand.environment,
            deadline: errand.deadline,
            ending: errand.ending,
            stdin: None,
            pipe: errand.pipe,
        }
    }
}
