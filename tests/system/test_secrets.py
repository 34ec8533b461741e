"""No secret leaves its place: every job runs with canaries for secrets, and then everything they left is searched.

Where they may be is what the secrets are kept in: the Prefect server's block store and our columns, both encrypted, and
the key files that only their owner can read.
"""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import psutil
import pytest
from prefect.client.base import PrefectHttpxSyncClient
from sqlalchemy import Engine, inspect, make_url, text
from tenacity import Retrying, stop_after_delay, wait_fixed

from ops.api.jobs import read_jobs
from sandbox.faults import Fault, FaultKind
from sandbox.world import CLIENT_ID, CLIENT_SECRET, TOKEN_PREFIX, World
from sivera.crypto import Keyring
from sivera.grants.renewal import unseal
from sivera.values import PlatformName

DATABASE_PASSWORD = "canary-database-password/+7"
MONITOR_CANARY = "canary-of-a-monitor-7"
WEBHOOK_PASSWORD = "canary-of-webhook-7"
WEBHOOK = f"json://somebody:{WEBHOOK_PASSWORD}@127.0.0.1:9/hook"
"""Where nobody takes the alerts: that a message could not be sent is told in words as well."""
KEY_FILES = frozenset({"prefect-password", "prefect-encryption-key", "cron-secret", "profiles.toml"})
"""The files that hold secrets in plain; all of mode 600."""

LISTS = ("flow_runs", "task_runs", "logs", "artifacts", "deployments", "work_pools", "automations", "variables")
"""What Prefect's API lists by POST /NAME/filter."""


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the jobs do."""
    return World(seed=7)


@dataclass
class Up:
    """`sivera up` in a folder, and the command lines of all that ran below it."""

    folder: Path
    environment: dict[str, str]
    arguments: set[str] = field(default_factory=set)

    def sivera(self, *arguments: str, stdin: str) -> None:
        """Run a command beside it, with a secret on its standard input."""
        done = subprocess.run(  # noqa: S603 - our own command line
            [sys.executable, "-P", "-m", "ops.cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert stdin not in done.stdout + done.stderr

    def secret(self, name: str) -> str:
        """What is in a key file."""
        return (self.folder / ".sivera" / name).read_text().strip()


@contextmanager
def running(folder: Path, environment: dict[str, str]) -> Iterator[Up]:
    """Run `sivera up` until the jobs are deployed and the context ends."""
    log = folder / "up.log"
    up = Up(folder, environment)
    ended = threading.Event()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ops.cli", "up"], cwd=folder, env=environment, stdout=output, stderr=output
        )

    def watch() -> None:
        while not ended.wait(0.2):
            with suppress(psutil.Error):  # it ended meanwhile
                for child in psutil.Process(process.pid).children(recursive=True):
                    with suppress(psutil.Error):
                        up.arguments.update(child.cmdline())

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        for attempt in Retrying(wait=wait_fixed(0.5), stop=stop_after_delay(400)):
            with attempt:
                assert "Ctrl-C ends the stack." in log.read_text()
        watcher.start()
        yield up
    finally:
        ended.set()
        process.terminate()
        process.wait(120)


def forms(secret: str) -> set[bytes]:
    """How a secret may stand in something: as it is, in URLs, in JSON, and in base64 at any place of a longer text."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), quote_plus(secret).encode(), json.dumps(secret)[1:-1].encode()}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + raw)
        # Without the characters at both ends that depend on what stands beside it.
        inner = encoded[4 * (before > 0) + (before > 0) : len(encoded) // 4 * 4 - 4]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= 7}


def found_in(content: bytes, secrets: dict[str, set[bytes]]) -> set[str]:
    return {name for name, looks in secrets.items() if any(look in content for look in looks)}


@pytest.mark.timeout(1800)
def test_no_secret_is_anywhere_but_in_its_place(
    tmp_path: Path, world: World, sandbox: str, engine: Engine, database_url: str
) -> None:
    url = make_url(database_url).set(password=DATABASE_PASSWORD).render_as_string(hide_password=False)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "SIVERA_"))}
    with running(tmp_path, clean | {"SIVERA_DATABASE_URL": url}) as up:
        given = connect_all(up, world, sandbox)
        up.sivera("alerts", "set", "url", stdin=WEBHOOK)
        with api_of(up) as server:
            # One grant is gone and one platform fails: what goes wrong is told in words, which must be clean too.
            world.revoke_grant(next(grant.id for grant in world.grants.values() if grant.platform is PlatformName.META))
            world.faults.add(Fault(FaultKind.STATUS, PlatformName.TIKTOK, status=500))
            messages = run_jobs(up)
            assert any("failed" in message for message in messages)

            keys = token_keys(server)
            secrets = {name: forms(secret) for name, secret in (given | stored_tokens(engine, keys)).items()}
            secrets |= {name: forms(up.secret(name)) for name in KEY_FILES - {"profiles.toml"}}
            secrets |= {f"token key {key_id}": forms(key) for key_id, key in keys.items()}
            secrets |= {name: forms(begin) for name, begin in beginnings_of_tokens(world).items()}
            secrets |= {
                "application secret": forms(CLIENT_SECRET),
                "database password": forms(DATABASE_PASSWORD),
                "webhook of alerts": forms(WEBHOOK_PASSWORD),
            }
            assert found_in(json.dumps({"a": [CLIENT_SECRET]}).encode(), secrets) == {"application secret"}

            for what, content in (*everything_of_prefect(server), *everything_of_ours(engine)):
                assert not found_in(content, secrets), what
            assert up.arguments
            assert not found_in("\0".join(up.arguments).encode(), secrets), "a process's arguments"
    leaks = {
        str(path.relative_to(tmp_path)): names
        for path in (*(tmp_path / ".sivera").rglob("*"), tmp_path / "up.log")
        if path.is_file() and (names := found_in(path.read_bytes(), secrets))
    }
    # `up` tells the password of the UI once, to the person who starts it.
    assert leaks.pop("up.log") == {"prefect-password"}
    assert {Path(path).name for path in leaks} == KEY_FILES
    assert {(tmp_path / path).stat().st_mode & 0o777 for path in leaks} == {0o600}


