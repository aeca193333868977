#!/bin/sh
# DEPLOYER_NOTIFY_COMMAND for Unraid: shows each run's result as a notification of the server (and, as it is set there,
# by mail or an agent). Failures are alerts.
notify=/usr/local/emhttp/webGui/scripts/notify
lock=/run/engram-deployer-notice.lock

# Unraid writes what it is given into a file of its own form: no quotes, no newlines. Escaped ones are the only ones that
# a member of the document can hold.
document=$(sed "s/\\\\\\\\/|/g; s/\\\\\"/'/g; s/\\\\[bfnrt]/ /g")
tab=$(printf '\t')
member() {
    printf '%s\n' "$document" | sed -n "s/\"$1\":\"/$tab/; s/^[^$tab]*$tab\\([^\"]*\\)\".*/\\1/p"
}

importance=normal
[ "$DEPLOYER_STATUS" = ok ] || importance=alert
# Of two notices within one second Unraid keeps one.
exec 9>"$lock" && flock 9
"$notify" -e "engram-deployer" -s "$DEPLOYER_ENDPOINT $(member version): $DEPLOYER_STATUS" \
    -d "run $DEPLOYER_RUN_ID $(member error)" -i "$importance"
sleep 1
exit 0
