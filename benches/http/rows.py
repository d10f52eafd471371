"""The rows: each group starts what it needs, measures, and returns a table."""

import contextlib
import os
import pathlib
import sqlite3
import statistics
import subprocess
import threading
import time

from stand import ROOT, SERVICE, Server, call, folder, free_port, person, polity, postgres, wrk

ENSURE = '{"user_id":"usr_{n}","email":"u{n}@example.com","name":"User {n}"}'


def bearer(token):
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def row(name, got, aim="", note=""):
    failed = f"; **{got['failed']} failed**" if got["failed"] else ""
    return [name, f"{got['rate']:,.0f}/s", f"{got['p50']:.2f}", f"{got['p99']:.2f}", aim, note + failed]


LOAD = ["what", "rate", "p50 ms", "p99 ms", "aim", "note"]


def creates(seconds, _):
    """Durable creates on SQLite: an account and its event in one transaction, fsync before the answer."""
    rows = []
    with folder() as place, polity(place) as server:
        done = 0
        for connections, aim in ((1, ""), (64, ""), (256, ">= 15,000/s")):
            what = {"method": "POST", "path": "/api/v1/accounts/ensure", "headers": SERVICE, "body": ENSURE}
            wrk(server.url, connections, 1, **what, **{"from": done + 10_000_000})
            got = wrk(server.url, connections, seconds, **what, **{"from": done})
            done += 2_000_000
            rows.append(row(f"create, {connections} connections", got, aim))
        memory = server.resident_mb()
    with folder() as place:
        floor = redis_set(place, seconds)
    rows.append(["Redis `SET`, `appendfsync always`, 256 connections", f"{floor:,.0f}/s", "", "", "", "floor of the peer: one key, no index, no event"])
    rows.append(["ratio to it", f"{rate_of(rows[2]) / floor:.2f}", "", "", "", "PocketBase publishes 2,015/s on two cores without fsync"])
    rows.append(["resident memory after it", f"{memory:.0f} MB", "", "", "", ""])
    return LOAD, rows


def rate_of(cells):
    return float(cells[1].rstrip("/s").replace(",", ""))


def redis_set(place, seconds):
    port = free_port()
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", place, "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    with Server(command, port):
        count = str(40_000 * seconds)
        bench = ["redis-benchmark", "-p", str(port), "-t", "set", "-c", "256", "-n", count, "-r", "1000000", "-d", "100", "--csv"]
        answer = subprocess.run(bench, capture_output=True, text=True, check=True).stdout
    return float(answer.strip().splitlines()[-1].split(",")[1].strip('"'))


def reads(seconds, _):
    """Reads by id over HTTP with an access token (EdDSA)."""
    rows = []
    with folder() as place, polity(place) as server:
        idle = server.resident_mb()
        ada = person(server)
        path = f"/api/v1/accounts/profile/{ada['user_id']}"
        what = {"path": path, "headers": bearer(ada["access_token"])}
        wrk(server.url, 64, 1, **what)
        rows.append(row("read by id, the token remembered, 64 connections", wrk(server.url, 64, seconds, **what), ">= 30,000/s"))
        busy = server.resident_mb()
        rows.append(row("page of 20, by a service", wrk(server.url, 64, seconds, path="/api/v1/accounts?page_size=20", headers=SERVICE)))
    with folder() as place, polity(place, POLITY_AUTH__REMEMBERED_TOKENS=0) as server:
        ada = person(server)
        what = {"path": f"/api/v1/accounts/profile/{ada['user_id']}", "headers": bearer(ada["access_token"])}
        wrk(server.url, 64, 1, **what)
        rows.append(row("read by id, the token verified each time", wrk(server.url, 64, seconds, **what), ">= 10,000/s", "`auth.remembered_tokens = 0`"))
    rows.append(["resident memory, idle", f"{idle:.0f} MB", "", "", "< 40 MB", ""])
    rows.append(["resident memory, under that load", f"{busy:.0f} MB", "", "", "", ""])
    return LOAD, rows


