#!/bin/sh
# DEPLOYER_NOTIFY_COMMAND for ntfy (https://ntfy.sh, or a server of yours). Where to, and with which token, stands in a
# file of curl's own form beside this one, called like it with `.conf` behind; root's alone (chmod 600):
#     url = "https://ntfy.sh/TOPIC"
#     header = "Authorization: Bearer TOKEN"
document=$(sed "s/\\\\\\\\/|/g; s/\\\\\"/'/g; s/\\\\[bfnrt]/ /g")
tab=$(printf '\t')
member() {
    printf '%s\n' "$document" | sed -n "s/\"$1\":\"/$tab/; s/^[^$tab]*$tab\\([^\"]*\\)\".*/\\1/p"
}

priority=default tag=white_check_mark
[ "$DEPLOYER_STATUS" = ok ] || { priority=high && tag=x; }
printf 'run %s %s\n' "$DEPLOYER_RUN_ID" "$(member error)" |
    curl -q -sS -f --max-time 8 --retry 2 --retry-max-time 20 -o /dev/null -K "$0.conf" \
        -H "Title: $DEPLOYER_ENDPOINT $(member version): $DEPLOYER_STATUS ($(uname -n))" \
        -H "Priority: $priority" -H "Tags: $tag" --data-binary @-
