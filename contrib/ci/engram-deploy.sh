#!/bin/sh
# Asks an engram-deployer for a deploy, or for a plan or an apply of terraform, from a CI job: shows each line as it
# comes, and is green only when the last one says ok. Needs a POSIX shell (dash, bash, busybox), curl 7.63 or newer, and
# what every system has.
#
# - The token is on no command line, in no file, and in no output but the mask command of the CI itself.
# - Nothing is sent to a server whose key or certificate is not the pinned one.
# - What a run prints cannot act as a command of the CI: no line of it starts with "::" or holds "##[".
# - A stream that was cut says nothing about the run: it is followed again, by its Run-Id.
# - A request whose fate is unknown is repeated with the SAME token only. The daemon takes a token once, so the repeat
#   starts the run if the first one did not, and is refused as a replay if it did; then the run that this token started
#   is looked for. A fresh token could start a second run, and is taken only when there can be no first one.
set -u
set +x # "sh -x" would write the token into the log
umask 077
LC_ALL=C && export LC_ALL # a pattern is about bytes, whatever the bytes are

usage() {
    cat <<'EOF'
usage: engram-deploy.sh deploy --version X.Y.Z [--sha COMMIT] [--dry-run] [--json]
       engram-deploy.sh plan   --sha COMMIT [--module NAME] [--save FILE] [--json]
       engram-deploy.sh apply  --sha COMMIT [--module NAME] [--save FILE] [--json]
                               [--plan-digest DIGEST] [--allow-destroy] [--approved-pr NUMBER]

  --version X.Y.Z     the version to deploy
  --sha COMMIT        deploy: the commit it was built from, 7 to 40 lower-case hex digits
                      plan, apply: the commit whose configuration is meant, all 40
  --dry-run           all checks, no changes
  --module NAME       the part of the repository, where the host offers more than one
  --save FILE         put what terraform says about the plan into FILE as well
  --plan-digest D     sha256:HEX of the plan that was reviewed: any other plan is not applied
  --allow-destroy     apply even where the plan destroys more than the host allows without this word
  --approved-pr N     the pull request that was approved, for the record
  --json              show the lines as they came (NDJSON) instead of readable ones
Settings (environment):
  DEPLOYER_URL        https://host:8443
  DEPLOYER_PIN        sha256//BASE64 of the server's key, several joined by ";"; "engram-deployer pin" prints it
  DEPLOYER_CACERT     the server's certificate: a PEM file, or the PEM text itself. A pin, a certificate, or both
  DEPLOYER_AUDIENCE   the audience of the token (engram-deploy, engram-tf-plan or engram-tf-apply, by command)
  DEPLOYER_TOKEN      the token itself, where none can be asked for (GitLab). On GitHub and Forgejo the CI sets
                      ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN
  DEPLOYER_PATIENCE   seconds to go on trying while the host is busy, unreachable or a stream is cut (300)
  DEPLOYER_STALL      seconds of silence after which a stream counts as cut (30; the daemon speaks every 10)
  GITHUB_OUTPUT       a file that takes run_id, status and error; of a plan and an apply also plan_digest, changed (true
                      or false) and how much there is to add, change and destroy
Exit status, and the status in GITHUB_OUTPUT:
  0  ok               the version is live; the plan is there; what was planned is applied
  1  fail             the run ended, and its last line says fail
  2                   wrong usage or settings; nothing was sent
  3  unreachable      no request reached the host, or the server there is not the pinned one
  4  refused          the host said no; its sentence is shown
  5  unknown          the run began, or may have, and its end could not be learned
  6  busy             the host had no room, or no keys to check the token with, for as long as we had patience
  7  no-token         no token could be had from the CI
EOF
}

say() { printf 'engram-deploy: %s\n' "$*" >&2; }
now() { date +%s; }
in_actions() { [ "${GITHUB_ACTIONS:-}" = true ]; }

misuse() { say "$* (--help tells more)"; exit 2; }

# matches TEXT EXTENDED-REGEXP: the whole text, newlines included.
matches() { { printf '%s' "$1" | tr '\n' '\001' && echo; } | grep -Exq "$2"; }

# clean TEXT: one line without control characters (a lone CR is a new line to GitHub's runner) and without "##[".
clean() { printf '%s' "$1" | tr -d '\000-\037\177' | sed 's/##\[/## [/g'; }

