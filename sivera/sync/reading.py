"""Read a part of an account over HTTP, and store it in one transaction with its cursor.

Cursor and data are written together. A process that is killed leaves either the old state or the new one, and a second
run of the same sync finds nothing to change.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime

from sqlalchemy.orm import Session

from sivera import values
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
        SiveraError: The part failed; what was stored of it before stays.
        OvertakenError: A newer sync was faster.
    """
    read, state = _READ[part.kind], reader.state(part)
    if part.kind is PartKind.METRICS and isinstance(reader.client, PreparesReports):
        read = read_reports
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
    may_lack = changed is None and state.as_of is not None  # else there is nothing that it could lack
    gone = _confirmed_deletions(reader, part, listing) if may_lack else frozenset()
    now = reader.as_of
    with Session(reader.engine) as session, session.begin():
        added, changed_, removed = queries.upsert_campaigns(session, reader.due.id, listing.campaigns, now)
        unchanged = len(listing.campaigns) - added - changed_ - removed
        held, approved = state.held, state.approved
        if may_lack and (listing.complete or (approved and listing.left_out)):
            ended, held = _remove_missing(session, reader.due.id, part, state, listing, gone, now)
            removed, approved = removed + ended, 0  # an approval is for one listing
        after = rules.succeeded(state, now, full=reader.is_full, left_out=listing.left_out)
        reader.write(session, part, after.model_copy(update={"held": held, "approved": approved}))
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
    with suppress(PlatformError):  # then they are held
        return reader.client.deleted_among(reader.tokens, reader.account, list(missing))
    return frozenset()


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
    return [*(campaign.external_id for campaign in listing.campaigns), *(row.id for row in listing.left_out if row.id)]


def _read_metrics(reader: Reader, part: Part, state: PartState) -> PartSync:
    assert isinstance(reader.client, AnswersAtOnce)  # noqa: S101 - one or the other kind of platform
    written = held = 0
    left_out: list[values.OddRow] = []
    reading = None
    since, until = date.max, date.min
    actions = (reader.conversion,) if reader.conversion else ()
    readings = reader.client.read_metrics(reader.tokens, reader.account, reader.window(state), actions)
    while True:
        failure: Exception | None = None
        try:
            following = next(readings, None)
        except Exception as error:  # noqa: BLE001 - what was read before is stored, then it is raised
            following, failure = None, error
        if reading is not None:
            left_out += reading.left_out
            since, until = min(since, reading.window.since), max(until, reading.window.until)
            is_last = following is None and failure is None
            read = values.DateWindow(since=since, until=until) if is_last else None
            replaced = _store_metrics(reader, part, reading, read, left_out=left_out, held=held)
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
    whole: values.DateWindow | None,
    *,
    left_out: list[values.OddRow],
    held: int,
) -> queries.Replaced:
    now = reader.as_of
    with Session(reader.engine) as session, session.begin():
        replaced = queries.replace_window(session, reader.due.id, part.product, reading, now, now - rules.AGREES_AFTER)
        window, is_last = whole or reading.window, whole is not None
        after = rules.covering(reader.state(part), window, reader.today, replace=is_last)
        if replaced.written and Part(kind=PartKind.TOTALS) in reader.states:
            queries.lower_unattributed(session, reader.due.id, reading.window)
        if is_last:
            after = rules.succeeded(after, now, full=reader.is_full, left_out=left_out)
            after = after.model_copy(update={"held": held + replaced.held, "figures_as_of": now})
        reader.write(session, part, after)
    return replaced


def _read_totals(reader: Reader, part: Part, state: PartState) -> PartSync:
    assert isinstance(reader.client, AnswersAtOnce)  # noqa: S101 - only such a platform has this part
    window = reader.window(state)
    reading, now = reader.client.read_totals(reader.tokens, reader.account, window), reader.as_of
    with Session(reader.engine) as session, session.begin():
        held = queries.write_totals(session, reader.due.id, window, reading, now, now - rules.AGREES_AFTER)
        after = rules.succeeded(state, now, full=True, left_out=reading.left_out)
        reader.write(session, part, after.model_copy(update={"held": held}))
    return PartSync(part=part, outcome=Outcome.SYNCED, left_out=reading.left_out, note=held_days(held) if held else "")


_READ: dict[PartKind, Callable[[Reader, Part, PartState], PartSync]] = {
    PartKind.CAMPAIGNS: _read_campaigns,
    PartKind.METRICS: _read_metrics,
    PartKind.TOTALS: _read_totals,
}
