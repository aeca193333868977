use super::*;

fn mistakes(text: &str) -> Vec<String> {
    let found = Declaration::read(text.as_bytes()).expect_err(text);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_full_declaration_is_read() {
    let text = r#"{
        "ports": ["8000:8000", "127.0.0.1:8001:8001/tcp", "[::1]:80-81:80-81/udp", "9", "127.0.0.1::9"],
        "env": {"B": "", "A": "x=y\nz #"}, "env_file": "/etc/app.env",
        "volumes": ["/srv/app:/data:ro", "cache:/cache"], "networks": ["front", "back"],
        "restart": "on-failure:3", "labels": {"com.example/x": "y"}, "user": "1000:1000", "hostname": "app",
        "arguments": ["--memory=1g", "--init", "--health-cmd=curl -f x"], "command": ["serve", "--port", "8000"]
    }"#;
    let declared = Declaration::read(text.as_bytes()).unwrap();
    assert_eq!(
        declared.env,
        [("A".into(), "x=y\nz #".into()), ("B".into(), String::new())]
    );
    assert_eq!(
        (
            declared.ports.len(),
            declared.networks.len(),
            declared.arguments.len()
        ),
        (5, 2, 3)
    );
    assert_eq!(Declaration::read(b"{}").unwrap().restart, "unless-stopped");
}

#[test]
fn the_sample_is_a_good_declaration() {
    let sample = include_bytes!("../../../contrib/containers/engram-saas.json");
    Declaration::read(sample).unwrap();
}

#[test]
fn every_mistake_is_named_at_once_with_its_field() {
    let text = r#"{"image": "x", "port": [], "ports": ["8000", "x:1"], "env": {"A": 1, "B C": "x"},
        "volumes": "x", "restart": "never", "networks": ["host", "b"]}"#;
    let found = mistakes(text);
    let fields: Vec<&str> = found
        .iter()
        .map(|mistake| mistake.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        fields,
        [
            "env.A", "env.B C", "image", "port", "ports[1]", "restart", "volumes", "networks"
        ]
    );
    assert!(found[0].contains("must be a text in quotes"), "{}", found[0]);
}

#[test]
fn what_is_no_object_or_has_a_name_twice_is_refused() {
    for text in ["", "[]", "{", "{\"env\":{\"A\":\"1\",\"A\":\"2\"}}", "{} x"] {
        assert!(mistakes(text)[0].starts_with("not a JSON object: "), "{text}");
    }
}

#[test]
fn a_mistake_does_not_quote_a_value_of_the_wrong_kind() {
    assert!(!mistakes(r#"{"env": {"TOKEN": ["hunter2"]}}"#)[0].contains("hunter2"));
}

#[test]
fn a_value_that_would_not_do_what_it_says_is_refused() {
    for (field, values) in [
        (
            "ports",
            &[
                "",
                "0",
                "70000",
                "1:2:3:4",
                "::1:80:80",
                "[127.0.0.1]:80:80",
                "80/icmp",
                "9-8",
                "+80",
                "a:80",
                ":80",
            ][..],
        ),
        (
            "volumes",
            &["", "/data", "a:b", "./x:/data", "/a:/b:c:d", "-x:/data"],
        ),
        ("networks", &["", "a b", "-x", "container:"]),
        (
            "arguments",
            &[
                "",
                "--",
                "-d",
                "alpine",
                "--memory",
                "--name=x",
                "--name",
                "--rm",
                "--rm=true",
                "--env=A=b",
                "-e=A",
                "--pull=always",
                "--label=a=b",
                "--volume=/a:/b",
                "--cidfile=/x",
                "--detach",
                "--network=x",
                "--publish=1:1",
            ],
        ),
        ("command", &["a\u{0}b"]),
    ] {
        for value in values {
            let text = serde_json::json!({ field: [value] }).to_string();
            assert!(mistakes(&text)[0].starts_with(&format!("{field}[0]: ")), "{text}");
        }
    }
    for (field, values) in [
        (
            "restart",
            &["", "sometimes", "on-failure:", "on-failure:x", "always:3"][..],
        ),
        ("user", &["", "a b"]),
        ("hostname", &[""]),
        ("env_file", &["", "app.env"]),
    ] {
        for value in values {
            let text = serde_json::json!({ field: value }).to_string();
            assert!(mistakes(&text)[0].starts_with(&format!("{field}: ")), "{text}");
        }
    }
    for text in [
        r#"{"env":{"":"x"}}"#,
        r#"{"env":{"A=":"x"}}"#,
        r#"{"env":{"A":"\u0000"}}"#,
        r#"{"labels":{"engram.version":"9"}}"#,
    ] {
        mistakes(text);
    }
}