def sessions(seconds, _):
    """Sign-in (Argon2id, 19 MiB, two passes), refresh, and what a storm of sign-ins does to others."""
    rows = []
    with folder() as place, polity(place) as server:
        ada = person(server)
        login = {"method": "POST", "path": "/api/v1/auth/login", "headers": {"Content-Type": "application/json"},
                 "body": f'{{"email":"ada@example.com","password":"{ada["password"]}"}}'}
        rows.append(row("login, 8 connections", wrk(server.url, 8, seconds, **login), "", "bounded by the cost of the hash"))
        tokens = place / "refresh"
        pairs = [call("POST", f"{server.url}/api/v1/auth/token-pair", {"user_id": ada["user_id"], "email": ada["email"]}, SERVICE) for _ in range(200)]
        tokens.write_text("".join(f"{pair['refresh_token']}\n" for pair in pairs))
        refresh = {"method": "POST", "path": "/api/v1/auth/refresh", "headers": {"Content-Type": "application/json"},
                   "body": '{"refresh_token":"{token}"}', "tokens": tokens, "chain": "refresh_token"}
        rows.append(row("refresh, each token used once, 64 connections", wrk(server.url, 64, seconds, **refresh)))
        # Somebody else: a person has only so many sessions, and ada's first ones have ended by now.
        bob = person(server, "bob@example.com")
        read = {"path": f"/api/v1/accounts/profile/{bob['user_id']}", "headers": bearer(bob["access_token"])}
        alone = wrk(server.url, 16, seconds, **read)
        storm = threading.Thread(target=wrk, args=(server.url, 64, seconds + 2), kwargs=login)
        storm.start()
        time.sleep(1)
        during = wrk(server.url, 16, seconds, **read)
        storm.join()
        rows.append(row("reads alone, 16 connections", alone))
        rows.append(row("reads while 64 connections sign in", during, "p99 < 25 ms"))
    return LOAD, rows


def starts(_, quick):
    """From `exec` to the first answer, on an existing data folder."""
    took = []
    with folder() as place:
        with polity(place):
            pass
        for _ in range(5 if quick else 20):
            begun = time.monotonic()
            server = polity(place)
            with server:
                call("GET", f"{server.url}/health")
                took.append((time.monotonic() - begun) * 1000)
    took.sort()
    return ["what", "median ms", "worst ms", "aim"], [["start to first answer", f"{statistics.median(took):.0f}", f"{took[-1]:.0f}", "< 150 ms"]]


def sizes(seconds, quick):
    """The same operations at 10^3, 10^5 and 10^6 accounts, all made over HTTP."""
    header = ["rows", "creates/s while filling", "point read /s", "p99 ms", "first page /s", "p99 ms", "page 500 /s", "p99 ms"]
    rows, have = [], 0
    with folder() as place, polity(place) as server:
        for size in (1_000, 100_000) if quick else (1_000, 100_000, 1_000_000):
            begun, start = time.monotonic(), have
            while have < size:
                what = {"method": "POST", "path": "/api/v1/accounts/ensure", "headers": SERVICE, "body": ENSURE, "from": have}
                have += wrk(server.url, 8 if size == 1_000 else 256, 1 if size - have < 40_000 else 10, **what)["requests"]
            filled = (have - start) / (time.monotonic() - begun)
            cursor = deep(server, 500 if size > 10_000 else 5)
            point = {"path": "/api/v1/accounts/profile/usr_{r}", "headers": SERVICE, "range": size}
            page = {"path": "/api/v1/accounts?page_size=20&cursor=", "headers": SERVICE}
            got = [wrk(server.url, 32, seconds, **point), wrk(server.url, 32, seconds, **page)]
            got.append(wrk(server.url, 32, seconds, path=f"/api/v1/accounts?page_size=20&cursor={cursor}", headers=SERVICE))
            rows.append([f"{have:,}", f"{filled:,.0f}"] + [cell for one in got for cell in (f"{one['rate']:,.0f}", f"{one['p99']:.2f}")])
    small, large = rows[0], rows[-1]
    ratio = lambda column: f"{float(small[column].replace(',', '')) / float(large[column].replace(',', '')):.2f}x"
    rows.append(["slower at the largest than at the smallest (aim <= 1.3x)", "", ratio(2), "", ratio(4), "", ratio(6), ""])
    return header, rows


def deep(server, pages):
    """The cursor after so many pages."""
    cursor = ""
    for _ in range(pages):
        cursor = call("GET", f"{server.url}/api/v1/accounts?page_size=20&cursor={cursor}", headers=SERVICE)["next_cursor"]
    return cursor


