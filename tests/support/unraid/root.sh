#!/bin/sh
# A scratch root that is like an Unraid server where the plugin can tell: this machine's own, read-only beneath, with what
# is written to it in memory; /run as Unraid mounts it; a FAT image at /boot; stand-ins for pkgtools, the plugin manager and
# `logger`.
#
# usage: unshare --mount --propagation private sh root.sh FOLDER COMMAND [ARGUMENT...]
#   FOLDER   an absolute path: has the image (flash.img), the root (root) and what was written (ram/upper); the file `ready`
#            appears in it when the root is complete
set -eu
folder=$1
shift
here=$(dirname "$0")
# shellcheck source=tests/support/places.sh
. "$here/../places.sh"
root=$folder/root
PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "root.sh: $*" >&2
    exit 1
}

mkdir -p "$folder/ram" "$root"
mount -t tmpfs -o mode=755 tmpfs "$folder/ram"
mkdir "$folder/ram/upper" "$folder/ram/work" "$folder/ram/hidden"
# This machine may have the product; the server has not.
hide_product "$folder/ram/hidden"
mount -t overlay -o "lowerdir=$folder/ram/hidden:/,upperdir=$folder/ram/upper,workdir=$folder/ram/work" overlay "$root" ||
    fail "an overlay of / cannot be mounted: the tests of the package need root and a kernel with overlayfs"
mkdir -p "$root/boot" "$root/usr/local/etc/rc.d" "$root/usr/local/emhttp" "$root/var/local/emhttp" "$root/var/lib/pkgtools/packages"
[ -e "$root/etc/rc.d" ] || ln -s ../usr/local/etc/rc.d "$root/etc/rc.d"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o size=128m,noexec,nosuid,nodev,mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o size=128m,mode=755 tmpfs "$root/var/log"

# As Unraid mounts its flash; where the kernel has no FAT, by a program and as its successor, which has no modes, owners
# and links either. Debian has a program for FAT itself, fusefat, but a file that is opened to be written anew keeps its old
# end there, chmod is unknown (FAT ignores it), and removing a file that was shortened never returns.
flash=$folder/flash.img
new_flash() { [ -e "$flash" ] || { truncate -s 128M "$flash" && "$@" "$flash" >/dev/null; }; }
if grep -qw vfat /proc/filesystems || modprobe -q vfat 2>/dev/null; then
    new_flash mkfs.vfat -F 32 || fail "no mkfs.vfat: apt-get install dosfstools"
    mount -t vfat -o loop,rw,flush,noatime,nodiratime,dmask=77,fmask=177,shortname=mixed "$flash" "$root/boot" ||
        fail "the kernel cannot mount a FAT image on a loop device"
else
    new_flash mkfs.exfat || fail "no mkfs.exfat: apt-get install exfatprogs"
    device=$(losetup -f --show "$flash") || fail "there is no loop device: the tests of the package need /dev/loop-control"
    mount.exfat-fuse -o noatime,dmask=77,fmask=177 "$device" "$root/boot" >/dev/null ||
        fail "the kernel has no FAT, and there is no mount.exfat-fuse: apt-get install exfat-fuse"
    # It goes when the program that has it open ends.
    losetup -d "$device"
fi
mkdir -p "$root/boot/config/plugins"

for tool in installpkg upgradepkg removepkg; do
    cp "$here/pkgtools.sh" "$root/sbin/$tool"
    chmod 755 "$root/sbin/$tool"
done
cp "$here/plugin.py" "$root/usr/local/sbin/plugin"
printf '%s\n' '#!/bin/sh' 'exec cat >>/var/log/syslog' >"$root/usr/local/bin/logger"
chmod 755 "$root/usr/local/sbin/plugin" "$root/usr/local/bin/logger"
touch "$folder/ready"
exec chroot "$root" "$@"
