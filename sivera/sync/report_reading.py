"""Metrics that a platform prepares as reports: one run requests them, a later run collects and stores them."""

from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy.orm import Session

from sivera import values
from sivera.errors import LeftAlone, PlatformError, ReconnectRequired, Throttled
from sivera.platforms.base import PreparesReports, ReportLost
from sivera.sync import part_queries, queries, reports, rules
from sivera.sync.parts import Part, PartState
from sivera.sync.reader import Reader
from sivera.sync.summary import Outcome, PartSync, held_days


def read_reports(reader: Reader, part: Part, state: PartState) -> PartSync:
    """Collect the reports that are ready, and request days that no report covers.

    A report that cannot be collected is given up after some attempts, and never delays another one.
    """
    client = reader.client
    assert isinstance(client, PreparesReports)  # noqa: S101 - `read_part` has checked it
    known = [one for one in reader.requests if one.ad_product == part.product]
    collected, known, trouble = _collect(reader, client, part, known)
    window = reports.with_given_up(reader.window(state), known)
    windows = client.report_windows(part.product, window, reader.today)
    asked: values.ReportRequest | None = None
    for window in reports.windows_to_ask(windows, known, reader.as_of):
        _remember(reader, asked)
        report_id = client.request_report(reader.tokens, reader.account, part.product, window)
        asked = values.ReportRequest(
            report_id=report_id, ad_product=part.product, window=window, requested_at=reader.as_of
        )
    if not collected and (failure := trouble or _overdue(reader, known)):
        _remember(reader, asked)
        raise failure
    left_out = [row for _, reading in collected for row in reading.left_out]
    with Session(reader.engine) as session, session.begin():
        if asked is not None:
            part_queries.add_request(session, reader.due.id, asked)
        # A full sync needs a report on all days that may still change: see `_store_report`.
        state = rules.succeeded(reader.states[part], reader.as_of, full=False, left_out=left_out)
        # Until the first report arrives, the age of the figures counts from the request.
        state = state.model_copy(update={"figures_as_of": state.figures_as_of or reader.as_of})
        reader.write(session, part, state)
    notes = [held_days(state.held)] if state.held else []
    notes += [f"another report could not be collected: {trouble.message}"] if trouble else []
    return PartSync(
        part=part,
        outcome=Outcome.SYNCED,
        metric_rows=sum(replaced.written for replaced, _ in collected),
        left_out=tuple(left_out),
        note="; ".join(notes),
    )


def _remember(reader: Reader, asked: values.ReportRequest | None) -> None:
    """Store a request before anything else can fail, so that a later run can collect its report."""
    if asked is not None:
        with Session(reader.engine) as session, session.begin():
            part_queries.add_request(session, reader.due.id, asked)


def _overdue(reader: Reader, known: Sequence[reports.KnownRequest]) -> PlatformError | None:
    since = reports.undelivered_since(known)
    if since is None or reader.as_of - since < rules.LASTING:
        return None
    return LeftAlone(reader.due.platform, f"has delivered no report since {since:%Y-%m-%d %H:%M} UTC")


def _collect(
    reader: Reader, client: PreparesReports, part: Part, requests: Sequence[reports.KnownRequest]
) -> tuple[list[tuple[queries.Replaced, values.MetricsReading]], list[reports.KnownRequest], PlatformError | None]:
    """Collect the reports that are ready, the newest first. An older report adds only days that no newer one has.

    Return what was collected, the requests as they are now, and the last error, if any.
    """
    known = [one for one in requests if one.ended_at is not None]
    collected: list[tuple[queries.Replaced, values.MetricsReading]] = []
    trouble: PlatformError | None = None
    until: date | None = None
    for request in reversed([one for one in requests if one.ended_at is None]):
        is_over, is_failure, reading = until is not None and request.window.since > until, False, None
        if not is_over:
            try:
                reading = client.collect_report(reader.tokens, reader.account, request)
            except ReportLost as error:
                trouble, is_over = error, True
            except ReconnectRequired:
                raise
            except PlatformError as error:
                trouble, is_failure = error, not isinstance(error, Throttled)
        if reading is not None:
            now = request.model_copy(update={"ended_at": reader.as_of, "collected": True})
            collected.append((_store_report(reader, part, now, reading, until), reading))
            until = request.window.since - timedelta(days=1)
        else:
            now = reports.left(request, reader.as_of, failed=is_failure, over=is_over)
            if now != request:
                with Session(reader.engine) as session, session.begin():
                    part_queries.write_request(session, reader.due.id, now, reader.as_of)
        known.append(now)
    return collected, known, trouble


def _store_report(
    reader: Reader, part: Part, request: reports.KnownRequest, reading: values.MetricsReading, until: date | None
) -> queries.Replaced:
    """Store a report's days up to `until` (all if None), and its request, which has ended."""
    if until is not None:
        window = reading.window.model_copy(update={"until": min(until, reading.window.until)})
        rows = tuple(row for row in reading.rows if row.day <= window.until)
        reading = reading.model_copy(update={"window": window, "rows": rows})
    now = reader.as_of
    with Session(reader.engine) as session, session.begin():
        replaced = queries.replace_window(session, reader.due.id, part.product, reading, now)
        after = rules.covering(reader.states[part], reading.window, reader.today, replace=until is None)
        if until is None:
            as_of = rules.report_as_of(request.window, request.requested_at, reader.zone)
            newest = max(as_of, min(after.figures_as_of or as_of, now))
            after = after.model_copy(update={"figures_as_of": newest, "held": replaced.held})
        if len(request.window.days) >= rules.RESTATEMENT_DAYS[reader.due.platform]:
            after = after.model_copy(update={"last_full_at": now, **rules.NO_FULL_FAILURE})
        reader.write(session, part, after)
        part_queries.write_request(session, reader.due.id, request, now)
    return replaced
