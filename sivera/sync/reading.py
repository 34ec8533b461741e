"""Read a part of an account over HTTP, and store it in one transaction with its cursor.

A killed process therefore leaves either the old state or the new one, and a sync may be repeated.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date

from sqlalchemy.orm import Session

from sivera import values
from sivera.database import reading
from sivera.errors import PlatformError
from sivera.platforms.base import AnswersAtOnce, ConfirmsDeletions, PreparesReports
from sivera.sync import queries, rules
from sivera.sync.parts import Part, PartKind, PartState
from sivera.sync.reader import Reader
from sivera.sync.report_reading import read_reports
from sivera.sync.summary import Outcome, PartSync, held_campaigns, held_days


def read_part(reader: Reader, part: Part) -> PartSync:
    """Read and store a part of an account.

    Raises:
        SiveraError: The part failed. Its stored data stays.
        OvertakenError: A newer sync was faster.
    """
    read, state = _READ[part.kind], reader.states[part]
    if part.kind is PartKind.METRICS and isinstance(reader.client, PreparesReports):
        read = read_reports
    result = read(reader, part, state)
    if state.as_of is None or state.as_of <= reader.as_of:
        return result
    ahead = f"the time of its last sync, {state.as_of:%Y-%m-%d %H:%M} UTC, is ahead of the database's clock: ignored"
    return result.model_copy(update={"note": "; ".join(filter(None, (result.note, ahead)))})


def _read_campaigns(reader: Reader, part: Part, state: PartState) -> PartSync:
    # Held campaigns wait for a second complete listing.
    since = None if reader.is_full or state.held else state.as_of
    period = None if since is None or since > reader.as_of else values.Period(since=since, until=reader.as_of)
    listing = reader.client.list_campaigns(reader.tokens, reader.account, part.product, period)
    is_whole = listing.complete or (state.approved and listing.left_out)
    gone: list[str] = []
    held: list[str] = []
    after = state
    if period is None and state.as_of is not None and is_whole:  # before the first sync nothing can be missing
        gone, held = _missing(reader, part, state, listing)
        after = state.model_copy(update={"held": len(held), "approved": 0})  # an approval is for one listing
    with Session(reader.engine) as session, session.begin():
        added, changed, removed = queries.upsert_campaigns(session, reader.due.id, listing.campaigns, reader.as_of)
        queries.remove_campaigns(session, reader.due.id, gone, held, reader.as_of)
        after = rules.succeeded(after, reader.as_of, full=reader.is_full, left_out=listing.left_out)
        reader.write(session, part, after)
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        note=held_campaigns(after.held, reader.due.id) if after.held else "",
        left_out=listing.left_out,
        added=added,
        changed=changed,
        unchanged=len(listing.campaigns) - added - changed - removed,
        removed=removed + len(gone),
    )


def _missing(
    reader: Reader, part: Part, state: PartState, listing: values.CampaignListing
) -> tuple[list[str], list[str]]:
    """Return the campaigns that are gone and those to hold, of those that a complete listing does not have.

    If there are many, a platform that can confirm deletions is asked for them by id.
    """
    listed = [one.external_id for one in listing.campaigns] + [one.id for one in listing.left_out if one.id]
    with Session(reading(reader.engine)) as session:
        missing = queries.missing_campaigns(session, reader.due.id, part.product, listed)
    total = len(missing) + sum(one.status is not values.CampaignStatus.REMOVED for one in listing.campaigns)
    confirmed: frozenset[str] = frozenset()
    if listing.complete and isinstance(reader.client, ConfirmsDeletions) and rules.are_many(len(missing), total):
        with suppress(PlatformError):  # unconfirmed, they are held
            confirmed = reader.client.deleted_among(reader.tokens, reader.account, list(missing))
    gone = rules.gone(missing, total, state.approved, confirmed, reader.as_of)
    return gone, sorted(missing.keys() - set(gone))


def _read_metrics(reader: Reader, part: Part, state: PartState) -> PartSync:
    assert isinstance(reader.client, AnswersAtOnce)  # noqa: S101 - all others prepare reports
    actions = (reader.conversion,) if reader.conversion else ()
    readings = reader.client.read_metrics(reader.tokens, reader.account, reader.window(state), actions)
    written = held = 0
    left_out: list[values.OddRow] = []
    since, until = date.max, date.min
    for each, is_last in _with_last(readings):
        left_out += each.left_out
        since, until = min(since, each.window.since), max(until, each.window.until)
        window = values.DateWindow(since=since, until=until) if is_last else each.window
        with Session(reader.engine) as session, session.begin():
            replaced = queries.replace_window(session, reader.due.id, part.product, each, reader.as_of)
            written, held = written + replaced.written, held + replaced.held
            if replaced.written and Part(kind=PartKind.TOTALS) in reader.states:
                queries.lower_unattributed(session, reader.due.id, each.window)
            after = rules.covering(reader.states[part], window, reader.today, replace=is_last)
            if is_last:
                after = rules.succeeded(after, reader.as_of, full=reader.is_full, left_out=left_out)
                after = after.model_copy(update={"held": held, "figures_as_of": reader.as_of})
            reader.write(session, part, after)
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        metric_rows=written,
        left_out=tuple(left_out),
        note=held_days(held) if held else "",
    )


def _with_last(readings: Iterator[values.MetricsReading]) -> Iterator[tuple[values.MetricsReading, bool]]:
    """Yield each reading and whether it is the last. Yield what was read before an error, then raise the error."""
    ready: values.MetricsReading | None = None
    try:
        for each in readings:
            if ready is not None:
                yield ready, False
            ready = each
    except Exception:
        if ready is not None:
            yield ready, False
        raise
    if ready is not None:
        yield ready, True


def _read_totals(reader: Reader, part: Part, state: PartState) -> PartSync:
    assert isinstance(reader.client, AnswersAtOnce)  # noqa: S101 - no other platform has this part
    window = reader.window(state)
    totals = reader.client.read_totals(reader.tokens, reader.account, window)
    with Session(reader.engine) as session, session.begin():
        held = queries.write_totals(session, reader.due.id, window, totals, reader.as_of)
        after = rules.succeeded(state, reader.as_of, full=True, left_out=totals.left_out)
        reader.write(session, part, after.model_copy(update={"held": held}))
    return PartSync(part=part, outcome=Outcome.SYNCED, left_out=totals.left_out, note=held_days(held) if held else "")


_READ: dict[PartKind, Callable[[Reader, Part, PartState], PartSync]] = {
    PartKind.CAMPAIGNS: _read_campaigns,
    PartKind.METRICS: _read_metrics,
    PartKind.TOTALS: _read_totals,
}
