"""Access to the HTTP API: its paths, its methods and its secret, which may be missing."""

import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from blocks.cron_secret import CronSecret, load_cron_secret
from blocks.names import CRON_SECRET
from blocks.server import connect
from ops.api.app import Times, create_app
from ops.stack.stack import open_stack
from sivera.sync.plan import SyncOptions
from tests.ops.commands import Sivera
from tests.ops.http_api import AT_ONCE, JOB, JOBS, OTHER, SECRET, calling, check, runs, serving
from tests.prefect_server import rewrite_block


def test_an_unknown_path_or_method_is_refused_and_never_redirected(api: httpx.Client) -> None:
    for path in ("/api/cron/nope", "/api/cron/", f"{JOB}/", "/", "/docs", "/healthz/"):
        assert check(api.post(path), 404)["jobs"] == list(JOBS)
    for path in (JOB, "/api/cron", "/healthz"):
        for method in ("PUT", "OPTIONS"):
            answer = api.request(method, path)
            check(answer, 405)
            assert answer.headers["allow"] == ("GET, POST" if path == JOB else "GET, HEAD")
    assert api.head(JOB).status_code == 405
    assert runs() == []


def test_the_open_paths_need_no_secret(url: str) -> None:
    with calling(url) as stranger:
        assert check(stranger.get("/healthz"), 200) == {"success": True}
        assert stranger.head("/healthz").status_code == 200
        document = check(stranger.get("/openapi.json"), 200)
    assert document["paths"].keys() == {"/healthz", "/metrics", "/api/cron", *(f"/api/cron/{name}" for name in JOBS)}
    assert {"wait", *SyncOptions.model_fields} == {
        parameter["name"] for parameter in document["paths"][JOB]["get"]["parameters"]
    }


WRONG = [
    [],
    [("Authorization", "Bearer")],
    [("Authorization", f"Basic {SECRET}")],
    [("Authorization", SECRET)],
    [("Authorization", f"Bearer {SECRET}x")],
    [("Authorization", b"Bearer \xff\xfe")],
    [("Authorization", f"Bearer {SECRET}"), ("Authorization", f"Bearer {SECRET}")],
]


def test_callers_without_the_secret_do_not_learn_which_paths_exist(url: str) -> None:
    with calling(url) as stranger:
        for path in (JOB, "/api/cron", "/api/cron/nope", "/metrics", "/", "/docs"):
            for headers in WRONG:
                answer = stranger.get(path, headers=headers)  # type: ignore[arg-type]
                body = check(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert body.keys() == {"success", "message"}
        check(stranger.get("/api/cron", headers={"Authorization": f"bearer  {SECRET}"}), 200)
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0)) as raw:  # httpx refuses to send this
        raw.sendall(f"GET {JOB} HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer \r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 401 ")
    assert runs() == []


@pytest.mark.usefixtures("deployed")
def test_a_wrong_secret_is_answered_late_and_delays_nobody_else() -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        serving(create_app(JOBS, Times(wrong_secret=2))) as url,
        calling(url, OTHER) as guesser,
        calling(url, SECRET) as api,
    ):
        check(api.get("/healthz"), 200)
        guess = pool.submit(guesser.get, JOB)
        check(api.get("/healthz"), 200)
        assert not guess.done()
        check(guess.result(), 401)


