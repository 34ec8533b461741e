"""Checking a platform with a real grant: sends each read-only request of the jobs once, in its smallest form.

The clients of the jobs send the requests. Nothing is stored.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

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
from sivera.values import AccountStatus, AdAccount, DateWindow, OddRow, Period, PlatformName, ReportRequest

SLOW_SECONDS = READ_TIMEOUT_SECONDS / 2
CHANGED_WITHIN = timedelta(days=7)
"""Something has usually changed in this time, so Google is asked for changed campaigns too."""


class Verdict(StrEnum):
    """The outcome of a request. `SKIPPED` means that the account lacks what it is about, and is not a fault."""

    ACCEPTED = "accepted"
    SLOW = "slow"
    SKIPPED = "skipped"
    REFUSED = "refused"
    UNEXPECTED = "unexpected"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Check:
    """One kind of request in a step, and its outcome: `why` is a sentence, `code` the platform's own.

    `exchange` is the request that failed or, if none did, that returned most rows; None if none was sent. `left_out`
    counts the odd rows, and `row` names the first of them.
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
    """A breaker that stays closed: a refused request does not stop the next one."""

    def open(self, *_: Any, **__: Any) -> None:
        """Stay closed."""


def open_recorded(platform: PlatformName, app: AppCredentials) -> tuple[PlatformClient, Recorder]:
    """Return a client and a recorder of its requests."""
    http = new_http_client()
    return open_client(platform, app, _NeverWaits(), http), Recorder(http, app.base_url)


def exit_code(checks: Sequence[Check]) -> int:
    """Return 1 if a request was not accepted, 2 if the platform could not be tried, otherwise 0."""
    verdicts = {check.verdict for check in checks}
    if verdicts & {Verdict.REFUSED, Verdict.UNEXPECTED}:
        return 1
    return 2 if Verdict.NOT_TRIED in verdicts or not verdicts else 0


@dataclass(frozen=True)
class Checker:
    """Sends the requests. `known` are ad accounts of the grant, in case they cannot be listed."""

    client: PlatformClient
    recorder: Recorder
    tokens: TokenSource
    known: Sequence[AdAccount] = ()

    def run(self, now: datetime) -> Iterator[Check]:
        """Send the requests one after the other, and yield their outcomes."""
        client, tokens = self.client, self.tokens
        listed = yield from self._try("ad accounts", client.list_accounts, tokens)
        accounts = (*getattr(listed, "accounts", ()), *self.known)
        account = next((account for account in accounts if account.status is AccountStatus.ACTIVE), None)
        if account is None:
            yield Check("everything else", Verdict.NOT_TRIED, "the grant reaches no open ad account")
            return
        day = now.astimezone(find_zone(account.timezone)).date() - timedelta(days=1)
        window, week = DateWindow(since=day, until=day), Period(since=now - CHANGED_WITHIN, until=now)
        for product in client.products:
            of = f" of {product}" if product else ""
            listing = yield from self._try(f"campaigns{of}", client.list_campaigns, tokens, account, product)
            if not product:
                yield from self._try("campaigns that changed", client.list_campaigns, tokens, account, product, week)
            ids = [campaign.external_id for campaign in getattr(listing, "campaigns", ())[:1]]
            if ids and isinstance(client, ConfirmsDeletions):
                yield from self._try("whether one is deleted", client.deleted_among, tokens, account, ids)
            if isinstance(client, PreparesReports) and not isinstance(listing, ProductNotEnabled):
                found = yield from self._try(f"report{of}", client.request_report, tokens, account, product, window)
                if isinstance(found, str):
                    report = ReportRequest(report_id=found, ad_product=product, window=window, requested_at=now)
                    yield from self._try(f"state of a report{of}", client.collect_report, tokens, account, report)
        if isinstance(client, AnswersAtOnce):
            yield from self._try("metrics of a day", client.read_metrics, tokens, account, window)
            yield from self._try("totals of a day", client.read_totals, tokens, account, window)

    def _try(self, step: str, ask: Callable[..., Any], *arguments: Any) -> Generator[Check, None, Any]:
        """Take a step, yield a check for each kind of request that it sends, and return its result or error."""
        del self.recorder.exchanges[:]
        error: PlatformError | None = None
        parts: list[Any] = []
        result: Any
        try:
            result = ask(*arguments)
            parts = list(result) if isinstance(result, Iterator) else [result]
        except PlatformError as failure:
            result = error = failure
        except Exception as failure:  # noqa: BLE001 - the other requests are still checked
            result = error = InvalidReply(self.client.platform, f"sent something unreadable ({type(failure).__name__})")
        odd = [row for part in parts for row in getattr(part, "left_out", ())]
        kinds: dict[tuple[object, ...], list[Exchange]] = {}
        for exchange in self.recorder.exchanges:
            kinds.setdefault(exchange.shape, []).append(exchange)
        last = self.recorder.exchanges[-1] if self.recorder.exchanges else None
        if last is None and error is not None:
            yield Check(step, Verdict.NOT_TRIED, error.message, error.code)
        for exchanges in kinds.values():
            yield _check(step, exchanges, error if last in exchanges else None, odd if last in exchanges else ())
        return result


def _check(step: str, exchanges: Sequence[Exchange], error: PlatformError | None, odd: Sequence[OddRow]) -> Check:
    """Judge the requests of one kind, which is refused if none of them was accepted."""
    verdict, why, code = Verdict.ACCEPTED, "", None
    refused = [exchange.status for exchange in exchanges if exchange.is_refused]
    if error is not None:
        verdict, why, code = _verdict_on(error), error.message, error.code
    elif len(refused) == len(exchanges):
        verdict, why = Verdict.REFUSED, f"answered HTTP {refused[0]}; the jobs go on without it"
    elif odd:
        verdict, why = Verdict.UNEXPECTED, odd[0].why
    elif max(exchange.seconds or 0 for exchange in exchanges) > SLOW_SECONDS:
        verdict = Verdict.SLOW
        why = f"took over {SLOW_SECONDS:g} seconds; calls time out after {READ_TIMEOUT_SECONDS:g}"
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
