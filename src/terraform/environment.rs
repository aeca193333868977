//! What terraform finds in its environment: this and nothing else. All of it reaches every provider.

use std::io;
use std::path::Path;

use crate::os::files::{self, Durability};
use crate::terraform::hands::Hands;
use crate::terraform::work::Work;

/// Our settings for terraform where the operator has none: no calls home, and providers from their registries alone. A
/// block like this also keeps terraform from running a provider that a commit has brought with it.
const SETTINGS: &str = "disable_checkpoint = true\nprovider_installation {\n  direct {}\n}\n";

/// Where programs are found: terraform, git for modules, and what a configuration starts.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The environment of every command of terraform.
pub fn of(hands: &Hands<'_>) -> Vec<(String, String)> {
    let (terraform, side, work) = (hands.terraform, hands.side, &hands.work);
    let path = |path: &Path| path.display().to_string();
    let settings = terraform.cli_config.clone();
    let settings = settings.unwrap_or_else(|| work.seen_settings());
    let fixed = [
        ("PATH", PATH.to_owned()),
        ("HOME", path(&Work::home(work.seen()))),
        ("TF_IN_AUTOMATION", "1".into()),
        ("TF_INPUT", "0".into()),
        ("TF_CLI_CONFIG_FILE", path(&settings)),
        ("TF_DATA_DIR", path(&Work::data(work.seen()))),
        ("CHECKPOINT_DISABLE", "1".into()),
        ("AWS_ACCESS_KEY_ID", side.access_key_id.expose().to_owned()),
        (
            "AWS_SECRET_ACCESS_KEY",
            side.secret_access_key.expose().to_owned(),
        ),
        ("AWS_REGION", terraform.region.clone()),
        ("AWS_DEFAULT_REGION", terraform.region.clone()),
        // `init` runs git for modules.
        ("GIT_TERMINAL_PROMPT", "0".into()),
        ("GIT_ALLOW_PROTOCOL", "https".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
    ];
    let cache = terraform
        .plugin_cache
        .as_deref()
        .map(|cache| ("TF_PLUGIN_CACHE_DIR", path(cache)));
    let docker = side.docker_host.clone().map(|host| ("DOCKER_HOST", host));
    let all = fixed.into_iter().chain(cache).chain(docker);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Writes our settings, where the operator has none.
pub fn write(hands: &Hands<'_>) -> io::Result<()> {
    match hands.terraform.cli_config {
        Some(_) => Ok(()),
        None => files::replace(
            &hands.work.real_settings(),
            SETTINGS.as_bytes(),
            0o644,
            Durability::Volatile,
        ),
    }
}
