"""What a benchmark stands on: servers of its own on the loopback address, and wrk. Everything ends with the run."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECRET = "bench-only-service-secret-0123456789abcdef"
ROOT_USER = os.geteuid() == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, process, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended while starting")
        time.sleep(0.01)
    raise SystemExit(f"{process.args[0]} did not start")


def call(method, url, body=None, headers=None):
    """One request; the answer's JSON."""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def unprivileged(command):
    """The same command as nobody, if this run is root's: PostgreSQL will not be root."""
    if not ROOT_USER:
        return command
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, command)]


class Server:
    """A process that ends with the block it is used in."""

    def __init__(self, command, port, env=None, cwd=None):
        self.port = port
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self):
        wait_for_port(self.port, self.process)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def resident_mb(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


@contextlib.contextmanager
def folder():
    """A folder on the disk of this checkout, so that a durable write is one. Tmpfs would flatter."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="polity-bench-", dir=ROOT / "target"))
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def polity(place, database=None, **settings):
    """The release binary as an operator would run it, but that logs only what goes wrong and limits nobody."""
    port = free_port()
    env = {
        "POLITY_DATA_DIR": str(place / "polity"),
        "POLITY_LOG__LEVEL": "error",
        "POLITY_CALLERS__INTERNAL_SERVICE_SECRET": SECRET,
        "POLITY_AUTH__RATE_LIMITS__ENABLED": "false",
        "POLITY_AUTH__RETURN_REFRESH_TOKEN_IN_BODY": "true",
        "POLITY_HTTP__PORT": str(port),
        **{name: str(value) for name, value in settings.items()},
    }
    if database:
        env["POLITY_DATABASE__URL"] = database
    binary = os.environ.get("BENCH_BINARY", ROOT / "target/release/polity")
    return Server([binary, "serve"], port, env)


SERVICE = {"X-Internal-Service": "true", "X-Internal-Service-Secret": SECRET, "Content-Type": "application/json"}


def person(server, email="ada@example.com"):
    """Registers somebody as the README does; their id, tokens and password."""
    base = f"{server.url}/api/v1/auth"
    password = "correct horse battery"
    pending = call("POST", f"{base}/register", {"email": email, "password": password, "name": "Ada"})
    found = call("GET", f"{base}/dev/pending-registration/{pending['pending_registration_id']}")
    verified = call(
        "POST",
        f"{base}/verify",
        {"pending_registration_id": pending["pending_registration_id"], "code": found["verification_code"]},
    )
    return {**verified, "password": password}


@contextlib.contextmanager
def postgres(place):
    """A private PostgreSQL with its defaults: every commit is on disk."""
    bins = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    if not bins:
        raise SystemExit("please install postgresql")
    data = place / "postgres"
    data.mkdir()
    if ROOT_USER:
        os.chown(data, 65534, 65534)
    subprocess.run(
        unprivileged([bins[-1] / "initdb", "-D", data / "data", "-U", "polity", "-A", "trust", "-E", "UTF8", "--locale=C"]),
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
    )
    port = free_port()
    command = [bins[-1] / "postgres", "-D", data / "data", "-p", port, "-k", data, "-c", "listen_addresses=127.0.0.1"]
    with Server(unprivileged(command), port, cwd="/"):
        url = f"postgres://polity@127.0.0.1:{port}/postgres"
        while subprocess.run([bins[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            time.sleep(0.05)
        yield url


def wrk(url, connections, seconds, **what):
    """Loads a server: requests per second, p50 and p99 in milliseconds. What fails is no figure."""
    env = {**os.environ, **{f"BENCH_{name.upper()}": str(value) for name, value in what.items()}}
    if isinstance(what.get("headers"), dict):
        env["BENCH_HEADERS"] = "\n".join(f"{name}: {value}" for name, value in what["headers"].items())
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", HERE / "lua/request.lua", url]
    ran = subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True, check=False)
    found = re.search(r"BENCH (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", ran.stdout)
    if not found:
        raise SystemExit(f"wrk: {ran.stdout}{ran.stderr}")
    requests, micros, failed, p50, p99 = (float(part) for part in found.groups())
    return {
        "requests": int(requests),
        "rate": requests / micros * 1e6,
        "failed": int(failed),
        "p50": p50 / 1000,
        "p99": p99 / 1000,
    }
