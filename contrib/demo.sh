#!/bin/sh
# One signed deploy from start to end, on this machine: an issuer that stands in for GitHub, a registry, a container at
# version 1, the daemon, and the client of CI that sends the request. Exits with 0 only when version 2 is live.
#
# usage: contrib/demo.sh [--yes]
#   --yes    install what is missing without asking
#
# It needs root (for Docker, and because the daemon's roles give root up), takes away everything it made, and leaves
# installed what it installed.
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

name=engram-demo-$$
image=''

# shellcheck disable=SC2317
clean_up() {
    say "cleaning up"
    [ -n "$image" ] || return
    # shellcheck disable=SC2046
    {
        docker rm -f -v $(docker ps -aq --filter "name=^/$name")
        docker image rm -f $(docker images --filter "reference=$image" --format '{{.Repository}}:{{.Tag}}')
    } >/dev/null 2>&1
}

show_container() {
    docker ps --filter "name=^/$name" --format 'table {{.Names}}\t{{.Image}}\t{{.Status}}\t{{.Ports}}'
    curl -sS --max-time 5 "$health"
    echo
}

begin
need_cargo
need "$how" cc=build-essential curl=curl openssl=openssl docker=docker.io dockerd=docker.io docker-registry=docker-registry

say "building the daemon, the issuer and the application"
cargo build --bin engram-deployer --example issuer || die "cargo could not build"
built=${CARGO_TARGET_DIR:-target}/debug
build_app

say "starting issuer and registry, making a certificate"
start_dockerd
make_certificate
start_issuer "$built/examples/issuer"
start_registry
image=127.0.0.1:$registry_port/$name

say "version 1.0.0 runs, version 2.0.0 is in the registry only"
port=$(free_port 18000)
health=http://127.0.0.1:$port/api/health
import_image "$image" 1.0.0
import_image "$image" 2.0.0
docker push --quiet "$image:2.0.0" >/dev/null || die "docker could not push version 2.0.0"
docker image rm "$image:2.0.0" >/dev/null || die "docker could not take version 2.0.0 off this host"
docker run -d --name "$name" -p "127.0.0.1:$port:8000" "$image:1.0.0" >/dev/null || die "docker could not start version 1.0.0"
wait_for 10 "version 1.0.0 answers" curl -sf "$health"
show_container

say "starting the daemon"
deployer_port=$(free_port 18443)
mkdir "$folder/containers"
cat >"$folder/containers/$name.json" <<END
{"ports": ["127.0.0.1:$port:8000"]}
END
cat >"$folder/env" <<END
DEPLOYER_ADDR=127.0.0.1:$deployer_port
DEPLOYER_CERT_FILE=$folder/tls.pem
DEPLOYER_KEY_FILE=$folder/tls.key
DEPLOYER_ISSUER=$ISSUER
DEPLOYER_JWKS_URL=$JWKS_URL
DEPLOYER_REPOSITORY=engram-app/engram
DEPLOYER_WORKFLOW_REF=engram-app/engram/.github/workflows/deploy.yml@refs/heads/main
DEPLOYER_CLAIMS=repository_id=1001,repository_owner_id=2002,event_name=push
DEPLOYER_ALLOWED_IPS=127.0.0.1
DEPLOYER_STATE_DIR=$folder/state
DEPLOYER_RUNTIME_DIR=$folder/runtime
DEPLOYER_IMAGE=$image
DEPLOYER_CONTAINERS=$name=$health
DEPLOYER_BACKEND=docker
DEPLOYER_CONTAINER_DIR=$folder/containers
END
background "$folder/deployer.log" "$built/engram-deployer" serve --env-file "$folder/env"
wait_for 10 "the daemon answers" curl -sf --cacert "$folder/tls.pem" "https://localhost:$deployer_port/healthz"

say "what a job of CI does: mint a token, send the request, follow the deploy"
DEPLOYER_URL=https://localhost:$deployer_port DEPLOYER_CACERT=$folder/tls.pem \
    ACTIONS_ID_TOKEN_REQUEST_URL=$ACTIONS_ID_TOKEN_REQUEST_URL \
    ACTIONS_ID_TOKEN_REQUEST_TOKEN=$ACTIONS_ID_TOKEN_REQUEST_TOKEN \
    sh contrib/ci/engram-deploy.sh deploy --version 2.0.0 --sha abc1234
client=$?

say "afterwards"
show_container
case $(curl -s --max-time 5 "$health") in *'"version":"2.0.0"'*) live=yes ;; *) live=no ;; esac
[ "$client" -eq 0 ] || die "the client ended with status $client"
[ "$live" = yes ] || die "version 2.0.0 is not live"
say "version 2.0.0 is live"
