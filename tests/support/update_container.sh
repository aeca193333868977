#!/bin/sh
# Stands in for Unraid's `update_container`, against a real Docker, with the habits that were measured on the real one:
# exit status 0 whatever happens, nothing on standard output, the old container removed before the new one is tried.
#
# usage: update_container NAME [ca_docker_run_override]
#
# On Unraid the template folder is fixed and the environment does not matter, so neither is used here: settings stand in
# `update_container.conf` beside this script (a test links the script into a folder of its own):
#   TEMPLATE_DIR=/path      required
#   BEHAVE=word             hang (before anything), hang-removed (the old container gone), remove-only, nothing, not-started, wrong-image
#   PAUSE=seconds           between removing the old container and starting the new one
# Every call is noted in `update_container.calls` there.
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH
here=$(dirname "$0")
BEHAVE='' PAUSE=0
# shellcheck source=/dev/null
. "$here/update_container.conf"
name=$1
override=${2:-}
echo "$*" >>"$here/update_container.calls"
exec >/dev/null 2>>"$here/update_container.errors"

api() { # METHOD PATH: Docker's own API, because its stream tells what the client hides
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    curl -sS --unix-socket "${socket#unix://}" -X "$1" "http://docker$2"
}

# Every element of a template as one line: tag, attribute text, value; entities decoded.
elements() {
    awk -v RS='<' '
        function decoded(text) {
            gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text)
            gsub(/&#39;|&apos;/, "\047", text); gsub(/&amp;/, "\\&", text)
            return text
        }
        /^[A-Za-z]/ {
            end = index($0, ">"); inside = substr($0, 1, end - 1); value = substr($0, end + 1)
            sub(/\/$/, "", inside); gsub(/[\n\t]/, " ", inside); gsub(/[\n\t]/, " ", value); sub(/ +$/, "", value)
            tag = inside; sub(/ .*/, "", tag)
            attributes = substr(inside, length(tag) + 1)
            print tag "\t" attributes "\t" decoded(value)
        }' "$1"
}

first() { # FILE TAG: the value of its first element of that name
    elements "$1" | awk -F '\t' -v tag="$2" '$1 == tag { print $3; exit }'
}

attribute() { # ATTRIBUTES NAME
    printf '%s\n' "$1" | sed -n "s/.* $2=\"\\([^\"]*\\)\".*/\\1/p"
}

# The first file by base name (natural order, either case) whose first <Name> is ours wins; the file's own name is nothing.
template() {
    find "$TEMPLATE_DIR" -type f -name '*.xml' ! -name '.*' -printf '%f\t%p\n' | sort -f -V | cut -f 2 |
        while IFS= read -r file; do
            if [ "$(first "$file" Name)" = "$name" ]; then
                printf '%s\n' "$file"
                break
            fi
        done
}

image_id() { docker image inspect -f '{{.Id}}' "$1" 2>/dev/null; }

hang() { while :; do sleep 3600; done; }

file=$(template)
[ -n "$file" ] || exit 0
[ "$BEHAVE" = nothing ] && exit 0
[ "$BEHAVE" = hang ] && hang

repository=$(first "$file" Repository)
old_image=$(image_id "$repository")
[ "$BEHAVE" = wrong-image ] && repository=$(docker inspect -f '{{.Config.Image}}' "$name-prev")

# Only an error inside the stream stops it; an answer other than 200 (no such tag, registry down) does not.
if api POST "/images/create?fromImage=$repository" | grep -q '"error":'; then
    exit 0
fi

verb=create
[ "$override" = ca_docker_run_override ] && verb='run -d'
if [ "$(docker inspect -f '{{.State.Running}}' "$name" 2>/dev/null)" = true ]; then
    verb='run -d'
    docker stop -t 10 "$name"
fi
docker rm -f "$name"
[ "$BEHAVE" = remove-only ] && exit 0
[ "$BEHAVE" = hang-removed ] && hang
[ "$BEHAVE" = not-started ] && verb=create
sleep "$PAUSE"

# From here on the arguments are those of `docker run`, in the order in which the real script puts them.
network=$(first "$file" Network)
docker network inspect "$network" >/dev/null 2>&1 || network=none
set -- --name="$name" --net="$network" --label net.unraid.docker.managed=dockerman
while IFS="$(printf '\t')" read -r tag attributes value; do
    if [ "$tag" != Config ] || [ -z "$value" ]; then continue; fi
    target=$(attribute "$attributes" Target)
    mode=$(attribute "$attributes" Mode)
    case $(attribute "$attributes" Type) in
        Port) set -- "$@" -p "$value:$target/${mode:-tcp}" ;;
        Variable) set -- "$@" -e "$target=$value" ;;
        Path) set -- "$@" -v "$value:$target:${mode:-rw}" ;;
        Label) set -- "$@" -l "$target=$value" ;;
        Device) set -- "$@" --device="$value" ;;
    esac
done <<END
$(elements "$file")
END
# A shell reads these two on Unraid as well, quotes and all.
eval "set -- \"\$@\" $(first "$file" ExtraParams) \"\$repository\" $(first "$file" PostArgs)"
# shellcheck disable=SC2086
docker $verb "$@"

new_image=$(image_id "$repository")
if [ -n "$old_image" ] && [ "$old_image" != "$new_image" ]; then
    api DELETE "/images/$old_image?force=1"
fi
exit 0
