//! Named places where a process ends itself, for the tests of what a crash leaves behind.

/// Ends this process with SIGKILL where `HOMELAB_DEPLOY_FAILPOINT` names the place. A place is hit once where the variable
/// `HOMELAB_DEPLOY_FAILPOINT_ONCE` names a file that is not there yet.
pub fn hit(place: &str) {
    if !cfg!(feature = "failpoints") || std::env::var("HOMELAB_DEPLOY_FAILPOINT").as_deref() != Ok(place) {
        return;
    }
    if let Ok(file) = std::env::var("HOMELAB_DEPLOY_FAILPOINT_ONCE")
        && std::fs::File::create_new(file).is_err()
    {
        return;
    }
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).ok();
}

/// The variables that a child needs to hit its own places.
pub fn variables() -> Vec<(String, String)> {
    let ours = |name: &str| cfg!(feature = "failpoints") && name.starts_with("HOMELAB_DEPLOY_FAILPOINT");
    std::env::vars().filter(|(name, _)| ours(name)).collect()
}
