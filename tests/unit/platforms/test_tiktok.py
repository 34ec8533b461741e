"""What only the TikTok client does: reports of thirty days, and tokens that are proved instead of renewed."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from sandbox.world import Figures
from sivera.errors import GrantRevoked
from sivera.values import DateWindow
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import (
    ACCOUNT,
    SECRET,
    TIKTOK,
    TOKEN,
    Network,
    answered,
    client_on,
    held,
    metrics,
    refused,
    static,
)

UNTIL = date(2026, 11, 20)


@pytest.mark.parametrize(("days", "calls"), [(1, 1), (30, 1), (31, 2), (65, 3)])
def test_a_report_covers_thirty_days_at_most(new_desk: NewDesk, days: int, calls: int) -> None:
    desk = new_desk(TIKTOK)
    window = DateWindow(since=UNTIL - timedelta(days=days - 1), until=UNTIL)
    first = next(iter(desk.site.campaigns))
    for day in {window.since, window.until}:
        desk.world.restate(first, day, Figures(1, 1, Decimal(1), Decimal(0), Decimal(0)))
    assert desk.rows(window).keys() == desk.truth(window).keys() >= {(first, window.since), (first, window.until)}
    assert desk.calls("metrics") == calls


def test_a_window_without_days_asks_nothing() -> None:
    window, network = DateWindow(since=date(2026, 11, 2), until=date(2026, 11, 1)), Network({})
    assert metrics(client_on(TIKTOK, network), static(TIKTOK), ACCOUNT, window) == []
    assert network.requests == []


def test_a_long_lived_token_is_proved_by_one_call(new_desk: NewDesk) -> None:
    desk = new_desk(TIKTOK)
    assert desk.client.renew(desk.tokens.tokens) == desk.tokens.tokens
    assert desk.calls("validate") == desk.calls() == 1
    desk.world.revoke_grant(desk.grant.id)
    with refused(GrantRevoked, "connect the account again"):
        desk.client.renew(desk.tokens.tokens)


def test_a_renewal_that_names_no_lifetime_lasts_a_day() -> None:
    renewed = answered(TIKTOK, {"code": 0, "data": {"access_token": "new"}}).renew(held(TOKEN, SECRET))
    assert renewed.expires_in == timedelta(days=1)
