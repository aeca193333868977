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
    ("--rm", "a container that removes itself is no way back"),
    ("--detach", "a flag of docker run, not of docker create"),
    ("--cidfile", "the second deploy would find the file and stop"),
    ("--pull", "the image is on the host already"),
    ("--help", "it would make no container"),
    ("--env", "use the member env"),
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

/// What a rule says of a text: an error is what it should be.
pub type Checked = Result<(), String>;

fn must(holds: bool, text: &str, be: &str) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(format!("\"{text}\" must be {be}")),
    }
}

/// Any text that a program can be given.
pub fn text(text: &str) -> Checked {
    match text.contains('\0') {
        true => Err("a NUL cannot be handed to a program".into()),
        false => Ok(()),
    }
}

/// Not empty, without blanks.
pub fn word(text: &str) -> Checked {
    let holds = !text.is_empty() && !text.contains(char::is_whitespace);
    must(holds, text, "one word")
}

/// `[ADDRESS:][PORT:]PORT[/tcp|udp|sctp]`, ranges too: `8000:8000`, `127.0.0.1:8000:8000/tcp`, `[::1]:80-81:80-81`.
pub fn port(text: &str) -> Checked {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let fits = match ports.rsplit_once(':') {
        Some((outer, inner)) => is_outer(outer) && is_ports(inner),
        None => is_ports(ports),
    };
    let holds = fits && matches!(protocol, "tcp" | "udp" | "sctp");
    must(holds, text, "[ADDRESS:][HOST PORT:]CONTAINER PORT[/tcp]")
}

fn is_outer(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((address, port)) => is_address(address) && (port.is_empty() || is_ports(port)),
        None => is_ports(text),
    }
}

fn is_address(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = v6.unwrap_or(text).parse::<IpAddr>();
    address.is_ok_and(|address| address.is_ipv6() == v6.is_some())
}

fn is_ports(text: &str) -> bool {
    let number = |text: &str| {
        text.parse()
            .ok()
            .filter(|port: &u16| *port > 0 && !text.starts_with('+'))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
}

/// A variable's name.
pub fn variable(name: &str) -> Checked {
    let is_odd = |c: char| matches!(c, '=' | '#') || c.is_whitespace() || c.is_control();
    let holds = !name.is_empty() && !name.contains(is_odd);
    must(holds, name, "a name without blanks, `=` and `#`")
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
pub fn absolute_path(text: &str) -> Checked {
    must(text.starts_with('/'), text, "a path that begins with /")
}

/// A source is a path or the name of a volume: without one it would be a new, empty volume at each deploy.
pub fn volume(text: &str) -> Checked {
    let parts: Vec<&str> = text.split(':').collect();
    let holds = match parts[..] {
        [source, target] | [source, target, _] => {
            (source.starts_with('/') || is_name(source)) && target.starts_with('/')
        }
        _ => false,
    };
    must(holds, text, "/PATH:/TARGET[:OPTIONS] or NAME:/TARGET[:OPTIONS]")
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// A network's name, or `container:NAME`.
pub fn network(text: &str) -> Checked {
    let holds = is_name(text.strip_prefix("container:").unwrap_or(text));
    must(holds, text, "a network's name, host, none or container:NAME")
}

/// A restart policy.
pub fn restart(text: &str) -> Checked {
    let most = text.strip_prefix("on-failure:");
    let holds = matches!(text, "no" | "always" | "unless-stopped" | "on-failure")
        || most.is_some_and(|most| most.parse::<u32>().is_ok());
    must(holds, text, "no, always, unless-stopped or on-failure[:N]")
}

/// A label's name. Ours say what was deployed, and must not lie.
pub fn label(name: &str) -> Checked {
    let holds = !name.is_empty() && !name.contains('=') && !name.starts_with("engram.");
    must(holds, name, "a name without `=` that does not begin with engram.")
}

/// A flag of `docker create` in one word.
pub fn argument(text: &str) -> Checked {
    let flag = text.split('=').next().unwrap_or(text);
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == flag) {
        return Err(format!("{flag} is refused: {why}"));
    }
    let is_whole = flag != text || ALONE.contains(&flag);
    let holds = flag.starts_with("--") && flag.len() > 2 && is_whole;
    must(
        holds,
        text,
        "one long flag, with its value after a =: --memory=1g",
    )
}
