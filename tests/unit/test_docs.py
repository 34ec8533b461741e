"""The documents name everything that exists, and nothing else, in both languages."""

import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from cyclopts import App
from pydantic import SecretStr

from blocks.alert_channels import WATCHDOG
from blocks.automations import AUTOMATIONS
from ops.cli import app
from ops.loopback import PORT
from ops.timetable import find_timetable, read_timetable
from sivera.alerts.conditions import Kind
from sivera.alerts.options import Channel
from sivera.database import STATEMENT_TIMEOUT_SECONDS
from sivera.grants.rules import FACTS, Outcome
from sivera.history.rules import ANOTHER_INSTANCE
from sivera.metrics.definitions import EXPORTED, RUN_DURATION, RUN_QUEUE_DELAY
from sivera.models import Base
from sivera.platforms import open_client
from sivera.platforms.base import AppCredentials
from sivera.platforms.calling import CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS
from sivera.sync.rules import RESTATEMENT_DAYS
from sivera.values import PlatformName

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
ENGLISH, KOREAN = ROOT / "docs" / "operations.md", ROOT / "docs" / "operations.ko.md"
PLATFORMS = ROOT / "docs" / "platforms.md"
GOING_LIVE, GOING_LIVE_KOREAN = ROOT / "docs" / "going-live.md", ROOT / "docs" / "going-live.ko.md"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DATA = sorted((ROOT / "docs").glob("data*.md"))
DOCUMENTS = [
    *(*ROOT.glob("*.md"), ENGLISH, KOREAN, GOING_LIVE, GOING_LIVE_KOREAN, PLATFORMS, *DATA, *DECISIONS),
    *(ROOT / "benchmarks").glob("*.md"),
]

BLOCK = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
REPOSITORY_PATH = re.compile(r"(?!\.sivera)[\w.-]+(/[\w.-]+)*(/|/[\w.-]+\.(py|md|yaml|toml))")

TIMETABLE, FLOWS = read_timetable(find_timetable())
FLOW_NAMES = {flow.name for flow in FLOWS.values()}
OPTIONS = {flow.fn.__annotations__["options"] for flow in FLOWS.values()}

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
each_language = pytest.mark.parametrize("path", [ENGLISH, KOREAN], ids=["english", "korean"])


def blocks(text: str, language: str | None = None) -> list[str]:
    """The code blocks of a document, dedented."""
    return [dedent(code) for kind, code in BLOCK.findall(text) if language in (None, kind)]


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def spans(text: str) -> set[str]:
    """The inline code of a document."""
    return {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))}


