"""Starts the program in an empty folder and runs schemathesis against it as each kind of caller.

Everything is bounded by counts and drawn from a seed, so that a run can be repeated: a failure prints the seed and a
curl line. Each caller has a server of its own: what one run breaks or fills, the next does not see. Findings are failed
checks, operations that never succeed, errors in the server's log, and a server that does not end cleanly.
"""

import argparse
import base64
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
SEED = 20260101
PASSWORD = "correct horse battery"
# Who calls, and how many generated cases each operation gets on top of the systematic ones. `limited` is a user with
# rate limits on; everywhere else they are off, because they would hide what lies behind them.
CALLERS = {"nobody": 15, "user": 30, "admin": 30, "service": 30, "limited": 1}
# Stands in a request for what only works once; hooks.py puts it there.
FRESH = "fresh"
# What no run can succeed at: closed once there is an administrator, in need of a mailed code, or the document itself.
# These need what a letter, a console, an archive or a provider has.
UNREACHED = {
    "connection.callback",
    "connection.callback_page",
    "connection.connect",
    "connection.connect_page",
    "connection.issue_token",
    "connection.proxy",
    "connection.reconnect",
    "connection.refresh",
    "account.confirm_email",
    "auth.admin_bootstrap",
    "auth.reset_password_confirm",
    "auth.setup",
    "openapi",
    "organization.import",
}

CONFIG = """
hooks = {hooks}
continue-on-failure = true
request-timeout = 30
output.sanitization.enabled = false
warnings = false

[generation]
max-examples = {examples}
database = "none"
# U+0000 is refused everywhere, on purpose (docs/API-DESIGN.md); a schema cannot say so.
allow-x00 = false
# A generated credential beside a real one would decide in its place.
with-security-parameters = {garbage}

[phases]
stateful.enabled = false

[checks]
# 400 is a state or a rule that a schema cannot express, such as a taken address.
positive_data_acceptance.expected-statuses = {accepted}

[dictionaries]
{dictionaries}

[parameters]
{parameters}
"""


def cursor(micros: int, last: str) -> str:
    """A cursor as the program writes it, with a time that no list has."""
    return base64.urlsafe_b64encode(f"{micros}.{last}".encode()).decode().rstrip("=")


# Values worth sending: the parameter, how often, and which.
VALUES = {
    "path.user_id": (0.8, ["$ada", "$root", FRESH]),
    "path.session_id": (0.5, [FRESH]),
    "path.id": (0.7, [FRESH, "$ada"]),
    "path.organization_id": (0.7, ["$organization"]),
    "path.sharing_id": (0.8, ["$sharing", FRESH]),
    "path.resource_name": (0.8, ["engine"]),
    "path.name": (0.5, ["read:tasks"]),
    "query.organization_id": (0.8, ["$ada", "$organization"]),
    "query.user_id": (0.5, ["$ada", "$root"]),
    "query.resource_name": (0.7, ["engine"]),
    # Offsets, leap days, and what lies far away.
    "query.period_start": (0.5, ["2024-02-29T00:00:00Z", "2026-01-01T00:00:00+02:00"]),
    "query.period_end": (0.5, ["2026-12-31T23:59:60Z", "2027-01-01T00:00:00-11:00"]),
    "query.workspace_id": (0.5, ["$ada", "$organization"]),
    "body.organization_id": (0.7, ["$ada", "$organization"]),
    "body.device_id": (0.5, ["frame"]),
    "path.device_id": (0.5, ["frame"]),
    "body.device_secret": (0.7, ["$device"]),
    "body.api_key": (0.7, ["$key", "$token"]),
    "path.email": (0.5, ["ada@example.com", "root@example.com", "ADA@example.com"]),
    "path.part": (0.5, ["docs.js", "docs.css"]),
    "query.cursor": (0.3, ["$cursor", cursor(-(2**58), "x"), cursor(2**62, "é"), cursor(0, "")]),
    "header.Idempotency-Key": (0.7, ["key-1", "key-2"]),
    "body.user_id": (0.5, ["$ada", "$root"]),
    "body.email": (0.3, ["ada@example.com", "root@example.com", "nobody@example.com"]),
    "body.password": (0.5, [PASSWORD]),
    "body.current_password": (0.5, [PASSWORD]),
    "body.token": (0.5, ["$ada.access_token", "$root.access_token"]),
    "body.refresh_token": (0.5, [FRESH]),
    "body.pending_registration_id": (0.7, [FRESH]),
    "body.code": (0.7, [FRESH]),
    "body.invitation_token": (0.8, [FRESH]),
    "body.resource_name": (0.7, ["engine"]),
    "body.resource_id": (0.7, ["engine", "proj_1"]),
    "body.oauth_app_id": (0.9, ["github"]),
    "body.connection_id": (0.7, ["con_1"]),
    "body.provider": (0.9, ["github", "google"]),
    "body.opener": (0.9, ["$url"]),
    "body.return_to": (0.9, ["$url"]),
    "body.url": (0.7, ["https://api.github.com/user"]),
    "body.action": (0.7, ["read", "write", "delete"]),
    "body.resource_category": (0.5, ["tools"]),
    "body.granted_by_user_id": (0.5, ["$ada", "$root"]),
    "body.revoked_by_user_id": (0.5, ["$ada", "$root"]),
    "body.executed_by_user_id": (0.5, ["$ada", "$root"]),
    "body.assigner_user_id": (0.9, ["$ada"]),
    "body.assigner_role": (0.9, ["owner"]),
    "body.assignee_user_id": (0.9, ["$root"]),
    "body.assignee_role": (0.9, ["member", "viewer", "admin"]),
    "body.scope": (0.8, ["organization"]),
}


