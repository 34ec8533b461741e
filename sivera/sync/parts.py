"""The parts of an account's sync. Each is read and stored by itself, so that a failure of one costs no other."""

from collections.abc import Iterator
from datetime import date, datetime
from enum import StrEnum

from sivera.platforms.base import AnswersAtOnce, PlatformClient
from sivera.sync.plan import SyncMode
from sivera.values import OddRow, Value


class PartKind(StrEnum):
    """What a part reads."""

    CAMPAIGNS = "campaigns"
    METRICS = "metrics"
    TOTALS = "totals"
    """The account's spend per day, which includes campaigns that the platform does not report on. Full syncs only."""


class Part(Value):
    """A part of an account. `product` is empty unless the platform's ad products are read one by one."""

    kind: PartKind
    product: str = ""

    def __str__(self) -> str:
        return f"{self.kind.value} of {self.product.replace('_', ' ').title()}" if self.product else self.kind.value


class PartState(Value):
    """The stored state of a part; see `sivera.models.SyncPart`."""

    as_of: datetime | None = None
    figures_as_of: datetime | None = None
    covered_since: date | None = None
    covered_until: date | None = None
    last_attempt_at: datetime | None = None
    last_ok_at: datetime | None = None
    last_full_at: datetime | None = None
    failures: int = 0
    full_failures: int = 0
    next_attempt_at: datetime | None = None
    put_off_since: datetime | None = None
    error: str | None = None
    full_error: str | None = None
    left_out: int = 0
    left_out_rows: tuple[OddRow, ...] | None = None
    held: int = 0
    approved: int = 0
    not_enabled_since: datetime | None = None


def parts_of(client: PlatformClient, mode: SyncMode) -> Iterator[Part]:
    """Yield the parts that a sync reads, the listings first."""
    for kind in (PartKind.CAMPAIGNS, PartKind.METRICS):
        for product in client.products:
            yield Part(kind=kind, product=product)
    if mode is SyncMode.FULL and isinstance(client, AnswersAtOnce):
        yield Part(kind=PartKind.TOTALS)
