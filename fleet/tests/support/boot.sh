#!/bin/sh
# Boots systemd as process 1 of a host of its own: this machine's files beneath, with what is written to them in a folder;
# a /run, /tmp and /dev of its own; nobody else's processes. It has the machine's network, so its loopback is ours.
#
# usage: unshare --mount --propagation private sh boot.sh FOLDER SHARED PROGRAM
#   FOLDER   an absolute path, for what is written
#   the host has the other two as /shared and /program
# Ends with the host's process 1.
set -eu
folder=$1 shared=$2 program=$3
root=$folder/root
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "boot.sh: $*" >&2
    exit 1
}

mkdir -p "$folder/upper" "$folder/work" "$folder/cgroup" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root" ||
    fail "an overlay of / cannot be mounted: this test needs root and a kernel with overlayfs"
# Nothing of this machine's own is to be started on the host, and nothing that would change the machine's kernel.
rm -rf "$root/etc/systemd/system" "$root"/etc/rc?.d "$root/etc/init.d" "$root/etc/fstab" "$root/var/log/journal"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/init.d" "$root/shared" "$root/mnt"
for unit in systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    systemd-sysctl.service systemd-modules-load.service systemd-binfmt.service systemd-logind.service \
    systemd-journal-flush.service systemd-update-utmp.service systemd-update-utmp-runlevel.service tmp.mount \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount getty.target; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
printf '%032d\n' 1 >"$root/etc/machine-id"
touch "$root/program"
mount --bind "$shared" "$root/shared"
mount --bind "$program" "$root/program"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/"; done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

# The host's own part of the tree of control groups, which is gone when the host is.
mount -t cgroup2 cgroup2 "$folder/cgroup" || fail "the kernel has no cgroup2, and systemd does nothing without"
above=$folder/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
own=$folder/cgroup/${folder##*/}
mkdir -p "$own"
echo $$ >"$own/cgroup.procs"
status=0
# shellcheck disable=SC2016
setpriv --pdeathsig KILL unshare --mount --pid --cgroup --uts --ipc --fork --kill-child sh -ec '
mount -t proc proc "$1/proc"
mount --bind "$1/proc/sys" "$1/proc/sys"
mount -o remount,bind,ro "$1/proc/sys"
mount -t sysfs -o ro sysfs "$1/sys"
mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
hostname booted
cd "$1"
pivot_root . mnt
umount -l /mnt
# What systemd mounts for a unit is seen by the unit.
mount --make-rshared /
# `container`: so that it leaves the hardware alone, which is the machine'"'"'s.
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=multi-user.target \
    --log-target=journal --show-status=no
' sh "$root" || status=$?
echo $$ >"$above/cgroup.procs"
find "$own" -depth -type d -exec rmdir {} +
exit "$status"
