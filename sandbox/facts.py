"""How accounts, campaigns and tokens differ between the four platforms; their formats and errors are elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from sivera.values import BudgetKind, CampaignStatus, PlatformName

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - the sandbox's own, public

SPONSORED_BRANDS = "SPONSORED_BRANDS"


class TokenKind(StrEnum):
    """What a token is for."""

    ACCESS = "a"
    REFRESH = "r"


@dataclass(frozen=True)
class Facts:
    """A platform's ids, campaigns and tokens.

    Ids count up from `first_account` and `first_campaign`. Campaigns cycle through the `products`, the `budgets`, and
    the states, in which `stopped` follows ACTIVE and PAUSED. Access tokens live for `lifetime` if they expire at all.
    `always_refreshes` says whether every login returns a refresh token. `regions` are by currency. One account in
    `unlisted_every` also spends in campaigns that no listing has.
    """

    first_account: int
    first_campaign: int
    products: tuple[str, ...]
    budgets: tuple[BudgetKind, ...]
    stopped: tuple[CampaignStatus, CampaignStatus]
    prefixes: Mapping[TokenKind, str]
    lifetime: timedelta
    account_step: int = 1
    tokens_end: bool = True
    always_refreshes: bool = False
    has_manager: bool = False
    regions: Mapping[str, str] = field(default_factory=dict)
    unlisted_every: int = 0


FACTS = {
    PlatformName.GOOGLE: Facts(
        first_account=1_000_000_000,
        first_campaign=20_000_000_000,
        products=("SEARCH", "PERFORMANCE_MAX", "DISPLAY"),
        budgets=(BudgetKind.DAILY, BudgetKind.DAILY, BudgetKind.SHARED, BudgetKind.LIFETIME),
        stopped=(CampaignStatus.REMOVED, CampaignStatus.REMOVED),
        prefixes={TokenKind.ACCESS: "ya29.", TokenKind.REFRESH: "1//"},
        lifetime=timedelta(seconds=3599),
        always_refreshes=True,
        has_manager=True,
    ),
    PlatformName.META: Facts(
        first_account=10_150_000_000_000,
        first_campaign=23_850_000_000_000_000,
        products=("OUTCOME_SALES", "OUTCOME_TRAFFIC"),
        budgets=(BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL),
        stopped=(CampaignStatus.ARCHIVED, CampaignStatus.REMOVED),
        prefixes={TokenKind.ACCESS: "EAAB"},
        lifetime=timedelta(days=60),
    ),
    PlatformName.AMAZON: Facts(
        first_account=9_100_000_000_000_001,  # above 2^53: an id that is read as a double loses digits
        account_step=2,
        first_campaign=280_000_000_000_000,
        products=("SPONSORED_PRODUCTS", SPONSORED_BRANDS, "SPONSORED_DISPLAY"),
        budgets=(BudgetKind.DAILY,),
        stopped=(CampaignStatus.ARCHIVED, CampaignStatus.ARCHIVED),  # nothing is ever deleted
        prefixes={TokenKind.ACCESS: "Atza|", TokenKind.REFRESH: "Atzr|"},
        lifetime=timedelta(hours=1),
        always_refreshes=True,
        regions={"USD": "na", "EUR": "eu", "KRW": "fe", "JPY": "fe", "TWD": "fe", "AUD": "fe"},
    ),
    PlatformName.TIKTOK: Facts(
        first_account=7_100_000_000_000_000_000,
        first_campaign=1_780_000_000_000_000_000,
        products=("WEB_CONVERSIONS", "REACH"),
        budgets=(BudgetKind.DAILY, BudgetKind.LIFETIME, BudgetKind.LOWER_LEVEL),
        stopped=(CampaignStatus.REMOVED, CampaignStatus.REMOVED),
        prefixes={TokenKind.ACCESS: "act.", TokenKind.REFRESH: "rft."},
        lifetime=timedelta(days=1),
        tokens_end=False,  # except for a grant with a refresh token
        unlisted_every=5,
    ),
}