# field NAME: sets $value to the first string member of that name in $line, as text; of escapes, only those that stand
# for themselves are undone. It starts no process, because a plan has thousands of lines.
field() {
    value=''
    case $line in *"\"$1\":\""*) ;; *) return 0 ;; esac
    after=${line#*"\"$1\":\""}
    while :; do
        part=${after%%[\"\\]*}
        value=$value$part after=${after#"$part"}
        case $after in
        \\[\"\\/]*) after=${after#?} && value=$value${after%"${after#?}"} && after=${after#?} ;;
        \\*) value="$value\\" && after=${after#?} ;;
        *) break ;;
        esac
    done
    case $value in *[[:cntrl:]]* | *'##['*) value=$(clean "$value") ;; esac
}

# quoted TEXT: as it may stand between double quotes in curl's configuration.
quoted() { printf '%s' "$1" | sed 's/["\\]/\\&/g'; }

# finish EXIT STATUS SENTENCE: the one way out once something was asked for.
finish() {
    sentence=$(clean "$3") wrong=''
    [ "$1" -eq 0 ] || wrong=$sentence
    [ -z "${GITHUB_OUTPUT:-}" ] || {
        printf 'run_id=%s\nstatus=%s\nerror=%s\n' "$run" "$2" "$wrong"
        [ "$command" = deploy ] || planned
    } >>"$GITHUB_OUTPUT"
    if [ -n "$wrong" ] && in_actions; then
        printf '::error title=engram-deploy::%s\n' "$(printf '%s' "$wrong" | sed 's/%/%25/g')" >&2
    fi
    say "$2: $sentence${run:+ (run $run)}"
    exit "$1"
}

# planned: what the last line says about the plan, in lines of GITHUB_OUTPUT; nothing of it is taken as it comes.
planned() {
    line=$outcome && field plan_digest
    matches "$value" "$digest_form" || value=''
    printf 'plan_digest=%s\n' "$value"
    case $outcome in
    *'"changed":true'*) echo changed=true ;;
    *'"changed":false'*) echo changed=false ;;
    *) echo changed= ;;
    esac
    for name in add change destroy; do count_of "$name" && printf '%s=%s\n' "$name" "$number"; done
}

# count_of NAME: sets $number to how much the last line has to add, change or destroy; empty when it does not say.
count_of() {
    number=''
    case $outcome in *'"changes":{'*) ;; *) return 0 ;; esac
    number=${outcome#*'"changes":{'} && number=${number%%\}*}
    case $number in *"\"$1\":"*) number=${number#*"\"$1\":"} && number=${number%%[!0-9]*} ;; *) number='' ;; esac
}

read_arguments() {
    command=''
    while [ $# -gt 0 ]; do
        case $1 in
        deploy | plan | apply) command=$1 ;;
        --version) version=${2:-} ;;
        --sha) sha=${2:-} ;;
        --module) module=${2:-} ;;
        --save) save=${2:-} ;;
        --plan-digest) digest=${2:-} ;;
        --approved-pr) approved=${2:-} ;;
        --allow-destroy) allow_destroy=yes ;;
        --dry-run) dry_run=yes ;;
        --json) json=yes ;;
        -h | --help | help) usage && exit 0 ;;
        *) misuse "unknown argument $1" ;;
        esac
        case $1 in
        --version | --sha | --module | --save | --plan-digest | --approved-pr)
            [ -n "${2:-}" ] || [ "$1" = --sha ] || misuse "$1 wants a value"
            [ $# -eq 1 ] || shift
            ;;
        esac
        shift
    done
    case $command in
    deploy) read_deploy ;;
    plan | apply) read_terraform ;;
    *) misuse "the commands are \"deploy\", \"plan\" and \"apply\"" ;;
    esac
}

read_deploy() {
    [ -z "$module$save$digest$approved$allow_destroy" ] || misuse "a deploy takes --version, --sha, --dry-run and --json"
    matches "$version" '[0-9]+\.[0-9]+\.[0-9]+' || misuse "--version must be X.Y.Z"
    matches "$sha" '([0-9a-f]{7,40})?' || misuse "--sha must be 7 to 40 lower-case hex digits"
    path=/deploy audience=engram-deploy
    body="{\"version\":\"$version\"${sha:+,\"sha\":\"$sha\"}"
    [ "$dry_run" = no ] || body="$body,\"dry_run\":true"
    body="$body}"
}

