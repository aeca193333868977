# shellcheck shell=sh
# For the scripts that start real parts (tests/run.sh, contrib/demo.sh, contrib/bench.sh): sourced, not run.
# What `background` and `attended` start is ended at the script's exit, however that comes, by its process id; nothing else is ended.

PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin:/usr/sbin:/sbin
started=''

say() { printf '\n==> %s\n' "$*"; }

# die SENTENCE: with the ends of the logs, which are gone afterwards.
die() {
    for log in "${folder:-/nonexistent}"/*.log; do
        [ ! -s "$log" ] || { printf '\n---- end of %s\n' "${log##*/}" && tail -n 20 "$log"; } >&2
    done
    printf '\n%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# begin: a folder for this script in $folder, and an orderly end.
begin() {
    folder=$(mktemp -d) || exit 1
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
}

# clean_up: what a script has to undo itself; it defines its own.
clean_up() { :; }

# shellcheck disable=SC2317
finish() {
    status=$?
    trap - EXIT
    trap '' HUP INT PIPE TERM
    clean_up
    end_parts
    rm -rf "$folder"
    exit "$status"
}

# need ask|install PROGRAM=PACKAGE...: installs Debian's packages of the programs that are missing.
need() {
    how=$1 missing=''
    shift
    for pair; do
        case " $missing " in *" ${pair#*=} "*) continue ;; esac
        command -v "${pair%%=*}" >/dev/null || missing="$missing ${pair#*=}"
    done
    [ -z "$missing" ] || packages "$how" "$missing"
}

# The longest that a package manager in use is waited for, in seconds: unattended upgrades take their time.
lock_wait=120

# apt_get ARGUMENT...: waits while another process has one of its locks. What apt-get has for that itself,
# DPkg::Lock::Timeout, covers the locks of dpkg, and not that of the lists, which `update` takes.
apt_get() {
    given_up=$(($(date +%s) + lock_wait)) waited=''
    while :; do
        apt_status=0
        LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get "$@" 2>"$folder/apt-get" || apt_status=$?
        held=$(grep -m 1 -E 'Could not get lock|frontend lock was locked' "$folder/apt-get")
        if [ "$apt_status" -eq 0 ] || [ -z "$held" ]; then break; fi
        if [ "$(date +%s)" -ge "$given_up" ]; then
            say "the package manager was in use for $lock_wait s: not waiting any longer"
            break
        fi
        [ -n "$waited" ] || say "the package manager is in use, waiting up to $lock_wait s: ${held#E: }"
        waited=yes
        sleep 1
    done
    cat "$folder/apt-get" >&2
    return "$apt_status"
}

# packages ask|install NAMES: installs Debian's packages of these names.
packages() {
    say "missing on this machine: ${2# }"
    command -v apt-get >/dev/null || die "there is no apt-get here: install them by other means"
    [ "$(id -u)" -eq 0 ] || die "run this as root, or run first: apt-get install ${2# }"
    if [ "$1" = ask ]; then
        printf 'Install with apt-get? [y/N] '
        read -r reply || reply=''
        case $reply in y | Y | yes) ;; *) die "nothing was installed" ;; esac
    fi
    # shellcheck disable=SC2086
    { apt_get update && apt_get install -y --no-install-recommends $2; } ||
        die "apt-get could not install: ${2# }"
}

need_cargo() {
    command -v cargo >/dev/null || die "there is no cargo here: install a Rust toolchain (https://rustup.rs)"
}

