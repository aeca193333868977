#!/bin/sh
# DEPLOYER_NOTIFY_COMMAND for anything that takes a POST: sends the result as it is, a JSON object. Where to, and with
# which secret, stands in a file of curl's own form beside this one, called like it with `.conf` behind; root's alone
# (chmod 600):
#     url = "https://hooks.example.org/deploys"
#     header = "Authorization: Bearer TOKEN"
exec curl -q -sS -f --max-time 8 --retry 2 --retry-max-time 20 -o /dev/null -K "$0.conf" \
    -H "Content-Type: application/json" --data-binary @-