read_terraform() {
    [ "$version$dry_run" = no ] || misuse "--version and --dry-run are for a deploy"
    [ "$command" = apply ] || [ -z "$digest$approved$allow_destroy" ] ||
        misuse "--plan-digest, --allow-destroy and --approved-pr are for an apply"
    matches "$sha" '[0-9a-f]{40}' || misuse "--sha must be all 40 lower-case hex digits of a commit"
    matches "$module" '([a-z0-9][a-z0-9_-]{0,63})?' || misuse "--module is a name of lower-case letters, digits, _ and -"
    matches "$digest" "($digest_form)?" || misuse "--plan-digest must be sha256: and 64 lower-case hex digits"
    matches "$approved" '([1-9][0-9]{0,9})?' || misuse "--approved-pr is the number of a pull request"
    [ -z "$save" ] || (: >"$save") 2>/dev/null || misuse "--save: cannot write $save"
    path=/tf-$command audience=engram-tf-$command
    body="{\"sha\":\"$sha\"${module:+,\"module\":\"$module\"}${digest:+,\"plan_digest\":\"$digest\"}"
    body="$body${allow_destroy:+,\"allow_destroy\":true}${approved:+,\"approved_pr\":$approved}}"
}

read_settings() {
    url=${DEPLOYER_URL:-} pin=${DEPLOYER_PIN:-} cacert=${DEPLOYER_CACERT:-} given=${DEPLOYER_TOKEN:-}
    mint_url=${ACTIONS_ID_TOKEN_REQUEST_URL:-} mint_token=${ACTIONS_ID_TOKEN_REQUEST_TOKEN:-}
    patience=${DEPLOYER_PATIENCE:-300} stall=${DEPLOYER_STALL:-30}
    unset DEPLOYER_TOKEN ACTIONS_ID_TOKEN_REQUEST_TOKEN # no child of ours needs them
    matches "${url%/}" 'https://[]A-Za-z0-9._:/%~[-]+' || misuse "DEPLOYER_URL must be https://host:port"
    matches "$patience,$stall" '[0-9]+,[0-9]+' || misuse "DEPLOYER_PATIENCE and DEPLOYER_STALL are whole seconds"
    [ -n "$given$mint_url" ] || misuse "no token: the job needs the permission id-token: write, or DEPLOYER_TOKEN"
    matches "$given" "$token_form" || [ -z "$given" ] || misuse "DEPLOYER_TOKEN is not a token"
    [ -n "$pin$cacert" ] || misuse "DEPLOYER_PIN or DEPLOYER_CACERT must say which server is meant"
    case $cacert in '' | -----BEGIN*) ;; *) [ -r "$cacert" ] || misuse "DEPLOYER_CACERT: cannot read $cacert" ;; esac
    command -v curl >/dev/null || misuse "curl is needed"
    # curl reports a pin with a slip of the pen as an attack, and one without pins might ignore it: both are seen here.
    matches "$pin" '((sha256//[A-Za-z0-9+/]{43}=;)*sha256//[A-Za-z0-9+/]{43}=)?' ||
        misuse "DEPLOYER_PIN must be sha256//BASE64, several joined by \";\""
    curl -q --version | grep -Eq 'OpenSSL|LibreSSL|BoringSSL|AWS-LC|GnuTLS|wolfSSL|mbedTLS|SecureTransport|Schannel' || [ -z "$pin" ] ||
        misuse "this curl cannot check DEPLOYER_PIN: its TLS library has no pins"
}

# mint: sets $token to a fresh one where it can be had, else to the given one; on failure it stays what it was.
mint() {
    fresh=$given
    if [ -z "$given" ]; then
        line=$({
            printf 'url = "%s"\nheader = "Authorization: bearer %s"\n' "$(quoted "$mint_url")" "$(quoted "$mint_token")"
            printf 'get\ndata-urlencode = "audience=%s"\n' "$(quoted "${DEPLOYER_AUDIENCE:-$audience}")"
            printf '%s\n' silent show-error fail 'proto = "=https,http"' 'connect-timeout = 10' 'max-time = 20' 'retry = 3'
        } | curl -q --config - 2>"$work/curl" | tr -d '[:space:]')
        field value && fresh=$value
    fi
    matches "$fresh" "$token_form" || return 1
    token=$fresh
    ! in_actions || printf '::add-mask::%s\n' "$token" >&2
}

# settings METHOD PATH: one request, as curl's configuration. It goes to curl's standard input.
settings() {
    printf 'url = "%s%s"\nheader = "Authorization: Bearer %s"\n' "${url%/}" "$2" "$token"
    # With the pin alone, nothing else about the certificate counts.
    if [ -n "$cacert" ]; then printf 'cacert = "%s"\n' "$(quoted "$cacert")"; else echo insecure; fi
    [ -z "$pin" ] || printf 'pinnedpubkey = "%s"\n' "$pin"
    printf '%s\n' silent show-error include no-buffer http1.1 suppress-connect-headers 'proto = "=https"' \
        'connect-timeout = 10' 'max-time = 3600' 'speed-limit = 1' "speed-time = $stall" \
        'write-out = "%{stderr}\nsent=%{size_request}\n"'
    [ "$1" = GET ] || printf 'header = "Content-Type: application/json"\nheader = "Expect:"\ndata-binary = "%s"\n' "$(quoted "$body")"
}

