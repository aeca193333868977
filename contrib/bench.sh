#!/bin/sh
# Measures the daemon side by side with Debian's `webhook` doing the same job: over TLS, with the same certificate, a
# request that shows its right to it runs /bin/true and gets what came of it. Ours checks a signature and records a run;
# the peer compares a secret. Prints a row a figure; exits with 0 only when no row is short of its goal.
#
# usage: contrib/bench.sh [--against PROGRAM] [PAIRS]
#        200 pairs of requests, one of ours and one of the peer's, in turn
#        --against: the peer is PROGRAM, another build of the daemon, and no row may be over 3 % worse
#
# Times are curl's `time_total`, HTTP/1.1 on both sides, a connection a request. Memory is the sum of PSS of all
# processes, idle, after the first requests. It needs root, and takes away everything it made but what it installed.
# What a plan of terraform takes comes last, from contrib/bench/terraform.sh, which can be run alone.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/support/parts.sh
. contrib/bench/figures.sh

other=
if [ "${1:-}" = --against ]; then
    other=${2:?"--against needs a program (--help tells more)"}
    "$other" version >/dev/null || exit 2
    shift 2
fi
take_arguments 200 "$@"

# shellcheck disable=SC2317
clean_up() { rm -rf "$folder"/runtime-* "${memory_folder:-}"; }

# start_build NAME PROGRAM PORT: a build of the daemon with a state and settings of its own; its process id is in $pid.
start_build() {
    # As on a host: the state on a disk, the runtime folder in memory (/run).
    if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ]; then
        memory_folder=${memory_folder:-$(mktemp -d /dev/shm/engram-bench.XXXXXX)} || exit 1
    fi
    {
        settings "$3" "${memory_folder:-$folder}/runtime-$1" | sed "s|^DEPLOYER_STATE_DIR=.*|DEPLOYER_STATE_DIR=$folder/state-$1|"
        cat <<'END'
DEPLOYER_CONTAINERS=engram
DEPLOYER_BACKEND=command
DEPLOYER_COMMAND_PATH=/bin/true
DEPLOYER_PULL=off
END
    } >"$folder/env"
    start_daemon "$2" "$3"
    cp "$folder/env" "$folder/env-$1"
}

start_ours() {
    ours_port=$(free_port 18443)
    start_build ours "$program" "$ours_port"
    ours_pid=$pid
}

start_peer() {
    if [ -n "$other" ]; then
        peer_port=$(free_port 19443)
        # A file of its own: what two processes map of one file counts half for each.
        cp "$other" "$folder/other-build" || exit 1
        other=$folder/other-build
        start_build other "$other" "$peer_port"
        peer_pid=$pid
        return
    fi
    peer_port=$(free_port 19443)
    cat >"$folder/hooks.json" <<'END'
[{
  "id": "deploy",
  "execute-command": "/bin/true",
  "include-command-output-in-response": true,
  "trigger-rule": {"match": {"type": "value", "value": "secret", "parameter": {"source": "header", "name": "X-Secret"}}},
  "trigger-rule-mismatch-http-response-code": 401
}]
END
    background "$folder/webhook.log" webhook -hooks "$folder/hooks.json" -ip 127.0.0.1 -port "$peer_port" \
        -secure -cert "$folder/tls.pem" -key "$folder/tls.key"
    peer_pid=$pid
    wait_for 10 "webhook answers" curl -sf --cacert "$folder/tls.pem" "https://127.0.0.1:$peer_port/"
}

# request FILE URL STATUS HEADER: appends curl's time to FILE; the answer is in $folder/answer.
request() {
    measured=$(curl -sS --http1.1 --cacert "$folder/tls.pem" -o "$folder/answer" -w '%{time_total} %{http_code}' \
        -X POST -H "$4" -H 'Content-Type: application/json' -d '{"version":"1.0.0"}' "$2")
    [ "${measured#* }" = "$3" ] || die "$2 answered ${measured#* } instead of $3: $(cat "$folder/answer")"
    echo "${measured% *}" >>"$1"
}

ours() { # FILE HEADER-FILE
    request "$1" "https://127.0.0.1:$ours_port/deploy" 200 "@$2"
    case $(tail -n 1 "$folder/answer") in *'"status":"ok"'*) ;; *) die "a run of ours failed: $(cat "$folder/answer")" ;; esac
}

peer() { # FILE HEADER-FILE
    case $other in
    '') request "$1" "https://127.0.0.1:$peer_port/hooks/deploy" 200 'X-Secret: secret' ;;
    *) request "$1" "https://127.0.0.1:$peer_port/deploy" 200 "@$2" ;;
    esac
}

ours_refusal() { request "$1" "https://127.0.0.1:$ours_port/deploy" 401 "@$folder/other-audience"; }

