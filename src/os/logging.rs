//! The daemon's own log: standard error, one line an entry, control characters made harmless.

use std::io::Write;
use std::time::SystemTime;

use crate::event::harmless;
use crate::os::clock;

/// Starts logging with `filter` (env_logger's syntax). A second call changes nothing.
pub fn start(role: &'static str, filter: &str) {
    let _ = env_logger::Builder::new()
        .parse_filters(filter)
        .format(move |out, record| {
            let time = clock::rfc3339(SystemTime::now());
            let text = harmless(&record.args().to_string());
            writeln!(
                out,
                "{time} {:<5} {role}[{}] {text}",
                record.level(),
                std::process::id()
            )
        })
        .try_init();
}
