"""What all four clients promise, against the sandbox over real HTTP."""

from datetime import timedelta
from decimal import Decimal

import pytest

from sandbox.figures import ZERO, Figures
from sivera.errors import AccountInaccessible, Misconfigured, ReconnectRequired, TokenRejected
from sivera.values import AccountStatus, BudgetKind, CampaignStatus, PlatformName
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import (
    AMAZON,
    DAY,
    GOOGLE,
    META,
    TIKTOK,
    WINDOW,
    Canned,
    Rig,
    figures_of,
    held,
    ours,
    refused,
    static,
)

# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "accounts", "calls"), [(GOOGLE, 5, 3), (META, 130, 2), (AMAZON, 20, 3), (TIKTOK, 230, 4)]
)
def test_all_accounts_of_a_grant_are_listed_and_closed_ones_are_marked(
    new_rig: NewRig, platform: PlatformName, accounts: int, calls: int
) -> None:
    rig = new_rig(platform, accounts=accounts, campaigns=0)
    closed = rig.sites[3]
    closed.closed = True
    listed = {account.external_id: account for account in rig.accounts().accounts}
    assert rig.calls("accounts") + rig.calls("validate") == calls
    expected = {site.id: ours(site) for site in rig.sites if platform is not AMAZON or not site.closed}
    for id_, account in expected.items():
        status = AccountStatus.CLOSED if id_ == closed.id else AccountStatus.ACTIVE
        manager_id = listed[id_].manager_id
        assert listed[id_] == account.model_copy(update={"status": status, "manager_id": manager_id})
    assert listed.keys() == expected.keys()


def test_closed_foreign_and_unknown_accounts_are_inaccessible(rig: Rig) -> None:
    foreign = ours(rig.world.accounts_of(rig.world.add_grant(rig.platform))[0])
    foreign = foreign.model_copy(update={"region": rig.site.region})
    rig.site.closed = True
    unknown = rig.account.model_copy(update={"external_id": "1234567890"})
    for account in (rig.account, foreign, unknown):
        with refused(AccountInaccessible):
            rig.campaigns(account=account)


# -- campaigns --------------------------------------------------------------------------------------------------------

ACTIVE, PAUSED, _, ARCHIVED, REMOVED, OTHER = CampaignStatus
NATIVE = {
    GOOGLE: {ACTIVE: "ENABLED", PAUSED: "PAUSED", REMOVED: "REMOVED", OTHER: "UNKNOWN"},
    META: {ACTIVE: "ACTIVE", PAUSED: "PAUSED", ARCHIVED: "ARCHIVED"},
    AMAZON: {ACTIVE: "ENABLED", PAUSED: "PAUSED", ARCHIVED: "ARCHIVED"},
    TIKTOK: {ACTIVE: "CAMPAIGN_STATUS_ENABLE", PAUSED: "CAMPAIGN_STATUS_DISABLE", REMOVED: "CAMPAIGN_STATUS_DELETE"},
}
BUDGETS = {
    GOOGLE: set(BudgetKind),
    META: {BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL},
    AMAZON: {BudgetKind.DAILY},
    TIKTOK: {BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL},
}


def test_campaigns_of_every_state_and_budget_are_listed(rig: Rig) -> None:
    states = NATIVE[rig.platform]
    for state in states:
        rig.world.add_campaign(rig.platform, rig.site.id, state=state)
    if rig.platform is GOOGLE:
        rig.world.add_campaign(GOOGLE, rig.site.id, budget_kind=BudgetKind.LOWER_LEVEL)
    listed = rig.listed()
    assert listed.keys() == rig.listable
    assert {c.status for c in listed.values()} == set(states)
    assert {c.budget.kind for c in listed.values()} == BUDGETS[rig.platform]
    for id_, campaign in listed.items():
        truth = rig.site.campaigns[id_]
        assert (campaign.name, campaign.ad_product, campaign.status) == (truth.name, truth.product, truth.state)
        assert campaign.native_status.upper() == states[truth.state]
        assert campaign.budget.kind is truth.budget_kind
        assert campaign.budget.amount == (None if truth.budget_kind is BudgetKind.LOWER_LEVEL else truth.budget)
        assert campaign.updated_at == (None if rig.platform is GOOGLE else truth.updated)
        assert campaign.start_date == (None if rig.platform is TIKTOK else truth.start)


@pytest.mark.parametrize(("currency", "amount"), [("USD", "12.34"), ("KRW", "12000000"), ("TWD", "600")])
def test_money_is_exact_in_major_units(rig: Rig, currency: str, amount: str) -> None:
    money, value = Decimal(amount), Decimal(amount) * 3
    rig.site.currency = currency
    first = next(iter(rig.site.campaigns))
    rig.change(first, budget_kind=BudgetKind.DAILY, budget=money)
    rig.world.restate(first, DAY, Figures(10, 2, money, Decimal(1), value))
    budget = rig.listed()[first].budget
    assert (budget.kind, budget.amount, budget.currency) == (BudgetKind.DAILY, money, currency)
    row = rig.rows()[first, DAY]
    assert (row.spend, row.conversion_value, row.currency) == (money, value, currency)


@pytest.mark.parametrize(
    ("platform", "campaigns", "calls"),
    [(GOOGLE, 230, 1), (META, 230, 3), (AMAZON, 0, 3), (AMAZON, 300, 4), (AMAZON, 350, 6), (TIKTOK, 2300, 3)],
)
def test_a_listing_of_several_pages_is_read_to_the_end(
    new_rig: NewRig, platform: PlatformName, campaigns: int, calls: int
) -> None:
    rig = new_rig(platform, campaigns=campaigns)
    assert rig.listed().keys() == rig.listable
    assert rig.calls("campaigns") == calls


