#!/bin/sh
# Runs the tests, against real parts: installs what is missing, starts dockerd when none runs, and stops it afterwards.
# Before them it measures the source (tests/size.sh): above its limit no test is run.
#
# usage: tests/run.sh [--all] [WORD...]
#   --all    the long tests too
#   WORD     only tests with one of these words in their names, and no limit on the size; it is an error when there is none
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/support/parts.sh

case ${1:-} in
-h | --help) sed -n 's/^# \{0,1\}//; 2,7p' "$0" && exit 0 ;;
--all) ENGRAM_TESTS=all && export ENGRAM_TESTS && shift ;;
esac

# Whatever is installed on this machine, the tests see nothing of it.
if [ "$(id -u)" -ne 0 ]; then
    say "not root: the tests run among this machine's own settings and state"
elif [ "${ENGRAM_TESTS_MOUNTS:-}" != "$(readlink /proc/self/ns/mnt)" ]; then
    exec tests/support/hermetic.sh tests/run.sh "$@"
fi

begin
need_cargo
need install python3=python3
if [ $# -eq 0 ]; then
    say "the size of the source"
    tests/size.sh --deploys || die "the source is above its limit, or could not be measured"
fi
need install cc=build-essential curl=curl openssl=openssl jq=jq git=git docker=docker.io dockerd=docker.io \
    docker-registry=docker-registry ip=iproute2 shellcheck=shellcheck busybox=busybox setpriv=util-linux strace=strace \
    systemd-analyze=systemd mandoc=mandoc xz=xz-utils xmllint=libxml2-utils php=php-cli mkfs.vfat=dosfstools \
    mkfs.ext4=e2fsprogs mkfs.exfat=exfatprogs mount.exfat-fuse=exfat-fuse readelf=binutils
need_inetd
need_xinetd
need_terraform
make_python
need_python_of_others tf
start_dockerd

# The status of cargo, not of tee.
{
    # With the places where a run can be killed: kill_matrix needs them. And with the usual signals: whoever was started in
    # the background ignores Ctrl-C, and so would every shell that a test starts.
    # Most of a test's time is waiting, for a container's health or for a limit to pass.
    RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))} \
        env --default-signal cargo test --features failpoints -- "$@"
    echo $? >"$folder/status"
} 2>&1 | tee "$folder/output"
status=$(cat "$folder/status")

say "cargo test ended with status $status"
grep -E '^(test result|error|failures:|    [a-z_]+::)' "$folder/output" | sort | uniq -c | sed 's/^ *1 //'
if [ "$status" -eq 0 ] && [ $# -gt 0 ] && ! grep -q '^test .* \.\.\. ' "$folder/output"; then
    die "no test has any of these words in its name: $*"
fi
exit "$status"
