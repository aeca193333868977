#!/bin/sh
# Installs engram-deployer on plain Linux: the executable, systemd's units, the manual, a key and a certificate, the
# sample of the settings. Doing it again upgrades; settings, key, certificate, state and disabled units stay as they are.
#
# usage: contrib/install.sh [OPTION]... [NAME-OR-ADDRESS]...
#   --prefix DIR     where the executable and the manual go (default: /usr/local); with /usr the units go to /usr/lib too
#   --binary FILE    install this executable instead of building one
#   --terraform      let the units do what terraform's plans need (kept by later upgrades)
#   --uninstall      remove what was installed (with the same --prefix); settings, key, certificate and state stay
#   -h, --help       this text
# The names and addresses go into the certificate; without any, this host's own do. With DESTDIR set all goes beneath that
# folder, for a package: nothing of this host is asked or changed, and no key is made unless names are given.
set -eu
umask 022

say() { printf '%s\n' "$*"; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
prefix=/usr/local binary='' terraform=no action=install names='' first=no destdir=${DESTDIR:-}
while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --binary)
        [ $# -gt 1 ] || die "$1 needs a value"
        case $1 in --prefix) prefix=$2 ;; *) binary=$2 ;; esac
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --binary=*) binary=${1#*=} ;;
    --terraform) terraform=yes ;;
    --uninstall) action=uninstall ;;
    -h | --help) sed -n 's/^# \{0,1\}//; 2,12p' "$0" && exit 0 ;;
    -*) die "unknown option $1 (--help tells more)" ;;
    *[!A-Za-z0-9.:*_-]*) die "$1 is neither a name nor an address" ;;
    *) names="$names $1" ;;
    esac
    shift
done
case $prefix in
/*) prefix=${prefix%/} ;;
*) die "--prefix must be an absolute path, and is $prefix" ;;
esac
# It is written into the units and the manual.
case $prefix in *[!A-Za-z0-9._/-]*) die "--prefix has signs in it that a unit cannot hold: $prefix" ;; esac
case $destdir in '' | /*) destdir=${destdir%/} ;; *) die "DESTDIR must be an absolute path, and is $destdir" ;; esac
[ -n "$destdir" ] || [ "$(id -u)" -eq 0 ] || die "run this as root, or set DESTDIR"

program=$prefix/sbin/engram-deployer
etc=/etc/engram-deployer
# A package of a distribution puts its units where packages do, and leaves /etc to the operator.
case $prefix in
/usr) units=/usr/lib/systemd/system conf=/usr/lib ;;
*) units=/etc/systemd/system conf=/etc ;;
esac
services='engram-deployer.service engram-deployer@.service engram-deployer-recover.service engram-deployer-drift.service'
# Enabled when they are new here, and not by an upgrade: whoever listens by other means has turned the socket off.
starters='engram-deployer.socket engram-deployer-recover.service' new=''

# booted: whether systemd runs this host, and we may speak to it.
booted() { [ -z "$destdir" ] && [ -d /run/systemd/system ]; }

# there FILE: whether something is in that place, be it a link to a volume that is not mounted at the moment.
there() { [ -e "$1" ] || [ -L "$1" ]; }

# astray FILE: whether it is such a link.
astray() { [ -L "$1" ] && [ ! -e "$1" ]; }

# keep FILE...: what is the operator's; of a link that leads nowhere the operator had better know.
keep() {
    for file; do
        ! astray "$destdir$file" ||
            say "kept $file: it is a link to $(readlink "$destdir$file"), and nothing is there at the moment"
    done
}

# put MODE FROM TO: a file of ours, replaced by a new one; a running program keeps the old one.
put() {
    mkdir -p "$(dirname "$destdir$3")"
    cmp -s "$2" "$destdir$3" && [ ! -L "$destdir$3" ] && chmod "$1" "$destdir$3" && return
    cp "$2" "$destdir$3.new$$"
    chmod "$1" "$destdir$3.new$$"
    mv -f "$destdir$3.new$$" "$destdir$3"
    say "installed $3"
}

# put_text FROM TO: the same for a text that names the executable.
put_text() {
    changed=$(mktemp)
    sed "s|/usr/local/sbin/engram-deployer|$program|g" "$1" >"$changed"
    put 644 "$changed" "$2"
    rm -f "$changed"
}

# everything: each file that is not configuration, to be removed again: its place.
everything() {
    say "$program"
    for page in engram-deployer.8 engram-deployer.env.5; do say "$prefix/share/man/man${page##*.}/$page"; done
    say "$prefix/share/doc/engram-deployer/engram-deployer.env"
    for unit in "$here"/systemd/system/*; do say "$units/${unit##*/}"; done
    for unit in $services; do say "$units/$unit.d/terraform.conf"; done
    say "$conf/tmpfiles.d/engram-deployer.conf"
    say "$conf/sysusers.d/engram-deployer.conf"
}