peer_refusal() {
    case $other in
    '') request "$1" "https://127.0.0.1:$peer_port/hooks/deploy" 401 'X-Secret: wrong' ;;
    *) request "$1" "https://127.0.0.1:$peer_port/deploy" 401 "@$folder/other-audience" ;;
    esac
}

# first_byte FILE PORT: appends the time to the first byte of /healthz.
first_byte() {
    curl -sSf --cacert "$folder/tls.pem" -o /dev/null -w '%{time_starttransfer}\n' "https://127.0.0.1:$2/healthz" >>"$1" ||
        die "the daemon at port $2 does not answer"
}

# cold FILE BUILD PROGRAM: the same of a daemon that the connection starts. systemd-socket-activate becomes the daemon.
cold() {
    rm -f "$folder/activate.log"
    cold_port=$(free_port 20443)
    background "$folder/activate.log" systemd-socket-activate -l "127.0.0.1:$cold_port" "$3" serve --env-file "$folder/env-$2"
    wait_for 10 "systemd-socket-activate listens" grep -q Listening "$folder/activate.log"
    first_byte "$1" "$cold_port"
    end_part "$pid"
    started=${started#"$pid "}
}

begin
need_cargo
need install cc=build-essential curl=curl openssl=openssl webhook=webhook systemd-socket-activate=systemd
say "building"
build
make_certificate
start_issuer "${CARGO_TARGET_DIR:-target}/debug/examples/issuer"
start_ours
start_peer

say "$pairs pairs"
mint other-audience >"$folder/other-audience"
mkdir "$folder/tokens"
n=-3
while [ "$n" -lt "$pairs" ]; do
    n=$((n + 1))
    mint engram-deploy >"$folder/tokens/$n"
done
for warm_up in -2 -1 0; do
    ours /dev/null "$folder/tokens/$warm_up"
    peer /dev/null "$folder/tokens/$warm_up"
done
sleep 1
ours_memory=$(memory "$ours_pid")
peer_memory=$(memory "$peer_pid")
n=0
while [ "$n" -lt "$pairs" ]; do
    n=$((n + 1))
    ours "$folder/ours" "$folder/tokens/$n"
    peer "$folder/peer" "$folder/tokens/$n"
    ours_refusal "$folder/ours-refused"
    peer_refusal "$folder/peer-refused"
done

say "20 cold starts"
n=0
while [ "$n" -lt 20 ]; do
    n=$((n + 1))
    cold "$folder/cold" ours "$program"
    first_byte "$folder/warm" "$ours_port"
    if [ -n "$other" ]; then
        cold "$folder/other-cold" other "$other"
        first_byte "$folder/other-warm" "$peer_port"
    fi
done

# compare NAME FILE FILE: the medians of two builds.
compare() { row "$1" "$(quantile "$2" 50)" "$(quantile "$3" 50)" ms 1.03 -; }

if [ -n "$other" ]; then
    say "this build and another"
    heading
    compare 'deploy, median' "$folder/ours" "$folder/peer"
    compare 'refused request, median' "$folder/ours-refused" "$folder/peer-refused"
    compare 'cold start to first byte, by a socket' "$folder/cold" "$folder/other-cold"
    compare 'the same, warm' "$folder/warm" "$folder/other-warm"
    row 'idle memory, all processes' "$(megabytes "$ours_memory")" "$(megabytes "$peer_memory")" MB 1.03 -
    row 'binary' "$(megabytes "$(stat -c %s "$program")")" "$(megabytes "$(stat -c %s "$other")")" MB 1.03 -
    exit "$short"
fi

say "engram-deployer and $(webhook -version)"
heading
row 'deploy, median' "$(quantile "$folder/ours" 50)" "$(quantile "$folder/peer" 50)" ms 1.0 -
row 'deploy, p99' "$(quantile "$folder/ours" 99)" "$(quantile "$folder/peer" 99)" ms - -
row 'refused request, median' "$(quantile "$folder/ours-refused" 50)" "$(quantile "$folder/peer-refused" 50)" ms 0.7 -
row 'refused request, p99' "$(quantile "$folder/ours-refused" 99)" "$(quantile "$folder/peer-refused" 99)" ms - -
row 'idle memory, all processes' "$(megabytes "$ours_memory")" "$(megabytes "$peer_memory")" MB 0.4 -
row 'cold start to first byte, by a socket' "$(quantile "$folder/cold" 50)" - ms - -
row 'the same, warm' "$(quantile "$folder/warm" 50)" - ms - -
row 'binary' "$(megabytes "$(stat -c %s "$program")")" "$(megabytes "$(stat -Lc %s "$(command -v webhook)")")" MB - 3.5
contrib/bench/terraform.sh || short=1
exit "$short"
