#!/bin/sh
# Keeps one comment on a pull request of GitHub that shows its plan, and finds the reviewed digest in it after the merge.
# Needs a POSIX shell, curl and jq, as GitHub's runners have them.
#
# - What a plan prints stays text: each line of it is indented by four blanks, which nothing in a line can end.
# - Only the first line of a comment is ever read again. It is ours, and no plan comes before it.
# - Of comments only those of github-actions[bot] count, and none that somebody else has edited since: whoever may write
#   to a repository may edit every comment in it.
# - The token is on no command line and in no output.
set -u
set +x
umask 077
LC_ALL=C && export LC_ALL

usage() {
    cat <<'EOT'
usage: plan-comment.sh write      shows a plan on a pull request: in a new comment, or in the one that is there
       plan-comment.sh reviewed   prints the digest of the plan on the pull request that was merged as COMMIT

Settings (environment):
  GITHUB_TOKEN        write: pull-requests: write; reviewed: pull-requests: read and contents: read
  GITHUB_REPOSITORY, GITHUB_API_URL, GITHUB_GRAPHQL_URL, GITHUB_OUTPUT
                      as GitHub sets them; GITHUB_OUTPUT takes plan_digest and pull_request of "reviewed"
  MODULE              the module that is planned (default)
  COMMIT              the commit that was planned, or merged
  PULL_REQUEST, HEAD  write: the number, and the newest commit of the branch
  PLAN                write: a file with what terraform said
  STATUS, ERROR, DIGEST, RUN, CHANGED, ADD, CHANGE, DESTROY
                      write: what engram-deploy.sh left in GITHUB_OUTPUT
Exit status: 0; 1 when it is not so, and why; 2 wrong usage or settings
EOT
}

say() { printf 'plan-comment: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
misuse() { say "$* (--help tells more)"; exit 2; }
matches() { { printf '%s' "$1" | tr '\n' '\001' && echo; } | grep -Exq "$2"; }

# api METHOD URL [BODY-FILE]: the answer is in $work/answer.
api() {
    status=$({
        printf 'url = "%s"\nrequest = "%s"\nheader = "Authorization: Bearer %s"\n' "$2" "$1" "$token"
        printf 'header = "Accept: application/vnd.github+json"\nheader = "X-GitHub-Api-Version: 2022-11-28"\n'
        printf '%s\n' silent show-error 'proto = "=https,http"' 'connect-timeout = 10' 'max-time = 60' 'write-out = "%{http_code}"'
        printf 'output = "%s"\n' "$work/answer"
        [ -z "${3:-}" ] || printf 'header = "Content-Type: application/json"\ndata-binary = "@%s"\n' "$3"
    } | curl -q --config -) || fail "$1 $2: no answer"
    case $status in
    2??) ;;
    *) fail "$1 $2: $status $(jq -r '.message // empty' "$work/answer" 2>/dev/null | tr -d '\000-\037\177')" ;;
    esac
}

# comment: the comment's text. The limit of GitHub is 65536 characters; what is left of it is for our own lines.
# shellcheck disable=SC2016
comment() {
    printf '<!-- engram-tf-plan %s %s %s -->\n' "$module" "${digest:-none}" "$head"
    printf '#### Terraform plan of `%s` at `%s`: ' "$module" "$commit"
    case $status_of_plan,$changes in
    ok,) echo 'nothing to change' ;;
    ok,*) printf '%s\n' "$changes" ;;
    *) echo 'there is none, the run did not end well' ;;
    esac
    printf '\n<details><summary>What terraform says</summary>\n\n'
    { printf '%s\n' "${ERROR:-}" && cat "$plan"; } | tr -d '\000-\010\013-\037\177' | awk '
        $0 == "" { next }
        { size += length($0) + 5 }
        size > 60000 { more++; next }
        { printf "    %s\n", $0 }
        END { if (more) printf "    ... and %d more lines, which the log of the job has\n", more }'
    printf '\n</details>\n\n'
    [ -z "$digest" ] || printf 'An apply that names this digest applies this plan or nothing: `%s`\n\n' "$digest"
    [ -z "$run" ] || printf 'Run `%s`\n' "$run"
}

