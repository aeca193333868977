# shellcheck shell=sh disable=SC2034
# Where the product is on a host on which it is installed: sourced, not run. Tests must neither see nor change it there.

# Folders that the running tests get empty ones in the place of. All of /boot: the Unraid plugin's place is deep in it, and
# no test wants anything of it.
product_folders='/boot /etc/engram-deployer /run/engram-deployer /var/cache/engram-deployer /var/lib/engram-deployer
/var/lib/engram-deployer-plan'

# What a scratch root that has this machine's files beneath must not show. Such a root has no mounts of this machine's in it,
# so the empty folders do not help there.
product_files="/boot /etc/engram-deployer /var/cache/engram-deployer /var/lib/engram-deployer /var/lib/engram-deployer-plan
/etc/sysusers.d/engram-deployer.conf /etc/tmpfiles.d/engram-deployer.conf
/usr/lib/sysusers.d/engram-deployer.conf /usr/lib/tmpfiles.d/engram-deployer.conf
/usr/local/sbin/engram-deployer /usr/sbin/engram-deployer
/usr/local/lib/engram-deployer /usr/local/share/doc/engram-deployer /usr/share/doc/engram-deployer
/usr/local/share/man/man8/engram-deployer.8 /usr/local/share/man/man5/engram-deployer.env.5
/usr/share/man/man8/engram-deployer.8 /usr/share/man/man5/engram-deployer.env.5
/etc/rc.d/rc.engram-deployer /usr/local/etc/rc.d/rc.engram-deployer /usr/local/emhttp/plugins/engram-deployer"

# hide_product LAYER: fills an empty folder so that it hides the product where it is a layer of an overlay above `/`:
# a character device 0/0 hides what is below (Documentation/filesystems/overlayfs, whiteouts).
hide_product() {
    # shellcheck disable=SC2086
    for hidden in $product_files /usr/lib/systemd/system/engram-deployer*; do
        [ -e "$hidden" ] || [ -L "$hidden" ] || continue
        like_above "$1" "${hidden%/*}"
        mknod "$1$hidden" c 0 0
    done
}

# like_above LAYER FOLDER: makes a folder in the layer with owner and mode of the one below, which is what the overlay shows.
like_above() {
    [ -n "$2" ] && [ ! -d "$1$2" ] || return 0
    like_above "$1" "${2%/*}"
    mkdir "$1$2"
    chown --reference="$2" "$1$2"
    chmod --reference="$2" "$1$2"
}
