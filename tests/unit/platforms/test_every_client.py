"""What all four clients promise, against the sandbox over real HTTP."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from sandbox.figures import ZERO, Figures
from sivera.errors import AccountInaccessible, Misconfigured, ReconnectRequired, TokenRejected
from sivera.values import AccountStatus, BudgetKind, CampaignStatus, PlatformName
from tests.unit.platforms.conftest import NewDesk
from tests.unit.platforms.desk import (
    AMAZON,
    GOOGLE,
    META,
    TIKTOK,
    WINDOW,
    Desk,
    Network,
    Renewing,
    client_on,
    figures_of,
    held,
    ours,
    questions,
    refused,
    spend_of,
    static,
)

DAY = date(2026, 11, 18)

# -- accounts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "accounts", "calls"), [(GOOGLE, 5, 3), (META, 130, 2), (AMAZON, 20, 3), (TIKTOK, 230, 3)]
)
def test_all_accounts_of_a_grant_are_listed_and_closed_ones_are_marked(
    new_desk: NewDesk, platform: PlatformName, accounts: int, calls: int
) -> None:
    desk = new_desk(platform, accounts=accounts, campaigns=0)
    sites = desk.world.accounts_of(desk.grant)
    sites[3].closed = True
    listed = {account.external_id: account for account in desk.client.list_accounts(desk.tokens).accounts}
    operations = ("accounts", "validate")
    assert sum(desk.calls(operation) for operation in operations) == calls + (platform is TIKTOK)
    expected = {site.id: ours(site) for site in sites if platform is not AMAZON or not site.closed}
    for id_, account in expected.items():
        status = AccountStatus.CLOSED if id_ == sites[3].id else AccountStatus.ACTIVE
        manager_id = listed[id_].manager_id
        assert listed[id_] == account.model_copy(update={"status": status, "manager_id": manager_id})
    assert listed.keys() == expected.keys()


def test_closed_foreign_and_unknown_accounts_are_inaccessible(desk: Desk) -> None:
    foreign = ours(desk.world.accounts_of(desk.world.add_grant(desk.platform))[0])
    foreign = foreign.model_copy(update={"region": desk.site.region})
    desk.site.closed = True
    unknown = desk.account.model_copy(update={"external_id": "1234567890"})
    for account in (desk.account, foreign, unknown):
        with refused(AccountInaccessible):
            desk.client.list_campaigns(desk.tokens, account, desk.client.products[0])


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


def test_campaigns_are_those_of_the_account_in_every_state_and_with_every_budget(desk: Desk) -> None:
    states = NATIVE[desk.platform]
    for state in states:
        desk.world.add_campaign(desk.platform, desk.site.id, state=state)
    if desk.platform is GOOGLE:
        desk.world.add_campaign(GOOGLE, desk.site.id, budget_kind=BudgetKind.LOWER_LEVEL)
    listed = desk.listed()
    assert listed.keys() == desk.listable
    assert {c.status for c in listed.values()} == set(states)
    assert {c.budget.kind for c in listed.values()} == BUDGETS[desk.platform]
    for id_, campaign in listed.items():
        truth = desk.site.campaigns[id_]
        assert (campaign.name, campaign.ad_product, campaign.status) == (truth.name, truth.product, truth.state)
        assert campaign.native_status.upper() == states[truth.state]
        assert campaign.budget.kind is truth.budget_kind
        assert campaign.budget.amount == (None if truth.budget_kind is BudgetKind.LOWER_LEVEL else truth.budget)
        assert campaign.updated_at == (None if desk.platform is GOOGLE else truth.updated)
        assert campaign.start_date == (None if desk.platform is TIKTOK else truth.start)


@pytest.mark.parametrize(("currency", "amount"), [("USD", "12.34"), ("KRW", "12000000"), ("TWD", "600")])
def test_money_is_exact_in_major_units(desk: Desk, currency: str, amount: str) -> None:
    money, value = Decimal(amount), Decimal(amount) * 3
    desk.site.currency = currency
    first = next(iter(desk.site.campaigns))
    desk.change(first, budget_kind=BudgetKind.DAILY, budget=money)
    desk.world.restate(first, DAY, Figures(10, 2, money, Decimal(1), value))
    budget = desk.listed()[first].budget
    assert (budget.kind, budget.amount, budget.currency) == (BudgetKind.DAILY, money, currency)
    row = desk.rows()[first, DAY]
    assert (row.spend, row.conversion_value, row.currency) == (money, value, currency)


@pytest.mark.parametrize(
    ("platform", "campaigns", "calls"),
    [(GOOGLE, 230, 1), (META, 230, 3), (AMAZON, 0, 3), (AMAZON, 300, 4), (AMAZON, 350, 6), (TIKTOK, 2300, 3)],
)
def test_a_listing_of_several_pages_is_read_to_the_end(
    new_desk: NewDesk, platform: PlatformName, campaigns: int, calls: int
) -> None:
    desk = new_desk(platform, campaigns=campaigns)
    assert desk.listed().keys() == desk.listable
    assert desk.calls("campaigns") == calls


def test_a_listing_of_changes_has_what_changed_and_says_whether_it_is_complete(desk: Desk) -> None:
    renamed, gone, *_ = desk.site.campaigns
    desk.world.clock.advance(timedelta(hours=26))
    desk.tokens = Renewing(desk.client, desk.new_tokens())
    desk.change(renamed, name="Renamed")
    removed = ARCHIVED if desk.platform in (AMAZON, META) else REMOVED
    desk.change(gone, state=removed)
    added = desk.world.add_campaign(desk.platform, desk.site.id).id
    listings = desk.changed_since()
    listed = [campaign for listing in listings for campaign in listing.campaigns]
    found = {campaign.external_id: campaign for campaign in listed}
    assert len(found) == len(listed)
    assert (found[renamed].name, found[gone].status) == ("Renamed", removed)
    assert added in found
    has_filter = desk.platform in (GOOGLE, META)
    assert all(listing.complete is not has_filter for listing in listings)
    assert len(found) == (3 if has_filter else 13)
    assert found == {id_: campaign for id_, campaign in desk.listed().items() if id_ in found}


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_are_the_figures_of_every_day_that_has_some(desk: Desk) -> None:
    first, *_, last = desk.site.campaigns
    restated = Figures(1000, 50, Decimal("12.34"), Decimal(3), Decimal("700.25"))
    desk.world.restate(first, DAY, restated)
    desk.world.restate(first, WINDOW.until, ZERO)
    desk.world.restate(last, DAY, restated)
    desk.change(last, state=ARCHIVED if desk.platform is AMAZON else REMOVED)
    rows = desk.rows()
    assert {key: figures_of(row) for key, row in rows.items()} == desk.truth()
    assert figures_of(rows[first, DAY]) == figures_of(rows[last, DAY]) == restated
    assert (first, WINDOW.until) not in rows
    assert {row.currency for row in rows.values()} == {desk.site.currency}


@pytest.mark.parametrize("platform", [GOOGLE, META, TIKTOK], ids=str)
def test_the_total_of_a_day_has_what_no_campaign_spent(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    desk.world.spend_elsewhere(desk.site.id, DAY, Decimal("7.25"))
    of_campaigns = spend_of(desk.rows())
    assert desk.totals() == of_campaigns | {DAY: of_campaigns[DAY] + Decimal("7.25")}


# -- tokens -----------------------------------------------------------------------------------------------------------

LIFETIME = {GOOGLE: timedelta(seconds=3599), META: timedelta(days=60), AMAZON: timedelta(hours=1), TIKTOK: None}


def test_a_renewal_gives_a_token_that_works_and_keeps_the_refresh_token(desk: Desk) -> None:
    before = desk.tokens.tokens
    after = desk.client.renew(before)
    assert after.expires_in == LIFETIME[desk.platform]
    assert after.refresh_token == before.refresh_token
    assert (after == before) is (desk.platform is TIKTOK)  # TikTok's long-lived tokens are only proved to work
    assert desk.client.list_accounts(static(desk.platform, after.access_token.get_secret_value())).accounts


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON, TIKTOK], ids=str)
def test_a_rotated_refresh_token_replaces_the_old_one(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform, rotates=True)
    seen = [desk.tokens.tokens]
    for _ in range(2):
        seen.append(desk.client.renew(seen[-1]))
    assert len({tokens.refresh_token for tokens in seen}) == 3
    if platform is TIKTOK:
        assert seen[-1].expires_in == timedelta(days=1)
    with pytest.raises(ReconnectRequired):
        desk.client.renew(seen[0])


def test_a_revoked_grant_must_be_reconnected(desk: Desk) -> None:
    tokens = desk.tokens.tokens
    desk.world.revoke_grant(desk.grant.id)
    with pytest.raises(ReconnectRequired):
        desk.listed()
    with pytest.raises(ReconnectRequired):
        desk.client.renew(tokens)


def test_a_wrong_app_secret_is_our_mistake(desk: Desk) -> None:
    client = desk.new_client(secret="wrong-secret")
    with refused(Misconfigured, None, "wrong-secret"):
        client.renew(desk.tokens.tokens)
    client.close()


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON], ids=str)
def test_a_grant_without_a_refresh_token_must_be_reconnected(new_desk: NewDesk, platform: PlatformName) -> None:
    desk = new_desk(platform)
    with refused(ReconnectRequired):
        desk.client.renew(held())
    assert desk.calls() == 0


@pytest.mark.parametrize(("platform", "calls"), [(GOOGLE, 2), (AMAZON, 4), (TIKTOK, 2)])
def test_an_expired_token_is_renewed_once_and_the_call_repeated_once(
    new_desk: NewDesk, platform: PlatformName, calls: int
) -> None:
    desk = new_desk(platform, rotates=True)
    desk.world.expire_access(desk.grant.id)
    assert len(desk.listed()) == 12
    assert (desk.tokens.renewals, desk.calls("token"), desk.calls("campaigns")) == (1, 1, calls)


def test_a_token_that_stays_refused_is_not_renewed_again() -> None:
    class Stubborn:
        renewals = 0

        def current(self) -> str:
            return "old"

        def renewed(self, rejected: str) -> str:
            self.renewals += 1
            return f"newer than {rejected}"

    network, tokens = Network({"message": "Unauthorized"}, status=401), Stubborn()
    with refused(TokenRejected):
        questions(AMAZON, tokens)["campaigns"](client_on(AMAZON, network))
    sent = [request.headers["authorization"] for request in network.requests]
    assert (tokens.renewals, sent) == (1, ["Bearer old", "Bearer newer than old"])