write() {
    module=${MODULE:-default} commit=${COMMIT:-} head=${HEAD:-} digest=${DIGEST:-} run=${RUN:-} plan=${PLAN:-}
    status_of_plan=${STATUS:-} changes=''
    matches "${PULL_REQUEST:-}" '[1-9][0-9]{0,9}' || misuse "PULL_REQUEST is a number"
    matches "$head" '[0-9a-f]{40}' || misuse "HEAD is a commit"
    matches "$digest" '(sha256:[0-9a-f]{64})?' || misuse "DIGEST is sha256: and 64 hex digits, or empty"
    matches "$run" '[0-9A-Za-z-]*' || misuse "RUN is the id of a run"
    [ -r "$plan" ] || plan=/dev/null
    # A plan that failed leaves none to apply.
    [ "$status_of_plan" = ok ] || digest=''
    matches "${ADD:-0},${CHANGE:-0},${DESTROY:-0}" '[0-9]+,[0-9]+,[0-9]+' || misuse "ADD, CHANGE and DESTROY are numbers"
    [ "${CHANGED:-}" = false ] || changes="${ADD:-0} to add, ${CHANGE:-0} to change, ${DESTROY:-0} to destroy"
    comment >"$work/comment"
    jq -n --rawfile body "$work/comment" '{body: $body}' >"$work/body" || fail "jq could not write the comment"
    issues=$api/repos/$repository/issues
    page=0 known=''
    while [ -z "$known" ] && [ "$page" -lt 20 ]; do
        page=$((page + 1))
        api GET "$issues/$PULL_REQUEST/comments?per_page=100&page=$page"
        known=$(jq -r --arg begin "<!-- engram-tf-plan $module " '[.[]
            | select(.user.login == "github-actions[bot]" and .user.type == "Bot" and (.body | startswith($begin)))
            | .id][0] // empty' "$work/answer") || fail "the list of comments is none we know"
        [ "$(jq length "$work/answer")" -eq 100 ] || break
    done
    if matches "$known" '[0-9]+'; then
        api PATCH "$issues/comments/$known" "$work/body"
    else
        api POST "$issues/$PULL_REQUEST/comments" "$work/body"
    fi
}

reviewed() {
    module=${MODULE:-default} commit=${COMMIT:-}
    # shellcheck disable=SC2016
    jq -n --arg owner "${repository%%/*}" --arg name "${repository#*/}" --arg commit "$commit" '{
        query: "query($owner: String!, $name: String!, $commit: GitObjectID!) {
            repository(owner: $owner, name: $name) { object(oid: $commit) { ... on Commit {
                associatedPullRequests(first: 20) { nodes { number merged headRefOid mergeCommit { oid }
                    comments(first: 100) { nodes { body author { __typename login } editor { __typename login } } } } }
            } } } }",
        variables: {$owner, $name, $commit}}' >"$work/body" || fail "jq could not write the query"
    api POST "$graphql" "$work/body"
    # shellcheck disable=SC2016
    found=$(jq -r --arg commit "$commit" --arg part "$module" '
        def is_ours: .__typename == "Bot" and .login == "github-actions";
        [.data.repository.object.associatedPullRequests.nodes[]? | select(.merged and .mergeCommit.oid == $commit)]
        | if length != 1 then "no pull request was merged as this commit" else .[0]
        | .headRefOid as $head | .number as $number
        | [.comments.nodes[] | select((.author // {} | is_ours) and (.body | startswith("<!-- engram-tf-plan \($part) ")))]
        | if length != 1 then "pull request \($number) has no plan of \($part) among its first 100 comments"
          elif .[0].editor | . != null and (is_ours | not) then "somebody has edited the plan on pull request \($number)"
          else ([.[0].body | split("\n")[0] | rtrimstr("\r")
                | capture("^<!-- engram-tf-plan [a-z0-9_-]+ (?<digest>sha256:[0-9a-f]{64}) (?<head>[0-9a-f]{40}) -->$")][0]
            | if . == null then "the last plan on pull request \($number) failed"
              elif .head != $head then "the plan on pull request \($number) is not of its last commit"
              else "\(.digest) \($number)" end) end end' "$work/answer") || fail "the answer is none we know"
    case $found in sha256:*) ;; *) fail "no reviewed plan: ${found:-the answer is none we know}" ;; esac
    printf '%s\n' "${found% *}"
    [ -z "${GITHUB_OUTPUT:-}" ] || printf 'plan_digest=%s\npull_request=%s\n' "${found% *}" "${found#* }" >>"$GITHUB_OUTPUT"
}

case ${1:-} in
write | reviewed) ;;
-h | --help | help) usage && exit 0 ;;
*) misuse "the commands are \"write\" and \"reviewed\"" ;;
esac
api=${GITHUB_API_URL:-https://api.github.com} graphql=${GITHUB_GRAPHQL_URL:-https://api.github.com/graphql}
repository=${GITHUB_REPOSITORY:-} token=${GITHUB_TOKEN:-}
unset GITHUB_TOKEN # no child of ours needs it
matches "$repository" '[A-Za-z0-9._-]+/[A-Za-z0-9._-]+' || misuse "GITHUB_REPOSITORY is OWNER/NAME"
matches "$token" '[A-Za-z0-9._-]+' || misuse "GITHUB_TOKEN is missing"
matches "${MODULE:-default}" '[a-z0-9][a-z0-9_-]{0,63}' || misuse "MODULE is a name of lower-case letters, digits, _ and -"
matches "${COMMIT:-}" '[0-9a-f]{40}' || misuse "COMMIT is a commit"
command -v jq >/dev/null || misuse "jq is needed"
work=$(mktemp -d) || misuse "mktemp -d gave no folder to work in"
trap 'rm -rf "$work"' EXIT
trap 'exit 143' INT TERM HUP
"$1"
