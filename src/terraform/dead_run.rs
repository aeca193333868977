//! What is done for a run of terraform that died: what is left of it is kept or removed, and the record says what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::config::{Config, Job, TerraformConfig};
use crate::event::Phase;
use crate::gate::TerraformTask;
use crate::limits::TAIL_BYTES;
use crate::os::files;
use crate::queue::{RunFolder, RunId, RunRequest};
use crate::run::Mask;

use super::work::{CHECKOUT, Work};
use super::{ADVICE, secrets};

/// Cleans up after a run that died in its turn; what its record is to say. Its terraform has ended by now: an apply was let
/// finish. Doing it twice changes nothing more.
pub fn conclude_dead(
    request: &RunRequest,
    task: &TerraformTask,
    config: &Config,
    folder: &RunFolder,
    say: &mut dyn FnMut(Phase, &str),
) -> Option<String> {
    let terraform = config.terraform.as_ref()?;
    let work = Work::of(terraform, task.what);
    let mut sentences = Vec::new();
    if task.what == Job::TfApply {
        sentences.extend(last_words(folder, terraform, say));
        sentences.extend(keep_errored_state(&work, terraform, &request.run_id).map(|kept| push_it(&kept)));
        sentences.push(ADVICE.to_owned());
    }
    sentences.push("its state may be locked still".to_owned());
    if let Err(error) = work.remove() {
        log::warn!("remove the work folder of run {}: {error}", request.run_id);
    }
    Some(sentences.join("; "))
}

pub fn push_it(kept: &str) -> String {
    format!("the state that could not be saved is in {kept}: `terraform state push` it")
}

/// What an apply said last, some of which the run may have said already. The run's mask has died with it.
fn last_words(
    folder: &RunFolder,
    terraform: &TerraformConfig,
    say: &mut dyn FnMut(Phase, &str),
) -> Option<String> {
    let bytes = files::read_end(&folder.output(), TAIL_BYTES).ok()?;
    let mut mask = Mask::default();
    secrets(&terraform.apply).for_each(|secret| mask.hide(secret));
    let text = mask.cover(&String::from_utf8_lossy(&bytes));
    // The first of so many bytes may stand in the middle of a line, and of a secret.
    let torn = usize::from(bytes.len() as u64 >= TAIL_BYTES);
    let lines = text.lines().skip(torn).filter(|line| !line.trim().is_empty());
    let lines: Vec<&str> = lines.collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    if !last.is_empty() {
        say(
            Phase::TfApply,
            "terraform finished after this run had died; its last lines:",
        );
    }
    last.iter().for_each(|line| say(Phase::TfApply, line));
    let complete = last.iter().find(|line| line.starts_with("Apply complete!"))?;
    Some(format!("terraform finished all the same: {complete}"))
}

/// Keeps a state that terraform could not save and left in the module's folder, for good; its path.
pub fn keep_errored_state(work: &Work, terraform: &TerraformConfig, run: &RunId) -> Option<String> {
    let checkout = work.real.join(CHECKOUT);
    let mut paths = terraform
        .modules
        .iter()
        .map(|module| checkout.join(&module.path).join("errored.tfstate"));
    let found = paths.find(|path| path.symlink_metadata().is_ok_and(|facts| facts.is_file()))?;
    let kept = terraform.workdir.join("errored").join(format!("{run}.tfstate"));
    if let Err(error) = keep(&found, &kept) {
        log::error!("keep {}: {error}", found.display());
        return None;
    }
    Some(kept.display().to_string())
}

fn keep(found: &Path, kept: &Path) -> std::io::Result<()> {
    files::ensure_folder(kept.parent().unwrap_or(kept), 0o700)?;
    fs::rename(found, kept)?;
    fs::set_permissions(kept, fs::Permissions::from_mode(0o600))?;
    fs::File::open(kept)?.sync_all()?;
    files::sync_folder(kept)
}