uninstall() {
    if booted; then
        for unit in engram-deployer.socket engram-deployer-drift.timer engram-deployer.service \
            engram-deployer-recover.service; do
            systemctl disable --now "$unit" 2>/dev/null || true
        done
    fi
    everything | while read -r file; do
        [ -e "$destdir$file" ] || continue
        rm -f "$destdir$file"
        say "removed $file"
    done
    for unit in $services; do rmdir "$destdir$units/$unit.d" 2>/dev/null || true; done
    rmdir "$destdir$prefix/share/doc/engram-deployer" 2>/dev/null || true
    ! booted || systemctl daemon-reload
    say "kept: $etc (settings, key, certificate), /var/lib/engram-deployer (state), users 65521 to 65523"
    say "to remove them as well: rm -r $etc /var/lib/engram-deployer /var/lib/engram-deployer-plan /var/cache/engram-deployer"
    say "that forgets which tokens were used: do not install again within an hour"
}

# host_names: what this host is called, and its addresses that others can reach.
host_names() {
    hostname 2>/dev/null || cat /proc/sys/kernel/hostname
    hostname -f 2>/dev/null || true
    if command -v ip >/dev/null; then
        ip -o addr show scope global | awk '{ sub("/.*", "", $4); print $4 }'
    else
        hostname -I 2>/dev/null | tr ' ' '\n' || true
    fi
}

# alternative_names WORD...: as openssl takes them, each once.
alternative_names() {
    for word; do
        case $word in
        '' | *[!A-Za-z0-9.:*_-]*) ;;
        *:*) say "IP:$word" ;;
        *[!0-9.]*) say "DNS:$word" ;;
        *) say "IP:$word" ;;
        esac
    done | awk '!seen[$0]++' | paste -s -d , -
}

# make_key: key and certificate, when neither is there: clients pin the key, so that nobody has to sign it.
make_key() {
    key=$destdir$etc/key.pem cert=$destdir$etc/cert.pem
    if there "$key" || there "$cert"; then
        there "$key" && there "$cert" && keep "$etc/key.pem" "$etc/cert.pem" && return
        die "of $etc/key.pem and $etc/cert.pem one is missing: put it there, or move the other one away"
    fi
    if [ -n "$destdir" ] && [ -z "$names" ]; then
        say "no key and no certificate were made: DESTDIR is set, and no names were given"
        return
    fi
    [ -n "$names" ] || names="$(host_names) localhost 127.0.0.1 ::1"
    # Word by word, and a wildcard is a name here.
    set -f
    # shellcheck disable=SC2086
    san=$(alternative_names $names)
    set +f
    [ -n "$san" ] || die "this host has no name and no address for the certificate: give one"
    command -v openssl >/dev/null || die "there is no openssl to make a key with: install it, or put $etc/key.pem and $etc/cert.pem there"
    made=$(umask 077 && mktemp -d "$destdir$etc/new.XXXXXX")
    (
        umask 077
        # P-256: every TLS library of every CI image has it.
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 3650 \
            -subj /CN=engram-deployer -addext "subjectAltName=$san" -addext basicConstraints=critical,CA:FALSE \
            -keyout "$made/key.pem" -out "$made/cert.pem" 2>"$made/said"
    ) || { cat "$made/said" >&2 && rm -rf "$made" && die "openssl could not make a certificate for $san"; }
    # The certificate is for everyone to read: it is what CI is given.
    chmod 644 "$made/cert.pem"
    mv "$made/cert.pem" "$cert"
    mv "$made/key.pem" "$key"
    rm -rf "$made"
    say "made $etc/key.pem and $etc/cert.pem, for ten years, for $san"
}

# make_settings: from the sample, with what is known.
make_settings() {
    env=$destdir$etc/env
    if there "$env"; then
        keep "$etc/env"
        return
    fi
    first=yes
    (
        umask 077
        sed "s|^#\(DEPLOYER_CERT_FILE=\).*|\1$etc/cert.pem|; s|^#\(DEPLOYER_KEY_FILE=\).*|\1$etc/key.pem|
            s|^#\(DEPLOYER_BACKEND=\).*|\1docker|" \
            "$here/engram-deployer.env" >"$env.new$$"
    )
    mv "$env.new$$" "$env"
    say "made $etc/env from the sample: put your own values in"
}

# had UNIT: whether this host has the unit already, from wherever: whether it is enabled is the operator's affair then.
had() {
    there "$destdir/etc/systemd/system/$1" || there "$destdir/usr/lib/systemd/system/$1"
}