def peers(seconds, _):
    """better-auth (npm, one Node process) and Polity on the same PostgreSQL, one after the other."""
    peer = ROOT / "benches/peers/better-auth"
    if not (peer / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=peer, check=True)
    rows = []
    with folder() as place, postgres(place) as url:
        subprocess.run(["psql", "-q", url, "-c", "create database peer"], check=True)
        port = free_port()
        env = {"PORT": str(port), "DATABASE_URL": url.replace("/postgres", "/peer"), "NODE_ENV": "production"}
        with Server(["node", "server.mjs"], port, env, cwd=peer) as server:
            body = {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"}
            token = call("POST", f"{server.url}/api/auth/sign-up/email", body, {"Origin": server.url})["token"]
            login = '{"email":"ada@example.com","password":"correct horse battery"}'
            headers = {"Content-Type": "application/json", "Origin": server.url}
            sign_in = {"method": "POST", "path": "/api/auth/sign-in/email", "headers": headers, "body": login}
            check = {"path": "/api/auth/get-session", "headers": {"Authorization": f"Bearer {token}"}}
            wrk(server.url, 64, 1, **check)
            theirs = [wrk(server.url, 64, seconds, **check), wrk(server.url, 8, seconds, **sign_in)]
            memory = server.resident_mb()
        with polity(place, url) as server:
            ada = person(server)
            check = {"path": "/api/v1/auth/sessions", "headers": bearer(ada["access_token"])}
            verify = {"method": "POST", "path": "/api/v1/auth/verify-token", "headers": {"Content-Type": "application/json"},
                      "body": f'{{"token":"{ada["access_token"]}"}}'}
            sign_in = {"method": "POST", "path": "/api/v1/auth/login", "headers": {"Content-Type": "application/json"},
                       "body": f'{{"email":"ada@example.com","password":"{ada["password"]}"}}'}
            wrk(server.url, 64, 1, **check)
            ours = [wrk(server.url, 64, seconds, **verify), wrk(server.url, 8, seconds, **sign_in)]
            listed = wrk(server.url, 64, seconds, **check)
            ours_memory = server.resident_mb()
    rows.append(row("session check, better-auth `get-session`", theirs[0]))
    rows.append(row("session check, Polity `verify-token`", ours[0], "", f"{ours[0]['rate'] / theirs[0]['rate']:.1f} times the peer"))
    rows.append(row("sessions from the database, Polity `GET /sessions`", listed, "", f"{listed['rate'] / theirs[0]['rate']:.1f} times the peer's check"))
    rows.append(row("sign-in, better-auth (scrypt, its default)", theirs[1]))
    rows.append(row("sign-in, Polity (Argon2id 19 MiB)", ours[1], "", f"{ours[1]['rate'] / theirs[1]['rate']:.1f} times the peer"))
    rows.append(["resident memory", f"{memory:.0f} MB / {ours_memory:.0f} MB", "", "", "", "better-auth / Polity"])
    return LOAD, rows


def credentials(seconds, _):
    """API keys: verified for a gateway, and used as a credential; no row is written for a call. The peer is better-auth's plugin
    for API keys (npm, one Node process, PostgreSQL), without limits like ours."""
    rows = []
    with folder() as place, polity(place) as server:
        verify, direct, limited = key_calls(server)
        for what in (verify, direct, limited):
            wrk(server.url, 64, 1, **what)
        got = wrk(server.url, 64, seconds, **verify)
        rows.append(row("`verify-api-key`, 64 connections, SQLite", got, ">= 25,000/s, p99 < 5 ms"))
        rows.append(row("the same, with limits by the minute and the day", wrk(server.url, 64, seconds, **limited)))
        rows.append(row("a route with the key as its credential", wrk(server.url, 64, seconds, **direct)))
        memory = server.resident_mb()
    peer = ROOT / "benches/peers/better-auth"
    if not (peer / "node_modules/@better-auth/api-key").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=peer, check=True)
    with folder() as place, postgres(place) as url:
        subprocess.run(["psql", "-q", url, "-c", "create database peer"], check=True)
        port = free_port()
        env = {"PORT": str(port), "DATABASE_URL": url.replace("/postgres", "/peer"), "NODE_ENV": "production"}
        with Server(["node", "server.mjs"], port, env, cwd=peer) as server:
            body = {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"}
            token = call("POST", f"{server.url}/api/auth/sign-up/email", body, {"Origin": server.url})["token"]
            headers = {"Authorization": f"Bearer {token}", "Origin": server.url}
            key = call("POST", f"{server.url}/api/auth/api-key/create", {"name": "bench"}, headers)["key"]
            check = {"path": "/verify", "headers": {"X-API-Key": key}}
            wrk(server.url, 64, 1, **check)
            theirs = wrk(server.url, 64, seconds, **check)
        with polity(place, url) as server:
            verify, _, _ = key_calls(server)
            wrk(server.url, 64, 1, **verify)
            ours = wrk(server.url, 64, seconds, **verify)
    rows.append(row("`verify-api-key`, PostgreSQL", ours, "", f"{ours['rate'] / theirs['rate']:.1f} times the peer"))
    rows.append(row("better-auth `verifyApiKey`, PostgreSQL", theirs))
    rows.append(["ratio of SQLite to the peer", f"{got['rate'] / theirs['rate']:.1f}", "", "", "", ""])
    rows.append(["resident memory after it", f"{memory:.0f} MB", "", "", "", ""])
    return LOAD, rows


def key_calls(server):
    """Verifying a key for a gateway, using one, and verifying one with limits that are not reached."""
    ada = person(server)
    create = lambda more: call("POST", f"{server.url}/api/v1/auth/api-keys", {"organization_id": ada["user_id"], "name": "bench", **more}, bearer(ada["access_token"]))["api_key"]
    verify = lambda key: {"method": "POST", "path": "/api/v1/auth/verify-api-key", "headers": SERVICE, "body": f'{{"api_key":"{key}"}}'}
    plain = create({})
    limited = create({"rate_limits": {"requests_per_minute": 1_000_000_000, "requests_per_day": 1_000_000_000_000}})
    direct = {"path": "/api/v1/integration/tokens/scopes", "headers": {"X-API-Key": plain}}
    return verify(plain), direct, verify(limited)


def filled(place, fill):
    """A server on a folder that was filled behind its back."""
    with polity(place):
        pass
    with contextlib.closing(sqlite3.connect(place / "polity" / "polity.db")) as database, database:
        fill(database, time.time_ns() // 1000)
    return polity(place, POLITY_AUTHORIZATION__CHECKS_PER_MINUTE=0)


def accounts(database, count, now):
    database.executemany(
        "insert into account (user_id, email, name, is_active, status, admin_roles, preferences, custom_instructions, search_text, created_at, updated_at)"
        " values (?, ?, 'Bench', 1, 'active', '[]', '{}', '', '', ?, ?)",
        ((f"usr_{n}", f"u{n}@example.com", now, now) for n in range(count)),
    )


def organizations(seconds, quick):
    """100 and 10,000 organizations of a hundred members each, everybody in ten. A service asks on behalf of a member: what one
    organization is (which takes a membership), to act in it (written, and on disk when answered), and which ones are theirs."""
    rows, rates = [], []
    for count in (100, 1_000) if quick else (100, 10_000):
        def fill(database, now, count=count):
            accounts(database, count * 10 + 100, now)
            database.executemany(
                "insert into organization (organization_id, name, search, billing_email, plan, status, details, settings, security, member_count, created_by, created_at, updated_at)"
                " values (?, 'Bench', 'bench', 'b@example.com', 'enterprise', 'active', '{}', '{}', '{}', 100, 'usr_0', ?, ?)",
                ((f"org_{n}", now + n, now) for n in range(1, count + 1)),
            )
            database.executemany(
                "insert into membership (organization_id, user_id, role, status, permissions, is_founder, joined_at, updated_at)"
                " values (?, ?, ?, 'active', '[]', 0, ?, ?)",
                (
                    (f"org_{n}", f"usr_{n * 10 + m}", "member" if m else "owner", now + m, now)
                    for n in range(1, count + 1)
                    for m in range(100)
                ),
            )
        base = "/api/v1/organization/organizations"
        member = {"headers": {**SERVICE, "X-User-Id": "usr_{m}0"}, "range": count}
        with folder() as place, filled(place, fill) as server:
            what = [
                ("membership check", {"path": base + "/org_{m}", **member}, ""),
                ("act in another organization", {"method": "POST", "path": base + "/context", "body": '{"organization_id":"org_{m}"}', **member}, "p99 < 3 ms"),
                ("list my organizations", {"path": base, **member}, ""),
                ("first page of the members", {"path": base + "/org_{m}/members?limit=20", **member}, ""),
            ]
            for name, request, aim in what:
                wrk(server.url, 64, 1, **request)
                got = wrk(server.url, 64, seconds, **request)
                rates.append(got["rate"])
                rows.append(row(f"{name}, {count:,} organizations", got, aim))
            rows.append(["resident memory after it", f"{server.resident_mb():.0f} MB", "", "", "", ""])
    half = len(rates) // 2
    for at, (name, _, _) in enumerate(what):
        rows.append([f"{name}: slower at the largest", f"{rates[at] / rates[half + at]:.2f}x", "", "", "<= 1.3x", ""])
    return LOAD, rows


def authorization(seconds, quick):
    """Checks, explanations and lists at 10^3, 10^5 and 10^6 grants, half of them one person's. A service asks about people and
    resources at random, so that nearly every check is looked up; the last row asks the same again."""
    rows, rates = [], []
    for count in (1_000, 100_000) if quick else (1_000, 100_000, 1_000_000):
        def fill(database, now, count=count):
            accounts(database, 1_001, now)
            database.executemany(
                "insert into permission (id, user_id, resource_type, resource_name, access_level, permission_source, organization_id, granted_by_user_id, created_at, updated_at)"
                " values (?, ?, 'resource', ?, ?, 'admin_grant', '', 'usr_0', ?, ?)",
                ((f"prm_{n}", f"usr_{n % 1000 if n % 2 else 1000}", f"r{n // 2}", 3 if n % 1000 == 0 else 1, now, now) for n in range(2, count + 2)),
            )
        base = "/api/v1/authorization"
        ask = '{"user_id":"usr_1000","resource_type":"resource","resource_name":"r{m}"}'
        with folder() as place, filled(place, fill) as server:
            what = [
                ("check", {"method": "POST", "path": base + "/check-access", "body": ask}, "p99 < 50 ms, 10,000/s"),
                ("explain", {"method": "POST", "path": base + "/explain", "body": ask}, ""),
                ("page of 100 they may use", {"path": base + "/visible-resources/usr_1000?resource_type=resource"}, ""),
            ]
            for name, request, aim in what:
                request = {**request, "headers": SERVICE, "range": count // 2}
                wrk(server.url, 64, 1, **request)
                got = wrk(server.url, 64, seconds, **request)
                rates.append(got["rate"])
                rows.append(row(f"{name}, {count:,} grants, 64 connections", got, aim))
            again = {"method": "POST", "path": base + "/check-access", "body": ask, "headers": SERVICE, "range": 100}
            wrk(server.url, 64, 1, **again)
            rows.append(row("check, the same again, 64 connections", wrk(server.url, 64, seconds, **again)))
            one = {"method": "POST", "path": base + "/check-access", "body": ask, "headers": SERVICE, "range": count // 2}
            rows.append(row("check, 1 connection", wrk(server.url, 1, seconds, **one), "p50 < 1 ms"))
    names, last = len(what), len(rates) - len(what)
    for at, (name, _, _) in enumerate(what[:names]):
        rows.append([f"{name}: slower at the largest", f"{rates[at] / rates[last + at]:.2f}x", "", "", "<= 1.3x", ""])
    return LOAD, rows


def connections(seconds, quick):
    """Tokens of connections, handed out by `tokens:issue` to a program with an API token. Cached: a thousand connections, read again
    when the second is over in which they are remembered. Uncached: 100,000 in turn, so that each call reads two rows and opens a
    seal. Beside it a route that only judges the same token, which is what any call costs."""
    count, rows = 20_000 if quick else 100_000, []
    with folder() as place:
        settings = connection_settings(place)
        with polity(place, **settings) as server:
            ada = person(server)
            client = {"name": "bench", "client_id": "bench", "client_secret": "bench", "required_scopes": ["read"]}
            app = call("POST", f"{server.url}/api/v1/integration/admin/oauth-apps", client, SERVICE)["id"]
            wanted = {"name": "bench", "scopes": ["issue:tokens"]}
            key = call("POST", f"{server.url}/api/v1/integration/tokens", wanted, bearer(ada["access_token"]))["token"]
        command = [release("connections"), place / "polity/polity.db", place / "polity/keyring", count, app, ada["user_id"]]
        subprocess.run([str(part) for part in command], check=True)
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        issue = {"method": "POST", "path": "/api/v1/tokens:issue", "headers": headers, "body": '{"connection_id":"con_{m}"}'}
        plain = {"path": "/api/v1/integration/tokens/scopes", "headers": headers}
        with polity(place, **settings) as server:
            for clients in (64, 16):
                requests = [
                    ("the same token judged", plain, ""),
                    ("`tokens:issue`, cached", {**issue, "range": 1_000}, ">= 20,000/s, p99 < 2 ms"),
                    ("`tokens:issue`, uncached", {**issue, "range": count}, "p99 < 5 ms"),
                ]
                for name, request, aim in requests:
                    wrk(server.url, clients, 1, **request)
                    rows.append(row(f"{name}, {clients} clients", wrk(server.url, clients, seconds, **request), aim))
            rows.append(["resident memory after it", f"{server.resident_mb():.0f} MB", "", "", "", ""])
            took, during, said = rotation(server, place, issue, count)
            rows.append(row("`tokens:issue`, uncached, 16 clients, while the master key is changed", during))
            rows.append([f"master key changed over {count:,} connections meanwhile", f"{took:.1f} s", "", "", "no failed request", said])
    return LOAD, rows


def connection_settings(place):
    """Those of a server that knows a provider of this machine, which nobody calls."""
    url = "http://127.0.0.1:9"
    (place / "catalogue.toml").write_text(
        f'[[provider]]\nname = "bench"\ndisplay_name = "Bench"\nauthorize_url = "{url}/authorize"\ntoken_url = "{url}/token"\n'
        f'userinfo_url = "{url}/me"\nidentity = {{ source = "userinfo", id = "/sub" }}\ndocumentation = "{url}/"\n'
        'refresh = "stable"\nrecovery = "retry"\nverified = false\n'
    )
    return {
        "POLITY_CONNECTION__CATALOGUE": place / "catalogue.toml",
        "POLITY_OUTBOUND__ALLOW": "127.0.0.1",
        "POLITY_CREDENTIAL__TIERS__FREE": 1_000_000_000,
    }


def release(name):
    """One of our own programs, beside the server's."""
    binary = pathlib.Path(os.environ.get("BENCH_BINARY", ROOT / "target/release/polity")).parent / name
    if not binary.exists():
        raise SystemExit(f"please build it: cargo build --release -p polity-benches --bin {name}")
    return binary


def rotation(server, place, issue, count):
    """Changes the master key under load, after the load has begun and until it is done: seconds, the load's figures, and what the
    command said."""
    during = []
    stop = threading.Event()

    def load():
        while not stop.is_set():
            during.append(wrk(server.url, 16, 2, **issue, range=count))

    thread = threading.Thread(target=load)
    thread.start()
    time.sleep(1)
    begun = time.monotonic()
    command = [os.environ.get("BENCH_BINARY", ROOT / "target/release/polity"), "--data-dir", place / "polity", "keys", "rotate"]
    rotated = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout
    took = time.monotonic() - begun
    stop.set()
    thread.join()
    requests = sum(one["requests"] for one in during)
    figures = {"rate": sum(one["rate"] for one in during) / len(during), "failed": sum(one["failed"] for one in during),
               "p50": statistics.median(one["p50"] for one in during), "p99": max(one["p99"] for one in during), "requests": requests}
    sealed = [word for word in rotated.replace(";", "").split() if word.isdigit()]
    return took, figures, f"{int(sealed[-1]):,} values sealed again, {requests:,} requests"


GROUPS = {
    "creates": ("Durable creates (SQLite)", creates),
    "reads": ("Reads (SQLite)", reads),
    "sessions": ("Sign-in and refresh (SQLite)", sessions),
    "credentials": ("API keys", credentials),
    "connections": ("Connections (SQLite)", connections),
    "organizations": ("Organizations (SQLite)", organizations),
    "authorization": ("Access (SQLite)", authorization),
    "starts": ("Start", starts),
    "sizes": ("Size of the table (SQLite)", sizes),
    "peers": ("Beside better-auth (PostgreSQL)", peers),
}
