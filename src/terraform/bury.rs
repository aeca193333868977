//! What is done for a run of terraform that died: what is left of it is kept or removed, and the record says what to do.

use std::fs;
use std::path::Path;

use crate::config::{Config, Job, TerraformConfig};
use crate::event::Phase;
use crate::gate::TerraformTask;
use crate::limits::TAIL_BYTES;
use crate::os::files;
use crate::queue::{RunFolder, RunId, RunRequest};
use crate::run::Mask;

use super::applying::LOOK;
use super::work::{Kind, Work};

/// Where terraform leaves the state that it could not save, in the module's folder.
const ERRORED: &str = "errored.tfstate";

/// Cleans up after a run that died in its turn. Its terraform has ended by now: an apply was let finish. Doing it twice
/// changes nothing more.
pub fn conclude_dead(
    order: &RunRequest,
    task: &TerraformTask,
    config: &Config,
    folder: &RunFolder,
    say: &mut dyn FnMut(Phase, &str),
) -> Option<String> {
    let terraform = config.terraform.as_ref()?;
    let kind = match task.what {
        Job::TfPlan => Kind::Plan,
        _ => Kind::Apply,
    };
    let work = Work::of(terraform, kind);
    let mut told = Vec::new();
    if task.what == Job::TfApply {
        told.extend(last_words(folder, terraform, say));
        if let Some(kept) = rescue(&work, terraform, &order.run_id) {
            told.push(format!(
                "the state that could not be saved is in {kept}: `terraform state push` it"
            ));
        }
        told.push(LOOK.to_owned());
    }
    told.push("if the state is locked still, terraform says so, and how to free it".to_owned());
    if let Err(error) = work.remove() {
        log::warn!("remove the work folder of run {}: {error}", order.run_id);
    }
    Some(told.join("; "))
}

/// What an apply said last, some of which the run may have told already. The run's mask has died with it.
fn last_words(
    folder: &RunFolder,
    terraform: &TerraformConfig,
    say: &mut dyn FnMut(Phase, &str),
) -> Option<String> {
    let bytes = files::read_end(&folder.output(), TAIL_BYTES).ok()?;
    let mut mask = Mask::default();
    super::secrets(&terraform.apply).for_each(|secret| mask.hide(secret));
    let text = mask.cover(&String::from_utf8_lossy(&bytes));
    // The first of so many bytes may stand in the middle of a line, and of a secret.
    let torn = usize::from(bytes.len() as u64 >= TAIL_BYTES);
    let lines: Vec<&str> = text
        .lines()
        .skip(torn)
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(20)..];
    if last.is_empty() {
        return None;
    }
    say(
        Phase::TfApply,
        "terraform was let finish after this run had died; its last lines:",
    );
    last.iter().for_each(|line| say(Phase::TfApply, line));
    let complete = last.iter().find(|line| line.starts_with("Apply complete!"))?;
    Some(format!("terraform finished all the same: {complete}"))
}

/// Keeps a state that terraform could not save, for good; its path.
pub(super) fn rescue(work: &Work, terraform: &TerraformConfig, run: &RunId) -> Option<String> {
    let checkout = Work::checkout(work.real());
    let mut folders = terraform
        .modules
        .iter()
        .map(|module| super::folder_of(&checkout, module));
    let found = folders.find_map(|folder| {
        let path = folder.join(ERRORED);
        path.is_file().then_some(path)
    })?;
    match keep(&found, &terraform.workdir, run) {
        Ok(kept) => Some(kept),
        Err(error) => {
            log::error!("keep {}: {error}", found.display());
            None
        }
    }
}

fn keep(found: &Path, workdir: &Path, run: &RunId) -> std::io::Result<String> {
    let folder = workdir.join("errored");
    files::ensure_folder(&folder, 0o700)?;
    let kept = folder.join(format!("{run}.tfstate"));
    fs::rename(found, &kept)?;
    fs::set_permissions(&kept, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    fs::File::open(&kept)?.sync_all()?;
    files::sync_folder(&folder)?;
    Ok(kept.display().to_string())
}
