//! The texts of a declaration, one rule each. Pure; an error says what the text should be.

use std::net::IpAddr;

/// Flags that stand alone. Every other one must bring its value along, or it would take the next word, in the end our
/// image, for its value.
const ALONE: &[&str] = &[
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--read-only",
    "--tty",
];

/// Flags that are refused, and why.
const REFUSED: &[(&str, &str)] = &[
    ("--name", "the name is the declaration's own"),
    (
        "--rm",
        "a container that removes itself cannot be kept for the way back",
    ),
    ("--detach", "a flag of docker run, not of docker create"),
    ("--cidfile", "the second deploy would find the file and stop"),
    ("--pull", "the image is on the host already"),
    ("--help", "it would make no container"),
    (
        "--env",
        "use the member env: argv can be read by everyone on the host",
    ),
    ("--env-file", "use the member env_file"),
    ("--publish", "use the member ports"),
    ("--volume", "use the member volumes"),
    ("--network", "use the member networks"),
    ("--net", "use the member networks"),
    ("--restart", "use the member restart"),
    ("--label", "use the member labels"),
    ("--user", "use the member user"),
    ("--hostname", "use the member hostname"),
];

/// What a rule says of a text: nothing where it `holds`.
fn rule(holds: bool, should: impl FnOnce() -> String) -> Result<(), String> {
    holds.then_some(()).ok_or_else(should)
}

/// Any text that a program can be given.
pub fn text(text: &str) -> Result<(), String> {
    rule(!text.contains('\0'), || {
        "a NUL cannot be handed to a program".into()
    })
}

/// Not empty, without blanks.
pub fn word(text: &str) -> Result<(), String> {
    let holds = !text.is_empty() && !text.contains(char::is_whitespace);
    rule(holds, || format!("\"{text}\" must be one word"))
}

/// `[ADDRESS:][PORT:]PORT[/tcp|udp|sctp]`, ranges too: `8000:8000`, `127.0.0.1:8000:8000/tcp`, `[::1]:80-81:80-81`.
pub fn port(text: &str) -> Result<(), String> {
    let wrong = || format!("\"{text}\" must be [ADDRESS:][HOST PORT:]CONTAINER PORT[/tcp]");
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    let (outer, inner) = match ports.rsplit_once(':') {
        Some((outer, inner)) => (Some(outer), inner),
        None => (None, ports),
    };
    let outer_fits = outer.is_none_or(|outer| match outer.rsplit_once(':') {
        Some((address, port)) => is_address(address) && (port.is_empty() || is_ports(port)),
        None => is_ports(outer),
    });
    (outer_fits && is_ports(inner)).then_some(()).ok_or_else(wrong)
}

fn is_address(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = v6.unwrap_or(text).parse::<IpAddr>();
    address.is_ok_and(|address| address.is_ipv6() == v6.is_some())
}

fn is_ports(text: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    match text.split_once('-') {
        Some((first, last)) => matches!((number(first), number(last)), (Some(a), Some(b)) if a <= b),
        None => number(text).is_some(),
    }
}

/// A variable's name.
pub fn variable(name: &str) -> Result<(), String> {
    let is_odd = |c: char| matches!(c, '=' | '#') || c.is_whitespace() || c.is_control();
    let holds = !name.is_empty() && !name.contains(is_odd);
    rule(holds, || {
        "a variable's name has no blank, no `=` and no `#`".into()
    })
}

/// Whether docker reads the value back from an env-file as it was written: it reads lines, of 64 KiB at most.
pub fn fits_env_file(value: &str) -> bool {
    !value.contains(['\n', '\r']) && value.len() < 32 * 1024
}

/// A value that does not fit goes through the docker client's environment, where these would act on the client.
pub fn acts_on_the_client(name: &str) -> bool {
    let begins = ["DOCKER_", "LD_", "GO"];
    matches!(name, "PATH" | "HOME" | "TMPDIR") || begins.iter().any(|begin| name.starts_with(begin))
}

/// A file of the host.
pub fn absolute_path(text: &str) -> Result<(), String> {
    rule(text.starts_with('/'), || {
        format!("\"{text}\" must be a path that begins with /")
    })
}

/// `SOURCE:TARGET[:OPTIONS]`; a source is a path or the name of a volume.
pub fn volume(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [source, target] | [source, target, _]
            if (source.starts_with('/') || is_name(source)) && target.starts_with('/') =>
        {
            Ok(())
        }
        [target] if target.starts_with('/') => Err(format!(
            "\"{text}\" has no source: it would be a new, empty volume at each deploy; write NAME:{target}"
        )),
        _ => Err(format!(
            "\"{text}\" must be /PATH:/TARGET[:OPTIONS] or NAME:/TARGET[:OPTIONS]"
        )),
    }
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// A network's name, or `container:NAME`.
pub fn network(text: &str) -> Result<(), String> {
    let holds = is_name(text.strip_prefix("container:").unwrap_or(text));
    rule(holds, || {
        format!("\"{text}\" must be a network's name, host, none or container:NAME")
    })
}

/// A restart policy.
pub fn restart(text: &str) -> Result<(), String> {
    let most = text.strip_prefix("on-failure:");
    let holds = matches!(text, "no" | "always" | "unless-stopped" | "on-failure")
        || most.is_some_and(|most| most.parse::<u32>().is_ok());
    rule(holds, || {
        format!("\"{text}\" must be no, always, unless-stopped or on-failure[:N]")
    })
}

/// A label's name. Ours say what was deployed, and must not lie.
pub fn label(name: &str) -> Result<(), String> {
    let holds = !name.is_empty() && !name.contains('=') && !name.starts_with("engram.");
    rule(holds, || {
        "a label's name is not empty, has no `=` and does not begin with engram.".into()
    })
}

/// A flag of `docker create` in one word.
pub fn argument(text: &str) -> Result<(), String> {
    let flag = text.split('=').next().unwrap_or(text);
    if !flag.starts_with("--") || flag.len() == 2 {
        return Err(format!(
            "\"{text}\" must be one long flag, with its value after a =: --memory=1g"
        ));
    }
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == flag) {
        return Err(format!("{flag} is refused: {why}"));
    }
    let holds = flag != text || ALONE.contains(&flag);
    rule(holds, || {
        format!("{flag} must bring its value along: {flag}=VALUE")
    })
}
