use super::*;

#[test]
fn a_repository_is_fetched_by_https_or_from_this_machine_and_never_with_a_password() {
    for good in [
        "https://github.com/acme/infra.git",
        "https://github.com/acme/infra",
        "https://git.example:3000/a/b/c.git",
        "http://127.0.0.1:3000/acme/infra.git",
        "http://localhost/x",
        "file:///srv/git/infra.git",
    ] {
        assert_eq!(repo_url(good).as_deref(), Some(good));
    }
    for bad in [
        "",
        "git@github.com:acme/infra.git",
        "ssh://git@github.com/acme/infra.git",
        "https://user:password@github.com/acme/infra.git",
        "https://token@github.com/acme/infra.git",
        "https://github.com/acme/infra.git?x=1",
        "https://github.com/acme/infra.git#main",
        "https://github.com",
        "https://github.com/",
        "https://github.com/acme",
        "https://github.com/acme/",
        "https://github.com/acme/.git",
        "https://github.com/acme/infra/tree/main",
        "http://github.com/acme/infra.git",
        "http://192.0.2.1/x",
        "file://host/srv/git",
        "file://srv/git",
        "file:///srv/../etc",
        "file:///",
        "ext::sh -c id",
        "/srv/git",
        "-upload-pack=x",
    ] {
        assert!(repo_url(bad).is_none(), "{bad}");
    }
    assert!(is_on_github("https://GitHub.com/acme/infra.git"));
    assert!(!is_on_github("https://github.com.example/acme/infra.git"));
}

#[test]
fn the_api_has_no_slash_at_its_end() {
    assert_eq!(
        api_url("https://ghe.example/api/v3/").as_deref(),
        Some("https://ghe.example/api/v3")
    );
    for bad in [
        "http://192.0.2.1",
        "https://u@h/",
        "https://h/?x",
        "api.github.com",
    ] {
        assert!(api_url(bad).is_none(), "{bad}");
    }
}

#[test]
fn a_module_lies_in_the_checkout() {
    for (text, path) in [
        ("infra", "infra"),
        ("./infra/", "infra"),
        ("a//b/./c", "a/b/c"),
        (".", "."),
        ("./", "."),
        ("..a", "..a"),
    ] {
        assert_eq!(module_path(text).as_deref(), Some(path), "{text}");
    }
    let long = "x".repeat(MAX_MODULE_PATH + 1);
    for bad in ["", "/", "/etc", "..", "a/../b", "a/..", "../a", &long] {
        assert!(module_path(bad).is_none(), "{bad}");
    }
}

#[test]
fn modules_have_names_that_are_theirs_alone() {
    let found = modules("dashboard=infra/dash, b=.").expect("two modules");
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.name.as_str(), one.path.as_str()))
        .collect();
    assert_eq!(found, [("dashboard", "infra/dash"), ("b", ".")]);
    let long = format!("{}=x", "x".repeat(MAX_MODULE_NAME + 1));
    for bad in [
        "",
        ",",
        "dashboard",
        "=x",
        "a=",
        "a=/etc",
        "a=../x",
        "a=x,a=y",
        "default=x",
        "A=x",
        "a.b=x",
        "../a=x",
        "-a=x",
        "a b=x",
        &long,
    ] {
        assert!(modules(bad).is_none(), "{bad}");
    }
}

#[test]
fn health_is_asked_for_where_keys_may_be_fetched() {
    let found = health_urls("default=http://localhost:1/a?b=c,x=https://h/").expect("two");
    assert_eq!(found[0].url, "http://localhost:1/a?b=c");
    for bad in [
        "default",
        "default=http://192.0.2.1/",
        "default=ftp://h/",
        "=https://h/",
    ] {
        assert!(health_urls(bad).is_none(), "{bad}");
    }
}

#[test]
fn a_credential_has_no_blanks() {
    assert_eq!(plain("AKIA/x+y=").as_deref(), Some("AKIA/x+y="));
    assert!(plain("hunter 2").is_none());
}

#[test]
fn a_number_in_a_path_is_a_number() {
    assert!(installation("12345").is_some());
    for bad in ["", "1/../2", "1a", "-1"] {
        assert!(installation(bad).is_none(), "{bad}");
    }
    for bad in ["", "a/b", "a b", "a?b"] {
        assert!(word(bad).is_none(), "{bad}");
    }
}
