"""Read a part of an account over HTTP, and store it in one transaction with its cursor.

Cursor and data are written together. A process that is killed leaves either the old state or the new one, and a second
run of the same sync finds nothing to change.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera import values
from sivera.errors import ConfigurationError, InvalidRequest, LeftAlone, PlatformError, Throttled, Unavailable
from sivera.grants.source import GrantTokenSource
from sivera.platforms.base import (
    AnswersAtOnce,
    ConfirmsDeletions,
    CountsActions,
    PlatformClient,
    PreparesReports,
    ReportLost,
)
from sivera.sync import part_queries, queries, reports, rules
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.plan import DueAccount, SyncMode
from sivera.sync.summary import Outcome, PartSync, held_campaigns, held_days


class OvertakenError(Exception):
    """A sync that began later was faster: what this one has read is older than what is stored."""


@dataclass(frozen=True)
class Reader:
    """The sync of one account under way. `as_of` is when it began, on the database's clock, like everything stored.

    `conversion` is the action that the team counts as a conversion, on a platform where it may choose.
    """

    engine: Engine
    now: Callable[[Session], datetime]
    due: DueAccount
    account: values.AdAccount
    client: PlatformClient
    tokens: GrantTokenSource
    credential_id: int
    conversion: str | None
    mode: SyncMode
    lookback_days: int | None
    as_of: datetime

    @property
    def is_full(self) -> bool:
        """Whether this sync reads everything."""
        return self.mode is SyncMode.FULL

    @cached_property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        try:
            return ZoneInfo(self.account.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigurationError(
                f"account {self.due.id} has the time zone '{self.account.timezone}', which is unknown: connect its "
                "grant again, which reads the time zone again, or correct it in ad_accounts"
            ) from None

    def window(self, state: PartState) -> values.DateWindow:
        """Return the days to read."""
        today = self.as_of.astimezone(self.zone).date()
        return rules.metrics_window(self.due.platform, self.mode, self.lookback_days, today, state)

    @contextmanager
    def storing(self, part: Part) -> Iterator[tuple[Session, PartState, datetime]]:
        """Open the transaction that stores what was read of a part; yield it, the part's state and the time.

        Raises:
            OvertakenError: What is stored is newer.
        """
        with Session(self.engine) as session, session.begin():
            state = part_queries.lock_part(session, self.due.id, part)
            now = self.now(session)
            if state is None or (state.as_of is not None and self.as_of < state.as_of <= now):
                raise OvertakenError
            yield session, state, now


def read_part(reader: Reader, part: Part, state: PartState) -> PartSync:
    """Read and store a part of an account.

    Raises:
        SiveraError: The part failed; what was stored of it before stays.
        OvertakenError: A newer sync was faster.
    """
    read = _READ[part.kind]
    if part.kind is PartKind.METRICS and isinstance(reader.client, PreparesReports):
        read = _read_reports
    result = read(reader, part, state)
    if state.as_of is None or state.as_of <= reader.as_of:
        return result
    ahead = f"its last sync is of {state.as_of:%Y-%m-%d %H:%M} UTC, ahead of the database's clock, and was ignored"
    return result.model_copy(update={"note": "; ".join(filter(None, (result.note, ahead)))})


def _read_campaigns(reader: Reader, part: Part, state: PartState) -> PartSync:
    # Held campaigns wait for a second complete listing.
    since = None if reader.is_full or state.held else state.as_of
    changed = None if since is None or since > reader.as_of else values.Period(since=since, until=reader.as_of)
    listing = reader.client.list_campaigns(reader.tokens, reader.account, part.product, changed)
    gone = _confirmed_deletions(reader, part, listing) if changed is None else frozenset()
    with reader.storing(part) as (session, stored, now):
        added, changed_, removed = queries.upsert_campaigns(session, reader.due.id, listing.campaigns, now)
        unchanged = len(listing.campaigns) - added - changed_ - removed
        held, approved = stored.held, stored.approved
        if changed is None and listing.complete:
            ended, held = _remove_missing(session, reader.due.id, part, stored, listing, gone, now)
            removed, approved = removed + ended, 0  # an approval is for one listing
        after = rules.succeeded(stored, reader.as_of, now, full=reader.is_full, left_out=listing.left_out)
        after = after.model_copy(update={"held": held, "approved": approved})
        part_queries.write_part(session, reader.due.id, part, after)
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        note=held_campaigns(held, reader.due.id) if held else "",
        left_out=listing.left_out,
        added=added,
        changed=changed_,
        unchanged=unchanged,
        removed=removed,
    )


def _confirmed_deletions(reader: Reader, part: Part, listing: values.CampaignListing) -> frozenset[str]:
    """Ask for the campaigns that a complete listing lacks by their ids, if they are many and the platform can tell."""
    if not listing.complete or not isinstance(reader.client, ConfirmsDeletions):
        return frozenset()
    with Session(reader.engine) as session:
        missing, total = queries.missing_campaigns(session, reader.due.id, part.product, _ids(listing))
    if not missing or not rules.too_many_removals(len(missing), total):
        return frozenset()
    return reader.client.deleted_among(reader.tokens, reader.account, list(missing))


def _remove_missing(
    session: Session,
    account_id: int,
    part: Part,
    state: PartState,
    listing: values.CampaignListing,
    gone: frozenset[str],
    now: datetime,
) -> tuple[int, int]:
    """Remove the campaigns that a complete listing lacks. Return how many were removed, and how many are held."""
    missing, total = queries.missing_campaigns(session, account_id, part.product, _ids(listing))
    if len(missing) > state.approved and rules.too_many_removals(len(missing) - len(gone & missing.keys()), total):
        agreed = now - rules.AGREES_AFTER
        ended = [id_ for id_, since in missing.items() if id_ in gone or (since is not None and since <= agreed)]
    else:
        ended = list(missing)
    if ended:
        queries.remove_campaigns(session, account_id, ended, now)
    held = sorted(missing.keys() - set(ended))
    if held:
        queries.hold_campaigns(session, account_id, held, now)
    return len(ended), len(held)


def _ids(listing: values.CampaignListing) -> list[str]:
    return [campaign.external_id for campaign in listing.campaigns]


def _read_metrics(reader: Reader, part: Part, state: PartState) -> PartSync:
    assert isinstance(reader.client, AnswersAtOnce)  # noqa: S101 - one or the other kind of platform
    written = held = 0
    left_out: list[values.OddRow] = []
    reading = None
    client, asked = reader.client, (reader.tokens, reader.account, reader.window(state))
    if reader.conversion and isinstance(client, CountsActions):
        readings = client.read_metrics(*asked, (reader.conversion,))
    else:
        readings = client.read_metrics(*asked)
    while True:
        failure: Exception | None = None
        try:
            following = next(readings, None)
        except PlatformError as error:
            following, failure = None, error
        if reading is not None:
            left_out += reading.left_out
            is_last = following is None and failure is None
            replaced = _store_metrics(reader, part, reading, is_last=is_last, left_out=left_out, held=held)
            written, held = written + replaced.written, held + replaced.held
        if failure is not None:
            raise failure
        if following is None:
            break
        reading = following
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        metric_rows=written,
        left_out=tuple(left_out),
        note=held_days(held) if held else "",
    )


def _store_metrics(
    reader: Reader,
    part: Part,
    reading: values.MetricsReading,
    *,
    is_last: bool,
    left_out: list[values.OddRow],
    held: int,
) -> queries.Replaced:
    with reader.storing(part) as (session, stored, now):
        replaced = queries.replace_window(session, reader.due.id, part.product, reading, now, now - rules.AGREES_AFTER)
        after = rules.covering(stored, reading.window)
        if is_last:
            after = rules.succeeded(after, reader.as_of, now, full=reader.is_full, left_out=left_out)
            after = after.model_copy(update={"held": held + replaced.held, "figures_as_of": reader.as_of})
        part_queries.write_part(session, reader.due.id, part, after)
    return replaced


def _read_totals(reader: Reader, part: Part, state: PartState) -> PartSync:
    assert isinstance(reader.client, AnswersAtOnce)  # noqa: S101 - only such a platform has this part
    window = reader.window(state)
    totals = reader.client.read_totals(reader.tokens, reader.account, window)
    with reader.storing(part) as (session, stored, now):
        queries.write_totals(session, reader.due.id, window, totals, now)
        after = rules.succeeded(stored, reader.as_of, now, full=True, left_out=())
        part_queries.write_part(session, reader.due.id, part, after)
    return PartSync(part=part, outcome=Outcome.SYNCED)


def _read_reports(reader: Reader, part: Part, state: PartState) -> PartSync:
    """Collect the reports that are ready, and request the days that no report has or will have.

    A report that cannot be collected is given up after some attempts, and never holds up another one.
    """
    client = reader.client
    assert isinstance(client, PreparesReports)  # noqa: S101 - only such a platform comes here
    collected, trouble = _collect(reader, client, part)
    today = reader.as_of.astimezone(reader.zone).date()
    windows = client.report_windows(part.product, reader.window(state), today)
    known = _requests(reader, part)
    for window in reports.windows_to_ask(windows, known, reader.as_of):
        report_id = client.request_report(reader.tokens, reader.account, part.product, window)
        request = values.ReportRequest(
            report_id=report_id, ad_product=part.product, window=window, requested_at=reader.as_of
        )
        # At once: whatever fails after this, a later run collects it.
        with Session(reader.engine) as session, session.begin():
            part_queries.add_request(session, reader.due.id, request)
    if not collected:
        if trouble is not None:
            raise trouble
        since = reports.undelivered_since(known)
        if since is not None and reader.as_of - since >= rules.LASTING:
            raise LeftAlone(reader.due.platform, f"has delivered no report since {since:%Y-%m-%d %H:%M} UTC")
    left_out = [row for _, reading in collected for row in reading.left_out]
    with reader.storing(part) as (session, stored, now):
        after = rules.succeeded(stored, reader.as_of, now, full=reader.is_full, left_out=left_out)
        # Until the first report has arrived, its age is counted from the request.
        after = after.model_copy(update={"figures_as_of": stored.figures_as_of or reader.as_of})
        part_queries.write_part(session, reader.due.id, part, after)
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        metric_rows=sum(replaced.written for replaced, _ in collected),
        left_out=tuple(left_out),
        note=held_days(after.held) if after.held else "",
    )


def _requests(reader: Reader, part: Part) -> list[reports.KnownRequest]:
    with Session(reader.engine) as session:
        return part_queries.read_requests(session, reader.due.id, part.product)


def _collect(
    reader: Reader, client: PreparesReports, part: Part
) -> tuple[list[tuple[queries.Replaced, values.MetricsReading]], PlatformError | None]:
    """Collect the reports that are ready, the newest first; an older one adds the days that no newer one has.

    Return what was collected, and what went wrong with a report that was not.
    """
    collected: list[tuple[queries.Replaced, values.MetricsReading]] = []
    trouble: PlatformError | None = None
    until: date | None = None
    for request in reversed([one for one in _requests(reader, part) if one.ended_at is None]):
        is_over, is_failure = until is not None and request.window.since > until, False
        if not is_over:
            try:
                reading = client.collect_report(reader.tokens, reader.account, request)
            except ReportLost as error:
                trouble, is_over = error, True
            except (Unavailable, Throttled, InvalidRequest) as error:
                trouble, is_failure = error, not isinstance(error, Throttled)
            else:
                if reading is not None:
                    collected.append((_store_report(reader, part, request, reading, until), reading))
                    until = request.window.since - timedelta(days=1)
                    continue
        with Session(reader.engine) as session, session.begin():
            part_queries.leave_request(session, reader.due.id, request, reader.as_of, failed=is_failure, over=is_over)
    return collected, trouble


def _store_report(
    reader: Reader, part: Part, request: reports.KnownRequest, reading: values.MetricsReading, until: date | None
) -> queries.Replaced:
    """Store what a report holds of the days up to `until`, and end its request."""
    if until is not None:
        window = reading.window.model_copy(update={"until": min(until, reading.window.until)})
        rows = tuple(row for row in reading.rows if row.day <= window.until)
        reading = reading.model_copy(update={"window": window, "rows": rows})
    with reader.storing(part) as (session, stored, now):
        replaced = queries.replace_window(session, reader.due.id, part.product, reading, now, now - rules.AGREES_AFTER)
        after = rules.covering(stored, reading.window)
        if until is None:
            as_of = rules.report_as_of(request.window, request.requested_at, reader.zone)
            newest = max(as_of, stored.figures_as_of or as_of)
            after = after.model_copy(update={"figures_as_of": newest, "held": replaced.held})
        part_queries.write_part(session, reader.due.id, part, after)
        part_queries.end_request(session, reader.due.id, request.report_id, now, collected=True)
    return replaced


_READ: dict[PartKind, Callable[[Reader, Part, PartState], PartSync]] = {
    PartKind.CAMPAIGNS: _read_campaigns,
    PartKind.METRICS: _read_metrics,
    PartKind.TOTALS: _read_totals,
}
