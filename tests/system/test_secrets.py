"""No secret leaves its place: every job runs with canary secrets, and then everything that the jobs left is searched.

Where they may be is what the secrets are kept in: the Prefect server's block store and our columns, both encrypted, and
the key files that only their owner can read.
"""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import httpx
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.orm import Session

from ops.stack.folder import DEMO_FOLDER
from sandbox.facts import CLIENT_SECRET, FACTS
from sivera.crypto import Keyring
from sivera.grants.renewal import unseal_tokens
from sivera.models import PlatformCredential
from sivera.values import PlatformName
from tests.system.conftest import DATABASE_PASSWORD, MONITOR_CANARY, WEBHOOK_PASSWORD, Demo, JobRuns

KEY_FILES = frozenset({"prefect-password", "prefect-encryption-key", "cron-secret", "profiles.toml"})
"""The files that contain plain secrets, all with mode 600."""

LISTS = ("flow_runs", "task_runs", "logs", "artifacts", "deployments", "work_pools", "automations", "variables")
"""What POST /NAME/filter of Prefect lists."""


def forms(secret: str) -> set[bytes]:
    """The forms of a secret: plain, in URLs, in JSON, and in base64 at any offset of a longer text."""
    raw = secret.encode()
    found = {raw, quote(secret, safe="").encode(), quote_plus(secret).encode(), json.dumps(secret)[1:-1].encode()}
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + raw)
        # Without the characters at both ends that depend on the neighbouring text.
        inner = encoded[4 * (before > 0) + (before > 0) : len(encoded) // 4 * 4 - 4]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= 7}


def found_in(content: bytes, secrets: dict[str, set[bytes]]) -> set[str]:
    return {name for name, looks in secrets.items() if any(look in content for look in looks)}


def test_no_secret_is_anywhere_but_in_its_place(demo: Demo, every_job: JobRuns) -> None:
    assert any("failed" in answer["message"] for answer in every_job.answers.values())
    assert all(answer["data"] is not None for answer in every_job.answers.values())
    server = demo.api
    keys = token_keys(server)
    secrets = {name: forms(secret) for name, secret in stored_tokens(demo.engine, keys).items()}
    assert len(secrets) > len(PlatformName)
    secrets |= {name: forms(demo.secret(name)) for name in KEY_FILES - {"profiles.toml"}}
    secrets |= {f"token key {key_id}": forms(key) for key_id, key in keys.items()}
    secrets |= {name: forms(begin) for name, begin in beginnings_of_tokens(demo).items()}
    secrets |= {
        "application secret": forms(CLIENT_SECRET),
        "database password": forms(DATABASE_PASSWORD),
        "webhook of alerts": forms(WEBHOOK_PASSWORD),
        "URL of a monitor": forms(MONITOR_CANARY),
    }
    assert found_in(json.dumps({"a": [CLIENT_SECRET]}).encode(), secrets) == {"application secret"}

    for what, content in (*everything_of_prefect(server), *everything_of_ours(demo.engine)):
        assert not found_in(content, secrets), what
    assert every_job.arguments
    assert not found_in("\0".join(every_job.arguments).encode(), secrets), "a process's arguments"
    files = [*(demo.folder / DEMO_FOLDER).rglob("*"), demo.folder / "said"]
    leaks = {path: found for path in files if path.is_file() and (found := found_in(path.read_bytes(), secrets))}
    # The demo prints the password of the UI once, for the person who starts it.
    assert leaks.pop(demo.folder / "said") == {"prefect-password"}
    assert {path.name for path in leaks} == KEY_FILES
    assert {path.stat().st_mode & 0o777 for path in leaks} == {0o600}


def token_keys(server: httpx.Client) -> dict[str, str]:
    """The token keys by id, which any caller of the API can read."""
    wanted = {"include_secrets": True, "block_types": {"slug": {"any_": ["token-key"]}}}
    (block,) = server.post("/block_documents/filter", json=wanted).raise_for_status().json()
    return dict(block["data"]["keys"])


def stored_tokens(engine: Engine, keys: dict[str, str]) -> dict[str, str]:
    """The decrypted tokens that are stored at the end."""
    decoded = {key_id: base64.urlsafe_b64decode(key) for key_id, key in keys.items()}
    keyring = Keyring(decoded, next(iter(decoded)))
    found: dict[str, str] = {}
    with Session(engine) as session:
        for row in session.scalars(select(PlatformCredential)):
            for column, token in unseal_tokens(keyring, row).items():
                found |= {f"{column} of grant {row.id}": token.get_secret_value()} if token else {}
    return found


def beginnings_of_tokens(demo: Demo) -> dict[str, str]:
    """The prefixes of all tokens that the sandbox has issued for the demo's grants, including replaced ones."""
    with demo.engine.connect() as connection:
        grants = connection.execute(text("SELECT id, platform FROM platform_credentials")).all()
    return {
        f"{kind.name} token of sandbox grant {grant.id}": f"{prefix}{kind.value}-{grant.id}-"
        for grant in grants  # roughly in the order in which the sandbox numbers them
        for platform in PlatformName
        for kind, prefix in FACTS[platform].prefixes.items()
    }


def everything_of_prefect(server: httpx.Client) -> Iterator[tuple[str, bytes]]:
    """All that the API returns about runs and deployments, and about blocks without their secrets."""
    for name in LISTS:
        offset = 0
        while rows := server.post(f"/{name}/filter", json={"limit": 200, "offset": offset}).raise_for_status().json():
            yield name, json.dumps(rows, ensure_ascii=False).encode()
            offset += len(rows)
    runs = server.post("/flow_runs/filter", json={"limit": 200}).raise_for_status().json()
    assert runs
    for run in runs:
        states = server.get("/flow_run_states/", params={"flow_run_id": run["id"]}).raise_for_status()
        yield f"states of {run['name']}", states.content
    yield "blocks", server.post("/block_documents/filter", json={"limit": 200}).raise_for_status().content
    page = server.post("/events/filter", json={"limit": 50}).raise_for_status().json()
    while True:
        yield "events", json.dumps(page, ensure_ascii=False).encode()
        if not page.get("next_page"):
            return
        page = server.get(page["next_page"]).raise_for_status().json()


def everything_of_ours(engine: Engine) -> Iterator[tuple[str, bytes]]:
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            rows = connection.execute(text(f'SELECT CAST(t AS text) FROM "{table}" AS t')).scalars()  # noqa: S608
            yield f"table {table}", "\n".join(rows).encode()
