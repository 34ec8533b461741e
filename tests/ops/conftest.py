"""The `sivera` command and the HTTP API, for tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from blocks.cron_secret import CronSecret
from blocks.database import to_connector
from blocks.names import CRON_SECRET, DATABASE
from blocks.server import connect
from ops.api.app import create_app
from ops.deploy import deploy
from sandbox.world import World
from tests.consents import Person
from tests.ops.commands import Sivera, in_folder
from tests.ops.http_api import AT_ONCE, JOBS, MARK, SECRET, TIMETABLE, calling, runs, serving
from tests.ops.timetables import write
from tests.prefect_server import PrefectServer, free_port


@pytest.fixture
def world() -> World:
    """A world on the machine's clock, which the commands use too."""
    return World(seed=7)


@pytest.fixture
def sivera(tmp_path: Path) -> Iterator[Sivera]:
    with in_folder(tmp_path) as run:
        yield run


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without variables of Prefect and of ours."""
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "SIVERA_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def redirect() -> str:
    return f"http://127.0.0.1:{free_port()}/back%20here"


@pytest.fixture
def deployed(
    request: pytest.FixtureRequest, prefect_api: PrefectServer, postgres: str, tmp_path: Path
) -> PrefectServer:
    """A Prefect server with two jobs and no runs; its secret is SECRET."""
    with connect() as client:
        found = client.read_deployments(limit=200)
    if {each.description for each in found} != {MARK}:
        request.getfixturevalue("clean_prefect")
        deploy(timetable_path=write(tmp_path, TIMETABLE))
    with connect() as client:
        for run in [*runs(), *runs("refresh-tokens")]:
            client.delete_flow_run(run.id)
    CronSecret(current=SecretStr(SECRET)).save(CRON_SECRET, overwrite=True)
    to_connector(postgres).save(DATABASE, overwrite=True)
    return prefect_api


@pytest.fixture
def url(deployed: PrefectServer) -> Iterator[str]:
    assert deployed
    with serving(create_app(JOBS, AT_ONCE)) as url:
        yield url


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with calling(url, SECRET) as client:
        yield client