def test_a_secret_in_the_wrong_place_is_not_repeated(
    api: httpx.Client, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        for answer in (
            api.get(JOB, params={"token": SECRET}),
            api.get(JOB, params={"mode": SECRET}),
            api.post(JOB, json={"mode": SECRET}),
            api.post(JOB, content=f"token={SECRET}", headers={"Content-Type": "application/x-www-form-urlencoded"}),
        ):
            check(answer, 422)
        with calling(url, f"{SECRET}-almost") as guesser:
            check(guesser.get(JOB), 401)
        check(api.post(JOB), 202)
    ours = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert any("Wrong secret from 127.0.0.1" in record.getMessage() for record in ours)
    assert not [record for record in ours if SECRET in record.getMessage() + str(record.exc_info)]
    assert runs()
    assert SECRET not in str([run.model_dump() for run in runs()])


def test_a_new_secret_needs_no_restart_and_the_old_one_is_valid_for_its_grace(url: str) -> None:
    before = CronSecret(current=SecretStr(SECRET))
    hour = timedelta(hours=1)
    with calling(url, SECRET) as old, calling(url, OTHER) as new:
        for until, status in ((datetime.now(UTC) + hour, 404), (datetime.now(UTC) - hour, 401)):
            before.replace(SecretStr(OTHER), until).save(CRON_SECRET, overwrite=True)
            assert (new.get("/nope").status_code, old.get("/nope").status_code) == (404, status)


def test_nothing_matches_an_invalid_or_missing_secret(url: str) -> None:
    def check_closed() -> None:
        check(caller.get("/healthz"), 503)
        for secret in ("short", SECRET, "x", "None"):
            answer = caller.get(JOB, headers={"Authorization": f"Bearer {secret}"})
            assert "The secret of the HTTP API is missing or invalid" in check(answer, 503)["message"]
            assert answer.headers["retry-after"] == "5"

    with calling(url) as caller:
        for data in ({}, {"current": ""}, {"current": "short"}):
            rewrite_block("cron-secret", CRON_SECRET, **data)
            check_closed()
        with connect() as client:
            client.delete_block_document(client.read_block_document_by_name(CRON_SECRET, "cron-secret").id)
        check_closed()
        CronSecret(current=SecretStr(SECRET)).save(CRON_SECRET, overwrite=True)
        check(caller.get("/healthz"), 200)
    assert runs() == []


@pytest.mark.usefixtures("deployed")
def test_the_command_generates_sets_and_rotates_the_secret(sivera: Sivera) -> None:
    fresh = sivera("secret", "generate").out.strip()
    assert len(fresh) == 43
    assert "shorter than 16 characters" in sivera("secret", "set", stdin="too-short").refusal
    assert load_cron_secret().current == SecretStr(SECRET)

    answer = sivera("secret", "set", stdin=fresh)
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.endswith("the HTTP API accepts it and no other.\n")
    block = load_cron_secret()
    assert (block.current, block.previous) == (SecretStr(fresh), None)

    answer = sivera("secret", "rotate", "--grace", "1h")
    block = load_cron_secret()
    assert block.current.get_secret_value() == answer.out.strip() != fresh
    assert block.previous == SecretStr(fresh)
    assert block.previous_until
    assert timedelta(minutes=59) < block.previous_until - datetime.now(UTC) <= timedelta(hours=1)
    assert "the previous one until" in answer.err


@pytest.mark.usefixtures("deployed")
def test_the_api_starts_only_with_a_valid_secret_and_address(sivera: Sivera, tmp_path: Path) -> None:
    assert "cannot listen on 256.0.0.1, port 0" in sivera("api", "--host", "256.0.0.1", "--port", "0").refusal
    rewrite_block("cron-secret", CRON_SECRET, current="short")
    refusal = sivera("api", "--port", "0").refusal
    assert "cron-secret/cron-secret does not fit (current: it is shorter than 16 characters" in refusal
    assert "save one with `sivera secret set`" in refusal
    said: list[str] = []
    with open_stack(tmp_path / ".sivera", said.append) as stack:
        assert stack.start_http_api() is None
        stack.check()
    (line,) = said
    assert line.startswith("The HTTP API does not start: the block cron-secret/cron-secret does not fit")


@pytest.mark.usefixtures("deployed")
def test_an_invalid_public_address_turns_off_only_the_connect_pages(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SIVERA_PUBLIC_URL", f"https://ana:{SECRET}@jobs.example.com")
    with serving(create_app(JOBS, AT_ONCE)) as url, calling(url) as stranger:
        check(stranger.get("/healthz"), 200)
        assert "SIVERA_PUBLIC_URL does not fit" in check(stranger.get("/connect/google"), 503)["message"]
    assert "SIVERA_PUBLIC_URL does not fit" in caplog.text
    assert SECRET not in caplog.text
