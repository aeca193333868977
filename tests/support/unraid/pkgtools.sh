#!/bin/sh
# Stands in for Slackware's installpkg, upgradepkg and removepkg, by the name it is called by, with what was measured of
# them: a list of files for each package, directories kept when they are links, doinst.sh run in the root whatever its
# exit status, the files that a new version has not any more removed, and an exit status of 0 whatever comes. What cannot be
# unpacked leaves the version before where it is, with its list under another name.
list=/var/lib/pkgtools/packages

# base NAME-VERSION-ARCH-BUILD
base() { echo "${1%-*-*-*}"; }

# put FILE: unpacks it, and notes what is in it.
put() {
    full=$(basename "$1" .txz)
    cd / || exit 0
    tar -tJf "$1" >/dev/null 2>&1 || { echo "cannot unpack $1" && return 1; }
    tar -xpJf "$1" --keep-directory-symlink || return 1
    tar -tJf "$1" | grep -v '^install/' >"$list/$full"
    [ ! -f install/doinst.sh ] || sh install/doinst.sh
    rm -rf /install
}

# take FULL [KEPT]: removes its files, but for those that are in the list KEPT too; then folders that are empty.
take() {
    cd / || exit 0
    sort -r "$list/$1" | while read -r path; do
        ! grep -qxF -- "$path" "${2:-/dev/null}" || continue
        case $path in */) rmdir "$path" 2>/dev/null ;; *) rm -f "$path" ;; esac
    done
    rm -f "$list/$1"
}

case ${0##*/} in
installpkg) put "$1" ;;
upgradepkg)
    [ "$1" != --install-new ] || shift
    new=$(basename "$1" .txz)
    [ ! -e "$list/$new" ] || { echo "Skipping package $new (already installed)" && exit 0; }
    if ! put "$1"; then
        for old in "$list/$(base "$new")"-*-*-*; do [ ! -e "$old" ] || mv "$old" "$old-upgraded-now"; done
        exit 0
    fi
    for old in "$list/$(base "$new")"-*-*-*; do
        old=${old##*/}
        [ "$old" = "$new" ] || [ ! -e "$list/$old" ] || take "$old" "$list/$new"
    done
    ;;
removepkg)
    if [ -e "$list/$1" ]; then take "$1"; else echo "No such package: $1. Can't remove."; fi
    ;;
esac
exit 0
