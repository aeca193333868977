#!/bin/sh
# Measures what a plan takes through the daemon and by hand: the same commands of git and terraform, writing to files.
# Prints a row a figure; exits with 0 only when no row is short of its goal.
#
# usage: contrib/bench/terraform.sh [PAIRS]        5 pairs of plans, one of ours and one by hand, in turn
#
# A plan of 200,000 lines is timed from the request to the last line; memory is the largest VmHWM of each role in a
# run before them. A repository of 5,000 commits and 80 MB is timed from the request to the first line of `terraform init`,
# and by hand it is cloned. Repositories are reached by file://, state is local, and no provider is fetched, so nothing
# leaves the machine. It needs root and terraform, and takes away everything it made but what it installed.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/support/parts.sh
. contrib/bench/figures.sh

take_arguments 5 "$@"
command -v terraform >/dev/null || die "there is no terraform here: https://developer.hashicorp.com/terraform/install"

git_here() { # FOLDER ARGUMENT...: git, whatever this user has configured
    place=$1
    shift
    GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null git -C "$place" -c user.name=bench -c user.email=bench@localhost \
        -c maintenance.auto=false -c gc.auto=0 "$@"
}

# new_repository NAME: an empty one in $folder/NAME, that everyone may read.
new_repository() {
    mkdir "$folder/$1" || exit 1
    git_here "$folder/$1" init --quiet --initial-branch main --template= || die "git could not make a repository"
}

# many_lines: one resource with a list of 200,000 strings, which a plan shows a line each.
many_lines() {
    new_repository lines
    awk 'BEGIN {
        print "resource \"terraform_data\" \"many\" {\n  input = ["
        for (i = 0; i < 200000; i++) printf "    \"item %06d of two hundred thousand lines, sixty wide\",\n", i
        print "  ]\n}"
    }' >"$folder/lines/main.tf"
    echo '# No provider.' >"$folder/lines/.terraform.lock.hcl"
    git_here "$folder/lines" add . || die "git add failed"
    git_here "$folder/lines" commit --quiet -m lines || die "git commit failed"
}

# many_commits: 5,000 commits that each put 16 KB of noise into one of 500 files.
many_commits() {
    new_repository commits
    {
        head -c 80000000 /dev/urandom | base64 -w 21336 | awk '{
            printf "commit refs/heads/main\ncommitter bench <bench@localhost> %d +0000\ndata 2\nc\n", 1700000000 + NR
            printf "M 100644 inline noise/%d\ndata %d\n%s\n", NR % 500, length($0), $0
        }'
        printf 'commit refs/heads/main\ncommitter bench <bench@localhost> 1800000000 +0000\ndata 2\nc\n'
        printf 'M 100644 inline .terraform.lock.hcl\ndata <<END\n# No provider.\nEND\n'
        printf 'M 100644 inline main.tf\ndata <<END\nresource "terraform_data" "nothing" {}\nEND\n'
    } | git_here "$folder/commits" fast-import --quiet || die "git fast-import failed"
}

# start_ours REPOSITORY: a daemon that plans it, with a state of its own; the commit is $sha.
start_ours() {
    rm -rf "$folder/state" "$folder/runtime"
    sha=$(git_here "$folder/$1" rev-parse main)
    port=$(free_port 18443)
    {
        settings "$port" "$folder/runtime"
        cat <<END
DEPLOYER_TF_APPLY_REPOSITORY=engram-app/engram
DEPLOYER_TF_APPLY_WORKFLOW_REF=engram-app/engram/.github/workflows/tf-apply.yml@refs/heads/main
DEPLOYER_TF_APPLY_ROOT_DIR=.
DEPLOYER_TF_APPLY_REPO_URL=file://$folder/$1
DEPLOYER_TF_APPLY_WORKDIR=$folder/work
DEPLOYER_TF_PLAN_WORKDIR=$folder/plan-work
DEPLOYER_TF_AWS_ACCESS_KEY_ID=none
DEPLOYER_TF_AWS_SECRET_ACCESS_KEY=none
DEPLOYER_TF_PLAN_SHARE_CREDENTIALS=yes
DEPLOYER_TF_BINARY_PATH=$(command -v terraform)
DEPLOYER_CONTAINERS=engram
DEPLOYER_BACKEND=command
DEPLOYER_COMMAND_PATH=/bin/true
DEPLOYER_PULL=off
END
    } >"$folder/env"
    start_daemon "$program" "$port"
}

now() { date +%s.%N; }

# timed FILE COMMAND...: appends how many seconds it took.
timed() {
    times=$1 begun=$(now)
    shift
    "$@" || die "by hand: $* failed"
    echo "$begun $(now)" | awk '{ printf "%.3f\n", $2 - $1 }' >>"$times"
}

