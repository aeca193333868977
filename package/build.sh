#!/bin/sh
# Builds the Unraid plugin: the Slackware package and the .plg that installs it. Prints both paths, the package first.
# Built twice from the same commit and the same program, both are the same to the byte.
#
# usage: package/build.sh VERSION [--binary FILE] [--output FOLDER]
#   VERSION   YYYY.MM.DD, and a letter for a second one of that day: 2026.11.22, 2026.11.22a
#   --binary  this program, instead of building one with contrib/build.sh
#   --output  where to (target/package)
set -eu
umask 022
name=engram-deployer
usage() { sed -n 's/^# \{0,1\}//; 2,8p' "$0"; }

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

version='' binary='' output=''
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage && exit 0 ;;
    --binary | --output)
        [ $# -ge 2 ] || fail "$1 needs a value"
        case $1 in --binary) binary=$2 ;; --output) output=$2 ;; esac
        shift
        ;;
    -*) fail "there is no option $1" ;;
    *) [ -z "$version" ] || fail "one version, not $version and $1" && version=$1 ;;
    esac
    shift
done
[ -n "$version" ] || { usage >&2 && exit 2; }

# Unraid's plugin manager compares versions as texts, byte by byte: 0.10.0 would never follow 0.9.0, nor 2026.10.1 follow
# 2026.9.30. Dates of one width do follow each other.
day=$(printf '%s\n' "$version" | sed -n 's/^\(20[0-9][0-9]\)\.\([0-9][0-9]\)\.\([0-9][0-9]\)[a-z]\{0,1\}$/\1-\2-\3/p')
[ -n "$day" ] || fail "the version $version is not YYYY.MM.DD with an optional letter: Unraid compares versions as texts, so a semantic version would never be seen as newer"
epoch=$(date -u -d "$day" +%s 2>/dev/null) || fail "the version $version is no day of the calendar"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$epoch}

from=$(pwd)
cd "$(dirname "$0")/.."
case $binary in '') binary=$(contrib/build.sh | tail -n 1) ;; /*) ;; *) binary=$from/$binary ;; esac
case $output in '') output=${CARGO_TARGET_DIR:-target}/package ;; /*) ;; *) output=$from/$output ;; esac
[ -x "$binary" ] || fail "$binary is no program"
mkdir -p "$output"
output=$(cd "$output" && pwd)
stage=$(mktemp -d "$output/.stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT

plugin=$stage/usr/local/emhttp/plugins/$name
documents=$stage/usr/doc/$name-$version
cp -R package/root/. "$stage"
mkdir -p "$stage/install" "$stage/usr/local/sbin" "$documents"
cp package/install/doinst.sh package/install/slack-desc "$stage/install"
cp "$binary" "$stage/usr/local/sbin/$name"
cp contrib/notify/unraid.sh "$plugin/scripts/notify"
cp package/icon.png "$plugin/$name.png"
cp LICENSE-MIT LICENSE-APACHE CHANGELOG.md package/README.md "$documents"

# The modes of a checkout are its owner's affair; these are the package's.
find "$stage" -type d -exec chmod 755 {} +
find "$stage" -type f -exec chmod 644 {} +
chmod 755 "$stage/install/doinst.sh" "$stage/usr/local/sbin/$name" "$stage/etc/rc.d/rc.$name" "$plugin"/event/* "$plugin"/scripts/*

package=$name-$version-x86_64-1.txz
unset XZ_OPT XZ_DEFAULTS TAR_OPTIONS GZIP
LC_ALL=C tar -C "$stage" --format=ustar --sort=name --owner=root:0 --group=root:0 --mtime="@$SOURCE_DATE_EPOCH" \
    -cf "$stage.tar" etc install usr
xz --compress --stdout --format=xz --check=crc64 --threads=1 -6 "$stage.tar" >"$output/$package.new"
rm -f "$stage.tar"
mv "$output/$package.new" "$output/$package"

sum_of() { sha256sum "$1" | cut -d ' ' -f 1; }
sed "s/@VERSION@/$version/g; s/@SHA256@/$(sum_of "$output/$package")/g; s/@PROGRAM@/$(sum_of "$binary")/g" package/$name.plg.in >"$output/$name.plg.new"
! grep -q '@[A-Z0-9]*@' "$output/$name.plg.new" || fail "something in package/$name.plg.in was not filled in"
if command -v xmllint >/dev/null; then
    xmllint --noout "$output/$name.plg.new" || fail "the .plg is not well-formed"
fi
mv "$output/$name.plg.new" "$output/$name.plg"
printf '%s\n' "$output/$package" "$output/$name.plg"
