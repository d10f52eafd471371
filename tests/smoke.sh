#!/usr/bin/env bash
# The built program, started as in the README and driven by ordinary clients: curl, a shell, signals.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
target=${CARGO_TARGET_DIR:-$root/target}
(cd "$root" && cargo build -j2 --quiet --bin polity)
polity=$target/debug/polity
work=$(mktemp -d)
server=''
clean_up() {
    if [ -n "$server" ]; then kill -KILL "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
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

start() {
    "$polity" --port 0 "$@" >"$work/out" 2>"$work/log" &
    server=$!
    for _ in $(seq 100); do
        url=$(sed -n 's/.*http\.address=\([0-9.:]*\).*/http:\/\/\1/p' "$work/log" | sed 's/\x1b\[[0-9;]*m//g' | tail -n 1)
        if [ -n "$url" ] && curl -sf "$url/health/ready" >/dev/null 2>&1; then return; fi
        kill -0 "$server" 2>/dev/null || fail 'the server ended while starting'
        sleep 0.1
    done
    fail 'the server did not become ready'
}
stop() {
    kill -TERM "$server"
    wait "$server" || fail 'the server did not end cleanly'
    server=''
}

echo '- first start: data folder, keyring, set-up link'
start
want "$(stat -c %a polity-data/keyring)" 600 'mode of the keyring'
grep -q '/setup?token=' out || fail 'no set-up link was printed'
want "$(status "$url/health")" 200 health
want "$(status "$url/openapi.json")" 200 openapi
want "$(status "$url/docs")" 200 docs
curl -sf "$url/metrics" | grep -q '^polity_' || fail 'no figures'

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
start
want "$(curl -sf -H "Authorization: Bearer $token" "$url/api/v1/accounts/profile/$user" | json name)" 'Ada L' 'name after a kill'
stop

echo '- restore into an empty folder'
"$polity" --data-dir "$work/restored" restore "$work/copy" >/dev/null || fail 'restore'
start --data-dir "$work/restored"
want "$(curl -sf -H "Authorization: Bearer $token" "$url/api/v1/accounts/profile/$user" | json name)" 'Ada L' 'name after a restore'
port=${url##*:}
if "$polity" --data-dir "$work/other" --port "$port" >taken.out 2>&1; then fail 'a second server took the port'; fi
grep -q 'choose another port' taken.out || fail "the taken port said: $(cat taken.out)"
stop

echo '- bad settings say what to do'
head -c 40 "$work/restored/keyring" >"$work/broken"; chmod 600 "$work/broken"
if POLITY_KEYS__KEYRING=$work/broken "$polity" --data-dir "$work/other" --port 0 >broken.out 2>&1; then fail 'a broken keyring was taken'; fi
grep -qi 'keyring' broken.out || fail "the broken keyring said: $(cat broken.out)"
if POLITY_ENVIRONMENT=production "$polity" --data-dir "$work/other" --port 0 >production.out 2>&1; then fail 'production started with development settings'; fi
grep -q public_url production.out || fail "production said: $(cat production.out)"
if POLITY_HTPP__PORT=1 "$polity" config >typo.out 2>&1; then fail 'an unknown variable was ignored'; fi
echo 'smoke: passed'
