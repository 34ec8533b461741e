"""When a grant or an account is worth an alert, without a database."""

from datetime import UTC, datetime, timedelta

import pytest

from sivera.alerts.conditions import BrokenGrant, Condition, Kind, Links, StaleAccount, plain
from sivera.alerts.data_rules import grant_conditions, stale_conditions
from sivera.values import PlatformName

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
LINKS = Links(ui_url="http://127.0.0.1:4200")
MOST = 3


def account(id_: int, platform: PlatformName = PlatformName.META) -> StaleAccount:
    since = NOW - timedelta(hours=id_)
    return StaleAccount(id=id_, team="Hanok", platform=platform, name=f"Shop {id_}", since=since, error=None)


def stale(*ids: int, already: set[tuple[str, str]] = frozenset()) -> list[Condition]:  # type: ignore[assignment]
    return list(stale_conditions([account(id_) for id_ in ids], already, MOST, LINKS))


def alerts(*subjects: str) -> set[tuple[str, str]]:
    return {(Kind.STALE_DATA.value, subject) for subject in subjects}


@pytest.mark.parametrize(
    ("ids", "already", "subjects"),
    [
        ([], alerts(), []),
        ([1, 2, 3], alerts(), ["account-1", "account-2", "account-3"]),
        ([1, 2, 3, 4], alerts(), ["meta"]),
        # The platform keeps its one alert until few are left: these, and what comes, have their own.
        ([1, 2], alerts("meta"), ["meta"]),
        ([1], alerts("meta"), ["account-1"]),
        ([], alerts("meta"), []),
        # Who has an alert already keeps it, and is not told of twice.
        ([1, 2, 3, 4], alerts("account-1"), ["account-1", "account-2", "account-3", "account-4"]),
        ([1, 2, 3, 4, 5], alerts("account-1"), ["account-1", "meta"]),
        ([1], alerts("account-1", "meta"), ["account-1"]),
    ],
)
def test_many_accounts_of_a_platform_are_one_alert(
    ids: list[int], already: set[tuple[str, str]], subjects: list[str]
) -> None:
    assert [one.subject for one in stale(*ids, already=already)] == subjects


def test_platforms_are_counted_apart() -> None:
    accounts = [account(id_) for id_ in range(1, 5)] + [account(9, PlatformName.TIKTOK)]
    found = list(stale_conditions(accounts, set(), MOST, LINKS))
    assert [one.subject for one in found] == ["meta", "account-9"]
    assert found[0].title == "4 accounts of meta have old data"
    assert found[0].since == NOW - timedelta(hours=4)


def test_a_stale_account_is_named_with_its_team_and_its_mend() -> None:
    one = account(17).model_copy(update={"error": "the platform is down."})
    (found,) = stale_conditions([one], set(), MOST, LINKS)
    assert found.title == "meta account 17 (Shop 17) of team Hanok was not synced"
    assert found.message == "The platform is down. To try at once: sivera accounts sync 17"
    assert found.link == "http://127.0.0.1:4200/artifacts/key/sync-campaigns-failures"


def grant(id_: int, *accounts: str) -> BrokenGrant:
    return BrokenGrant(
        id=id_,
        team="Northwind Goods",
        platform=PlatformName.GOOGLE,
        name="main",
        reason="no longer takes the refresh token",
        since=NOW,
        accounts=accounts,
    )


@pytest.mark.parametrize(
    ("names", "carried"),
    [
        ([], "It carries no active account;"),
        (["A", "B"], "It carries the accounts A, B;"),
        (["A", "B", "C", "D", "E", "F", "G"], "It carries the accounts A, B, C, D, E and 2 more;"),
    ],
)
def test_a_grant_is_named_with_team_platform_and_accounts(names: list[str], carried: str) -> None:
    (found,) = grant_conditions([grant(7, *names)], set(), MOST, LINKS)
    assert (found.kind, found.subject, found.since) == (Kind.REAUTHORIZATION_REQUIRED, "7", NOW)
    assert found.title == "google grant 7 (main) of team Northwind Goods must be connected again"
    assert found.message.startswith("No longer takes the refresh token. ")
    assert carried in found.message
    assert "`sivera credentials list` says how" in found.message


def test_many_grants_of_a_platform_are_one_alert() -> None:
    (found,) = grant_conditions([grant(id_) for id_ in range(4)], set(), MOST, LINKS)
    assert (found.subject, found.title) == ("google", "4 grants of google must be connected again")


def test_a_server_without_a_ui_gives_no_link() -> None:
    (found,) = grant_conditions([grant(7)], set(), MOST, Links())
    assert found.link == ""


@pytest.mark.parametrize("name", ["@everyone", "<!channel>", "<@123>", "two\nlines", "\x1b[2J"])
def test_a_name_calls_nobody(name: str) -> None:
    shown = plain(name)
    assert not any(call in shown for call in ("@e", "<!", "<@", "\n", "\x1b"))
