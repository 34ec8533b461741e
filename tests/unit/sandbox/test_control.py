"""The control endpoint over real HTTP: every action, seen through what it does to a platform or to the world."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from sandbox.app import Control
from sandbox.faults import Fault, FaultKind
from sandbox.world import Account, Grant, World
from sivera.values import CampaignStatus, PlatformName
from tests.conftest import NOW, PATIENCE_SECONDS

META, GOOGLE, TIKTOK = PlatformName.META, PlatformName.GOOGLE, PlatformName.TIKTOK
TODAY = date(2026, 11, 20)
LATER = datetime(2027, 3, 1, tzinfo=UTC)
CAMPAIGN = "23850000000000000"
"""The first campaign of Meta's first account."""


@dataclass
class Desk:
    """The control endpoint, and Meta as the one grant of the world sees it."""

    world: World
    http: httpx.Client
    grant: Grant
    account: Account
    token: str

    def control(self, action: str, **arguments: Any) -> httpx.Response:
        return self.http.post(f"/control/{action}", json=arguments)

    def listing(self, token: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        fields = {"fields": "name,effective_status"}
        return self.http.get(f"/meta/v26.0/act_{self.account.id}/campaigns", params=fields, headers=headers)

    def names(self) -> list[str]:
        return [row["name"] for row in self.listing().json()["data"]]

    def status(self) -> int:
        return self.listing().status_code

    @property
    def of_account(self) -> dict[str, str]:
        return {"platform": META.value, "account_id": self.account.id}

    @property
    def of_campaign(self) -> dict[str, str]:
        return self.of_account | {"campaign_id": CAMPAIGN}

    def state(self) -> tuple[CampaignStatus | None, bool]:
        """The first campaign's state, and whether Meta lists it unasked."""
        campaign = self.account.campaigns.get(CAMPAIGN)
        listed = CAMPAIGN in [row["id"] for row in self.listing().json()["data"]]
        return campaign.state if campaign else None, listed

    def spend(self) -> Decimal:
        return self.world.figures(self.account, self.account.campaigns[CAMPAIGN], TODAY).spend


@pytest.fixture
def desk(world: World, sandbox: str) -> Iterator[Desk]:
    """A grant of Meta with one account of one campaign."""
    grant = world.add_grant(META, campaigns=1)
    with httpx.Client(base_url=sandbox, timeout=PATIENCE_SECONDS) as http:
        yield Desk(world, http, grant, world.accounts_of(grant)[0], world.issue_access(grant)[0])


def nothing(_: Desk) -> None:
    """Leave the world as it is."""


def break_meta(desk: Desk) -> None:
    """Make all calls of Meta fail."""
    desk.world.faults.add(Fault(FaultKind.STATUS, META))


@dataclass
class Case:
    """An action's arguments, and what is seen before and after it."""

    arguments: Callable[[Desk], dict[str, Any]]
    look: Callable[[Desk], object]
    before: object
    after: object
    arrange: Callable[[Desk], None] = nothing


LIVING = (CampaignStatus.ACTIVE, True)

CASES = {
    "add_grant": Case(
        lambda _: {"platform": "google", "accounts": 2, "campaigns": 3},
        lambda desk: [len(account.campaigns) for account in desk.world.accounts[GOOGLE].values()],
        [],
        [3, 3],
    ),
    "tokens": Case(
        lambda desk: {"grant_id": desk.grant.id},
        lambda desk: desk.grant.revoked,
        True,
        False,
        lambda desk: desk.world.revoke_grant(desk.grant.id),
    ),
    "add_campaign": Case(
        lambda desk: desk.of_account | {"name": "New"}, Desk.names, ["Spring sale 1"], ["Spring sale 1", "New"]
    ),
    "change_campaign": Case(
        lambda desk: desk.of_campaign | {"name": "Renamed"}, Desk.names, ["Spring sale 1"], ["Renamed"]
    ),
    "archive_campaign": Case(lambda desk: desk.of_campaign, Desk.state, LIVING, (CampaignStatus.ARCHIVED, False)),
    "remove_campaign": Case(lambda desk: desk.of_campaign, Desk.state, LIVING, (CampaignStatus.REMOVED, False)),
    "hard_delete_campaign": Case(lambda desk: desk.of_campaign, Desk.state, LIVING, (None, False)),
    "restate": Case(
        lambda _: {"campaign_id": CAMPAIGN, "day": "2026-11-20", "impressions": 9, "clicks": 2, "spend": "1.25"},
        lambda desk: desk.spend() == Decimal("1.25"),
        False,
        True,
    ),
    "revoke_grant": Case(lambda desk: {"grant_id": desk.grant.id}, Desk.status, 200, 400),
    "expire_access": Case(lambda desk: {"grant_id": desk.grant.id}, Desk.status, 200, 400),
    "close_account": Case(lambda desk: desk.of_account, Desk.status, 200, 400),
    "add_fault": Case(lambda _: {"kind": "status", "platform": "meta", "status": 502}, Desk.status, 200, 502),
    "set_quota": Case(
        lambda _: {"platform": "meta", "calls": 1, "seconds": 60},
        lambda desk: [desk.status(), desk.status()],
        [200, 200],
        [200, 403],
    ),
    "set_latency": Case(lambda _: {"seconds": 0.01}, lambda desk: desk.world.faults.latency_seconds, 0, 0.01),
    "set_report_seconds": Case(lambda _: {"seconds": 90}, lambda desk: desk.world.report_seconds, 0, 90),
    "clear_faults": Case(lambda _: {}, Desk.status, 503, 200, break_meta),
    "set_clock": Case(lambda _: {"when": LATER.isoformat()}, lambda desk: desk.world.clock.now(), NOW, LATER),
    "advance_clock": Case(lambda _: {"seconds": timedelta(days=61).total_seconds()}, Desk.status, 200, 400),
}


@pytest.mark.parametrize("action", CASES)
def test_an_action_has_its_effect(desk: Desk, action: str) -> None:
    case = CASES[action]
    case.arrange(desk)
    assert case.look(desk) == case.before
    answer = desk.control(action, **case.arguments(desk))
    assert answer.status_code == 200, answer.text
    assert case.look(desk) == case.after


def test_every_action_is_tested(world: World) -> None:
    assert set(Control(world).actions) == {*CASES, "calls"}


def test_calls_are_counted_by_operation(desk: Desk) -> None:
    assert desk.control("calls").json() == {}
    desk.listing()
    desk.listing()
    assert desk.control("calls").json() == {"meta.campaigns": 2}


def test_an_unknown_action_is_not_found(desk: Desk) -> None:
    answer = desk.control("explode")
    assert answer.status_code == 404
    assert "add_grant" in answer.json()["error"]


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("add_grant", {}),
        ("add_grant", {"platform": "myspace"}),
        ("add_grant", {"platform": "meta", "colour": "red"}),
        ("add_grant", {"platform": "meta", "rotates": True}),
        ("tokens", {"grant_id": 99}),
        ("add_campaign", {"platform": "meta", "account_id": "99"}),
        ("restate", {"campaign_id": "99", "day": "2026-11-20", "impressions": 1, "clicks": 1, "spend": 1}),
        ("set_quota", {"platform": "meta", "calls": 0, "seconds": 1}),
        ("set_quota", {"platform": "meta", "calls": 1, "seconds": 0}),
        ("set_report_seconds", {"seconds": -1}),
        ("advance_clock", {"seconds": 1e300}),
    ],
)
def test_arguments_that_do_not_fit_are_refused_and_change_nothing(
    desk: Desk, action: str, arguments: dict[str, Any]
) -> None:
    answer = desk.control(action, **arguments)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert list(desk.world.grants) == [desk.grant.id]
    assert list(desk.world.accounts[META]) == [desk.account.id]
    assert not desk.world.faults.quotas


