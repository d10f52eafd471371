#!/usr/bin/env bash
# The built program, started as in the README and driven by ordinary clients: curl, a shell, signals; and a mail server.
# POLITY_SMTP_VENV: where the mail server is kept (default $HOME/.cache/polity/aiosmtpd). POLITY_TEST_OIDC: the address of
# the OAuth 2 server in tests/oidc, which ./test sets; without it nobody connects anything.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
target=${CARGO_TARGET_DIR:-$root/target}
(cd "$root" && cargo build -j2 --quiet --bin polity)
polity=$target/debug/polity
work=$(mktemp -d)
server='' collector='' postman=''
clean_up() {
    for pid in $server $collector $postman; do kill -KILL "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    rm -rf -- "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
cd "$work"

fail() { printf 'smoke: %s\n' "$*" >&2; tail -n 40 "$work/log" >&2 || true; exit 1; }
want() { [ "$1" = "$2" ] || fail "$3: wanted $2, got $1"; }
# json FIELD: a member of the JSON object on standard input.
json() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
status() { curl -s -o /dev/null -w '%{http_code}' "$@"; }
post() { curl -sf -H 'Content-Type: application/json' "$@"; }

port=0
start() {
    "$polity" --port "$port" "$@" >"$work/out" 2>"$work/log" &
    server=$!
    for _ in $(seq 100); do
        url=$(sed -n 's/.*http\.address=\([0-9.:]*\).*/http:\/\/\1/p' "$work/log" | sed 's/\x1b\[[0-9;]*m//g' | tail -n 1)
        if [ -n "$url" ] && curl -sf "$url/health/ready" >/dev/null 2>&1; then return; fi
        kill -0 "$server" 2>/dev/null || fail 'the server ended while starting'
        sleep 0.1
    done
    fail 'the server did not become ready'
}
# Every log of the run, for what must never be in one.
keep_log() { cat "$work/log" >>"$work/all.log"; }
stop() {
    kill -TERM "$server"
    wait "$server" || fail 'the server did not end cleanly'
    server=''
    keep_log
}

echo '- a collector for traces; everything is logged, down to the finest level'
cat >collector.py <<'PYTHON'
"""Takes OTLP over HTTP as a collector does, and keeps the bodies."""
import http.server, sys

class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf":
            with open("traces", "ab") as traces:
                traces.write(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
server.serve_forever()
PYTHON
python3 collector.py >collector.port 2>collector.log &
collector=$!
for _ in $(seq 50); do [ -s collector.port ] && break; sleep 0.1; done
POLITY_TRACES__OTLP_URL=http://127.0.0.1:$(cat collector.port)
export POLITY_TRACES__OTLP_URL POLITY_LOG__LEVEL=trace
trace=4bf92f3577b34da6a3ce929d0e0e4736

echo '- first start: data folder, keyring, set-up link'
start
want "$(stat -c %a polity-data/keyring)" 600 'mode of the keyring'
grep -q '/setup?token=' out || fail 'no set-up link was printed'
want "$(status "$url/health")" 200 health
want "$(status "$url/openapi.json")" 200 openapi
want "$(status "$url/docs")" 200 docs
curl -sf "$url/metrics" >figures
grep -q '^polity_' figures || fail 'no figures'

echo '- register, code from the mailbox, verify, read and change the profile'
pending=$(post "$url/api/v1/auth/register" -d '{"email":"ada@example.com","password":"correct horse","name":"Ada"}' | json pending_registration_id)
for _ in $(seq 50); do
    code=$(grep -rhoE '\b[0-9]{6}\b' polity-data/mail/*.eml 2>/dev/null | head -n 1 || true)
    [ -n "$code" ] && break
    sleep 0.1
done
[ -n "$code" ] || fail 'no code was mailed'
answer=$(post "$url/api/v1/auth/verify" -d "{\"pending_registration_id\":\"$pending\",\"code\":\"$code\"}")
token=$(json access_token <<<"$answer")
user=$(json user_id <<<"$answer")
want "$(status "$url/api/v1/accounts/profile/$user")" 401 'profile without a token'
want "$(curl -sf -H "Authorization: Bearer $token" "$url/api/v1/accounts/profile/$user" | json name)" Ada 'name'
curl -sf -X PUT -H "Authorization: Bearer $token" -H 'Content-Type: application/json' -d '{"name":"Ada L"}' "$url/api/v1/accounts/profile/$user" >/dev/null
curl -sf -c jar -H 'Content-Type: application/json' -d '{"email":"ada@example.com","password":"correct horse"}' "$url/api/v1/auth/login" >/dev/null
grep -q refresh_token jar || fail 'login set no refresh cookie'
setup=$(sed -n 's/.*setup?token=//p' out | head -n 1)

echo '- an organization, a key of it, a gateway that counts, a leak'
organization=$(post -H "Authorization: Bearer $token" "$url/api/v1/organizations" -d '{"name":"Engines","billing_email":"ada@example.com"}' | json organization_id)
key() { post -H "Authorization: Bearer $token" "$url/api/v1/auth/api-keys" -d "{\"organization_id\":\"$organization\",\"name\":\"smoke\",$1}" | json api_key; }
key=$(key '"rate_limits":{"requests_per_day":30}')
leaked=$(key '"scopes":["read:tasks"]')
want "$(status -H "X-API-Key: $leaked" "$url/v1/integration/scopes")" 200 'a key'
printf '{"file":"a.env","line":3,"match":"KEY=%s;"}\n{"match":"pol_user_nothing"}\n' "$leaked" >report.json
"$polity" credentials revoke-leaked report.json | grep -q '1 were in force and are revoked' || fail 'revoke-leaked'
want "$(status -H "X-API-Key: $leaked" "$url/v1/integration/scopes")" 401 'a leaked key'
for _ in $(seq 20); do curl -sf -H "X-API-Key: $key" "$url/v1/integration/scopes" >/dev/null || fail 'a key within its limit'; done
# What was counted is written within a second; a kill after that loses none of it.
sleep 1.2

echo '- commands beside the running server'
printf 'a long password\n' | "$polity" admin create --email root@example.com --name Root >/dev/null 2>&1 || fail 'admin create'
"$polity" events tail | grep -q account_service.user.profile_updated || fail 'the event of the change is missing'
"$polity" events tail | head -n 1 >/dev/null || fail 'a reader that has seen enough is an error'
old=$("$polity" keys list | awk '/current/{print $1}')
"$polity" keys rotate >/dev/null || fail 'keys rotate'
"$polity" keys retire "$old" >/dev/null || fail 'keys retire'
"$polity" backup "$work/copy" --with-keys >/dev/null || fail 'backup'
[ -s copy/polity.db ] || fail 'the backup is empty'
"$polity" doctor >doctor.out || fail "doctor: $(cat doctor.out)"
"$polity" config | grep -q '\[http\]' || fail 'config'
if "$polity" --port 0 >second.out 2>&1; then fail 'a second server started on the same folder'; fi
grep -q 'another polity is running' second.out || fail "the second start said: $(cat second.out)"

echo '- a kill loses nothing that was acknowledged'
kill -KILL "$server"; wait "$server" 2>/dev/null || true; server=''
keep_log
start
want "$(curl -sf -H "traceparent: 00-$trace-00f067aa0ba902b7-01" -H "Authorization: Bearer $token" "$url/api/v1/accounts/profile/$user" | json name)" 'Ada L' 'name after a kill'
for _ in $(seq 10); do curl -sf -H "X-API-Key: $key" "$url/v1/integration/scopes" >/dev/null || fail 'a key within its limit, after a kill'; done
want "$(status -H "X-API-Key: $key" "$url/v1/integration/scopes")" 429 'the day of a key, before and after a kill'
stop

echo '- restore into an empty folder'
"$polity" --data-dir "$work/restored" restore "$work/copy" >/dev/null || fail 'restore'
start --data-dir "$work/restored"
want "$(curl -sf -H "Authorization: Bearer $token" "$url/api/v1/accounts/profile/$user" | json name)" 'Ada L' 'name after a restore'
taken=${url##*:}
if "$polity" --data-dir "$work/other" --port "$taken" >taken.out 2>&1; then fail 'a second server took the port'; fi
grep -q 'choose another port' taken.out || fail "the taken port said: $(cat taken.out)"
stop

echo '- an invitation over SMTP, accepted with the link of the mail; what an organization has its members have'
venv=${POLITY_SMTP_VENV:-$HOME/.cache/polity/aiosmtpd}
if [ ! -x "$venv/bin/aiosmtpd" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check aiosmtpd==1.4.6
fi
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
smtp=$(free_port)
"$venv/bin/aiosmtpd" -n -l "127.0.0.1:$smtp" -c aiosmtpd.handlers.Mailbox "$work/mailbox" >smtp.log 2>&1 &
postman=$!
export POLITY_MAIL__SMTP_URL="smtp://127.0.0.1:$smtp?tls=none" POLITY_CALLERS__INTERNAL_SERVICE_SECRET=smoke-only-service-secret-0123456789
# mail ADDRESS PATTERN: what the pattern finds in the last mail to that address.
mail() {
    python3 - "$work/mailbox" "$@" <<'PYTHON'
import email, mailbox, re, sys, time
box, to, pattern = sys.argv[1:]
for _ in range(100):
    try:
        mails = [m for m in mailbox.Maildir(box, create=False) if m["To"] and to in m["To"]]
    except (FileNotFoundError, mailbox.NoSuchMailboxError):
        mails = []
    for one in sorted(mails, key=lambda m: m.get_date(), reverse=True):
        parts = [p for p in one.walk() if p.get_content_type() == "text/plain"]
        found = re.search(pattern, "".join(p.get_payload(decode=True).decode() for p in parts))
        if found:
            sys.exit(print(found[0]))
    time.sleep(0.1)
sys.exit(f"no mail to {to}")
PYTHON
}
# register ADDRESS: the token and the id of somebody new.
register() {
    local pending code
    pending=$(post "$url/api/v1/auth/register" -d "{\"email\":\"$1\",\"password\":\"correct horse\",\"name\":\"Somebody\"}" | json pending_registration_id)
    code=$(mail "$1" '\b[0-9]{6}\b') || fail "no mail to $1"
    post "$url/api/v1/auth/verify" -d "{\"pending_registration_id\":\"$pending\",\"code\":\"$code\"}"
}
start --data-dir "$work/mailed"
answer=$(register ada@example.com); ada=$(json access_token <<<"$answer")
answer=$(register bob@example.com); bob=$(json access_token <<<"$answer"); bob_id=$(json user_id <<<"$answer")
organization=$(post -H "Authorization: Bearer $ada" "$url/api/v1/organizations" -d '{"name":"Engines","billing_email":"ada@example.com"}' | json organization_id)
post -H "Authorization: Bearer $ada" "$url/api/v1/invitations/organizations/$organization" -d '{"email":"bob@example.com"}' >/dev/null || fail 'invite'
invitation=$(mail bob@example.com 'pol_[a-z]+_[0-9A-Za-z]{49}') || fail 'the invitation was not mailed'
accept() { status -H "Authorization: Bearer $bob" -H 'Content-Type: application/json' "$url/api/v1/invitations/accept" -d "{\"invitation_token\":\"$invitation\"}"; }
service=(-H 'X-Internal-Service: true' -H "X-Internal-Service-Secret: $POLITY_CALLERS__INTERNAL_SERVICE_SECRET")
curl -sf -X PUT "${service[@]}" -H 'Content-Type: application/json' -d '{"access_level":"read_only"}' \
    "$url/api/v1/authorization/organizations/$organization/permissions/mcp_tool/plotter" >/dev/null || fail 'what the organization has'
may() { post "${service[@]}" "$url/api/v1/authorization/check-access" -d "{\"user_id\":\"$bob_id\",\"resource_type\":\"mcp_tool\",\"resource_name\":\"plotter\"}" | json has_access; }
want "$(may)" False 'a stranger'
want "$(accept)" 200 'accepting'
want "$(may)" True 'a member'
want "$(accept)" 400 'accepting again'
stop
oidc=${POLITY_TEST_OIDC:-}
[ -n "$oidc" ] || [ -z "${POLITY_TEST_REQUIRE_SERVICES:-}" ] || fail 'POLITY_TEST_OIDC names no server'
secrets=()
if [ -n "$oidc" ]; then
    echo '- an account at a real provider: consent, sign-in, its token, a call, a kill, and nothing left there in the end'
    cat >catalogue.toml <<TOML
[[provider]]
name = "oidc"
display_name = "oidc-provider"
authorize_url = "$oidc/auth"
token_url = "$oidc/token"
revoke_url = "$oidc/token/revocation"
revocation = "rfc7009"
userinfo_url = "$oidc/me"
documentation = "$oidc/"
api_hosts = ["127.0.0.1"]
identity = { source = "userinfo", id = "/sub", email = "/email" }
refresh = { rotating = { replay_window = 0 } }
recovery = "reauthorize"
verified = false
TOML
    port=$(free_port)
    export POLITY_PUBLIC_URL=http://127.0.0.1:$port POLITY_CONNECTION__CATALOGUE=$work/catalogue.toml POLITY_OUTBOUND__ALLOW=127.0.0.1
    start --data-dir "$work/connected"
    answer=$(register ada@example.com); ada=$(json access_token <<<"$answer")
    client='test-only:oidc secret+%/0123456789' # as in tests/oidc/server.mjs
    post "${service[@]}" "$url/api/v1/integration/admin/oauth-apps" \
        -d "{\"name\":\"oidc\",\"client_id\":\"loopback\",\"client_secret\":\"$client\",\"required_scopes\":[\"openid\",\"email\",\"read\"]}" >/dev/null || fail 'an app'
    answer=$(post -H "Authorization: Bearer $ada" "$url/api/v1/integration/oauth/connections" -d '{"oauth_app_id":"oidc"}') || fail 'begin'
    connection=$(json id <<<"$answer"); link=$(json authorize_url <<<"$answer"); ticket=${link##*ticket=}
    browser() { curl -sL -c cookies -b cookies "$@"; }
    browser "$link" | grep -q '<h1>Connect oidc-provider</h1>' || fail 'no page asks for consent'
    want "$(status "$link")" 400 'the link in another browser'
    way=$(browser -d "ticket=$ticket&decision=allow" "$url/api/v1/integration/oauth/connect" | sed -n 's/.*content="0; url=\([^"]*\)".*/\1/p' | sed 's/&amp;/\&/g')
    [ -n "$way" ] || fail 'consent leads nowhere'
    form=$(browser -o signin -w '%{url_effective}' "$way")
    grep -q '<h1>Sign in</h1>' signin || fail 'the provider asks nobody'
    browser -d login=ada "$form" | grep -q '<h1>Connected</h1>' || fail 'the sign-in did not end well'
    program=$(post -H "Authorization: Bearer $ada" "$url/api/v1/integration/tokens" -d '{"name":"smoke","scopes":["issue:tokens"]}' | json token)
    issue() { post -H "X-API-Key: $program" "$url/api/v1/tokens:issue" -d "{\"connection_id\":\"$connection\"}" | json access_token; }
    outside() { status -H "Authorization: Bearer $1" "$oidc/me"; }
    first=$(issue) || fail 'no token was issued'
    want "$(curl -sf -H "Authorization: Bearer $first" "$oidc/me" | json sub)" ada 'whose account it is'
    want "$(status -H "Authorization: Bearer $ada" -H 'Content-Type: application/json' "$url/api/v1/tokens:issue" -d "{\"connection_id\":\"$connection\"}")" 403 'a token for a browser'
    call() { post -H "Authorization: Bearer $ada" "$url/api/v1/integration/oauth/connections/$connection/proxy" -d "{\"method\":\"GET\",\"url\":\"$oidc/me\"}"; }
    want "$(call | python3 -c 'import json,sys; print(json.load(sys.stdin)["json"]["sub"])')" ada 'a call through Polity'
    post -H "Authorization: Bearer $ada" "$url/api/v1/integration/oauth/connections/$connection/refresh" -X POST -d '{}' >/dev/null || fail 'refresh'
    kill -KILL "$server"; wait "$server" 2>/dev/null || true; server=''
    keep_log
    start --data-dir "$work/connected"
    second=$(issue) || fail 'no token was issued after a kill'
    want "$(outside "$second")" 200 'the token after a kill'
    want "$(status -X DELETE -H "Authorization: Bearer $ada" "$url/api/v1/integration/oauth/connections/$connection")" 200 disconnect
    if issue 2>/dev/null; then fail 'a token was issued after the end'; fi
    for _ in $(seq 100); do [ "$(outside "$second")" = 401 ] && break; sleep 0.1; done
    want "$(outside "$second")" 401 'the token after the end'
    stop
    cookie=$(awk '/polity_connect_/{print $NF}' cookies)
    secrets=("$client" "$ticket" "$cookie" "$program" "$first" "$second" "$ada")
    port=0
    unset POLITY_PUBLIC_URL POLITY_CONNECTION__CATALOGUE POLITY_OUTBOUND__ALLOW
fi
unset POLITY_MAIL__SMTP_URL POLITY_CALLERS__INTERNAL_SERVICE_SECRET

echo '- bad settings say what to do'
head -c 40 "$work/restored/keyring" >"$work/broken"; chmod 600 "$work/broken"
if POLITY_KEYS__KEYRING=$work/broken "$polity" --data-dir "$work/other" --port 0 >broken.out 2>&1; then fail 'a broken keyring was taken'; fi
grep -qi 'keyring' broken.out || fail "the broken keyring said: $(cat broken.out)"
if POLITY_ENVIRONMENT=production "$polity" --data-dir "$work/other" --port 0 >production.out 2>&1; then fail 'production started with development settings'; fi
grep -q public_url production.out || fail "production said: $(cat production.out)"
unset POLITY_LOG__LEVEL
if POLITY_HTPP__PORT=1 "$polity" config >typo.out 2>&1; then fail 'an unknown variable was ignored'; fi
echo '- traces arrived, log lines name them, and no log holds a secret'
grep -q 'GET /api/v1/accounts/profile/{user_id}' traces || fail 'the collector got no trace'
python3 -c 'import sys; sys.exit(bytes.fromhex(sys.argv[1]) not in open("traces", "rb").read())' "$trace" || fail 'the trace of the client was not continued'
grep -q "trace.id=$trace.*answered" all.log || fail 'no log line names the trace'
grep -q "caller.id=\"user:$user\"" all.log || fail 'no log line names the caller'
refresh=$(awk '/refresh_token/{print $NF}' jar)
[ ${#setup} -gt 40 ] && [ ${#refresh} -gt 40 ] || fail 'there is no secret to look for'
for secret in "$token" "${token##*.}" "$refresh" "$setup" "$key" "$leaked" "$invitation" "${secrets[@]}" "correct horse" "a long password" "$(sed -n 2p restored/keyring | cut -c 20-60)"; do
    [ ${#secret} -ge 8 ] || fail "a secret is too short to look for: $secret"
    if grep -qF -- "$secret" all.log traces; then fail "a secret is in a log: ${secret:0:4}…"; fi
done
lines=$(grep -E "\b$code\b" all.log || true)
# Six digits may also be a part of a second.
if [ -n "$(grep -vE "[.:]$code" <<<"$lines")" ]; then fail 'the code is in a log'; fi
echo 'smoke: passed'
