//! What a deploy will not touch: templates that are not clearly its own, containers that could not be put back.

use super::id_of;
use crate::support::docker::docker;
use crate::support::host::Host;

#[test]
fn a_template_that_is_not_clearly_this_containers_is_refused_before_anything_is_pulled() {
    let host = Host::unraid();
    let unraid = host.unraid.as_ref().expect("Unraid's part");
    let (folder, good) = (unraid.templates(), unraid.read(&host.name));
    let path = folder.join(format!("my-{}.xml", host.name));
    let before = id_of(&host.name);
    let refused = |sentence: &str| {
        let kept: Vec<_> = [&path, &folder.join("copy.xml")]
            .map(|path| std::fs::read(path).ok())
            .into();
        let answer = host.deploy("2.0.0");
        let error = answer.assert_failed();
        assert!(error.contains(sentence), "{error}");
        assert_eq!(answer.phases(), ["queued", "preflight"]);
        let now: Vec<_> = [&path, &folder.join("copy.xml")]
            .map(|path| std::fs::read(path).ok())
            .into();
        assert!(now == kept, "a refused template was written to");
    };
    let repository = format!("<Repository>{}:1.0.0</Repository>", host.registry.image());
    let changed = |to: &str| std::fs::write(&path, good.replace(&repository, to)).expect("a template");

    changed("");
    refused("it has 0 <Repository> elements");
    changed(&repository.repeat(2));
    refused("it has 2 <Repository> elements");
    changed("<Repository>redis:7</Repository>");
    refused("its image is \"redis:7\" and not ");
    changed("<Repository>");
    refused(&format!(
        "no template below {} has <Name>{}</Name>; ignored the template",
        folder.display(),
        host.name
    ));
    std::fs::remove_file(&path).expect("removing a template");
    refused("no template below ");
    std::fs::write(&path, &good).expect("a template");
    std::fs::write(folder.join("copy.xml"), &good).expect("a second template");
    refused(&format!("several templates are named {}", host.name));

    assert_eq!(id_of(&host.name), before);
    assert_eq!(unraid.calls(), Vec::<String>::new());
    std::fs::remove_file(folder.join("copy.xml")).expect("removing a template");
    host.deploy("2.0.0").assert_ok();
}

#[test]
fn a_container_that_could_not_be_put_back_is_not_stopped() {
    let host = Host::docker();
    docker(&["rm", "-f", &host.name]);
    let first = format!("{}:1.0.0", host.registry.image());
    docker(&[
        "run",
        "-d",
        "--rm",
        "--name",
        &host.name,
        "-p",
        &format!("127.0.0.1:{}:8000", host.port),
        &first,
    ]);
    let before = id_of(&host.name);
    let error = host.deploy("2.0.0").assert_failed();
    assert!(error.contains("was started with --rm"), "{error}");
    let stranger = format!("{}-next", host.name);
    docker(&["rm", "-f", &host.name]);
    docker(&[
        "run",
        "-d",
        "--name",
        &host.name,
        "-p",
        &format!("127.0.0.1:{}:8000", host.port),
        &first,
    ]);
    docker(&["create", "--name", &stranger, &first]);
    let kept = id_of(&stranger);
    let error = host.deploy("2.0.0").assert_failed();
    assert!(error.contains("that no deploy made is in the way"), "{error}");
    assert_eq!(id_of(&stranger), kept);
    assert_ne!(id_of(&host.name), before);
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
}
