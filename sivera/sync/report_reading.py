"""Metrics that a platform prepares as reports: one run requests them, a later run collects and stores them."""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy.orm import Session

from sivera import values
from sivera.errors import InvalidRequest, LeftAlone, PlatformError, Throttled, Unavailable
from sivera.platforms.base import PreparesReports, ReportLost
from sivera.sync import part_queries, queries, reports, rules
from sivera.sync.parts import Part, PartState
from sivera.sync.reader import Reader
from sivera.sync.summary import Outcome, PartSync, held_days


def read_reports(reader: Reader, part: Part, state: PartState) -> PartSync:
    """Collect the reports that are ready, and request the days that no report has or will have.

    A report that cannot be collected is given up after some attempts, and never holds up another one.
    """
    client = reader.client
    assert isinstance(client, PreparesReports)  # noqa: S101 - only such a platform comes here
    known = _requests(reader, part)
    is_open = [one for one in known if one.ended_at is None]
    collected, trouble = _collect(reader, client, part, is_open)
    if is_open:
        known = _requests(reader, part)
    today = reader.as_of.astimezone(reader.zone).date()
    windows = client.report_windows(part.product, reader.window(state), today)
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
    with Session(reader.engine) as session, session.begin():
        # Until the first report has arrived, its age is counted from the request.
        state = reader.states.get(part, PartState(figures_as_of=reader.as_of))
        state = rules.succeeded(state, reader.as_of, full=reader.is_full, left_out=left_out)
        reader.write(session, part, state)
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        metric_rows=sum(replaced.written for replaced, _ in collected),
        left_out=tuple(left_out),
        note=held_days(state.held) if state.held else "",
    )


def _requests(reader: Reader, part: Part) -> list[reports.KnownRequest]:
    with Session(reader.engine) as session:
        return part_queries.read_requests(session, reader.due.id, part.product)


def _collect(
    reader: Reader, client: PreparesReports, part: Part, requests: Sequence[reports.KnownRequest]
) -> tuple[list[tuple[queries.Replaced, values.MetricsReading]], PlatformError | None]:
    """Collect the reports that are ready, the newest first; an older one adds the days that no newer one has.

    Return what was collected, and what went wrong with a report that was not.
    """
    collected: list[tuple[queries.Replaced, values.MetricsReading]] = []
    trouble: PlatformError | None = None
    until: date | None = None
    for request in reversed(requests):
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
    now = reader.as_of
    with Session(reader.engine) as session, session.begin():
        replaced = queries.replace_window(session, reader.due.id, part.product, reading, now, now - rules.AGREES_AFTER)
        after = rules.covering(reader.states.get(part, PartState()), reading.window)
        if until is None:
            as_of = rules.report_as_of(request.window, request.requested_at, reader.zone)
            newest = max(as_of, after.figures_as_of or as_of)
            after = after.model_copy(update={"figures_as_of": newest, "held": replaced.held})
        reader.write(session, part, after)
        part_queries.end_request(session, reader.due.id, request.report_id, now, collected=True)
    return replaced