def test_a_listing_of_changes_has_the_changes_and_says_whether_it_is_complete(rig: Rig) -> None:
    renamed, gone, *_ = rig.site.campaigns
    rig.world.clock.advance(timedelta(hours=26))
    rig.held = rig.new_tokens()
    rig.change(renamed, name="Renamed")
    removed = ARCHIVED if rig.platform in (AMAZON, META) else REMOVED
    rig.change(gone, state=removed)
    added = rig.world.add_campaign(rig.platform, rig.site.id).id
    listings = rig.changed_since()
    listed = [campaign for listing in listings for campaign in listing.campaigns]
    found = {campaign.external_id: campaign for campaign in listed}
    assert len(found) == len(listed)
    assert (found[renamed].name, found[gone].status) == ("Renamed", removed)
    assert added in found
    has_filter = rig.platform in (GOOGLE, META)
    assert all(listing.complete is not has_filter for listing in listings)
    assert len(found) == (3 if has_filter else 13)
    assert found == {id_: campaign for id_, campaign in rig.listed().items() if id_ in found}


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_cover_every_day_with_figures(rig: Rig) -> None:
    first, *_, last = rig.site.campaigns
    restated = Figures(1000, 50, Decimal("12.34"), Decimal(3), Decimal("700.25"))
    rig.world.restate(first, DAY, restated)
    rig.world.restate(first, WINDOW.until, ZERO)
    rig.world.restate(last, DAY, restated)
    rig.change(last, state=ARCHIVED if rig.platform is AMAZON else REMOVED)
    rows = rig.rows()
    assert {key: figures_of(row) for key, row in rows.items()} == rig.truth()
    assert figures_of(rows[first, DAY]) == figures_of(rows[last, DAY]) == restated
    assert (first, WINDOW.until) not in rows
    assert {row.currency for row in rows.values()} == {rig.site.currency}


@pytest.mark.parametrize("platform", [GOOGLE, META, TIKTOK], ids=str)
def test_the_total_of_a_day_includes_spend_without_a_campaign(new_rig: NewRig, platform: PlatformName) -> None:
    rig = new_rig(platform)
    rig.world.spend_elsewhere(rig.site.id, DAY, Decimal("7.25"))
    of_campaigns = rig.spend_of_campaigns()
    assert rig.spend() == of_campaigns | {DAY: of_campaigns[DAY] + Decimal("7.25")}


# -- tokens -----------------------------------------------------------------------------------------------------------

LIFETIME = {GOOGLE: timedelta(seconds=3599), META: timedelta(days=60), AMAZON: timedelta(hours=1), TIKTOK: None}


def test_a_renewal_gives_a_token_that_works_and_keeps_the_refresh_token(rig: Rig) -> None:
    before = rig.held
    after = rig.client.renew(before)
    assert after.expires_in == LIFETIME[rig.platform]
    assert after.refresh_token == before.refresh_token
    assert (after == before) is (rig.platform is TIKTOK)  # TikTok's long-lived tokens are only proved to work
    assert rig.client.list_accounts(static(rig.platform, after.access_token.get_secret_value())).accounts


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON, TIKTOK], ids=str)
def test_a_rotated_refresh_token_replaces_the_old_one(new_rig: NewRig, platform: PlatformName) -> None:
    rig = new_rig(platform, rotates=True)
    seen = [rig.held]
    for _ in range(2):
        seen.append(rig.client.renew(seen[-1]))
    assert len({tokens.refresh_token for tokens in seen}) == 3
    if platform is TIKTOK:
        assert seen[-1].expires_in == timedelta(days=1)
    with pytest.raises(ReconnectRequired):
        rig.client.renew(seen[0])


def test_a_revoked_grant_must_be_reconnected(rig: Rig) -> None:
    tokens = rig.held
    rig.world.revoke_grant(rig.grant.id)
    with pytest.raises(ReconnectRequired):
        rig.listed()
    with pytest.raises(ReconnectRequired):
        rig.client.renew(tokens)


def test_a_wrong_app_secret_is_a_misconfiguration(rig: Rig) -> None:
    rig.reopen(secret="wrong-secret")
    with refused(Misconfigured, None, "wrong-secret"):
        rig.renew()


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON], ids=str)
def test_a_grant_without_a_refresh_token_must_be_reconnected(new_rig: NewRig, platform: PlatformName) -> None:
    rig = new_rig(platform)
    with refused(ReconnectRequired):
        rig.client.renew(held())
    assert rig.calls() == 0


@pytest.mark.parametrize(("platform", "calls"), [(GOOGLE, 2), (AMAZON, 4), (TIKTOK, 2)])
def test_an_expired_token_is_renewed_once_and_the_call_repeated_once(
    new_rig: NewRig, platform: PlatformName, calls: int
) -> None:
    rig = new_rig(platform, rotates=True)
    rig.world.expire_access(rig.grant.id)
    assert len(rig.listed()) == 12
    assert (rig.renewals, rig.calls("token"), rig.calls("campaigns")) == (1, 1, calls)


def test_a_token_that_stays_refused_is_not_renewed_again() -> None:
    class Stubborn:
        renewals = 0

        def current(self) -> str:
            return "old"

        def renewed(self, rejected: str) -> str:
            self.renewals += 1
            return f"newer than {rejected}"

    canned = Canned(AMAZON, {"message": "Unauthorized"}, status=401)
    canned.tokens = tokens = Stubborn()
    with refused(TokenRejected):
        canned.campaigns()
    sent = [request.headers["authorization"] for request in canned.requests]
    assert (tokens.renewals, sent) == (1, ["Bearer old", "Bearer newer than old"])