def connect_all(up: Up, world: World, sandbox: str) -> dict[str, str]:
    """Save our keys for each platform and connect a grant there, by the commands; return the tokens that were given."""
    given: dict[str, str] = {}
    for platform in PlatformName:
        base_url = f"{sandbox}/{platform.value}"
        up.sivera("apps", "set", platform.value, "--client-id", CLIENT_ID, "--base-url", base_url, stdin=CLIENT_SECRET)
        grant = world.add_grant(platform, campaigns=2, rotates=platform is PlatformName.AMAZON)
        access, _ = world.issue_access(grant)
        token = world.issue_refresh(grant) if platform in (PlatformName.GOOGLE, PlatformName.AMAZON) else access
        up.sivera("credentials", "add", "--platform", platform.value, "--team", "Hanok", stdin=token)
        given[f"pasted {platform.value} token"] = token
    up.sivera("monitor", "set-webhook", stdin=f"{sandbox}/control/calls?token={MONITOR_CANARY}")
    up.sivera("monitor", "set-ping", "sync-campaigns", stdin=f"{sandbox}/control/{MONITOR_CANARY}")
    given["URL of a monitor"] = MONITOR_CANARY
    return given


def api_of(up: Up) -> httpx.Client:
    """The API of its Prefect server, as its owner calls it."""
    settings = (up.folder / ".sivera" / "prefect" / "profiles.toml").read_text()
    url = next(line.split('"')[1] for line in settings.splitlines() if line.startswith("PREFECT_API_URL"))
    # As Prefect's own clients do, it asks a busy server again.
    return PrefectHttpxSyncClient(base_url=url, auth=("admin", up.secret("prefect-password")), timeout=60)