def anchors(text: str) -> set[str]:
    """The targets of links: explicit ids, and those that GitHub derives from headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)"></a>', text))


def calls(text: str) -> Iterator[list[str]]:
    """The arguments of each call of `sivera` in a line of shell."""
    for part in re.split(r"&&|\|", text):
        if found := re.fullmatch(r"(?:uv run )?sivera (.+)", part.strip()):
            yield shlex.split(found[1])


def code_lines(text: str) -> list[str]:
    return [line for code in blocks(text, "bash") for line in code.splitlines()]


def all_commands(of: App = app, *path: str) -> Iterator[tuple[str, ...]]:
    """The path of every executable command."""
    for name in of:
        if name.startswith("-"):
            continue
        if of[name].default_command:
            yield (*path, name)
        else:
            yield from all_commands(of[name], *path, name)


@each_document
def test_each_command_in_a_code_block_is_valid(path: Path) -> None:
    for line in code_lines(path.read_text()):
        for arguments in calls(line):
            function, *_ = app.parse_args(arguments, print_error=False, exit_on_error=False)
            assert function.__module__.startswith("ops."), f"{line} is not a command"


@each_document
def test_each_command_in_the_prose_exists_with_its_options(path: Path) -> None:
    for span in spans(path.read_text()):
        for arguments in calls(span):
            words, apps, rest = app.parse_commands(arguments)
            assert words, f"{span} is not a command"
            if apps[-1].default_command is None:
                assert not rest, f"{span} is not a command"
            else:
                known = {name for argument in apps[-1].assemble_argument_collection() for name in argument.names}
                assert {word for word in rest if word.startswith("--")} <= known, f"{span} has an unknown option"


def test_each_command_is_described() -> None:
    texts = [README.read_text(), ENGLISH.read_text()]
    given = [arguments for text in texts for each in (*code_lines(text), *spans(text)) for arguments in calls(each)]
    assert set(all_commands()) == {app.parse_commands(arguments)[0] for arguments in given} & set(all_commands())


@each_document
def test_each_relative_link_leads_somewhere(path: Path) -> None:
    for target, fragment in re.findall(r"\]\(((?!https?:)[^)#\s]*)#?([^)\s]*)\)", prose(path.read_text())):
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{target} does not exist"
        assert not fragment or fragment in anchors(file.read_text()), f"{target}#{fragment} does not exist"


@each_document
def test_each_file_that_is_named_exists(path: Path) -> None:
    named = {span for span in spans(path.read_text()) if REPOSITORY_PATH.fullmatch(span)}
    assert not {name for name in named if not (ROOT / name).exists()}


def test_the_table_of_jobs_lists_each_flow_and_when_it_runs() -> None:
    section = README.read_text().partition("## The jobs")[2].partition("\n## ")[0]
    rows = {row[1]: row[0] for row in re.finditer(r"^\| \[`([\w-]+)`.*$", section, re.MULTILINE)}
    assert rows.keys() == FLOW_NAMES
    for deployment in TIMETABLE.deployments:
        for schedule in deployment.schedules:
            if schedule.active:
                assert f"`{schedule.cron}`" in rows[FLOWS[deployment.entrypoint].name]


@each_language
def test_the_guide_has_the_targets_of_the_timetable_and_the_jobs(path: Path) -> None:
    text = path.read_text()
    pointed = set(re.findall(r"docs/operations\.md#([\w-]+)", find_timetable().read_text()))
    assert pointed
    assert pointed | FLOW_NAMES <= set(re.findall(r'<a id="([\w-]+)"></a>', text))
    for deployment in TIMETABLE.deployments:
        assert f"{FLOWS[deployment.entrypoint].name}/{deployment.name}" in spans(text)


@each_language
def test_the_guide_names_each_option_limit_table_and_message(path: Path) -> None:
    text = path.read_text()
    for options in OPTIONS:
        for name, field in options.model_fields.items():
            default = re.escape(f"`{field.default}`") if field.default else "[^`|]+"
            assert re.search(rf"^\| `{name}` \| {default} \|", text, re.MULTILINE), f"{name} or its default"
    for seconds in (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS, STATEMENT_TIMEOUT_SECONDS):
        assert re.search(rf"^\|.*\b{seconds:.0f}( s|초).*\|$", text, re.MULTILINE), f"the limit of {seconds} seconds"
    for platform, facts in FACTS.items():
        hours = round(facts.window / timedelta(hours=1))
        assert re.search(rf"^\| {platform.value} \|.*\| {hours}( hours|시간).*\|$", text, re.MULTILINE), platform
    assert set(Outcome) | set(Kind) | set(Channel) <= spans(text)
    assert WATCHDOG in spans(text)
    for platform, days in RESTATEMENT_DAYS.items():
        assert re.search(rf"^\| {platform.value} \|.*\| {days} \|$", text, re.MULTILINE), f"the days of {platform}"
    assert {platform.value for platform in PlatformName} <= spans(text)
    assert Base.metadata.tables.keys() <= spans(text)
    assert {metric.name for metric in (*EXPORTED, RUN_DURATION, RUN_QUEUE_DELAY)} <= spans(text)
    for automation in AUTOMATIONS:
        assert {automation.name, *(getattr(action, "message", "") for action in automation.actions)} <= spans(text)
    assert ANOTHER_INSTANCE in spans(text)


@pytest.mark.parametrize("pair", [(ENGLISH, KOREAN), (GOING_LIVE, GOING_LIVE_KOREAN)], ids=lambda pair: pair[0].stem)
def test_both_languages_say_the_same(pair: tuple[Path, Path]) -> None:
    english, korean = (path.read_text() for path in pair)

    def shape(text: str) -> list[str]:
        """The depth of headings, names of anchors, columns of tables, and items of lists."""
        lines = re.findall(r'^#+ |^<a id="[\w-]+">|^\|.*\|$|^(?:-|\d\.) ', prose(text), re.MULTILINE)
        return ["|" * line.count("|") if line.startswith("|") else line for line in lines]

    assert shape(korean) == shape(english)
    assert blocks(korean) == blocks(english)
    assert spans(korean) == spans(english)


def test_going_live_covers_each_platform_and_the_readme_leads_there() -> None:
    text = GOING_LIVE.read_text()
    assert {f"docs/{path.name}" for path in (GOING_LIVE, GOING_LIVE_KOREAN)} <= set(
        re.findall(r"\]\(([^)#]+)\)", README.read_text())
    )
    assert {platform.value for platform in PlatformName} <= anchors(text)
    for platform in PlatformName:
        section = text.partition(f'<a id="{platform.value}"></a>')[2].partition("<a id=")[0]
        assert re.findall(r"^\*\*([\w ]+)\.\*\*", section, re.MULTILINE) == ["Register", "Traps", "First run"]
        client = open_client(platform, AppCredentials(client_id="", client_secret=SecretStr("")))
        assert f"http://{client.login.loopback}:{PORT}/{platform.value}" in spans(text)
        assert len(re.findall(r"^\|.*\| [^|]*(?:documented|seen|assumed)[^|]*\|$", section, re.MULTILINE)) >= 4