class Server:
    """The program in a folder of its own, with an ordinary person and an administrator."""

    def __init__(self, binary: Path, limited: bool, postgres: str | None) -> None:
        self.work = Path(tempfile.mkdtemp(prefix="polity-schema."))
        self.postgres, self.database = postgres, f"schema_{secrets.token_hex(6)}"
        self.binary, self.secret, self.process = binary, secrets.token_hex(24), None
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("POLITY_")}
        self.env |= {
            "POLITY_CALLERS__INTERNAL_SERVICE_SECRET": self.secret,
            "POLITY_AUTH__RATE_LIMITS__ENABLED": str(limited).lower(),
            "POLITY_CREDENTIAL__TIERS__FREE": "1000000",
            "POLITY_CONNECTION__MOST_PER_PERSON": "1000000",
            "POLITY_CONSENT__GIVEN_PER_HOUR": "1000000",
            "POLITY_CONNECTION__SIGN_INS_PER_HOUR": "1000000",
            "POLITY_CONSENT__MOST_PER_PERSON": "1000000",
            "POLITY_ORGANIZATION__MOST_OWNED": "1000000",
            "POLITY_ORGANIZATION__MOST_SHARINGS": "1000000",
            "POLITY_AUTHORIZATION__CHECKS_PER_MINUTE": "1000000",
            "POLITY_AUTHORIZATION__CHANGES_PER_MINUTE": "1000000",
            "POLITY_AUTHORIZATION__BULK_PER_MINUTE": "1000000",
            "POLITY_INVITATION__PER_HOUR": "1000000",
            "POLITY_INVITATION__PER_RECIPIENT_PER_DAY": "1000000",
            "POLITY_INVITATION__LOOKS_PER_MINUTE": "1000000",
            # Cheap hashes: the run is about the API, not about argon2.
            "POLITY_PASSWORD__MEMORY_KIB": "64",
            "POLITY_PASSWORD__ITERATIONS": "1",
        }
        if postgres:
            self.env["POLITY_DATABASE__URL"] = urlsplit(postgres)._replace(path=self.database).geturl()

    def sql(self, text: str) -> None:
        """Runs a statement on the PostgreSQL server, if there is one."""
        if self.postgres:
            subprocess.run(["psql", "-q", self.postgres, "-c", text], check=True)

    def __enter__(self) -> "Server":
        try:
            self.sql(f"create database {self.database}")
            with (self.work / "log").open("wb") as log:
                self.process = subprocess.Popen(
                    [self.binary, "--port", "0"], cwd=self.work, env=self.env, stdout=subprocess.DEVNULL, stderr=log
                )
            self.url = self.ready()
            self.populate()
        except BaseException:
            self.__exit__()
            raise
        return self

    def ready(self) -> str:
        for _ in range(300):
            log = re.sub(r"\x1b\[[0-9;]*m", "", (self.work / "log").read_text())
            address = re.search(r"http\.address=([0-9.:]+)", log)
            if address:
                return f"http://{address[1]}"
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"schema: the server did not start\n{(self.work / 'log').read_text()}")

    def call(self, path: str, body: dict | None = None, more: dict | None = None, method: str | None = None) -> dict:
        headers = {"X-Internal-Service": "true", "X-Internal-Service-Secret": self.secret} | (more or {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers | {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def populate(self) -> None:
        """Ada has the address and the password of the document's examples, so that signing in succeeds."""
        pending = self.call("/api/v1/auth/register", {"email": "ada@example.com", "password": PASSWORD, "name": "Ada"})
        for _ in range(100):
            mails = self.call("/api/v1/auth/dev/mailbox")["mails"]
            if mails:
                break
            time.sleep(0.1)
        code = re.search(r"\b\d{6}\b", mails[0]["text"])[0]
        answer = {"pending_registration_id": pending["pending_registration_id"], "code": code}
        self.ada = self.call("/api/v1/auth/verify", answer)
        command = [self.binary, "admin", "create", "--email", "root@example.com", "--name", "Root"]
        subprocess.run(
            command, cwd=self.work, env=self.env, input=PASSWORD.encode() + b"\n", check=True, capture_output=True
        )
        self.root = self.call("/api/v1/auth/admin/login", {"email": "root@example.com", "password": PASSWORD})
        self.cursor = self.call("/api/v1/accounts?page_size=1")["next_cursor"]
        person = {"X-User-Id": self.ada["user_id"]}
        self.organization = self.call("/api/v1/organizations", {"name": "Engines", "billing_email": "ada@example.com"}, person)
        own = {"organization_id": self.ada["user_id"], "name": "schema"}
        self.key = self.call("/api/v1/auth/api-keys", own)["api_key"]
        self.device = self.call("/api/v1/auth/device/register", own | {"device_id": "frame"})["device_secret"]
        token = {"name": "schema", "scopes": ["read:workspaces"]}
        self.token = self.call("/api/v1/integration/tokens", token, person)["token"]
        self.share()
        self.permit()
        app = {"name": "github", "client_id": "schema", "client_secret": "schema", "required_scopes": ["read:user"]}
        self.call("/api/v1/integration/admin/oauth-apps", app)

    def share(self) -> None:
        """Ada's organization has another member, with whom something is shared."""
        base = f"/api/v1/organization/organizations/{self.organization['organization_id']}"
        self.call(f"{base}/members", {"user_id": self.root["user_id"]})
        thing = {"resource_type": "album", "resource_id": "engine", "share_with_all_members": True}
        self.sharing = self.call(f"{base}/sharing", thing, {"X-User-Id": self.ada["user_id"]})["sharing_id"]

    def permit(self) -> None:
        """There is an `engine` of every type, which Ada may use, by herself and in her organization."""
        base, organization = "/api/v1/authorization", self.organization["organization_id"]
        types = ["mcp_tool", "prompt", "resource", "api_endpoint", "database", "file_storage", "compute", "ai_model"]
        for kind in types:
            one = {"resource_category": "tools", "subscription_tier_required": "free", "access_level": "read_only"}
            self.call(f"{base}/resources/{kind}/engine", one, method="PUT")
            path = f"{base}/organizations/{organization}/permissions/{kind}/engine"
            self.call(path, {"access_level": "read_only"}, method="PUT")
            own = {"user_id": self.ada["user_id"], "resource_type": kind, "resource_name": "engine"}
            self.call(f"{base}/grant", own | {"access_level": "read_write", "permission_source": "admin_grant"})

    def values(self) -> dict[str, tuple[float, list[str]]]:
        known = {"$ada": self.ada["user_id"], "$root": self.root["user_id"], "$cursor": self.cursor}
        known |= {"$organization": self.organization["organization_id"], "$device": self.device}
        known |= {"$url": "http://localhost:8080/", "$key": self.key, "$token": self.token, "$sharing": self.sharing}
        known |= {"$ada.access_token": self.ada["access_token"], "$root.access_token": self.root["access_token"]}
        return {name: (often, [known.get(one, one) for one in values]) for name, (often, values) in VALUES.items()}

    def faults(self) -> list[str]:
        """What the server said about itself: errors it logged, and how it ended."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            status = "still running after SIGTERM"
        log = re.sub(r"\x1b\[[0-9;]*m", "", (self.work / "log").read_text(errors="replace"))
        found = [line for line in log.splitlines() if re.search(r" ERROR |panicked", line)][:20]
        return found + ([] if status == 0 else [f"the server ended with {status}"])

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.sql(f"drop database if exists {self.database} with (force)")
        shutil.rmtree(self.work, ignore_errors=True)


def configure(server: Server, caller: str, scale: int) -> Path:
    """Writes the settings of a run."""
    values = server.values().items()
    dictionaries = [f"d{at} = {{ values = {json.dumps(known)} }}" for at, (_, (_, known)) in enumerate(values)]
    parameters = [
        f'"{name}" = {{ dictionary = "d{at}", probability = {often} }}' for at, (name, (often, _)) in enumerate(values)
    ]
    # A valid request may also meet a missing credential, too little permission, or a limit.
    accepted = ["2xx", 400, 401, 403, 404, 409, 412, 429]
    path = server.work / "schemathesis.toml"
    path.write_text(
        CONFIG.format(
            hooks=json.dumps(str(HERE / "hooks.py")),
            examples=CALLERS[caller] * scale,
            garbage=str(caller == "nobody").lower(),
            accepted=json.dumps(accepted),
            dictionaries="\n".join(dictionaries),
            parameters="\n".join(parameters),
        )
    )
    return path


def fuzz(server: Server, caller: str, options: argparse.Namespace) -> tuple[int, set[str]]:
    """One run of schemathesis: its exit status, and the operations that succeeded at least once."""
    answered = server.work / "answered.json"
    run = {"url": server.url, "caller": caller, "secret": server.secret, "ada": server.ada, "root": server.root}
    run |= {"organization": server.organization["organization_id"]}
    run |= {"token": server.token, "fresh": FRESH, "password": PASSWORD, "answered": str(answered)}
    settings = configure(server, caller, options.scale)
    command = [Path(sys.executable).parent / "schemathesis", "--config-file", settings, "run"]
    command += [options.document or f"{server.url}/openapi.json", "--url", server.url, "--checks", "all"]
    command += ["--seed", str(options.seed), "--no-color"]
    if options.report:
        command += ["--report", "ndjson", "--report-ndjson-path", options.report / f"{caller}.ndjson"]
    env = server.env | {"POLITY_SCHEMA": json.dumps(run)}
    try:
        status = subprocess.run(command, cwd=server.work, env=env, timeout=options.timeout).returncode
    except subprocess.TimeoutExpired:
        print(f"schema: as {caller}: not done after {options.timeout:.0f} seconds")
        status = 124
    return status, set(json.loads(answered.read_text()) if answered.exists() else [])


def unreached(server: Server, answered: set[str]) -> set[str]:
    """Operations that never succeeded: a run that sees nothing but refusals proves little."""
    paths = server.call("/openapi.json")["paths"].values()
    return {one["operationId"] for path in paths for one in path.values()} - answered - UNREACHED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=lambda text: Path(text).resolve())
    parser.add_argument("--caller", choices=CALLERS, action="append", help="only these; default: all in turn")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--scale", type=int, default=1, help="how many times the usual number of generated cases")
    parser.add_argument("--timeout", type=float, default=600, help="seconds a caller's run may take")
    parser.add_argument("--postgres", help="a PostgreSQL server to run on, as a URL; SQLite if left out")
    parser.add_argument("--document", help="another document than the running program's")
    folder = parser.add_argument("--report", help="a folder for every request and answer")
    folder.type = lambda text: Path(text).resolve()
    options = parser.parse_args()
    # So that the server goes too when this program is asked to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed, answered, missing = [], set(), set()
    for caller in options.caller or CALLERS:
        begun = time.monotonic()
        print(f"- as {caller}, seed {options.seed}", flush=True)
        with Server(options.binary, caller == "limited", options.postgres) as server:
            status, reached = fuzz(server, caller, options)
            answered |= reached
            missing = unreached(server, answered)
            faults = server.faults()
        for fault in faults:
            print(f"schema: as {caller}: {fault}")
        if status or faults:
            failed.append(caller)
        result = "failed" if status or faults else "ok"
        print(f"- as {caller}: {result} ({time.monotonic() - begun:.0f}s)", flush=True)
    if missing and not options.caller:
        failed.append(f"everybody: nothing succeeded at {', '.join(sorted(missing))}")
    print(f"schema: failed as {'; '.join(failed)}" if failed else "schema: passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
