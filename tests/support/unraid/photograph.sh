#!/bin/sh
# Shows the plugin's settings page as headless Chromium sees it, on a scratch root with a few runs and settings.
#
# usage: photograph.sh FILE.png [help] [fresh|broken] [WIDTHxHEIGHT]
#   help    with all help texts open
#   fresh   as after the installation: no settings, no runs, no daemon
#   broken  with a line in the settings that makes no sense, and a start that was refused
# Needs root, and Debian's packages chromium, php-cli, and those of root.sh.
set -eu
cd "$(dirname "$0")/../../.."
here=$(pwd)/tests/support/unraid
picture=${1:?usage: photograph.sh FILE.png [help] [fresh|broken] [WIDTHxHEIGHT]}
query='' state=used
[ "${2:-}" != help ] || { query='?help=1' && shift; }
case ${2:-} in fresh | broken) state=$2 && shift ;; esac
size=${2:-1500x1700}
folder=$(mktemp -d)
server='' php=''
# shellcheck disable=SC2317
finish() {
    [ -z "$php" ] || kill "$php" 2>/dev/null || :
    [ -z "$server" ] || { nsenter --mount="/proc/$server/ns/mnt" umount "$folder/root/boot" && kill "$server"; } || :
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

program=${CARGO_TARGET_DIR:-target}/debug/engram-deployer
[ -x "$program" ] || cargo build --bin engram-deployer
package/build.sh 2026.01.31 --binary "$program" --output "$folder/package" >/dev/null
unshare --mount --propagation private sh "$here/root.sh" "$folder" sleep infinity &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do [ ! -e "$folder/ready" ] || break && sleep 0.2; done
root=/proc/$server/root
on_it() { nsenter --mount="/proc/$server/ns/mnt" chroot "$folder/root" "$@"; }

home=$root/boot/config/plugins/engram-deployer
mkdir -p "$home" "$root/run/engram-deployer/public" "$root/tmp/unraid"
cp "$folder"/package/*.txz "$home"
plugin=/usr/local/emhttp/plugins/engram-deployer
cp "$folder/package/engram-deployer.plg" "$root/tmp"
on_it plugin install /tmp/engram-deployer.plg >/dev/null
if [ "$state" != fresh ]; then
    cat >>"$home/engram-deployer.cfg" <<SETTINGS
DEPLOYER_REPOSITORY="octocat/shop"
DEPLOYER_WORKFLOW_REF="octocat/shop/.github/workflows/deploy.yml@refs/heads/main"
DEPLOYER_CLAIMS="repository_id=1296269,repository_owner_id=583231,environment=production"
DEPLOYER_ALLOWED_IPS="192.0.2.0/24"
DEPLOYER_IMAGE="ghcr.io/octocat/shop"
DEPLOYER_CONTAINERS="shop=8000,shop-worker"
DEPLOYER_ADDR="127.0.0.1:0"
SETTINGS
    on_it engram-deployer init >/dev/null
    [ "$state" != broken ] || echo 'DEPLOYER_LOG "debug"' >>"$home/engram-deployer.cfg"
    on_it "$plugin/scripts/control" start >/dev/null
    cp tests/support/unraid/runs.json "$root/run/engram-deployer/public/runs.json"
fi
cp "$here/router.php" "$here/update.php" "$root/tmp/unraid"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
on_it php -S "127.0.0.1:$port" /tmp/unraid/router.php >"$folder/php.log" 2>&1 &
php=$!
sleep 1
timeout 120 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
    --disable-component-update --disable-sync --user-data-dir="$folder/chromium" --hide-scrollbars \
    "--window-size=$(echo "$size" | tr x ,)" --virtual-time-budget=4000 --screenshot="$picture" "http://127.0.0.1:$port/$query" \
    >"$folder/chromium.log" 2>&1 || { cat "$folder/chromium.log" >&2 && exit 1; }
on_it /etc/rc.d/rc.engram-deployer stop >/dev/null
grep -iE 'warning|error|notice' "$folder/php.log" >&2 || :
echo "$picture"
