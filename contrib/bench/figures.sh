# shellcheck shell=sh disable=SC2034
# What the benchmarks share: arguments, the build, tokens, figures and their rows. Sourced, after tests/support/parts.sh.

# take_arguments USUAL ARGUMENT...: sets $pairs; or tells what stands at the head of the script.
take_arguments() {
    pairs=${2:-$1}
    case $pairs in
    -h | --help) sed -n 's/^# \{0,1\}//; 2,10p' "$0" && exit 0 ;;
    *[!0-9]* | 0) die "the number of pairs is a whole number (--help tells more)" ;;
    esac
    [ "$(id -u)" -eq 0 ] || die "run this as root"
}

build() { # sets $program
    program=$(contrib/build.sh) || die "the daemon could not be built"
    cargo build --locked --example issuer || die "cargo could not build the issuer"
}

mint() { # AUDIENCE: a header with a fresh token, in the form of curl's -H @file
    curl -sS -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$1" |
        sed 's/.*"value":"\([^"]*\)".*/Authorization: Bearer \1/'
}

# family PID: it and all below it.
family() {
    echo "$1"
    for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null || pgrep -P "$1"); do family "$child"; done
}

memory() { # PID: the PSS in bytes of it and all below it
    for member in $(family "$1"); do cat "/proc/$member/smaps_rollup"; done |
        awk '/^Pss:/ { sum += $2 } END { print sum * 1024 }'
}

quantile() { # FILE PERCENT: in milliseconds
    sort -n "$1" | awk -v percent="$2" '{ t[NR] = $1 } END { i = NR * percent / 100; i = i > int(i) ? int(i) + 1 : i; printf "%.2f", t[i] * 1000 }'
}

short=0
heading() { printf '%-38s %13s %13s %7s   %-11s\n' figure ours peer ratio goal; }

# row NAME OURS PEER UNIT LIMIT-OF-RATIO LIMIT-OF-OURS: a dash for no limit, or for no peer. Sets $short when it is.
row() {
    awk -v name="$1" -v ours="$2" -v peer="$3" -v unit="$4" -v of_ratio="$5" -v of_ours="$6" 'BEGIN {
        ratio = peer == "-" ? "-" : sprintf("%.2fx", ours / peer)
        goal = of_ratio != "-" ? "<= " of_ratio "x" : of_ours != "-" ? "<= " of_ours " " unit : "-"
        is_short = (of_ratio != "-" && ours / peer > of_ratio + 0) || (of_ours != "-" && ours > of_ours + 0)
        peers = peer == "-" ? "-" : sprintf("%.2f %-3s", peer, unit)
        printf "%-38s %9.2f %-3s %13s %7s   %-11s %s\n", name, ours, unit, peers, ratio, goal, is_short ? "short" : "ok"
        exit is_short
    }' || short=1
}

megabytes() { awk -v bytes="$1" 'BEGIN { printf "%.3f", bytes / 1000000 }'; }