@pytest.mark.parametrize("body", [b"{", b"[1]", b"7"])
def test_a_body_that_is_not_a_json_object_is_refused(desk: Desk, body: bytes) -> None:
    assert desk.http.post("/control/calls", content=body).status_code == 422


def test_a_login_after_a_revocation_gives_tokens_that_work_and_leaves_the_old_ones_refused(desk: Desk) -> None:
    desk.world.revoke_grant(desk.grant.id)
    fresh = desk.control("tokens", grant_id=desk.grant.id).json()["access_token"]
    assert desk.listing(fresh).status_code == 200
    assert desk.status() == 400


def test_a_login_without_a_revocation_leaves_the_earlier_tokens_valid(desk: Desk) -> None:
    fresh = desk.control("tokens", grant_id=desk.grant.id).json()["access_token"]
    assert fresh != desk.token
    assert desk.listing(fresh).status_code == 200
    assert desk.status() == 200


@pytest.mark.parametrize(("platform", "rotates"), [(GOOGLE, False), (TIKTOK, True)])
def test_a_refresh_token_from_before_a_revocation_stays_refused(
    desk: Desk, platform: PlatformName, rotates: bool
) -> None:
    old = desk.control("add_grant", platform=platform.value, rotates=rotates).json()
    desk.world.revoke_grant(old["grant_id"])
    fresh = desk.control("tokens", grant_id=old["grant_id"]).json()
    assert desk.world.grant_of_refresh(platform, old["refresh_token"]) is None
    grant = desk.world.grant_of_refresh(platform, fresh["refresh_token"])
    assert grant is desk.world.grants[old["grant_id"]]


def test_a_login_ends_what_reuse_and_session_control_began(desk: Desk) -> None:
    desk.grant.revoked = desk.grant.reused = desk.grant.needs_login = True
    desk.control("tokens", grant_id=desk.grant.id)
    assert (desk.grant.revoked, desk.grant.reused, desk.grant.needs_login) == (False, False, False)