# request METHOD PATH stream|text: one exchange. Leaves code (000: no answer), text, rc, sent, why, and what the head
# said; of a stream it shows the lines that were not shown before.
request() {
    head=yes code=000 text='' retry_after='' request_id='' count=0 skip=$shown alive=no
    # Both ends at once, because busybox gives up an open that waits when a child ends meanwhile.
    # shellcheck disable=SC2094
    exec 3<>"$work/answer" 4<"$work/answer" 5>"$work/answer" 3<&-
    settings "$1" "$2" | curl -q --config - >&5 2>"$work/curl" 4<&- 5>&- &
    curl_pid=$!
    exec 5>&-
    while IFS= read -r line; do take "$3"; done <&4
    exec 4<&-
    wait "$curl_pid"
    rc=$? curl_pid=''
    # A last line without its end is whole only when the server ended the answer there.
    if [ -n "$line" ] && { [ "$rc" -eq 0 ] || [ "$code" != 200 ]; }; then take "$3"; fi
    sent=$(sed -n 's/^sent=//p' "$work/curl")
    why=$(sed -n 's/^curl: //p' "$work/curl" | head -n 1)
}

take() {
    line=${line%"$cr"}
    case $head,$1,$code in
    yes,*) take_head ;;
    no,stream,200) take_line ;;
    *) text=$text$line ;;
    esac
}

