#!/bin/sh
# Runs a command in a mount namespace of its own in which the folders of an installed product are empty, so that tests
# neither read nor change what the product of this machine has. Only root can.
#
# usage: tests/support/hermetic.sh COMMAND [ARGUMENT...]
#   The command finds the namespace's name in ENGRAM_TESTS_MOUNTS.
set -eu
# shellcheck source=tests/support/places.sh
. "$(dirname "$0")/places.sh"

# A mount needs a folder to be mounted on. One that had to be made has this mode, which no other has, and goes again when no
# process has it mounted any more; until then it is empty for everybody else.
made_mode=1000

# Whoever makes, mounts or removes such folders holds this folder's lock meanwhile: several may be at it.
lock=/var/lib

# unused FOLDER: whether no process, in whatever namespace, has something mounted there.
unused() { ! grep -qsF " $1 " /proc/[0-9]*/mountinfo; }

# remove_made: the folders that were made, as far as they are not in use; fails when one is.
remove_made() {
    left=0
    for place in $product_folders; do
        [ "$(stat -c %a "$place" 2>/dev/null)" = "$made_mode" ] || continue
        # One that somebody has put something into is not ours any more.
        if unused "$place"; then rmdir "$place" 2>/dev/null || :; else left=1; fi
    done
    return "$left"
}

case ${1:-} in
--inside)
    shift
    for place in $product_folders; do mount -t tmpfs -o mode=755 tmpfs "$place"; done
    exec 9>&-
    ENGRAM_TESTS_MOUNTS=$(readlink /proc/self/ns/mnt)
    export ENGRAM_TESTS_MOUNTS
    exec "$@"
    ;;
--clean-up)
    # However that process ends; it may leave others that have the folders mounted.
    tail --pid="$2" -f /dev/null
    until (flock 9 && remove_made) 9<"$lock"; do sleep 1; done
    exit 0
    ;;
'' | -*) sed -n 's/^# \{0,1\}//; 2,6p' "$0" && exit 2 ;;
esac

[ "$(id -u)" -eq 0 ] || {
    echo "hermetic.sh: a mount namespace is made by root alone" >&2
    exit 1
}
exec 9<"$lock"
flock 9
for place in $product_folders; do [ -e "$place" ] || mkdir -m "$made_mode" "$place"; done
setsid "$0" --clean-up $$ </dev/null >/dev/null 2>&1 9<&- &
exec unshare --mount --propagation private "$0" --inside "$@"
