#!/usr/bin/env bash
# Three replicas behind a balancer, restarted one after the other while a load generator uses them: no request may fail.
# Ordinary clients: HAProxy, wrk, curl. Needs POLITY_TEST_POSTGRES, POLITY_TEST_NATS and POLITY_TEST_REDIS (`./test replicas`).
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
target=${CARGO_TARGET_DIR:-$root/target}
(cd "$root" && cargo build -j2 --quiet --bin polity)
polity=$target/debug/polity
work=$(mktemp -d)
database=polity_replicas_$$
declare -A replica=()
balancer='' load=''
clean_up() {
    for pid in ${replica[@]+"${replica[@]}"} $balancer $load; do kill -KILL "$pid" 2>/dev/null || true; done
    { wait; } 2>/dev/null
    psql -q "$POLITY_TEST_POSTGRES" -c "drop database if exists $database with (force)" >/dev/null 2>&1 || true
    rm -rf -- "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
cd "$work"

fail() { printf 'replicas: %s\n' "$*" >&2; tail -n 20 "$work"/*.log >&2 || true; exit 1; }
json() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }

psql -q "$POLITY_TEST_POSTGRES" -c "create database $database" >/dev/null
export POLITY_DATABASE__URL="${POLITY_TEST_POSTGRES%/*}/$database"
export POLITY_NATS__URL=$POLITY_TEST_NATS POLITY_NATS__PREFIX=$database POLITY_NATS__STREAM=$database
export POLITY_REDIS__URL=$POLITY_TEST_REDIS POLITY_REDIS__PREFIX=$database
export POLITY_KEYS__KEYRING=$work/keyring POLITY_AUTH__RATE_LIMITS__ENABLED=false
export POLITY_HTTP__DRAIN_NOTICE_MS=1500 POLITY_MAIL__FOLDER=$work/mail
ports=("$(free_port)" "$(free_port)" "$(free_port)")
front=$(free_port)

start() {
    "$polity" --port "${ports[$1]}" --data-dir "$work/data$1" >>"$work/replica$1.out" 2>>"$work/replica$1.log" &
    replica[$1]=$!
    for _ in $(seq 200); do
        curl -sf "http://127.0.0.1:${ports[$1]}/health/ready" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "replica $1 did not become ready"
}

echo '- three replicas on PostgreSQL, NATS and Redis, behind HAProxy'
for n in 0 1 2; do start "$n"; done
{
    printf 'global\n  maxconn 2000\n'
    printf 'defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n  retries 2\n'
    printf 'frontend front\n  bind 127.0.0.1:%s\n  default_backend polity\n' "$front"
    printf 'backend polity\n  balance roundrobin\n  option httpchk GET /health/ready\n  option redispatch\n'
    for n in 0 1 2; do printf '  server r%s 127.0.0.1:%s check inter 200ms fall 1 rise 1\n' "$n" "${ports[$n]}"; done
} >haproxy.cfg
PATH=$PATH:/usr/sbin
haproxy -q -db -f haproxy.cfg >haproxy.log 2>&1 &
balancer=$!
url=http://127.0.0.1:$front
for _ in $(seq 100); do curl -sf "$url/health/ready" >/dev/null 2>&1 && break; sleep 0.1; done
for n in 0 1 2; do
    for _ in $(seq 50); do
        seen=$(curl -sf "http://127.0.0.1:${ports[$n]}/health/detailed" | json processes)
        [ "$seen" = 3 ] && break
        sleep 0.1
    done
    [ "$seen" = 3 ] || fail "replica $n sees $seen processes"
    curl -sf "http://127.0.0.1:${ports[$n]}/health" | grep -q '"status":"healthy"' || fail "replica $n is not well"
done

echo '- somebody registers through the balancer'
post() { curl -sf -H 'Content-Type: application/json' "$@"; }
pending=$(post "$url/api/v1/auth/register" -d '{"email":"ada@example.com","password":"correct horse","name":"Ada"}' | json pending_registration_id)
code=$(curl -sf "$url/api/v1/auth/dev/pending-registration/$pending" | json verification_code)
answer=$(post "$url/api/v1/auth/verify" -d "{\"pending_registration_id\":\"$pending\",\"code\":\"$code\"}")
token=$(json access_token <<<"$answer")
user=$(json user_id <<<"$answer")

echo '- each is restarted in turn while a load generator reads and writes'
cat >load.lua <<'LUA'
local count = 0
function request()
    count = count + 1
    local path = "/api/v1/accounts/profile/" .. os.getenv("PROFILE")
    local headers = { ["Authorization"] = "Bearer " .. os.getenv("TOKEN"), ["Content-Type"] = "application/json" }
    if count % 4 == 0 then return wrk.format("PUT", path, headers, '{"name":"Ada ' .. count .. '"}') end
    return wrk.format("GET", path, headers)
end
LUA
PROFILE=$user TOKEN=$token wrk -t1 -c16 -d18s -s load.lua "$url" >wrk.out 2>&1 &
load=$!
sleep 1
for n in 0 1 2; do
    kill -TERM "${replica[$n]}"
    wait "${replica[$n]}" || fail "replica $n did not end cleanly"
    start "$n"
    sleep 1
done
wait "$load" || fail 'the load generator failed'
load=''
grep -E 'requests in|Non-2xx|Socket errors' wrk.out
if grep -qE 'Non-2xx|Socket errors' wrk.out; then fail 'requests failed during the rolling restart'; fi
answered=$(awk '/requests in/{print $1}' wrk.out)
[ "$answered" -gt 500 ] || fail "only $answered requests were answered"
echo 'replicas: passed'
