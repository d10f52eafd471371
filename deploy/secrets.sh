#!/usr/bin/env bash
# Makes what must be secret in deploy/secrets, for compose.yaml. Does nothing where it is already made.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
if [ -e secrets ]; then
    echo 'deploy/secrets is there already; it stays as it is'
    exit 0
fi
umask 077
mkdir secrets
random() { head -c 32 /dev/urandom | base64 | tr -dc 'A-Za-z0-9'; }
password=$(random)
printf 'POSTGRES_USER=polity\nPOSTGRES_PASSWORD=%s\nPOSTGRES_DB=polity\nPOSTGRES_INITDB_ARGS=--locale=C --encoding=UTF8\n' "$password" >secrets/postgres.env
printf 'POLITY_DATABASE__URL=postgres://polity:%s@postgres:5432/polity\nPOLITY_CALLERS__INTERNAL_SERVICE_SECRET=%s\nPOLITY_AUTH__ADMIN_BOOTSTRAP_SECRET=%s\n' \
    "$password" "$(random)" "$(random)" >secrets/polity.env
echo 'made deploy/secrets'
