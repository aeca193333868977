#!/bin/sh
# One signed deploy from start to end, on this machine: an issuer that stands in for GitHub, a registry, a container at
# version 1, the daemon, and the client of CI that sends the request. Exits with 0 only when version 2 is live.
#
# usage: contrib/demo.sh [--yes]
#   --yes    install what is missing without asking
#
# It needs root (for Docker, and because the daemon's roles give root up), takes away everything it made, however it
# ends, and leaves installed what it installed.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/support/parts.sh

how=ask
case ${1:-} in
-h | --help) sed -n 's/^# \{0,1\}//; 2,9p' "$0" && exit 0 ;;
--yes) how=install ;;
'') [ -z "${CI:-}" ] || how=install ;;
*) die "unknown argument $1 (--help tells more)" ;;
esac
[ "$(id -u)" -eq 0 ] || die "run this as root"

name=engram-demo
program='' image='' bold='' dim='' plain='' green='' number=0
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m') green=$(printf '\033[32m')
fi

# shellcheck disable=SC2317
say() { # a heading
    number=$((number + 1))
    printf '\n%s%s. %s%s\n' "$bold" "$number" "$*" "$plain"
}

note() { printf '%s   %s%s\n' "$dim" "$*" "$plain"; }

# shellcheck disable=SC2317
clean_up() {
    printf '\n%scleaning up%s\n' "$dim" "$plain"
    # A run that has begun does not end with its caller or with the daemon. It is asked to, and waited for.
    if [ -d "$folder/runtime" ]; then
        for run in "$folder"/runtime/queue/*; do
            run=${run##*/}
            "$program" cancel --env-file "$folder/env" "${run#*-}" >/dev/null 2>&1
        done
        flock --timeout 60 "$folder/runtime/turn" true
    fi
    [ -n "$image" ] || return
    # shellcheck disable=SC2046
    {
        docker rm --force --volumes $(docker ps --all --quiet --filter "name=^/$name(-|\$)")
        docker image rm --force $(docker images --filter "reference=$image" --format '{{.Repository}}:{{.Tag}}')
    } >/dev/null 2>&1
}

show_container() {
    printf '   container   %s\n' "$(docker ps --filter "name=^/$name\$" --format '{{.Names}}   {{.Image}}   {{.Status}}')"
    printf '   its health  %s\n' "$(curl -sS --max-time 5 "$health" 2>&1)"
}

# mint AUDIENCE: prints a token, as a job of CI gets one that may (on GitHub: "permissions: id-token: write").
mint() {
    curl -sS -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$1" |
        sed 's/.*"value":"\([^"]*\)".*/\1/'
}

# show_token: some of the claims, a line each.
show_token() {
    claims=${token#*.} && claims=$(printf '%s' "${claims%%.*}" | tr '_-' '/+')
    while [ $((${#claims} % 4)) -ne 0 ]; do claims="$claims="; done
    claims=$(printf '%s' "$claims" | base64 --decode)
    for claim in iss aud repository workflow_ref ref; do
        printf '   %-13s %s\n' "$claim" "$(printf '%s' "$claims" | sed "s/.*\"$claim\":\"\([^\"]*\)\".*/\1/")"
    done
}

# try WHAT TOKEN: sends a request that nobody may send, and shows what comes back.
try() {
    printf '   %-34s ' "$1"
    curl -sS --max-time 10 --cacert "$folder/tls.pem" -H "Authorization: Bearer $2" -d '{"version":"2.0.0"}' \
        -w '%{http_code} ' -o "$folder/refusal" "$url/deploy"
    cat "$folder/refusal"
}

begin
need_cargo
printf '%sengram-deployer: a signed request replaces a running container%s\n' "$bold" "$plain"
note "Real parts, on loopback alone: Docker, a registry, TLS, curl. Only the issuer of the token is ours,"
note "because GitHub signs for jobs of GitHub alone. All of it is taken away at the end."
need "$how" cc=build-essential curl=curl openssl=openssl flock=util-linux docker=docker.io dockerd=docker.io \
    docker-registry=docker-registry

say "Building the daemon, the issuer, and an application to deploy"
note "A debug build, as the tests use it: a minute or two the first time."
attended cargo build --locked --bin engram-deployer --example issuer || die "cargo could not build"
program=${CARGO_TARGET_DIR:-target}/debug/engram-deployer
build_app
note "$("$program" version)"

say "Starting what is around the daemon"
start_dockerd
if [ -n "$(docker ps --all --quiet --filter "name=^/$name(-|\$)")" ]; then
    die "a container named $name is there already: docker rm -f $name $name-next $name-old"
fi
make_certificate
start_issuer "${CARGO_TARGET_DIR:-target}/debug/examples/issuer"
note "issuer     $ISSUER"
start_registry
image=127.0.0.1:$registry_port/$name
note "registry   127.0.0.1:$registry_port"
import_image "$image" 1.0.0
import_image "$image" 2.0.0
docker push --quiet "$image:2.0.0" >/dev/null || die "docker could not push version 2.0.0"
docker image rm "$image:2.0.0" >/dev/null || die "docker could not take version 2.0.0 off this host"
note "version 2.0.0 is in the registry, and not on this host"
port=$(free_port 18000)
health=http://127.0.0.1:$port/api/health
docker run --detach --name "$name" --publish "127.0.0.1:$port:8000" "$image:1.0.0" >/dev/null ||
    die "docker could not start version 1.0.0"
wait_for 10 "version 1.0.0 answers" curl -sf "$health"

say "Before: version 1.0.0 runs"
show_container

say "Starting the daemon"
deployer_port=$(free_port 18443)
url=https://localhost:$deployer_port
mkdir "$folder/containers"
cat >"$folder/containers/$name.json" <<END
{"ports": ["127.0.0.1:$port:8000"]}
END
{
    settings "$deployer_port" "$folder/runtime"
    cat <<END
DEPLOYER_CLAIMS=repository_id=1001,repository_owner_id=2002,event_name=push
DEPLOYER_IMAGE=$image
DEPLOYER_CONTAINERS=$name=$health
DEPLOYER_BACKEND=docker
DEPLOYER_CONTAINER_DIR=$folder/containers
END
} >"$folder/env"
start_daemon "$program" "$deployer_port"
note "$url"

say "A CI job asks its issuer for a token"
token=$(mint engram-deploy)
show_token
note "It lives for minutes and works once. The job holds no other secret."

say "The job sends the request, and follows the deploy"
note "contrib/ci/engram-deploy.sh deploy --version 2.0.0 --sha abc1234"
attended env DEPLOYER_URL="$url" DEPLOYER_CACERT="$folder/tls.pem" DEPLOYER_TOKEN="$token" DEPLOYER_PATIENCE=30 \
    sh contrib/ci/engram-deploy.sh deploy --version 2.0.0 --sha abc1234
client=$?

say "After"
show_container
case $(curl -s --max-time 5 "$health") in *'"version":"2.0.0"'*) live=yes ;; *) live=no ;; esac
[ "$client" -eq 0 ] || die "the client ended with status $client"
[ "$live" = yes ] || die "version 2.0.0 is not live"


say "And who is refused"
try "the same token, a second time" "$token"
try "a token made for something else" "$(mint another-service)"
forged=$(mint engram-deploy)
try "a token with a forged signature" "${forged%??????}AAAAAA"
try "something that is no token" "open-sesame"

printf '\n%sVersion 2.0.0 is live.%s\n' "$green" "$plain"
