"""Only for Meta: deleted campaigns, and windows that are too large for one reply."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.faults import FaultKind
from sandbox.figures import Figures
from sivera.errors import AccountInaccessible, InvalidReply, InvalidRequest, PlatformError, Unavailable
from sivera.platforms.meta_errors import TooMuchData
from sivera.values import CampaignStatus, DateWindow
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import DAY, META, WINDOW, Canned, Rig, figures_of, refused


@pytest.fixture
def rig(new_rig: NewRig) -> Rig:
    return new_rig(META, accounts=2, campaigns=24)


# -- deleted campaigns ------------------------------------------------------------------------------------------------


def test_missing_campaigns_are_deleted_if_meta_says_so_or_no_longer_knows_them(new_rig: NewRig) -> None:
    rig = new_rig(META, campaigns=120)
    alive = list(rig.listed())
    missing = [id_ for id_ in rig.site.campaigns if id_ not in alive]
    gone = [alive.pop(), alive.pop(), alive.pop(), "77"]
    for id_ in gone[:3]:
        rig.world.hard_delete_campaign(META, rig.site.id, id_)
    assert rig.deleted([*alive, *gone, *missing]) == {*gone, *missing}
    assert rig.calls("objects") < 3 + 4 * 2 * 6  # each of four unknown ids halves its part six times at most
    assert rig.deleted(()) == frozenset()


@pytest.mark.parametrize(
    "error",
    [
        {"code": 100, "error_subcode": 33, "message": "Unsupported get request."},
        {"code": 803, "message": "(#803) Some of the aliases you requested do not exist"},
        {"code": 100, "message": "Some of the aliases you requested do not exist"},
    ],
)
def test_an_absent_campaign_is_found_by_halving(error: dict[str, Any]) -> None:
    def answer(request: httpx.Request) -> Any:
        ids = request.url.params["ids"].split(",")
        return {"error": error} if "3" in ids else {id_: {"id": id_, "effective_status": "PAUSED"} for id_ in ids}

    canned = Canned(META, answer)
    assert canned.deleted("12345") == {"3"}
    assert len(canned.requests) <= 7


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 200, "message": "no permission"}}, AccountInaccessible),
        ({"error": {"code": 2, "message": "trouble"}}, Unavailable),
        ({"unexpected": []}, InvalidReply),
        ([], InvalidReply),
        ({"1": 7}, InvalidReply),
    ],
)
def test_an_error_confirms_no_deletion(body: Any, kind: type[PlatformError]) -> None:
    with refused(kind):
        Canned(META, body).deleted(["1", "2"])


def test_a_campaign_that_a_reply_does_not_mention_is_not_deleted() -> None:
    assert Canned(META, {"1": {"id": "1", "effective_status": "DELETED"}}).deleted(["1", "2"]) == {"1"}


def test_insights_are_read_without_deleted_campaigns_if_meta_refuses_them(rig: Rig) -> None:
    deleted = next(c.id for c in rig.site.campaigns.values() if c.state is CampaignStatus.REMOVED)
    rig.world.restate(deleted, DAY, Figures(10, 1, Decimal(5), Decimal(0), Decimal(0)))
    [reading] = rig.read()
    assert (deleted in {row.campaign_id for row in reading.rows}, reading.without_deleted) == (True, False)
    body = {"error": {"code": 100, "error_subcode": 1815001, "message": "Invalid parameter"}}
    rig.fault(FaultKind.BODY, "metrics", match="DELETED", status=400, value=body)
    calls = rig.calls("metrics")
    [reading] = rig.read()
    assert reading.rows
    assert (deleted in {row.campaign_id for row in reading.rows}, reading.without_deleted) == (False, True)
    assert rig.calls("metrics") == calls + 2
    # Without any filter, Meta would leave out archived campaigns, and their days would count as zeros.
    rig.fault(FaultKind.BODY, "metrics", match="filtering", status=400, value=body)
    with refused(InvalidRequest):
        rig.read()


# -- parts of a window ------------------------------------------------------------------------------------------------


def test_too_much_data_is_asked_for_in_fewer_days_and_smaller_pages(rig: Rig) -> None:
    window = DateWindow(since=date(2026, 9, 22), until=date(2026, 11, 20))  # 60 days: the sandbox allows 250 rows
    readings = rig.read(window)
    assert [reading.window.since for reading in readings] == [date(2026, 10, 22), window.since]
    assert {(r.campaign_id, r.day) for reading in readings for r in reading.rows} == rig.truth(window).keys()


@pytest.mark.parametrize("longest", [7, 1])
def test_days_are_halved_until_meta_answers_and_what_was_read_is_kept(rig: Rig, longest: int) -> None:
    rig.world.longest_insights = longest
    assert {key: figures_of(row) for key, row in rig.rows().items()} == rig.truth()
    assert rig.spend() == rig.spend_of_campaigns()
    reading = rig.metrics()
    assert next(reading).window.until == WINDOW.until
    rig.world.longest_insights = 0
    with refused(TooMuchData, "so much data"):
        next(reading)


def test_a_day_that_meta_cannot_answer_for_costs_no_other_day() -> None:
    def answer(request: httpx.Request) -> Any:
        days = json.loads(request.url.params["time_range"])
        has_bad = days["since"] <= str(DAY) <= days["until"]
        return {"error": {"code": 1, "message": "Please reduce the amount of data"}} if has_bad else {"data": []}

    read = list[date]()
    with refused(TooMuchData):
        for reading in Canned(META, answer).metrics():
            read += reversed(reading.window.days)
    assert read == [day for day in reversed(WINDOW.days) if day != DAY]


@pytest.mark.parametrize(
    "trouble", [httpx.ReadTimeout("slow"), {"error": {"code": 1, "error_subcode": 1504018, "message": "timed out"}}]
)
def test_after_a_slow_answer_fewer_days_are_asked_for(trouble: Any) -> None:
    windows = [reading.window for reading in Canned(META, trouble, {"data": []}).metrics()]
    assert [(window.since.day, window.until.day) for window in windows] == [(11, 20), (1, 10)]


def test_too_much_data_in_the_smallest_page_of_a_day_is_an_error(rig: Rig) -> None:
    rig.world.longest_insights = 0
    with refused(TooMuchData, "so much data"):
        rig.rows()
    # 20, 10, 5, 3 and 2 days with 500, 250, 125, 62 and 31 rows a page, then three single days with 25.
    assert rig.calls("metrics") == 5 + 3
    for question in ("campaigns", "accounts"):
        canned = Canned(META, {"error": {"code": 1, "message": "Please reduce the amount of data"}}, status=500)
        with refused(TooMuchData):
            canned.questions()[question]()
        assert len(canned.requests) == 3  # with 100, 50 and 25 rows