# ours LINES INIT: asks for a plan; appends when the last line had come to LINES, when the first one of terraform to INIT.
ours() {
    mint engram-tf-plan >"$folder/token"
    begun=$(now)
    curl -sSN --http1.1 --cacert "$folder/tls.pem" -X POST -H "@$folder/token" -d "{\"sha\":\"$sha\"}" \
        "https://127.0.0.1:$port/tf-plan" | tee "$folder/answer" | { grep -m 1 -q '"phase":"tf_init"' && now >"$folder/init"; cat >/dev/null; }
    ended=$(now)
    case $(tail -n 1 "$folder/answer") in *'"status":"ok"'*) ;; *) die "a plan of ours failed: $(tail -n 3 "$folder/answer")" ;; esac
    echo "$begun $ended" | awk '{ printf "%.3f\n", $2 - $1 }' >>"$1"
    echo "$begun $(cat "$folder/init")" | awk '{ printf "%.3f\n", $2 - $1 }' >>"$2"
}

# by_hand REPOSITORY: the same commands, in a fresh folder.
# shellcheck disable=SC2317
by_hand() {
    rm -rf "$folder/hand" && mkdir -p "$folder/hand/home" &&
        git_here "$folder/hand" init --quiet --template= &&
        git_here "$folder/hand" fetch --quiet --depth 1 --no-tags "file://$folder/$1" "$sha" &&
        git_here "$folder/hand" checkout --quiet --detach FETCH_HEAD &&
        by_hand_terraform init -input=false -no-color &&
        { by_hand_terraform plan -input=false -no-color -detailed-exitcode -out=plan.bin || [ $? -eq 2 ]; } &&
        by_hand_terraform show -json plan.bin
}

# shellcheck disable=SC2317
by_hand_terraform() {
    (cd "$folder/hand" && exec env -i PATH="$PATH" HOME="$folder/hand/home" TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1 \
        TF_CLI_CONFIG_FILE=/dev/null terraform "$@" </dev/null >"out.$1" 2>&1)
}

# shellcheck disable=SC2317
clone_by_hand() {
    rm -rf "$folder/hand"
    git_here "$folder" clone --quiet --no-checkout "file://$folder/$1" hand && git_here "$folder/hand" checkout --quiet "$sha"
}

# watch_memory: the largest VmHWM in KiB of each role of ours, a line "ROLE KIB" a look, until it is killed.
watch_memory() {
    while sleep 0.1; do
        for process in /proc/[0-9]*; do
            [ "$(readlink "$process/exe")" = "$program" ] || continue
            role=$(tr '\0' '\n' <"$process/cmdline" | sed -n 2p)
            awk -v role="$role" '/^VmHWM/ { print role, $2 }' "$process/status"
        done
    done 2>/dev/null
}

peak() { awk -v role="$1" '$1 == role && $2 > most { most = $2 } END { printf "%.2f", most / 1024 }' "$folder/memory"; }

median() { sort -n "$1" | awk '{ t[NR] = $1 } END { printf "%.3f", NR % 2 ? t[(NR + 1) / 2] : (t[NR / 2] + t[NR / 2 + 1]) / 2 }'; }

begin
# The user that plans must be able to reach the repositories; what is secret in here has a mode of its own.
chmod 711 "$folder"
need_cargo
need install cc=build-essential curl=curl openssl=openssl git=git
say "building"
build
program=$(readlink -f "$program")
make_certificate
start_issuer "${CARGO_TARGET_DIR:-target}/debug/examples/issuer" --claim sub=repo:engram-app/engram:pull_request \
    --claim workflow_ref=engram-app/engram/.github/workflows/tf-plan.yml@refs/pull/7/merge --claim event_name=pull_request
say "making the repositories"
many_lines
many_commits

say "$pairs pairs of plans of 200,000 lines"
start_ours lines
# Apart from the pairs, because looking takes a part of the machine.
watch_memory >"$folder/memory" &
watch=$!
started="$watch $started"
ours /dev/null /dev/null
kill "$watch"
n=0
while [ "$n" -lt "$pairs" ]; do
    n=$((n + 1))
    ours "$folder/ours" /dev/null
    timed "$folder/hand-times" by_hand lines
done
lines=$(grep -c '"phase":"tf_plan"' "$folder/answer")
[ "$lines" -gt 200000 ] || die "only $lines lines of the plan came"
end_part "$pid"

say "$pairs pairs of a repository of 5,000 commits"
start_ours commits
n=0
while [ "$n" -lt "$pairs" ]; do
    n=$((n + 1))
    ours /dev/null "$folder/ours-init"
    timed "$folder/clone" clone_by_hand commits
done

say "engram-deployer and $(TF_CLI_CONFIG_FILE=/dev/null terraform version | head -n 1), $(git --version)"
heading
row '200,000 lines of plan, median' "$(median "$folder/ours")" "$(median "$folder/hand-times")" s 1.05 -
for role in run session front; do
    grep -q "^$role " "$folder/memory" || die "no $role was seen"
    row "  peak memory of $role" "$(peak "$role")" - MiB - 16
done
row 'request to tf_init, 5,000 commits, 80 MB' "$(median "$folder/ours-init")" "$(median "$folder/clone")" s 0.5 -
exit "$short"