install_units() {
    for unit in $starters; do had "$unit" || new="$new $unit"; done
    for unit in "$here"/systemd/system/*; do put_text "$unit" "$units/${unit##*/}"; done
    for unit in $services; do
        drop_in=$units/$unit.d/terraform.conf
        if [ "$terraform" = yes ] || [ -e "$destdir$drop_in" ]; then
            put 644 "$here/systemd/drop-in/terraform.conf" "$drop_in"
        fi
    done
    put 644 "$here/systemd/tmpfiles.d/engram-deployer.conf" "$conf/tmpfiles.d/engram-deployer.conf"
    put 644 "$here/systemd/sysusers.d/engram-deployer.conf" "$conf/sysusers.d/engram-deployer.conf"
}

# take_up: has systemd read what changed. A daemon that runs is replaced if it can, and runs that are under way go on.
take_up() {
    systemctl daemon-reload
    # At once: if something below fails, they are not new any more the next time.
    for unit in $new; do systemctl enable "$unit"; done
    for unit in $starters; do
        systemctl is-enabled --quiet "$unit" || say "left as it was: $unit is not enabled"
    done
    systemd-sysusers engram-deployer.conf || say "the users 65521 to 65523 were not made; the daemon works without"
    systemd-tmpfiles --create engram-deployer.conf
    # Without them no new daemon gets ready, and this would end here; the one that runs can still do something.
    if astray "$etc/env" || astray "$etc/key.pem" || astray "$etc/cert.pem"; then
        say "a daemon that runs was left running. Once all is mounted: systemctl try-restart engram-deployer.service"
    else
        systemctl try-restart engram-deployer.service
    fi
}

# remember: the memory of used tokens, on a first installation alone: one that was lost since is none of ours to make.
# The settings are not complete then, and the places, which is all that matters here, have their defaults.
remember() {
    [ "$first" = yes ] || return 0
    {
        cat "$etc/env"
        say DEPLOYER_REPOSITORY=owner/name
        say DEPLOYER_WORKFLOW_REF=owner/name/.github/workflows/deploy.yml@refs/heads/main
        say DEPLOYER_ALLOWED_IPS=127.0.0.1
    } >"$etc/env.first"
    "$program" init --env-file "$etc/env.first" ||
        say "the memory of used tokens is as it was; 'engram-deployer init' is for a first installation"
    rm -f "$etc/env.first"
}

# pins EXECUTABLE: of the certificate, by a file of its own: the host's settings are not looked at.
pins() {
    if astray "$destdir$etc/cert.pem"; then
        say "the pins cannot be read: nothing is where $etc/cert.pem links to; 'engram-deployer pin' shows them later"
        return
    fi
    only=$(mktemp)
    say "DEPLOYER_CERT_FILE=$destdir$etc/cert.pem" >"$only"
    "$1" pin --env-file "$only" || say "the pins could not be read; 'engram-deployer pin' says why"
    rm -f "$only"
}

what_next() {
    say ''
    say "next:"
    say "  1. put your values into $etc/env (man engram-deployer.env)"
    say "  2. engram-deployer check, until it finds nothing"
    if [ -d /run/systemd/system ]; then
        say "  3. systemctl start engram-deployer.socket, or what listens in its place"
    else
        say "  3. there is no systemd here. Have the host's own init start, at boot and after docker:"
        say "         $program recover --env-file $etc/env"
        say "         $program serve --env-file $etc/env"
        say "     or use inetd (contrib/inetd). Stop it by TERM to its own process, never to a whole group: runs go on."
    fi
    say "in CI: the pin ('engram-deployer pin' shows it) as DEPLOYER_PIN, or $etc/cert.pem as DEPLOYER_CACERT"
}

if [ "$action" = uninstall ]; then
    uninstall
    exit 0
fi
[ -n "$binary" ] || binary=$("$here/build.sh" | tail -n 1)
case $binary in /*) ;; *) [ -f "$binary" ] || binary=$here/../$binary ;; esac
[ -f "$binary" ] || die "there is no executable $binary"
# It is run as well: a name without a slash would be looked for in PATH.
case $binary in /*) ;; *) binary=$PWD/$binary ;; esac
put 755 "$binary" "$program"
for page in engram-deployer.8 engram-deployer.env.5; do
    put_text "$here/man/$page" "$prefix/share/man/man${page##*.}/$page"
done
put 644 "$here/engram-deployer.env" "$prefix/share/doc/engram-deployer/engram-deployer.env"
(umask 077 && mkdir -p "$destdir$etc/containers")
make_key
make_settings
# Last: an installation that was refused above finds its units new the next time.
install_units
if [ -n "$destdir" ]; then
    say "installed beneath $destdir; nothing of this host was changed"
    ! there "$destdir$etc/cert.pem" || pins "$binary"
    exit 0
fi
! booted || take_up
remember
pins "$program"
what_next
