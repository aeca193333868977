//! What a deploy asks of the host, the image and the request before it touches anything, and how it logs in.

use std::path::PathBuf;

use super::reader::Reader;
use super::{Backend, value};
use crate::limits::MOST_KEPT_IMAGES;

/// What must hold before anything is touched.
#[derive(Clone, Debug)]
pub struct Checks {
    /// Bytes that must be free where docker keeps images (`DEPLOYER_MIN_FREE`); 0 asks for none.
    pub min_free: u64,
    /// Whether the image must be of the commit that was asked for (`DEPLOYER_REQUIRE_REVISION`).
    pub revision: Revision,
    /// Whether a lower version than the live one may be deployed (`DEPLOYER_ALLOW_DOWNGRADE`).
    pub downgrade: Downgrade,
    /// Who must have signed the image, if anybody.
    pub cosign: Option<Cosign>,
}

/// `DEPLOYER_REQUIRE_REVISION`: what the image's label `org.opencontainers.image.revision` is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revision {
    /// Nothing.
    Off,
    /// The commit of the request; another one is worth a line.
    Warn,
    /// The commit of the request and that of the token; another one refuses.
    On,
}

/// `DEPLOYER_ALLOW_DOWNGRADE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downgrade {
    /// It goes through, and is said to be one.
    Allowed,
    /// It is refused.
    Refused,
}

/// Who must have signed the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosign {
    /// `DEPLOYER_COSIGN_PATH`.
    pub program: PathBuf,
    /// `DEPLOYER_COSIGN_IDENTITY`: the subject of the signing certificate, exactly.
    pub identity: String,
    /// `DEPLOYER_COSIGN_ISSUER`: who vouched for that subject, exactly.
    pub issuer: String,
}

/// How docker logs in at the registry, for the pull alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// `DEPLOYER_REGISTRY_USERNAME`.
    pub username: String,
    /// `DEPLOYER_REGISTRY_PASSWORD_FILE`: the password is read where it is used and nowhere else.
    pub password_file: PathBuf,
}

/// Reads what must hold; the backend decides what can be asked at all.
pub(super) fn checks(r: &mut Reader, backend: Option<&Backend>) -> Option<Checks> {
    let min_free = r.read("DEPLOYER_MIN_FREE", value::bytes);
    let revision = r.read("DEPLOYER_REQUIRE_REVISION", |text| match text {
        "off" => Ok(Revision::Off),
        "warn" => Ok(Revision::Warn),
        "on" => Ok(Revision::On),
        _ => Err("`off`, `warn` or `on`".into()),
    });
    let downgrade = r.read("DEPLOYER_ALLOW_DOWNGRADE", |text| match text {
        "yes" => Ok(Downgrade::Allowed),
        "no" => Ok(Downgrade::Refused),
        _ => Err("`yes` or `no`".into()),
    });
    let cosign = cosign(r);
    // A check of an image that we never see would be a check that nobody makes.
    if let Some(Backend::Command { pull: false, .. }) = backend {
        const UNSEEN: &str =
            "unset where your command pulls the image by itself (DEPLOYER_PULL=on pulls it here)";
        if revision == Some(Revision::On) {
            r.complain("DEPLOYER_REQUIRE_REVISION", UNSEEN);
        }
        if let Some(Some(_)) = cosign {
            r.complain("DEPLOYER_COSIGN_PATH", UNSEEN);
        }
    }
    Some(Checks {
        min_free: min_free?,
        revision: revision?,
        downgrade: downgrade?,
        cosign: cosign?,
    })
}

/// All three or none: a signature by anybody is worth nothing, and a forgotten path must not switch the check off.
fn cosign(r: &mut Reader) -> Option<Option<Cosign>> {
    let program = r.optional("DEPLOYER_COSIGN_PATH", value::path);
    let identity = r.optional("DEPLOYER_COSIGN_IDENTITY", words);
    let issuer = r.optional("DEPLOYER_COSIGN_ISSUER", words);
    match (program?, identity?, issuer?) {
        (None, None, None) => Some(None),
        (Some(program), Some(identity), Some(issuer)) => Some(Some(Cosign {
            program,
            identity,
            issuer,
        })),
        (program, identity, issuer) => {
            let given = [
                ("DEPLOYER_COSIGN_PATH", program.is_some()),
                ("DEPLOYER_COSIGN_IDENTITY", identity.is_some()),
                ("DEPLOYER_COSIGN_ISSUER", issuer.is_some()),
            ];
            missing_of(r, &given);
            None
        }
    }
}

/// Reads how docker logs in, if it does.
pub(super) fn login(r: &mut Reader) -> Option<Option<Login>> {
    let username = r.optional("DEPLOYER_REGISTRY_USERNAME", |text| match text.contains(':') {
        // RFC 7617 section 2: the first colon ends the name.
        true => Err("a name without a colon".into()),
        false => Ok(text.to_owned()),
    });
    let password_file = r.optional("DEPLOYER_REGISTRY_PASSWORD_FILE", value::path);
    match (username?, password_file?) {
        (None, None) => Some(None),
        (Some(username), Some(password_file)) => Some(Some(Login {
            username,
            password_file,
        })),
        (username, password_file) => {
            let given = [
                ("DEPLOYER_REGISTRY_USERNAME", username.is_some()),
                ("DEPLOYER_REGISTRY_PASSWORD_FILE", password_file.is_some()),
            ];
            missing_of(r, &given);
            None
        }
    }
}

/// `DEPLOYER_KEEP_IMAGES`.
pub(super) fn keep_images(r: &mut Reader) -> Option<u32> {
    r.read("DEPLOYER_KEEP_IMAGES", value::count(1..=MOST_KEPT_IMAGES))
}

fn missing_of(r: &mut Reader, given: &[(&'static str, bool)]) {
    let missing = given.iter().filter(|(_, given)| !given);
    missing.for_each(|(name, _)| r.missing(name));
}

fn words(text: &str) -> Result<String, String> {
    match text.trim() == text {
        true => Ok(text.to_owned()),
        false => Err("without spaces around it".into()),
    }
}