# at_least LEAST VERSION: whether a version is no older than another one.
at_least() {
    [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

# terraform_version PROGRAM: prints it, and asks nobody in the network for news.
terraform_version() {
    env -i PATH="$PATH" HOME="$folder" CHECKPOINT_DISABLE=1 "$1" version 2>/dev/null | sed -n 's/^Terraform v//p' | head -n 1
}

# need_terraform: what DEPLOYER_TF_BINARY_PATH names, or what is on PATH, or HashiCorp's package: it is in no package of
# Debian. The S3 locks of the tests came with 1.11.
need_terraform() {
    terraform=${DEPLOYER_TF_BINARY_PATH:-terraform}
    if [ -z "${DEPLOYER_TF_BINARY_PATH:-}" ] && ! command -v terraform >/dev/null; then
        install_terraform
    fi
    version=$(terraform_version "$terraform")
    [ -n "$version" ] || die "$terraform does not say its version: DEPLOYER_TF_BINARY_PATH names terraform 1.11 or newer"
    at_least 1.11 "$version" ||
        die "terraform is $version, and the tests need 1.11 or newer: name one in DEPLOYER_TF_BINARY_PATH"
}

hashicorp=https://apt.releases.hashicorp.com
# Of the key that signs HashiCorp's Linux packages: https://www.hashicorp.com/trust/security
hashicorp_key=798AEC654E5C15428C8E42EEAA16FCBCA621E701

# install_terraform: from HashiCorp's apt repository, which apt trusts for the pinned key alone.
install_terraform() {
    command -v apt-get >/dev/null || die "there is no terraform and no apt-get here: name terraform in DEPLOYER_TF_BINARY_PATH"
    [ "$(id -u)" -eq 0 ] || die "there is no terraform: run this as root, or name it in DEPLOYER_TF_BINARY_PATH"
    say "missing on this machine: terraform"
    need install curl=curl gpg=gpg
    curl -fsS --proto '=https' --retry 2 --max-time 60 -o "$folder/hashicorp.asc" "$hashicorp/gpg" ||
        die "there is no terraform, and $hashicorp cannot be reached: name terraform in DEPLOYER_TF_BINARY_PATH"
    key_ring "$folder/hashicorp.asc" "$hashicorp_key" /usr/share/keyrings/hashicorp.gpg
    # shellcheck disable=SC1091
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ -n "$codename" ] || die "this machine does not say which Debian it is: install terraform by other means"
    list=/etc/apt/sources.list.d/hashicorp.list
    echo "deb [signed-by=/usr/share/keyrings/hashicorp.gpg] $hashicorp $codename main" >"$list" || exit 1
    # This list alone: that another one is stale is no fault of ours.
    { apt_get update -o Dir::Etc::sourcelist="$list" -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0 &&
        apt_get install -y --no-install-recommends terraform; } ||
        die "apt-get could not install terraform from $hashicorp ($codename)"
    command -v terraform >/dev/null || die "apt-get installed terraform, but it is not on PATH"
}

# key_ring FILE FINGERPRINT PLACE: makes a keyring for apt of the one key in a file, if it is that one.
key_ring() {
    mkdir -m 700 "$folder/gnupg" || exit 1
    found=$(gpg --homedir "$folder/gnupg" --batch --with-colons --show-keys "$1" 2>/dev/null |
        awk -F: '$1 == "pub" || $1 == "sec" { first = 1 } $1 == "fpr" && first { print $10; first = 0 }')
    # One line and no other: a file with a second key would have apt trust that one, too.
    [ "$found" = "$2" ] || die "the key that came is ${found:-none}, and $2 was expected: nothing was installed"
    { gpg --homedir "$folder/gnupg" --batch --dearmor <"$1" >"$folder/key_ring" &&
        install -m 644 "$folder/key_ring" "$3"; } || die "gpg could not write $3"
}

# need_inetd: OpenBSD's. Its package starts a service where one is configured, and one that it has started is stopped.
need_inetd() {
    [ ! -x /usr/sbin/inetd ] || return 0
    packages install openbsd-inetd
    [ -x /usr/sbin/inetd ] || die "apt-get installed openbsd-inetd, but there is no /usr/sbin/inetd"
    service openbsd-inetd stop >/dev/null 2>&1 || :
}

# need_xinetd: its package cannot be installed beside openbsd-inetd, so Debian's program is unpacked beneath target/, made
# once and kept; the tests find it in ENGRAM_TEST_XINETD. What it needs is there with openbsd-inetd.
need_xinetd() {
    mkdir -p "${CARGO_TARGET_DIR:-target}/parts" || exit 1
    ENGRAM_TEST_XINETD=$(cd "${CARGO_TARGET_DIR:-target}/parts" && pwd)/xinetd/usr/sbin/xinetd || exit 1
    export ENGRAM_TEST_XINETD
    [ ! -x "$ENGRAM_TEST_XINETD" ] || return 0
    say "unpacking xinetd"
    mkdir "$folder/xinetd" || exit 1
    # apt reads the package as a user of its own, who cannot enter our folder: it says so, and reads it as root.
    { (cd "$folder/xinetd" && apt_get update && apt_get download xinetd) &&
        dpkg-deb -x "$folder"/xinetd/xinetd_*.deb "${ENGRAM_TEST_XINETD%/usr/sbin/xinetd}"; } ||
        die "apt-get could not download xinetd"
    [ -x "$ENGRAM_TEST_XINETD" ] || die "Debian's xinetd is not where it was: $ENGRAM_TEST_XINETD"
}

# make_python: a virtual environment with what tests/support/python.txt names, beneath target/, made once and kept; the
# tests find its interpreter in ENGRAM_TEST_PYTHON.
make_python() {
    parts=${CARGO_TARGET_DIR:-target}/parts
    mkdir -p "$parts" || exit 1
    parts=$(cd "$parts" && pwd) || exit 1
    # Debian's own where it is there: another one may lie in a folder that other users cannot enter.
    python=$(command -v /usr/bin/python3 || command -v python3) || python=''
    if [ -z "$python" ] || ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        packages install "python3 python3-venv"
        python=/usr/bin/python3
    fi
    # Another interpreter or another list is another environment.
    made=$parts/python-$({ "$python" -c 'import sys; print(sys.executable, sys.version)' && cat tests/support/python.txt; } |
        sha256sum | cut -c 1-12)
    [ -x "$made/bin/python" ] || install_python
    ENGRAM_TEST_PYTHON=$made/bin/python
    export ENGRAM_TEST_PYTHON
}

# need_python_of_others MODULE: a plan's provider is started by another user.
need_python_of_others() {
    [ "$(id -u)" -ne 0 ] || setpriv --reuid=65523 --regid=65523 --clear-groups "$ENGRAM_TEST_PYTHON" -c "import $1" ||
        die "other users cannot start $ENGRAM_TEST_PYTHON: set CARGO_TARGET_DIR to a folder that everyone may enter"
}

# install_python: under another name first, so that what is there is complete; of two at a time the first one wins.
install_python() {
    say "making a Python with tests/support/python.txt in $made"
    unfinished=$(mktemp -d "$parts/unfinished.XXXXXX") || exit 1
    if ! { chmod 755 "$unfinished" && "$python" -m venv "$unfinished" &&
        "$unfinished/bin/python" -m pip install -q --no-input -r tests/support/python.txt; }; then
        rm -rf "$unfinished"
        die "$python could not install what tests/support/python.txt names: is PyPI within reach?"
    fi
    mv -T "$unfinished" "$made" 2>/dev/null || rm -rf "$unfinished"
    [ -x "$made/bin/python" ] || die "$made is there and has no interpreter: remove it"
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds, or dies saying what did not happen.
wait_for() {
    tries=$(($1 * 10)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "not in time: $what"
        sleep 0.1
    done
}

# background LOG COMMAND...: starts it with its output in LOG; its process id is in $pid. It has a session of its own:
# a Ctrl-C at the terminal is for the script, which still needs it to clean up.
background() {
    log=$1
    shift
    setsid "$@" </dev/null >"$log" 2>&1 &
    pid=$!
    started="$pid $started"
}

# attended COMMAND...: runs it; the script's own end, by a signal too, ends it.
attended() {
    "$@" &
    pid=$!
    started="$pid $started"
    wait "$pid"
    ended=$?
    started=${started#"$pid "}
    return "$ended"
}

# end_part PID, end_parts: ends what was started; the latest first.
end_part() {
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# shellcheck disable=SC2317
end_parts() {
    for part in $started; do end_part "$part"; done
}

# start_dockerd: when none answers.
start_dockerd() {
    docker version >/dev/null 2>&1 && return
    say "no dockerd runs: starting one for as long as this takes"
    background "$folder/dockerd.log" dockerd
    wait_for 30 "dockerd answers" docker version
}

# free_port FROM: the first port at or above it that nobody listens on.
free_port() {
    port=$1
    while grep -qi ":$(printf %04X "$port") [0-9A-F:]* 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null; do
        port=$((port + 1))
    done
    echo "$port"
}

# make_certificate: tls.pem and tls.key for localhost, in the folder.
make_certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
        -out "$folder/tls.pem" -keyout "$folder/tls.key" 2>/dev/null || die "openssl could not make a certificate"
}

# start_issuer PROGRAM [OPTION...]: sets ISSUER, JWKS_URL, ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN.
start_issuer() {
    background "$folder/issuer.env" "$@"
    wait_for 10 "the issuer listens" grep -q REQUEST_TOKEN "$folder/issuer.env"
    # shellcheck source=/dev/null
    . "$folder/issuer.env"
}

# start_registry: docker-registry at 127.0.0.1:$registry_port, with a storage of its own.
start_registry() {
    registry_port=$(free_port 5555)
    cat >"$folder/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/registry}}
http: {addr: '127.0.0.1:$registry_port'}
END
    background "$folder/registry.log" docker-registry serve "$folder/registry.yml"
    wait_for 10 "docker-registry answers" curl -sf "http://127.0.0.1:$registry_port/v2/"
}

# settings PORT RUNTIME-FOLDER: prints what every daemon of these scripts is set to; a script adds what it deploys.
settings() {
    cat <<END
DEPLOYER_ADDR=127.0.0.1:$1
DEPLOYER_CERT_FILE=$folder/tls.pem
DEPLOYER_KEY_FILE=$folder/tls.key
DEPLOYER_ISSUER=$ISSUER
DEPLOYER_JWKS_URL=$JWKS_URL
DEPLOYER_REPOSITORY=engram-app/engram
DEPLOYER_WORKFLOW_REF=engram-app/engram/.github/workflows/deploy.yml@refs/heads/main
DEPLOYER_ALLOWED_IPS=127.0.0.1
DEPLOYER_STATE_DIR=$folder/state
DEPLOYER_RUNTIME_DIR=$2
END
}

# start_daemon PROGRAM PORT: with the settings in $folder/env; its process id is in $pid.
start_daemon() {
    "$1" init --env-file "$folder/env" >"$folder/init.log" 2>&1 || die "the state could not be prepared"
    background "$folder/deployer.log" "$1" serve --env-file "$folder/env"
    wait_for 10 "the daemon answers" curl -sf --cacert "$folder/tls.pem" "https://127.0.0.1:$2/healthz"
}

# build_app: the application of the tests.
build_app() {
    rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols --target "$(uname -m)-unknown-linux-gnu" \
        -o "$folder/app" tests/support/app.rs || die "rustc could not build the application"
}

# import_image REFERENCE VERSION: the application alone, in a layer that no other version has.
import_image() {
    mkdir -p "$folder/$2" && cp "$folder/app" "$folder/$2/app" && echo "$2" >"$folder/$2/version" || exit 1
    tar -C "$folder/$2" -c app version | docker import --change 'ENTRYPOINT ["/app"]' --change "ENV VERSION=$2" \
        --change 'LABEL org.opencontainers.image.revision=abc1234' - "$1:$2" >/dev/null ||
        die "docker could not import version $2"
}
