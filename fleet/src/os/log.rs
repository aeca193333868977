//! The log: lines on standard error. What others wrote is made harmless first.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::wire::harmless;

static DEBUG: AtomicBool = AtomicBool::new(false);

pub fn enable_debug() {
    DEBUG.store(true, Ordering::Relaxed);
}

pub fn line(text: &str) {
    // A closed standard error is no reason to end.
    writeln!(std::io::stderr(), "homelab-deploy: {}", harmless(text)).ok();
}

pub fn debug(text: &str) {
    if DEBUG.load(Ordering::Relaxed) {
        line(text);
    }
}
