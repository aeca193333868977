#!/bin/sh
# Runs a command on a host on which the product is installed and in use, with settings, state and units that nothing can
# make sense of: this machine's files beneath, with what is written to them in memory. Fails when the command does, and with
# status 97 when the product's files there were changed, which it then lists.
#
# usage: unshare --mount --propagation private sh poisoned.sh FOLDER COMMAND [ARGUMENT...]
#   FOLDER   an absolute path, empty
set -eu
folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/support/places.sh
. "$here/places.sh"
root=$folder/root
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "poisoned.sh: $*" >&2
    exit 1
}

# poison FILE: nonsense as settings, as state, as a unit and as a template alike.
poison() {
    mkdir -p "$root${1%/*}"
    printf '%s\n' 'DEPLOYER_ADDR=nowhere' 'DEPLOYER_NO_SUCH_SETTING="poison' 'ExecStart=poison' 'poison poison poison' >"$root$1"
}

# product: every file of the product, with all that a change would change.
product() {
    # shellcheck disable=SC2086
    (cd / && find $product_files ./run/engram-deployer $units \
        -printf '%p %y %m %u %T@ %C@\n' -type f -exec sha256sum {} + 2>/dev/null) | sort
}

mkdir "$folder/ram" "$root"
mount -t tmpfs -o mode=755 tmpfs "$folder/ram"
mkdir "$folder/ram/upper" "$folder/ram/work"
# The mounts of this machine, which an overlay does not show; not those of containers and of other tests, and not the empty
# folders that tests have in the place of the product's.
others=$(awk '$5 ~ /^\/./ && $5 !~ /^\/(tmp|run|var\/lib\/docker)\/|engram-deployer|^\/boot|\\/ { print $5 }' /proc/self/mountinfo)
mount -t overlay -o "lowerdir=/,upperdir=$folder/ram/upper,workdir=$folder/ram/work" overlay "$root" ||
    fail "an overlay of / cannot be mounted: this needs root and a kernel with overlayfs"
# What other processes must see, dockerd above all, is this machine's own.
for shared in /tmp "${TMPDIR:-/tmp}" /var/lib/docker /var/lib/containerd; do
    [ ! -d "$shared" ] || mount --bind "$shared" "$root$shared"
done
for other in $others; do [ ! -e "$root$other" ] || mount --bind "$other" "$root$other"; done
# A socket is none through an overlay.
if [ -S /run/docker.sock ] && ! mountpoint -q "$root/run"; then mount --bind /run/docker.sock "$root/run/docker.sock"; fi
# Where /run is a mount it is this machine's own, and nothing may be made in it.
runtime=$root/run/engram-deployer
mountpoint -q "$root/run" || mkdir -p "$runtime"
if [ -d "$runtime" ]; then mount -t tmpfs -o mode=755 tmpfs "$runtime"; else runtime=''; fi

product_files=$(for file in $product_files; do echo ".$file"; done)
units=./etc/systemd/system/engram-deployer.service
for file in env key.pem cert.pem containers/shop.json; do poison "/etc/engram-deployer/$file"; done
for file in engram-deployer/engram-deployer.cfg engram-deployer/key.pem engram-deployer.plg; do
    poison "/boot/config/plugins/$file"
done
for file in used_tokens deploy.lock seq last/deploy.json runs/1/log.ndjson; do poison "/var/lib/engram-deployer/$file"; done
[ -z "$runtime" ] || for file in queue/1 public/runs.json; do poison "/run/engram-deployer/$file"; done
for file in /var/lib/engram-deployer-plan/poison /var/cache/engram-deployer/poison /usr/local/lib/engram-deployer/poison \
    /usr/local/sbin/engram-deployer /etc/sysusers.d/engram-deployer.conf /etc/tmpfiles.d/engram-deployer.conf "${units#.}" \
    /usr/local/emhttp/plugins/engram-deployer/page /usr/local/etc/rc.d/rc.engram-deployer; do
    poison "$file"
done
chmod 755 "$root/usr/local/sbin/engram-deployer"

# Not by chroot(8): what enters this mount namespace later would see the other root.
repository=$PWD
mkdir -p "$root/mnt"
cd "$root"
pivot_root . mnt
umount -l /mnt
cd "$repository"

product >"$folder/before"
[ "$(wc -l <"$folder/before")" -ge 40 ] || fail "there is hardly anything to change: $(cat "$folder/before")"
status=0
"$@" || status=$?
product >"$folder/after"
cmp -s "$folder/before" "$folder/after" || {
    echo "poisoned.sh: these files of the product were changed:" >&2
    diff "$folder/before" "$folder/after" >&2 || :
    exit 97
}
exit "$status"
