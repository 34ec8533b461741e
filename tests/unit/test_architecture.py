"""The architecture, checked in the source: imports go in one direction, and each thing has its room.

prefect.yaml ─▶ flows ─▶ tasks ─▶ blocks ─▶ sivera        ops may use all of it, and nothing uses ops
"""

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from sivera.values import PlatformName

ROOT = Path(__file__).parents[2]
ROOMS = ("sivera", "sandbox", "blocks", "tasks", "flows", "ops")
"""Each room may import from itself and from earlier ones."""

PREFECT = ("prefect", "prefect_sqlalchemy", "prefect_redis")
DATABASE = ("sqlalchemy", "psycopg", "alembic")
HTTP = ("httpx", "requests", "urllib", "http", "aiohttp")

SQL_PLACES = (
    "sivera/models/",
    "sivera/database.py",
    "sivera/database_errors.py",
    "sivera/migrating.py",
    "sivera/migrations/",
    "sivera/clock.py",
)
"""The places of SQL besides each subject's `queries.py`."""
NO_SQL = ("sqlalchemy.Engine", "sqlalchemy.Row", "sqlalchemy.URL", "sqlalchemy.orm.Session", "sqlalchemy.exc")
"""What other modules may import from SQLAlchemy: sessions, rows and errors."""

MAKES_DATABASES = {"ops/stack/postgres.py": "an engine needs a database that exists"}
TRANSACTION = ("begin", "begin_nested", "commit", "rollback")

CLIENTS = "sivera/platforms/"
REGISTRY = "sivera/platforms/__init__.py"
CLIENT_MAY_KNOW = tuple(f"sivera.{name}" for name in ("platforms", "breaker", "clock", "errors", "proxies", "values"))
SANDBOX = "sandbox/"
NAMES_PLATFORMS = {
    "sivera/grants/rules.py": "how grants of each platform live",
    "sivera/budgets/pacing.py": "how each platform spends a daily budget",
    "sivera/sync/rules.py": "how long each platform restates its figures",
    "sivera/reports/texts.py": "what each platform is called in a report",
    "sivera/metrics/rules.py": "the known quotas",
    "ops/api/connect_page.py": "which platforms have no read-only permission",
    "ops/stack/demo.py": "why the metrics of one platform come with a later run",
}
"""The modules outside the clients and the sandbox that name single platforms, and why."""

FLOW_LINES = 80
MODULE_LINES = 300


@dataclass(frozen=True)
class Module:
    """A module; its path is relative to the root."""

    path: str
    source: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.source)))

    @property
    def lines(self) -> int:
        return len(self.source.splitlines())

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """The line and full name of each import, also inside functions."""
        found = []
        for node in self.nodes:
            match node:
                case ast.Import():
                    found += [(node.lineno, alias.name) for alias in node.names]
                case ast.ImportFrom():
                    package = self.path.removesuffix(".py").split("/")[: -node.level] if node.level else []
                    origin = ".".join(filter(None, [*package, node.module]))
                    found += [(node.lineno, f"{origin}.{alias.name}") for alias in node.names]
        return found

    def imports_of(self, *names: str, but: tuple[str, ...] = ()) -> list[str]:
        """Its imports from these packages, modules or names, without those in `but`."""
        return [f"{self.path}:{at}: {name}" for at, name in self.imports if is_of(name, names) and not is_of(name, but)]

    @property
    def named_platforms(self) -> set[str]:
        """The members of PlatformName that it names."""
        return {node.attr for node in self.nodes if is_member(node) and isinstance(node, ast.Attribute)}


def is_of(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def is_member(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="PlatformName") | ast.Attribute(attr="PlatformName"), attr=member):
            return member in PlatformName.__members__
        case ast.Constant(value=str(value)):
            return value in set(PlatformName)
    return False


MODULES = [
    Module(path.relative_to(ROOT).as_posix(), path.read_text())
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
]


def modules(*starts: str, but: tuple[str, ...] = ()) -> list[Module]:
    """The modules whose paths start with one of `starts`, and with none of `but`."""
    found = [module for module in MODULES if module.path.startswith(starts) and not module.path.startswith(but or " ")]
    assert found, f"no module starts with {starts}"
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_those_before_it(room: str) -> None:
    later = (*ROOMS[ROOMS.index(room) + 1 :], "tests", "benchmarks")
    assert not [found for module in modules(f"{room}/") for found in module.imports_of(*later)]


def test_sivera_does_not_import_prefect() -> None:
    assert not [found for module in modules("sivera/") for found in module.imports_of(*PREFECT)]


def test_a_flow_holds_no_sql_and_no_http() -> None:
    assert not [found for module in modules("flows/") for found in module.imports_of(*DATABASE, *HTTP)]


def test_flows_and_tasks_are_made_by_our_decorators() -> None:
    assert [module.path for module in MODULES if module.imports_of("prefect.flow")] == ["tasks/job.py"]
    assert [module.path for module in MODULES if module.imports_of("prefect.task")] == ["tasks/naming.py"]


def test_no_code_branches_on_the_platform() -> None:
    assert not [
        f"{module.path}:{node.lineno}"
        for module in modules("", but=(SANDBOX,))
        for node in module.nodes
        if isinstance(node, ast.Compare | ast.MatchValue) and any(map(is_member, ast.walk(node)))
    ]


def test_platforms_are_named_only_in_the_registry_and_in_tables_of_facts() -> None:
    elsewhere = modules("", but=(CLIENTS, SANDBOX))
    assert {module.path for module in elsewhere if module.named_platforms} == NAMES_PLATFORMS.keys()
    several = {module.path for module in modules(CLIENTS) if len(module.named_platforms) > 1}
    assert several == {REGISTRY}


def test_a_platform_s_client_knows_neither_database_nor_jobs() -> None:
    for module in modules(CLIENTS):
        assert not module.imports_of(*PREFECT, *DATABASE)
        assert not module.imports_of(*ROOMS, but=CLIENT_MAY_KNOW)


def test_sql_is_only_where_it_belongs() -> None:
    others = [module for module in modules("", but=SQL_PLACES) if not module.path.endswith("queries.py")]
    assert not [found for module in others for found in module.imports_of("sqlalchemy", but=NO_SQL)]
    assert {module.path for module in others if module.imports_of("psycopg", "alembic")} == MAKES_DATABASES.keys()
    assert not [module.path for module in others if ".exec_driver_sql(" in module.source]


def test_queries_leave_the_transaction_to_their_caller() -> None:
    assert not [
        (module.path, node.lineno, node.attr)
        for module in modules("sivera/")
        if module.path.endswith("queries.py")
        for node in module.nodes
        if isinstance(node, ast.Attribute) and node.attr in TRANSACTION
    ]


def test_one_module_builds_links_to_the_ui_and_one_function_knows_its_address() -> None:
    others = modules("", but=("sivera/links.py", "sandbox/"))
    assert not [found for module in others for found in module.imports_of("prefect.utilities.urls")]
    page = re.compile(r"(runs/(flow|task)-run|deployments/deployment|work-pools/work-pool|blocks/block)/")
    assert not [module.path for module in others if page.search(module.source)]
    assert [module.path for module in others if re.search(r"UI_URL\b|ui_url\b", module.source)] == ["blocks/server.py"]


def test_no_module_is_long() -> None:
    assert not [module.path for module in modules("flows/") if module.lines > FLOW_LINES]
    assert not [module.path for module in MODULES if module.lines > MODULE_LINES]
