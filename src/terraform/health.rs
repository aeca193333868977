//! After an apply: the module's URL must answer 200.

use std::time::Instant;

use crate::config::HealthUrl;
use crate::event::Phase;
use crate::fetch;
use crate::limits::{FIRST_PROBE_PAUSE, MAX_FETCH, PROBE_DEADLINE};
use crate::os::privilege;
use crate::run::HumanDuration;
use crate::run::{Failure, RunContext};

use super::Terraform;

impl Terraform<'_> {
    pub(super) fn health_url(&self) -> Option<&HealthUrl> {
        let urls = &self.terraform.health_urls;
        urls.iter().find(|health| health.module == self.module.name)
    }

    pub(super) fn wait_for(&self, ctx: &mut RunContext, url: &str) -> Result<(), Failure> {
        let (start, longest) = (Instant::now(), self.config.deploy().health.max_wait);
        let (mut pause, mut said) = (FIRST_PROBE_PAUSE, String::new());
        loop {
            let answer = self.probe(url)?;
            if answer != said && answer != "200" {
                ctx.say(
                    Phase::Health,
                    &format!("waiting for {url}: last answer: {answer}"),
                );
                said.clone_from(&answer);
            }
            if answer == "200" {
                ctx.say(Phase::Health, &format!("{url} answers 200"));
                return Ok(());
            }
            if start.elapsed() + pause >= longest {
                return Err(Failure::Failed(format!(
                    "applied, but {url} is not healthy after {}: last answer: {answer}",
                    HumanDuration(longest)
                )));
            }
            ctx.pause(pause)?;
            pause = (pause * 2).min(self.config.deploy().health.poll_interval);
        }
    }

    /// The status, or why there is none.
    fn probe(&self, url: &str) -> Result<String, Failure> {
        let prepared = |error: String| Failure::Failed(format!("prepare the probe of {url}: {error}"));
        let identity =
            privilege::identity(&self.config.fetch_user).map_err(|error| prepared(error.to_string()))?;
        let order = fetch::FetchRequest::new(url, identity, PROBE_DEADLINE, MAX_FETCH)
            .trusting(self.config.issuer.ca_file.as_deref())
            .map_err(prepared)?;
        Ok(fetch::send(&order).map_or_else(|why| why, |answer| answer.status.to_string()))
    }
}
