#!/usr/bin/env bash
# Fuzzes the built program by its own OpenAPI document.
#   tests/schema/run.sh BINARY [options of run.py]
# POLITY_SCHEMA_VENV: where schemathesis is kept (default $HOME/.cache/polity/schemathesis).
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
venv=${POLITY_SCHEMA_VENV:-$HOME/.cache/polity/schemathesis}
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    python3 -m venv "$venv" || { echo 'schema: please install python3-venv' >&2; exit 1; }
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$here/run.py" "$@"
