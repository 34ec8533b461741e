"""Checking a platform with a real grant: each read-only request that the jobs send is sent once, at its smallest.

The clients send them, so what is checked is what the jobs send. Nothing is stored.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from sivera.breaker import Breaker
from sivera.clock import find_zone
from sivera.errors import InvalidReply, PlatformError, Unavailable, Unreached
from sivera.platforms import open_client
from sivera.platforms.base import (
    AnswersAtOnce,
    AppCredentials,
    ConfirmsDeletions,
    PlatformClient,
    PreparesReports,
    ProductNotEnabled,
    TokenSource,
)
from sivera.platforms.calling import READ_TIMEOUT_SECONDS, new_http_client
from sivera.platforms.recording import Exchange, Recorder
from sivera.values import (
    AccountStatus,
    AdAccount,
    CampaignListing,
    DateWindow,
    OddRow,
    Period,
    PlatformName,
    ReportRequest,
)

T = TypeVar("T")

SLOW_SECONDS = READ_TIMEOUT_SECONDS / 2
CHANGED_WITHIN = timedelta(days=7)
"""Long enough that something has usually changed: Google is then asked for it too."""


class Verdict(StrEnum):
    """What became of a request. Nothing is wrong with one that was skipped: the account lacks what it is about."""

    ACCEPTED = "accepted"
    SLOW = "slow"
    SKIPPED = "skipped"
    REFUSED = "refused"
    UNEXPECTED = "unexpected"
    NOT_TRIED = "not tried"


WRONG = (Verdict.REFUSED, Verdict.UNEXPECTED)


@dataclass(frozen=True)
class Check:
    """A kind of request of a step, and what became of it: `why` is a sentence, `code` the platform's.

    `exchange` is the request of the kind that failed, or else had most rows; None if none was sent. `left_out` counts
    the rows that were odd, and `row` names the first of them.
    """

    step: str
    verdict: Verdict
    why: str = ""
    code: str | None = None
    exchange: Exchange | None = None
    requests: int = 0
    left_out: int = 0
    row: str | None = None


class _NeverWaits(Breaker):
    """A breaker that stays closed: a request that is refused never stops the next."""

    def open(self, *_: Any, **__: Any) -> None:
        """Leave nothing alone."""


def open_recorded(platform: PlatformName, app: AppCredentials) -> tuple[PlatformClient, Recorder]:
    """Return a client, and the record of the requests that it sends."""
    http = new_http_client()
    return open_client(platform, app, _NeverWaits(), http), Recorder(http, app.base_url)


def exit_code(checks: Sequence[Check]) -> int:
    """Return 0 if all was accepted, 1 if something was not, 2 if the platform could not be tried."""
    verdicts = {check.verdict for check in checks}
    return 1 if verdicts.intersection(WRONG) else 2 if Verdict.NOT_TRIED in verdicts or not verdicts else 0


@dataclass
class Checker:
    """Sends the requests. `known` are ad accounts of the grant, for the case that they cannot be listed."""

    client: PlatformClient
    recorder: Recorder
    tokens: TokenSource
    known: Sequence[AdAccount] = ()
    _result: Any = None
    _error: PlatformError | None = None

    def run(self, now: datetime) -> Iterator[Check]:
        """Send one request after the other; yield what became of each."""
        yield from self._try("ad accounts", lambda: self.client.list_accounts(self.tokens), lambda all_: all_.left_out)
        listed = self._result.accounts if self._result else ()
        is_open = [account for account in (*listed, *self.known) if account.status is AccountStatus.ACTIVE]
        if not is_open:
            yield Check("everything else", Verdict.NOT_TRIED, "the grant reaches no open ad account")
            return
        account = is_open[0]
        day = now.astimezone(find_zone(account.timezone)).date() - timedelta(days=1)
        window = DateWindow(since=day, until=day)
        for product in self.client.products:
            yield from self._campaigns(account, product, now)
            if isinstance(self.client, PreparesReports) and not isinstance(self._error, ProductNotEnabled):
                yield from self._report(self.client, account, product, window, now)
        if isinstance(self.client, AnswersAtOnce):
            client = self.client
            yield from self._try(
                "metrics of a day",
                lambda: list(client.read_metrics(self.tokens, account, window)),
                lambda readings: [row for reading in readings for row in reading.left_out],
            )
            yield from self._try(
                "totals of a day",
                lambda: client.read_totals(self.tokens, account, window),
                lambda totals: totals.left_out,
            )

    def _campaigns(self, account: AdAccount, product: str, now: datetime) -> Iterator[Check]:
        about = f"campaigns of {product}" if product else "campaigns"

        def listing(changed: Period | None) -> CampaignListing:
            return self.client.list_campaigns(self.tokens, account, product, changed)

        yield from self._try(about, lambda: listing(None), lambda found: found.left_out)
        campaigns = self._result.campaigns if self._result else ()
        if not product:
            changed = Period(since=now - CHANGED_WITHIN, until=now)
            yield from self._try("campaigns that changed", lambda: listing(changed), lambda found: found.left_out)
        if campaigns and isinstance(client := self.client, ConfirmsDeletions):
            id_ = campaigns[0].external_id
            yield from self._try("whether one is deleted", lambda: client.deleted_among(self.tokens, account, [id_]))

    def _report(
        self, client: PreparesReports, account: AdAccount, product: str, window: DateWindow, now: datetime
    ) -> Iterator[Check]:
        def request() -> ReportRequest:
            id_ = client.request_report(self.tokens, account, product, window)
            return ReportRequest(report_id=id_, ad_product=product, window=window, requested_at=now)

        yield from self._try(f"report of {product}", request)
        if asked := self._result:
            yield from self._try(
                f"state of a report of {product}",
                lambda: client.collect_report(self.tokens, account, asked),
                lambda reading: reading.left_out if reading else (),
            )

    def _try(
        self, step: str, ask: Callable[[], T], left_out: Callable[[T], Sequence[OddRow]] = lambda _: ()
    ) -> Iterator[Check]:
        """Take a step, keep its result or its error, and yield a check for each kind of request in it."""
        del self.recorder.exchanges[:]
        odd: Sequence[OddRow] = ()
        self._result = self._error = error = None
        try:
            result = ask()
            self._result, odd = result, left_out(result)
        except PlatformError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it is, the other requests are checked
            error = InvalidReply(self.client.platform, f"sent what we cannot read ({type(failure).__name__})")
        self._error = error
        kinds: dict[tuple[object, ...], list[Exchange]] = {}
        for exchange in self.recorder.exchanges:
            kinds.setdefault(exchange.shape, []).append(exchange)
        last = self.recorder.exchanges[-1] if self.recorder.exchanges else None
        if last is None and error is not None:
            yield Check(step, Verdict.NOT_TRIED, error.message, error.code)
        for exchanges in kinds.values():
            yield _check(step, exchanges, error if last in exchanges else None, odd if last in exchanges else ())


def _check(step: str, exchanges: Sequence[Exchange], error: PlatformError | None, odd: Sequence[OddRow]) -> Check:
    """Judge the requests of one kind; a kind is refused if none of them was accepted."""
    verdict, why, code = Verdict.ACCEPTED, "", None
    refused = [exchange.status for exchange in exchanges if exchange.is_refused]
    if error is not None:
        verdict, why, code = _verdict_on(error), error.message, error.code
    elif len(refused) == len(exchanges):
        verdict, why = Verdict.REFUSED, f"answered HTTP {refused[0]}; the jobs go on without it"
    elif odd:
        verdict, why = Verdict.UNEXPECTED, odd[0].why
    elif max(exchange.seconds or 0 for exchange in exchanges) > SLOW_SECONDS:
        verdict, why = Verdict.SLOW, f"took over {SLOW_SECONDS:g} seconds; we wait {READ_TIMEOUT_SECONDS:g}"
    elif refused:
        why = f"{len(refused)} of {len(exchanges)} were answered HTTP {refused[0]}"
    shown = exchanges[-1] if error is not None else max(exchanges, key=lambda exchange: exchange.rows)
    return Check(step, verdict, why, code, shown, len(exchanges), len(odd), odd[0].id if odd else None)


def _verdict_on(error: PlatformError) -> Verdict:
    match error:
        case ProductNotEnabled():
            return Verdict.SKIPPED
        case Unreached():
            return Verdict.NOT_TRIED
        case Unavailable():
            return Verdict.UNEXPECTED
        case _:
            return Verdict.REFUSED
