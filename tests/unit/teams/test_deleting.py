"""Deleting a team leaves nothing behind. The tests follow the keys of all tables, so that no new table is forgotten."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.dirfs import DirFileSystem
from sqlalchemy import ColumnElement, Table, select, text, tuple_
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.grants.disconnecting import NotDisconnectedError
from sivera.models import Base
from sivera.platforms.google import GoogleAds
from sivera.private_files import PrivateFileSystem
from sivera.reports.rules import paths
from sivera.reports.writing import NotKeptError
from sivera.sync.account import SyncDependencies, sync_account
from sivera.sync.plan import SyncMode
from sivera.sync.summary import Outcome
from sivera.teams import queries
from sivera.teams.deleting import delete_team, disconnect_grants
from sivera.values import CampaignListing, PlatformName
from tests.conftest import NOW
from tests.stage import Stage

GOOGLE, META, AMAZON, TIKTOK = PlatformName

MORE = (
    "INSERT INTO sessions (token_hash, team_id, expires_at) VALUES ('s' || :team, :team, now())",
    """INSERT INTO oauth_states (state_hash, session_id, platform, expires_at)
       SELECT 'o' || :team, id, 'meta', now() FROM sessions WHERE team_id = :team""",
    """INSERT INTO oauth_states (state_hash, team, platform, expires_at)
       SELECT 'n' || id, name, 'meta', now() FROM teams WHERE id = :team""",
    "INSERT INTO team_budgets (team_id, currency, amount) VALUES (:team, 'USD', 5)",
    "INSERT INTO team_budgets (team_id, account_id, currency, amount) VALUES (:team, :account, 'USD', 5)",
    "INSERT INTO reports (team_id, day, digest, missing) VALUES (:team, '2026-11-20', '', 0)",
    """INSERT INTO alerts (kind, subject, title, message, since, link, team_id, account_id)
       VALUES ('budget', 'b' || :team, 'Spent', '', now(), '', :team, :account)""",
    """INSERT INTO alerts (kind, subject, title, message, since, link, closed_at)
       VALUES ('stale-data', 'account-' || :account, 'Old data of Hanok', '', now(), '', now()),
              ('access-ends', CAST(:grant AS text), 'Hanok', '', now(), '', now())""",
    """INSERT INTO sync_runs (id, mode, started_at, summary)
       SELECT gen_random_uuid(), 'full', now(), jsonb_build_object('accounts', 1,
           'failures', jsonb_build_array(jsonb_build_object('account_id', :account)),
           'changes', jsonb_build_array(jsonb_build_object('account_id', :account)),
           'not_listed', jsonb_build_array('grant ' || :grant || ' (meta, Hanok): left out'))""",
)


def rows_of(stage: Stage, team_id: int) -> dict[Table, dict[Any, Mapping[str, Any]]]:
    """Follow the foreign keys from a team. Return the rows of each table with such keys, by primary key."""
    teams = Base.metadata.tables["teams"]
    found: dict[Table, dict[Any, Mapping[str, Any]]] = {teams: {}}
    with stage.engine.connect() as connection:

        def add(table: Table, condition: ColumnElement[bool]) -> None:
            for row in connection.execute(select(table).where(condition)).mappings():
                found.setdefault(table, {})[tuple(row[column.name] for column in table.primary_key)] = dict(row)

        add(teams, teams.c.id == team_id)
        for table in Base.metadata.sorted_tables:
            named = [(table.c.team, teams.c.name)] if "team" in table.c else []
            for column, to in [*((key.parent, key.column) for key in table.foreign_keys), *named]:
                if to.table in found:
                    found.setdefault(table, {})
                    add(table, column.in_([row[to.name] for row in found[to.table].values()]))
    return found


@pytest.fixture
def files(tmp_path: Path) -> DirFileSystem:
    return DirFileSystem(path=str(tmp_path / "reports"), fs=PrivateFileSystem(auto_mkdir=True))


@pytest.fixture
def full(stage: Stage, world: World, files: DirFileSystem) -> Callable[[str], int]:
    """Make a team with rows in every table and a report, and return its id."""

    def make(name: str) -> int:
        connected = [stage.connect(world.add_grant(platform), name) for platform in (GOOGLE, AMAZON)]
        for due in stage.due():
            stage.sync(due)
        stage.pass_time(timedelta(hours=2))
        stage.tokens(GOOGLE, connected[0].credential_id).current()
        (team,) = stage.rows("SELECT id FROM teams WHERE name = :name", name=name)
        ids = {"team": team.id, "account": connected[0].account_ids[0], "grant": connected[0].credential_id}
        with stage.engine.begin() as connection:
            for statement in MORE:
                connection.execute(text(statement), {key: ids[key] for key in ids if f":{key}" in statement})
        for path in paths(team.id, NOW.date()):
            files.pipe_file(path, b"figures")
        return int(team.id)

    return make


def test_no_row_and_no_file_of_a_team_is_left(stage: Stage, files: DirFileSystem, full: Callable[[str], int]) -> None:
    team, other = full("Hanok"), full("Nari")
    before, others = rows_of(stage, team), rows_of(stage, other)
    assert all(before.values()), "the fixture has rows in each table that refers to teams"
    with Session(stage.engine) as session:
        assert queries.count_rows(session, team) == {table.name: len(rows) for table, rows in before.items()}
    list(disconnect_grants(stage.renewal_dependencies(), stage.client, team))
    delete_team(stage.engine, files, team)
    with stage.engine.connect() as connection:
        for table, rows in before.items():
            key = tuple(table.primary_key)
            assert connection.execute(select(*key).where(tuple_(*key).in_(rows))).all() == [], table.name
    assert rows_of(stage, other) == others
    left = stage.rows("SELECT (SELECT count(*) FROM alerts) AS alerts, (SELECT count(*) FROM sync_runs) AS runs")
    assert tuple(left[0]) == (3, 2)
    of_team, of_other = (row.summary for row in stage.rows("SELECT summary FROM sync_runs ORDER BY started_at"))
    named = ("failures", "changes", "not_listed")
    assert [of_team[name] for name in named] == [[], [], []]
    assert all(of_other[name] for name in named)
    assert [path.partition("/")[0] for path in files.find("")] == [f"team-{other}"] * 2


def test_a_running_sync_brings_nothing_back(stage: Stage, world: World, files: DirFileSystem) -> None:
    stage.connect(world.add_grant(GOOGLE))
    (due,) = stage.due()

    class Late(GoogleAds):
        def list_campaigns(self, *about: Any) -> CampaignListing:
            found = super().list_campaigns(*about)
            list(disconnect_grants(stage.renewal_dependencies(), stage.client, 1))
            delete_team(stage.engine, files, 1)
            return found

    known = stage.client(GOOGLE)
    assert isinstance(known, GoogleAds)
    late = Late(known._app, stage.http, stage.breaker)
    deps = SyncDependencies(stage.engine, lambda _: late, stage.tokens, lambda _: stage.now())
    synced = sync_account(deps, due, SyncMode.FULL)
    assert synced.outcome is Outcome.FAILED
    assert "was deleted meanwhile" in str(synced.reason)
    tables = Base.metadata.tables
    assert not [name for name in tables if stage.rows(f"SELECT 1 FROM {name}")]  # noqa: S608 - names of tables


def test_a_row_that_is_just_being_added_goes_with_its_team(stage: Stage, files: DirFileSystem) -> None:
    stage.execute("INSERT INTO teams (name) VALUES ('Hanok')")
    waits = "SELECT pg_stat_clear_snapshot(), cardinality(pg_blocking_pids(pid)) > 0 AS waits FROM pg_stat_activity"
    with ThreadPoolExecutor() as pool, stage.engine.connect() as adding:
        adding.execute(text("INSERT INTO platform_credentials (team_id, platform, name) VALUES (1, 'meta', 'main')"))
        deleting = pool.submit(delete_team, stage.engine, files, 1)
        while not any(row.waits for row in adding.execute(text(waits))):
            assert not deleting.done()
        adding.commit()
        deleting.result()
    assert stage.rows("SELECT 1 FROM teams") == []


def test_a_second_call_continues_after_a_failure(
    stage: Stage, world: World, files: DirFileSystem, full: Callable[[str], int]
) -> None:
    team = full("Hanok")
    stage.connect(world.add_grant(META), "Hanok")
    world.faults.add(Fault(FaultKind.STATUS, META, "revoke", status=503, times=1))
    with pytest.raises(NotDisconnectedError):
        list(disconnect_grants(stage.renewal_dependencies(), stage.client, team))
    ended = dict(disconnect_grants(stage.renewal_dependencies(), stage.client, team))
    assert [*ended] == [3], "the others were disconnected before"

    class Broken(DirFileSystem):  # type: ignore[misc]
        def rm(self, *_: Any, **__: Any) -> None:
            raise OSError("no such place")

    with pytest.raises(NotKeptError, match=f"the reports in team-{team} could not be deleted"):
        delete_team(stage.engine, Broken(path=files.path, fs=files.fs), team)
    assert len(stage.rows("SELECT 1 FROM teams")) == 1
    delete_team(stage.engine, files, team)
    assert stage.rows("SELECT 1 FROM teams") == []
    assert files.find("") == []


def test_a_deadlock_with_a_sync_is_not_a_failure(
    stage: Stage, files: DirFileSystem, full: Callable[[str], int]
) -> None:
    team = full("Hanok")
    stage.execute("""CREATE FUNCTION lose_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('lost_' || TG_TABLE_NAME) = 1 THEN RAISE EXCEPTION '' USING ERRCODE = '40P01'; END IF;
        RETURN NULL; END $$""")
    tables = (queries.LEAVES[0].name, "teams")
    for table in tables:
        stage.execute(f"CREATE SEQUENCE lost_{table}")
        stage.execute(f"CREATE TRIGGER lose BEFORE DELETE ON {table} EXECUTE FUNCTION lose_once()")
    try:
        delete_team(stage.engine, files, team)
    finally:
        stage.execute(f"DROP SEQUENCE {', '.join(f'lost_{table}' for table in tables)}")
        stage.execute("DROP FUNCTION lose_once CASCADE")
    assert stage.rows("SELECT 1 FROM teams") == []