take_head() {
    value=${line#*:} && value=${value# }
    case $line in
    HTTP/*) code=${line#* } && code=${code%% *} ;;
    Run-Id:* | run-id:*) know_run "$value" ;;
    Retry-After:* | retry-after:*) ! matches "$value" '[0-9]{1,3}' || retry_after=$value ;;
    Request-Id:* | request-id:*) request_id=$value ;;
    '') case $code in 1??) ;; *) head=no ;; esac ;;
    esac
}

know_run() { case $1 in '' | *[!0-9A-Za-z-]*) ;; *) run=${run:-$1} ;; esac }

take_line() {
    case $line in
    '{"phase":"heartbeat"'*) alive=yes ;; # in the stream, but not in the log: it must not be counted
    *) count=$((count + 1)); [ "$count" -gt "$skip" ] || return; shown=$count alive=yes outcome='' ;;
    esac
    case $line in
    '{"status":"'*'}') outcome=$line ;;
    '{"phase":"'*) [ -n "$run" ] || { field run_id && know_run "$value"; } ;;
    esac
    show
}

show() {
    case $line in '{"phase":"tf_plan"'*) [ -z "$save" ] || { field message && printf '%s\n' "$value" >>"$save"; } ;; esac
    case $json,$line in
    yes,'{'*[[:cntrl:]]* | yes,'{'*'##['*)
        printf '%s\n' "$line" | tr -d '\000-\011\013-\037\177' | sed 's/##\[/#\\u0023[/g'
        ;;
    yes,'{'*) printf '%s\n' "$line" ;;
    no,'{"phase":"heartbeat"'* | no,'{"status":"'*) ;; # the last line is said by verdict
    no,'{"phase":"'*)
        phase=${line#'{"phase":"'} && phase=${phase%%\"*}
        case $phase in '' | *[!a-z_]*) phase='?' ;; esac
        field message
        printf '%-10s %s\n' "$phase" "$value"
        ;;
    *) say "a line that is no event: $(clean "$line")" ;;
    esac
}

# rest SECONDS: waits before another try; false once patience has run out.
rest() {
    left=$((patience - ($(now) - since)))
    [ "$left" -gt 0 ] || return 1
    sleep "$(($1 < left ? $1 : left))" >/dev/null 2>&1 &
    wait $!
    delay=$((delay < 8 ? delay * 2 : 10))
}

# ask: posts until the host has answered with a stream, or there is no more to hope for.
ask() {
    since=$(now) delay=1 doubt=no
    while :; do
        request POST "$path" stream
        pause=$delay last=3 name=unreachable told="$url: $why"
        case $code,$sent in
        200,*) return ;;
        503,*) last=6 name=busy told=$text pause=${retry_after:-5} ;;
        000,0) case $rc in 60 | 77 | 83 | 90 | 91) finish 3 unreachable "$url is not the pinned server: $why" ;; esac ;;
        000,* | 5??,*) doubt=yes ;;
        *) case $doubt,$code,$text in
            no,*) finish 4 refused "$code $text${request_id:+ (request $request_id)}" ;;
            yes,401,*'replay detected'*) seek ;;
            *) finish 5 unknown "the run may have begun, and asking again was refused: $code $text" ;;
            esac ;;
        esac
        [ -z "$outcome$found" ] || return
        [ "$doubt" = no ] || last=5 name=unknown told="the request was sent and no answer came; \"engram-deployer runs\" on the host tells whether it began"
        say "trying again in $pause s: ${why:-$code $(clean "$text")}"
        rest "$pause" || finish "$last" "$name" "$told"
        [ "$doubt" = yes ] || mint || say "the CI gave no fresh token; the one we have was not used"
    done
}

# seek: finds the run that our token started. A token that was used may read that one run's log and no other.
seek() {
    request GET /runs text
    for id in $(printf '%s' "$text" | tr '"' '\n' | grep -Ex '[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}' | awk '!seen[$0]++' | head -n 10); do
        request GET "/runs/$id/log" stream
        if [ "$code" = 200 ]; then run=$id found=yes && return; fi
    done
}

# follow: reads the run's log again and again until its last line has come.
follow() {
    since=$(now) delay=1
    until [ -n "$outcome" ]; do
        [ -n "$run" ] || finish 5 unknown "the stream ended without a last line, and the host gave no Run-Id to follow"
        say "the stream was cut; following run $run${why:+ ($why)}"
        rest "$delay" || finish 5 unknown "no last line came; \"engram-deployer log $run\" on the host tells how the run ended"
        mint || say "the CI gave no fresh token; going on with the one we have"
        request GET "/runs/$run/log" stream
        case $code in
        200) if [ "$alive" = yes ]; then since=$(now) delay=1; fi ;;
        4??) finish 5 unknown "the run can no longer be followed: $code $text" ;;
        esac
    done
}

verdict() {
    line=$outcome
    field run_id && know_run "$value"
    case $outcome in
    '{"status":"ok",'* | '{"status":"ok"}') ;;
    '{"status":"fail",'* | '{"status":"fail"}') field error; finish 1 fail "$value" ;;
    *) finish 5 unknown "the last line is none we know: $outcome" ;;
    esac
    if [ "$command" = deploy ]; then
        is_about version "$version"
        if [ "$dry_run" = yes ]; then finish 0 ok "$version could be deployed"; else finish 0 ok "$version is live"; fi
    fi
    is_about sha "$sha"
    [ -z "$digest" ] || is_about plan_digest "$digest"
    case $command,$outcome in
    plan,*'"changed":false'*) finish 0 ok "nothing to change" ;;
    apply,*'"changed":false'*) finish 0 ok "there was nothing to change" ;;
    plan,*) told=planned ;;
    apply,*) told=applied ;;
    esac
    for name in add change destroy; do count_of "$name" && told="$told${number:+, $number to $name}"; done
    finish 0 ok "$told"
}

# is_about NAME VALUE: the last line is about what was asked for, as far as it says.
is_about() {
    field "$1"
    case $value in '' | "$2") ;; *) finish 5 unknown "the last line is about another $1: $outcome" ;; esac
}

version='' sha='' module='' save='' digest='' approved='' allow_destroy='' dry_run=no json=no run='' found='' outcome='' shown=0 token='' curl_pid='' work='' cr=$(printf '\r') token_form='[A-Za-z0-9._-]+'
digest_form='sha256:[0-9a-f]{64}'
read_arguments "$@"
read_settings
work=$(mktemp -d) || misuse "mktemp -d gave no folder to work in"
trap '[ -z "$curl_pid" ] || kill "$curl_pid" 2>/dev/null; rm -rf "$work"' EXIT
goes_on='a run that began goes on' && [ "$command" != plan ] || goes_on='a plan that began is cancelled'
trap 'say "stopped; $goes_on${run:+: $run}"; exit 143' INT TERM HUP
mkfifo "$work/answer" || misuse "mkfifo gave no pipe to work with"
case $cacert in -----BEGIN*) printf '%s\n' "$cacert" >"$work/ca.pem" && cacert=$work/ca.pem ;; esac
mint || finish 7 no-token "the CI gave no token: $(sed -n 's/^curl: //p' "$work/curl")"
ask
follow
verdict
