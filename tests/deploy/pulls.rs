//! A pull that fails: which kind of failure it is, and that nothing was touched.

use super::{id_of, image_id, messages};
use crate::support::curl::Answer;
use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::host::Host;
use crate::support::oidc::Issuer;
use crate::support::registry::refusing;

#[track_caller]
fn assert_failed_pull(answer: &Answer, kind: &str) {
    let error = answer.assert_failed();
    assert!(error.starts_with(&format!("pull failed: {kind}: ")), "{error}");
    assert_eq!(answer.phases(), ["queued", "preflight", "pull"]);
}

#[test]
fn a_missing_tag_and_a_registry_that_is_down_touch_nothing() {
    let mut host = Host::unraid();
    let before = (
        id_of(&host.name),
        host.unraid.as_ref().map(|unraid| unraid.read(&host.name)),
    );
    let answer = host.deploy("9.9.9");
    assert_failed_pull(&answer, "the registry has no such image or tag (was it pushed?)");
    host.registry.stop();
    let answer = host.deploy("2.0.0");
    assert_failed_pull(&answer, "the registry could not be reached");
    let again = messages(&answer, "pull");
    assert!(
        again.iter().any(|line| line.ends_with("; trying again in 1 s")),
        "{again:?}"
    );
    let unraid = host.unraid.as_ref().expect("Unraid's part");
    assert_eq!((id_of(&host.name), Some(unraid.read(&host.name))), before);
    assert_eq!(unraid.calls(), Vec::<String>::new());
    assert_eq!(image_id(&format!("{}:latest", host.registry.image())), None);
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
}

#[test]
fn what_a_registry_refuses_with_is_told_by_its_kind() {
    let issuer = Issuer::start();
    let cases = [
        (401, "the registry refused the credentials"),
        (403, "the registry refused the credentials"),
        (429, "the registry's rate limit is reached, try again later"),
        (500, "the registry is in trouble"),
    ];
    // Side by side: the last one is tried three times, with pauses.
    std::thread::scope(|scope| {
        for (status, kind) in cases {
            let issuer = &issuer;
            scope.spawn(move || {
                let mut setup = Setup::new(issuer);
                setup.folder().write("containers/app.json", "{}");
                let declarations = setup.folder().join("containers");
                setup
                    .set("DEPLOYER_BACKEND", "docker")
                    .set("DEPLOYER_CONTAINER_DIR", declarations)
                    .set("DEPLOYER_CONTAINERS", crate::support::unique("never"))
                    .set("DEPLOYER_IMAGE", refusing(status));
                let name = setup.setting("DEPLOYER_CONTAINERS").to_owned();
                setup.folder().write(&format!("containers/{name}.json"), "{}");
                let deployer = setup.start();
                let token = issuer.mint(AUDIENCE);
                let answer = deployer
                    .client()
                    .post("/deploy", &token, r#"{"version":"2.0.0"}"#);
                assert_failed_pull(&answer, kind);
            });
        }
    });
}
