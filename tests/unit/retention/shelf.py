"""Rows of the kinds that the jobs write, of any age, for the tests of the cleanup."""

from dataclasses import dataclass

from sqlalchemy import text

from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.tables import TABLES
from tests.unit.retention.attic import Attic

DAYS = {kind: CleanupOptions().days(kind) for kind in Kind}

OVER = {
    Kind.ALERTS: """
        INSERT INTO alerts (kind, subject, title, message, since, link, opened_at, closed_at)
        SELECT 'data-stale', 'account-' || n, 'old', 'old', at, '', at, at FROM times""",
    Kind.BUDGET_ALERTS: """
        INSERT INTO budget_alerts (kind, subject, title, team_id, threshold, opened_at, closed_at)
        SELECT 'budget', 'account-1.month', 'old', (SELECT max(id) FROM teams), 90, at, at FROM times""",
    Kind.PLATFORM_OUTAGES: """
        INSERT INTO platform_outages (platform, began_at, ended_at) SELECT 'meta', at, at FROM times""",
    Kind.BACKUPS: """
        INSERT INTO backups (run_id, started_at, finished_at, outcome, path, deleted_at)
        SELECT gen_random_uuid(), at, at, 'verified', 'a/' || n, at FROM times""",
    # Of runs that were refused: others would tell the next run a time.
    Kind.CLEANUP_RUNS: """
        INSERT INTO cleanup_runs (run_id, kind, cutoff, dry_run, started_at, refused)
        SELECT gen_random_uuid(), 'sessions', at, false, at, 'refused' FROM times""",
    Kind.SYNC_RUNS: """
        INSERT INTO sync_runs (id, mode, started_at, finished_at, summary)
        SELECT gen_random_uuid(), 'incremental', at, at, '{}' FROM times""",
    Kind.PLATFORM_CALLS: """
        INSERT INTO platform_calls (run_id, platform, at, api, login, throttled, used_percent)
        SELECT gen_random_uuid(), CASE n % 2 WHEN 0 THEN 'meta' ELSE 'google' END, at, n, 2, 1, 50 FROM times""",
    Kind.OUTBOX_EVENTS: """
        INSERT INTO outbox_events (name, resource, payload, created_at, published_at)
        SELECT 'sivera.platform.down', 'sivera.platform.meta', '{}', at, at FROM times""",
    Kind.REPORTS: """
        INSERT INTO reports (team_id, day, version, checksum, html_path, csv_path, summary, created_at)
        SELECT (SELECT max(id) FROM teams), at, n, '', '', '', '{}', at FROM times""",
    Kind.JOB_OCCURRENCES: """
        INSERT INTO job_occurrences (deployment, scheduled_at, job, schedule, outcome, ended_at, updated_at)
        SELECT 'sync-campaigns/' || gen_random_uuid(), at, 'sync-campaigns', 'hourly', 'ran', at, at FROM times""",
    Kind.TOKEN_REFRESH_LOGS: """
        INSERT INTO token_refresh_logs
               (credential_id, platform, generation, token_fingerprint, owner, deadline, started_at, outcome)
        SELECT (SELECT max(id) FROM platform_credentials), 'google', n, 'f', 'o', at, at, 'renewed' FROM times""",
}
"""What puts rows of a kind that are over on the shelf: `times` has the time of each, and its number."""

HELD = {
    Kind.ALERTS: "UPDATE alerts SET closed_at = NULL",
    Kind.BUDGET_ALERTS: "UPDATE budget_alerts SET closed_at = NULL",
    Kind.PLATFORM_OUTAGES: "UPDATE platform_outages SET ended_at = NULL",
    Kind.BACKUPS: "UPDATE backups SET deleted_at = NULL",
    Kind.OUTBOX_EVENTS: "UPDATE outbox_events SET published_at = NULL",
    Kind.JOB_OCCURRENCES: "UPDATE job_occurrences SET outcome = 'waiting', ended_at = NULL",
    Kind.TOKEN_REFRESH_LOGS: "UPDATE token_refresh_logs SET outcome = NULL, generation = 0",
}
"""What makes of a row one that is still open."""


@dataclass(frozen=True)
class Shelf:
    """Puts rows of one kind into a database, and looks at what is left."""

    attic: Attic
    kind: Kind

    def add(self, count: int, ago: str, *, held: bool = False, apart: str = "1 second") -> list[str]:
        """Add rows of so long ago (an SQL interval), each a little older than the one before; return their keys."""
        before = self.contents()
        with self.attic.engine.begin() as connection:
            times = """WITH times AS (
                SELECT n, now() - CAST(:ago AS interval) - n * CAST(:apart AS interval) AS at
                FROM generate_series(1, :count) AS n)"""
            connection.execute(text(f"{times} {OVER[self.kind]}"), {"count": count, "ago": ago, "apart": apart})
        added = sorted(set(self.contents()) - set(before))
        if held:
            self.attic.execute(f"{HELD[self.kind]} WHERE {self.key} = ANY(:keys)", keys=added)
        return sorted(set(self.contents()) - set(before))

    @property
    def key(self) -> str:
        """What tells rows apart, in SQL."""
        return "id::text" if TABLES[self.kind].key == "id" else f"({TABLES[self.kind].key} || '')"

    def contents(self) -> list[str]:
        """The keys of the rows that are there."""
        return sorted(row[0] for row in self.attic.rows(f"SELECT {self.key} FROM {self.kind.value}"))  # noqa: S608
