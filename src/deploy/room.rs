//! Whether docker has room for an image, before one is pulled. A disk that fills up half way costs more than the deploy:
//! every container on the host writes to it.

use std::path::Path;

use super::Deploy;
use crate::event::Phase;
use crate::os::disk;
use crate::run::{Failure, RunContext};

impl Deploy<'_> {
    /// Refuses when less is free than `DEPLOYER_MIN_FREE`, unless the image is here already.
    pub(super) fn room(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        let floor = self.config.deploy().checks.min_free;
        if floor == 0 || !is_local(&self.config.deploy().environment) {
            return Ok(());
        }
        if self.docker.image(ctx, &self.reference)?.is_some() {
            return Ok(());
        }
        let root = self.docker.root(ctx)?;
        let free = match disk::free(Path::new(&root)) {
            Ok(free) => free,
            Err(error) => {
                let message = format!("how much is free in {root} cannot be told: {error}");
                ctx.say(Phase::Preflight, &message);
                return Ok(());
            }
        };
        match free < floor {
            false => Ok(()),
            true => Err(Failure::Failed(format!(
                "{} are free in {root}, and DEPLOYER_MIN_FREE asks for {}: make room, then try again",
                Size(free),
                Size(floor)
            ))),
        }
    }
}

/// Whether dockerd's folders are on this machine. With its own idea of a default the client talks to a socket here.
fn is_local(environment: &[(String, String)]) -> bool {
    environment.iter().all(|(name, value)| match name.as_str() {
        "DOCKER_HOST" => value.starts_with("unix://"),
        "DOCKER_CONTEXT" => value == "default",
        _ => true,
    })
}

/// Bytes for a person: `1.5 GiB`.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            bytes if bytes < 1 << 30 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{:.1} GiB", (bytes >> 20) as f64 / 1024.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_can_be_read() {
        for (bytes, text) in [
            (0, "0 MiB"),
            (500 << 20, "500 MiB"),
            (1 << 30, "1.0 GiB"),
            (3 << 29, "1.5 GiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn only_the_disk_of_a_docker_of_ours_is_looked_at() {
        let is_local = |name: &str, value: &str| is_local(&[(name.into(), value.into())]);
        assert!(is_local("PATH", "/bin") && is_local("DOCKER_HOST", "unix:///run/docker.sock"));
        assert!(is_local("DOCKER_CONTEXT", "default") && !is_local("DOCKER_CONTEXT", "far"));
        assert!(!is_local("DOCKER_HOST", "tcp://far:2376") && !is_local("DOCKER_HOST", "ssh://far"));
    }
}
