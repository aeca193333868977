//! The image of a deploy: pulling it, and from then on knowing it by what it is, whatever its tag comes to mean.

use super::docker::login::LoggedIn;
use super::{Deploy, Verified};
use crate::event::Phase;
use crate::run::{Failure, RunContext};

impl Deploy<'_> {
    pub(super) fn pull(&self, ctx: &mut RunContext) -> Result<Option<String>, Failure> {
        let login = self.log_in(ctx)?;
        let pulled = self.docker.pull(ctx, &self.reference, login.as_ref());
        if let Some(Err(error)) = login.as_ref().map(LoggedIn::end) {
            let message =
                format!("the registry login could not be removed: {error}; the next run tries again");
            ctx.say(Phase::Pull, &message);
        }
        pulled
    }

    fn log_in(&self, ctx: &mut RunContext) -> Result<Option<LoggedIn>, Failure> {
        let reference = &self.reference;
        let Some(login) = &self.config.deploy().login else {
            ctx.say(Phase::Pull, &format!("pull {reference}"));
            return Ok(None);
        };
        let folder = (&*self.config.places.logins(), self.run_id.as_str());
        let environment = &self.config.deploy().environment;
        let made = LoggedIn::new(login, &self.config.deploy().image, folder, environment)
            .map_err(Failure::Failed)?;
        made.secrets.iter().for_each(|secret| ctx.hide(secret));
        ctx.say(Phase::Pull, &format!("pull {reference} as {}", login.username));
        Ok(Some(made))
    }

    /// The image is looked up by the digest that the registry just named: another pull may have moved the tag meanwhile.
    pub(super) fn verify(&self, ctx: &mut RunContext, digest: Option<String>) -> Result<Verified, Failure> {
        let reference = &self.reference;
        let fixed = self
            .by_digest(digest.as_deref())
            .unwrap_or_else(|| reference.clone());
        let Some(image) = self.docker.image(ctx, &fixed)? else {
            let sentence = format!("{fixed} was pulled and is not on this host: was it removed just now?");
            return Err(Failure::Failed(sentence));
        };
        if let Some(digest) = digest.as_ref().filter(|digest| !image.has_digest(digest)) {
            return Err(Failure::Failed(format!(
                "{reference} is another image than the pulled {digest}"
            )));
        }
        ctx.say(Phase::Verify, &format!("{reference} is image {}", image.id));
        self.check_revision(ctx, image.revision())?;
        ctx.outcome_member("image", image.id.as_str().into());
        if let Some(digest) = &digest {
            ctx.outcome_member("digest", digest.as_str().into());
        }
        Ok(Verified { id: image.id, digest })
    }

    /// Unraid's script knows images by their tags alone: the tag must still be the image that was verified.
    pub(super) fn hold_tag(&self, ctx: &mut RunContext, verified: &Verified) -> Result<(), Failure> {
        let (image, reference) = (&verified.id, &self.reference);
        let now = self.docker.image(ctx, reference)?;
        if now.is_some_and(|now| now.id == *image) {
            return Ok(());
        }
        ctx.say(
            Phase::Update,
            &format!("{reference} was moved by somebody else; it is image {image} again"),
        );
        self.docker.tag(ctx, image, reference)
    }

    /// A name of the verified image that nobody can move; with the version, where there is a digest to fix it.
    pub(super) fn fixed_reference(&self, image: &Verified) -> String {
        let by_id = || image.id.as_str().to_owned();
        self.by_digest(image.digest.as_deref()).unwrap_or_else(by_id)
    }

    /// `image:version@sha256:...`: Docker looks at the digest alone, people see the version.
    fn by_digest(&self, digest: Option<&str>) -> Option<String> {
        digest.map(|digest| format!("{}@{digest}", self.reference))
    }
}
