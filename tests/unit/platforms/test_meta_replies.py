"""What only the Meta client makes of replies: deleted campaigns, and windows that are too much for one."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.faults import Fault, FaultKind
from sandbox.figures import Figures
from sivera.errors import AccountInaccessible, InvalidReply, InvalidRequest, PlatformError, Unavailable
from sivera.platforms.base import AnswersAtOnce, ConfirmsDeletions
from sivera.platforms.meta_errors import TooMuchData
from sivera.values import CampaignStatus, DateWindow
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import (
    ACCOUNT,
    META,
    WINDOW,
    Desk,
    Network,
    answered,
    client_on,
    figures_of,
    questions,
    refused,
    spend_of,
    static,
)

DAY = date(2026, 11, 18)


@pytest.fixture
def desk(new_desk: NewDesk) -> Desk:
    return new_desk(META, accounts=2, campaigns=24)


# -- deleted campaigns ------------------------------------------------------------------------------------------------


def test_missing_campaigns_are_deleted_if_meta_says_so_or_no_longer_knows_them(new_desk: NewDesk) -> None:
    desk = new_desk(META, campaigns=120)
    alive = list(desk.listed())
    missing = [id_ for id_ in desk.site.campaigns if id_ not in alive]
    gone = [alive.pop(), alive.pop(), alive.pop(), "77"]
    for id_ in gone[:3]:
        desk.world.hard_delete_campaign(META, desk.site.id, id_)
    assert isinstance(desk.client, ConfirmsDeletions)
    asked = [*alive, *gone, *missing]
    assert desk.client.deleted_among(desk.tokens, desk.account, asked) == {*gone, *missing}
    assert desk.calls("objects") < 3 + 4 * 2 * 6  # each of four unknown ids halves its part six times at most
    assert desk.client.deleted_among(desk.tokens, desk.account, ()) == frozenset()


@pytest.mark.parametrize(
    "error",
    [
        {"code": 100, "error_subcode": 33, "message": "Unsupported get request."},
        {"code": 803, "message": "(#803) Some of the aliases you requested do not exist"},
        {"code": 100, "message": "Some of the aliases you requested do not exist"},
    ],
)
def test_an_absent_campaign_is_found_if_meta_does_not_name_it(error: dict[str, Any]) -> None:
    def answer(request: httpx.Request) -> Any:
        ids = request.url.params["ids"].split(",")
        return {"error": error} if "3" in ids else {id_: {"id": id_, "effective_status": "PAUSED"} for id_ in ids}

    network = Network(answer)
    client = client_on(META, network)
    assert isinstance(client, ConfirmsDeletions)
    assert client.deleted_among(static(META), ACCOUNT, "12345") == {"3"}
    assert len(network.requests) <= 7


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
def test_trouble_confirms_no_deletion(body: Any, kind: type[PlatformError]) -> None:
    client = answered(META, body)
    assert isinstance(client, ConfirmsDeletions)
    with refused(kind):
        client.deleted_among(static(META), ACCOUNT, ["1", "2"])


def test_what_a_reply_does_not_mention_is_not_deleted() -> None:
    client = answered(META, {"1": {"id": "1", "effective_status": "DELETED"}})
    assert isinstance(client, ConfirmsDeletions)
    assert client.deleted_among(static(META), ACCOUNT, ["1", "2"]) == {"1"}


def test_insights_are_read_without_deleted_campaigns_if_meta_refuses_them(desk: Desk) -> None:
    deleted = next(c.id for c in desk.site.campaigns.values() if c.state is CampaignStatus.REMOVED)
    desk.world.restate(deleted, DAY, Figures(10, 1, Decimal(5), Decimal(0), Decimal(0)))
    [reading] = desk.read()
    assert (deleted in {row.campaign_id for row in reading.rows}, reading.without_deleted) == (True, False)
    body = {"error": {"code": 100, "error_subcode": 1815001, "message": "Invalid parameter"}}
    desk.world.faults.add(Fault(FaultKind.BODY, META, "metrics", match="DELETED", status=400, value=body))
    calls = desk.calls("metrics")
    [reading] = desk.read()
    assert reading.rows
    assert (deleted in {row.campaign_id for row in reading.rows}, reading.without_deleted) == (False, True)
    assert desk.calls("metrics") == calls + 2
    # Without any filter, Meta would leave out archived campaigns, and their days would be taken for zeros.
    desk.world.faults.add(Fault(FaultKind.BODY, META, "metrics", match="filtering", status=400, value=body))
    with refused(InvalidRequest):
        desk.read()


# -- parts of a window ------------------------------------------------------------------------------------------------


def test_too_much_data_is_asked_for_in_fewer_days_and_smaller_pages(desk: Desk) -> None:
    window = DateWindow(since=date(2026, 9, 22), until=date(2026, 11, 20))  # 60 days: the sandbox allows 250 rows
    readings = desk.read(window)
    assert [reading.window.since for reading in readings] == [date(2026, 10, 22), window.since]
    assert {(r.campaign_id, r.day) for reading in readings for r in reading.rows} == desk.truth(window).keys()


@pytest.mark.parametrize("longest", [7, 1])
def test_days_are_halved_until_meta_answers_and_what_was_read_is_kept(desk: Desk, longest: int) -> None:
    desk.world.longest_insights = longest
    assert {key: figures_of(row) for key, row in desk.rows().items()} == desk.truth()
    assert desk.totals() == spend_of(desk.rows())
    assert isinstance(desk.client, AnswersAtOnce)
    reading = desk.client.read_metrics(desk.tokens, desk.account, WINDOW)
    assert next(reading).window.until == WINDOW.until
    desk.world.longest_insights = 0
    with refused(TooMuchData, "so much data"):
        next(reading)


def test_a_day_that_meta_cannot_answer_for_costs_no_other_day() -> None:
    bad = date(2026, 11, 18)

    def answer(request: httpx.Request) -> Any:
        days = json.loads(request.url.params["time_range"])
        has_bad = days["since"] <= str(bad) <= days["until"]
        return {"error": {"code": 1, "message": "Please reduce the amount of data"}} if has_bad else {"data": []}

    client, read = client_on(META, Network(answer)), list[date]()
    assert isinstance(client, AnswersAtOnce)
    with refused(TooMuchData):
        for reading in client.read_metrics(static(META), ACCOUNT, WINDOW):
            days = (reading.window.until - reading.window.since).days
            read += (reading.window.until - timedelta(days=n) for n in range(days + 1))
    assert read == [day for n in range(20) if (day := WINDOW.until - timedelta(days=n)) != bad]


@pytest.mark.parametrize(
    "trouble", [httpx.ReadTimeout("slow"), {"error": {"code": 1, "error_subcode": 1504018, "message": "timed out"}}]
)
def test_a_slow_answer_is_asked_for_in_fewer_days(trouble: Any) -> None:
    network = Network(trouble, {"data": []})
    client = client_on(META, network)
    assert isinstance(client, AnswersAtOnce)
    windows = [reading.window for reading in client.read_metrics(static(META), ACCOUNT, WINDOW)]
    assert [(window.since.day, window.until.day) for window in windows] == [(11, 20), (1, 10)]


def test_too_much_data_in_the_smallest_page_of_a_day_is_an_error(desk: Desk) -> None:
    desk.world.longest_insights = 0
    with refused(TooMuchData, "so much data"):
        desk.rows()
    # Of 20, 10, 5, 3 and 2 days, with 500, 250, 125, 62 and 31 rows, and of three days by themselves, with 25.
    assert desk.calls("metrics") == 5 + 3
    network = Network({"error": {"code": 1, "message": "Please reduce the amount of data"}}, status=500)
    for question, calls in (("campaigns", 3), ("accounts", 3)):
        before = len(network.requests)
        with refused(TooMuchData):
            questions(META)[question](client_on(META, network))
        assert len(network.requests) - before == calls  # with 100, 50 and 25 rows
