//! [keys] `keygen` against other people's nkeys and the server. What a seed's file may hold instead.

use std::os::unix::fs::PermissionsExt;

use crate::support::server::Server;
use crate::support::{Folder, python, run};

#[test]
fn keys_made_here_are_keys_to_pythons_nkeys_and_to_the_server() {
    let folder = Folder::new();
    let path = folder.path().join("user.seed");
    let file = path.to_str().unwrap();
    let made = run(&["keygen", file]);
    assert_eq!(made.status, 0, "{}", made.err);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let public = made.out.trim().to_owned();
    assert_eq!(run(&["keygen", "--public", file]).out.trim(), public);
    let again = run(&["keygen", file]);
    assert_eq!(again.status, 2, "an existing file is not written over");
    let python = python::run("keys.py", &[file]);
    assert_eq!(python[0]["public"], public.as_str());
    assert_eq!(python[0]["verified"], true);

    let server = Server::with("");
    let config = server.config().replace(&server.keys.test_deployer.public_key(), &public);
    server.folder.write("server.conf", &config);
    server.reload();
    let list = || {
        let connect = ["--nats-url", &server.url(), "--nkey-file", file].map(str::to_owned);
        run(&["list-hosts", &connect[0], &connect[1], &connect[2], &connect[3]])
    };
    crate::support::wait_until("the server takes the key", || list().err.contains("no host answers"));
}

#[test]
fn bad_input_each_wrong_seed_file_is_named_and_one_newline_is_trimmed() {
    let server = Server::start();
    let deployer = &server.keys.test_deployer;
    let good = deployer.reveal().to_owned();
    let account = nkeys::KeyPair::new_account().seed().unwrap();
    let operator = nkeys::KeyPair::new_operator().seed().unwrap();
    let mut spoilt = good.clone().into_bytes();
    spoilt[30] = if spoilt[30] == b'A' { b'B' } else { b'A' };
    for (text, words) in [
        (String::new(), "is empty"),
        (deployer.public_key(), "public key"),
        (account, "an account"),
        (operator, "an operator"),
        (format!("{good}\n{good}\n"), "more than one line"),
        (String::from_utf8(spoilt).unwrap(), "checksum"),
    ] {
        let path = server.folder.write("wrong", &text);
        let ran = server.command("wrong", &["list-hosts"]);
        assert_eq!(ran.status, 2, "{words}: {}", ran.err);
        assert!(ran.err.contains(words) && ran.err.contains(path.to_str().unwrap()), "{words}: {}", ran.err);
    }
    let ran = server.command("missing", &["list-hosts"]);
    assert!(ran.status == 2 && ran.err.contains("No such file"), "{}", ran.err);
    server.folder.write("newline", &format!("{good}\n"));
    let ran = server.command("newline", &["list-hosts"]);
    assert!(ran.status == 3 && ran.err.contains("no host answers"), "{}", ran.err);
    assert!(ran.err.contains("can be read by others"), "{}", ran.err);
}
