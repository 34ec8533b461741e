"""Each message about a failure names one remedy, which is more than to look again."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from blocks.alert_channels import watchdog
from ops.commands.accounts import why_not
from ops.commands.credentials import connecting_remedy
from sivera import errors
from sivera.alerts.conditions import REMEDIES, BadGrant, Condition, Kind, StaleAccount
from sivera.alerts.data_rules import data_conditions
from sivera.alerts.job_rules import OWN_JOB, job_conditions, silence
from sivera.budgets.pacing import Period, Span
from sivera.budgets.rules import Reading
from sivera.budgets.summary import CheckSummary
from sivera.budgets.wording import budget_condition
from sivera.database_errors import STATES, WORDS
from sivera.errors import ConfigurationError, PlatformError, SiveraError
from sivera.grants.rules import ROTATION_LOST_REASON, STRUCK_OUT_REASON
from sivera.history.rules import ANOTHER_INSTANCE, SEE, Occurrence
from sivera.links import Links
from sivera.models import AdAccount
from sivera.platforms import amazon_errors, google_errors, meta_errors, tiktok_errors
from sivera.reasons import _REMEDIES, reason_for
from sivera.values import PlatformName

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
USELESS = re.compile(
    r"try (it )?again|run it again|(see|says) (.* )?why|open the run|see (the run|its log)|look into", re.IGNORECASE
)
ACTS = re.compile(r"[Cc]onnect|[Ll]og in")
"""Tells somebody to grant access again."""


def occurrence(outcome: str, job: str = "sync-campaigns", **more: object) -> Occurrence:
    row = {"deployment": f"{job}/all", "job": job, "schedule": "hourly", "scheduled_at": NOW - timedelta(hours=2)}
    return Occurrence.model_validate(row | {"outcome": outcome, "run_id": UUID(int=1)} | more)


def conditions(most: int) -> Iterator[Condition]:
    ended, links = NOW - timedelta(hours=1), Links(ui_url="http://ui")
    jobs = [
        occurrence(
            "failed", "sync-campaigns", ended_at=ended, message=f"47 of 48 accounts synced, 1 failed{SEE}sync-campaigns"
        ),
        occurrence("skipped", "generate-reports", ended_at=ended, message=ANOTHER_INSTANCE),
        occurrence("missed", "backup-data"),
        occurrence("ran", OWN_JOB, started_at=ended, ended_at=ended),
    ]
    yield from job_conditions(jobs[:-1], NOW, links=links)
    yield from silence(jobs[-1:], NOW, links)
    reasons = ["rejects the refresh token", ROTATION_LOST_REASON, STRUCK_OUT_REASON.format(strikes=3), None]
    meta = PlatformName.META
    grants = [BadGrant(n, "Hanok", meta, "main", reason, NOW, ["A"]) for n, reason in enumerate(reasons)]
    grants += [one._replace(id=9 + one.id, ends=NOW) for one in grants]
    failed = [
        reason_for(kind(meta, "said no")) for kind in (errors.Unavailable, errors.Throttled, errors.ReconnectRequired)
    ]
    stale = [StaleAccount(n, "Hanok", meta, "Shop", NOW, error) for n, error in enumerate([None, *failed])]
    stale += [stale[0]._replace(id=8, lacks="full"), stale[0]._replace(id=9, lacks="reports")]
    yield from data_conditions(grants, stale, set(), most, links)
    period = Period(Span.MONTH, date(2026, 11, 1), date(2026, 11, 30))
    reading = Reading(
        subject="", team_id=1, team="Hanok", account="Shop", name="Brand", budget="daily", period=period,
        currency="USD", limit=Decimal(100), spent=Decimal(90),
    )  # fmt: skip
    yield budget_condition(reading, 80, "", NOW)


@pytest.mark.parametrize("most", [3, 99])
def test_each_alert_names_one_remedy(most: int) -> None:
    found = list(conditions(most))
    assert {one.kind for one in found} == set(Kind)
    known = [*(text.format(job="sync-campaigns") for text in REMEDIES.values())]
    known += [text.format(platform="meta") for _, text in _REMEDIES]
    for one in found:
        named = {text for text in known if text in one.text}
        assert len(named) == 1, one.text
        assert one.text.count(named.pop()) == 1
        assert len(ACTS.findall(one.text)) <= 1, one.text
        assert not USELESS.search(one.text), one.text


def test_the_watchdog_names_one_remedy() -> None:
    (action,) = watchdog([UUID(int=1)]).actions
    assert str(action).count(REMEDIES[Kind.ALERTS_SILENT]) == 1


def test_a_platform_s_words_leave_the_remedy_to_the_reason() -> None:
    sources = [Path(str(module.__file__)) for module in (amazon_errors, google_errors, meta_errors, tiktok_errors)]
    sources += [path for path in (ROOT / "sivera/platforms").glob("*.py") if path not in sources]
    for path in sources:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                assert not re.search(r"connect (the .*)?again|try again", node.value), f"{path.name}: {node.value}"


def test_each_sentence_about_the_database_names_its_remedy() -> None:
    for _, said in (*STATES, *WORDS):
        assert ": " in said
        assert not USELESS.search(said), said


def calls(*rooms: str) -> Iterator[tuple[str, str, list[str]]]:
    """Each call of a function by name: its place, its name, and the source of its arguments."""
    for room in rooms:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    at = f"{path.relative_to(ROOT)}:{node.lineno}"
                    yield at, node.func.id, [ast.unparse(each) for each in node.args]


def test_each_finding_of_the_doctor_has_a_remedy() -> None:
    found = [(at, args) for at, name, args in calls("ops/doctor") if name in ("fault", "warning")]
    assert found
    for at, args in found:
        assert len(args) == 2, at
        assert not USELESS.search(args[1]), f"{at}: {args[1]}"


def test_each_error_of_a_setting_or_answer_of_the_api_names_its_remedy() -> None:
    errors = [
        (at, args[0])
        for at, name, args in calls("sivera", "blocks", "tasks", "ops")
        if name in ("ConfigurationError", "NotKeptError")
    ]
    assert errors
    # "what is wrong: the remedy"; sentences that are built elsewhere are not checked here.
    lacking = [
        (at, said)
        for at, said in errors
        if said.startswith(("f'", "'", 'f"', '"')) and "join(" not in said and not re.search(r"[:.;] |explain\(", said)
    ]
    assert not [one for one in lacking if "{hint}" not in one[1]]
    answers = [(at, args[1]) for at, name, args in calls("ops/api") if name == "RefusedError"]
    assert answers
    assert not [one for one in errors + answers if USELESS.search(one[1])]


@pytest.mark.parametrize(
    "kind",
    [errors.Throttled, errors.Unavailable, errors.AccountInaccessible, errors.InvalidRequest, errors.Misconfigured],
)
def test_a_failed_connection_and_an_unsynced_account_name_a_remedy(
    kind: type[PlatformError],
) -> None:
    assert not USELESS.search(connecting_remedy(kind(PlatformName.META, "said no"), "access token"))
    account = AdAccount(status="active", created_at=NOW, last_synced_at=NOW - timedelta(days=2))
    assert why_not(account, "active", None, NOW, [], "sync") == "No run has reached it lately: run `sivera doctor`."


def test_an_unchecked_part_of_the_budgets_names_the_remedy() -> None:
    summary = CheckSummary.of({"google": ConfigurationError("the block x is missing: run `sivera setup`")})
    assert summary.sentence.endswith("google was not checked: the block x is missing: run `sivera setup`")


def test_reasons_name_one_remedy() -> None:
    for kind, text in _REMEDIES:
        if issubclass(kind, PlatformError):
            assert reason_for(kind(PlatformName.META, "said no")).count(text.format(platform="meta")) == 1
        assert issubclass(kind, SiveraError)