def run_jobs(up: Up) -> list[str]:
    """Run every job through the door and its worker, and return what their runs said."""
    log = (up.folder / "up.log").read_text()
    found = re.search(r"The HTTP API is at (http://127\.0\.0\.1:\d+)", log)
    assert found, log
    headers = {"Authorization": f"Bearer {up.secret('cron-secret')}"}
    said: list[str] = []
    with httpx.Client(base_url=found[1], headers=headers, timeout=320) as http:
        for job in read_jobs():
            for attempt in Retrying(wait=wait_fixed(1), stop=stop_after_delay(300)):
                with attempt:  # the timetable's own run may be under way
                    answer = http.post(f"/api/cron/{job}?wait=200")
                    assert answer.status_code == 200, answer.text
            said.append(answer.json()["message"])
            assert answer.json()["data"] is not None
    return said


def token_keys(server: httpx.Client) -> dict[str, str]:
    """The keys of the tokens, by id: whoever may call the API can read them."""
    wanted = {"include_secrets": True, "block_types": {"slug": {"any_": ["token-key"]}}}
    (block,) = server.post("/block_documents/filter", json=wanted).raise_for_status().json()
    keys: dict[str, str] = block["data"]["keys"]
    return keys


def stored_tokens(engine: Engine, keys: dict[str, str]) -> dict[str, str]:
    """The tokens that are stored in the end, in plain."""
    decoded = {key_id: base64.urlsafe_b64decode(key) for key_id, key in keys.items()}
    keyring = Keyring(decoded, next(iter(decoded)))
    found: dict[str, str] = {}
    with engine.connect() as connection:
        for row in connection.execute(text("SELECT id, access_token, refresh_token FROM platform_credentials")):
            for column in ("access_token", "refresh_token"):
                token = unseal(keyring, row.id, column, getattr(row, column))
                found |= {f"{column} of grant {row.id}": token.get_secret_value()} if token else {}
    return found


def beginnings_of_tokens(world: World) -> dict[str, str]:
    """What every token begins with that the sandbox ever gave out for a grant, those since replaced among them."""
    return {
        f"{kind.name} token of sandbox grant {grant.id}": f"{prefix}{kind.value}-{grant.id}-"
        for grant in world.grants.values()
        for kind, prefix in TOKEN_PREFIX[grant.platform].items()
    }


def everything_of_prefect(server: httpx.Client) -> Iterator[tuple[str, bytes]]:
    """All that the API tells of runs and deployments, and of blocks to whoever does not ask for secrets."""
    for name in LISTS:
        offset = 0
        while rows := server.post(f"/{name}/filter", json={"limit": 200, "offset": offset}).raise_for_status().json():
            yield name, json.dumps(rows, ensure_ascii=False).encode()
            offset += len(rows)
    for run in pages(server, "flow_runs"):
        states = server.get("/flow_run_states/", params={"flow_run_id": run["id"]}).raise_for_status()
        yield f"states of {run['name']}", states.content
    yield "blocks", server.post("/block_documents/filter", json={"limit": 200}).raise_for_status().content
    page = server.post("/events/filter", json={"limit": 50}).raise_for_status().json()
    while True:
        yield "events", json.dumps(page, ensure_ascii=False).encode()
        if not page.get("next_page"):
            return
        page = server.get(page["next_page"]).raise_for_status().json()


def pages(server: httpx.Client, name: str) -> Iterable[dict[str, Any]]:
    rows: list[dict[str, Any]] = server.post(f"/{name}/filter", json={"limit": 200}).raise_for_status().json()
    assert rows, f"there are no {name}"
    return rows


def everything_of_ours(engine: Engine) -> Iterator[tuple[str, bytes]]:
    """Each table of ours as text."""
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            rows = connection.execute(text(f'SELECT CAST(t AS text) FROM "{table}" AS t')).scalars()  # noqa: S608
            yield f"table {table}", "\n".join(rows).encode()
