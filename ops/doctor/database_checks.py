"""The checks of the database and of what is in it, of the blocks that lead there, and of the disk."""

import os
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy import URL

from blocks.database import load_database_url
from blocks.platform_app import load_platform_app
from blocks.token_key import load_keyring
from ops.commands.accounts import OVERDUE
from ops.commands.tables import to_minute
from ops.doctor.findings import Finding, Skipped, fault, few, ok, warning
from ops.doctor.installation import STATEMENT_SECONDS, Installation
from ops.doctor.server_checks import compare_clocks
from sivera import health_queries as health
from sivera.alerts.queries import stale_accounts
from sivera.clock import read_clock
from sivera.database import check, open_engine, parse_url, read_revisions
from sivera.errors import ConfigurationError
from sivera.grants.keys import require_keys
from sivera.values import PlatformName

ENDING = timedelta(days=1)
UNPUBLISHED = timedelta(hours=1)
GIBIBYTE = 2**30
LEAST_FREE_BYTES = GIBIBYTE
LEAST_FREE_SHARE = 0.1


def check_token_key(installation: Installation) -> Finding:
    """Load the keys to the stored tokens, and see that they are the right ones."""
    installation.require_server()
    keyring = load_keyring()
    try:
        with installation.session() as session:
            require_keys(session, keyring)
    except Skipped as needs:
        return ok(f"the block token-key/token-key loads; whether it is the right one is not known, for that {needs}")
    return ok("the block token-key/token-key has the keys that tokens are encrypted with")


def check_database_block(installation: Installation) -> Finding:
    """Load the credentials of the database."""
    installation.require_server()
    return ok(f"leads to {load_database_url().render_as_string(hide_password=True)}")


def check_database(installation: Installation) -> Finding:
    """Open the way to the database."""
    engine = open_engine(_database_url(installation), pool_size=1, statement_seconds=STATEMENT_SECONDS)
    installation.resources.callback(engine.dispose)
    check(engine)
    installation.opened_engine = engine
    return ok("answers")


def _database_url(installation: Installation) -> URL:
    """Return what the block says or, where the Prefect server is away, what the environment says."""
    try:
        installation.require_server()
        return load_database_url()
    except (Skipped, ConfigurationError):
        if given := os.environ.get("SIVERA_DATABASE_URL"):
            return parse_url(given)
        raise Skipped("needs the block sqlalchemy-connector/sivera-db, which names the database") from None


def check_migrations(installation: Installation) -> Finding:
    """Compare the database's revision with the newest."""
    revisions = read_revisions(installation.engine)
    if not revisions.is_known:
        return fault(
            f"the database is at revision {revisions.current}, which this version does not know",
            "install the newer version that migrated it",
        )
    if revisions.current != revisions.newest:
        return fault(
            f"the database is at revision {revisions.current or 'none'}, and the newest is {revisions.newest}",
            "run `sivera migrate`",
        )
    installation.is_migrated = True
    return ok(f"the database is at revision {revisions.newest}")


def check_database_clock(installation: Installation) -> Finding:
    """Compare this machine's clock with the database's."""
    with installation.session() as session:
        before = installation.now()
        theirs = read_clock(session)
        return compare_clocks("the database", theirs, before, installation.now())


def check_platform_apps(installation: Installation) -> Finding:
    """Load the keys of our application for each platform, and ask whether somebody needs those that are missing."""
    installation.require_server()
    missing: dict[PlatformName, str] = {}
    for platform in PlatformName:
        try:
            load_platform_app(platform)
        except ConfigurationError as error:
            missing[platform] = str(error)
    if not missing:
        return ok("the blocks of all platforms load")
    try:
        with installation.session() as session:
            in_use = health.platforms_in_use(session)
    except Skipped as needs:
        return ok(
            f"not there or not usable: {few(list(missing))}; whether one is needed is not known, for that {needs}"
        )
    if needed := [said for platform, said in missing.items() if platform in in_use]:
        return warning("; ".join(needed), "save them with `sivera apps set`: there are grants of these platforms")
    return ok(f"not there, and not needed: {few(list(missing))}")


def check_grants(installation: Installation) -> Finding:
    """Look for grants that somebody has to connect again, now or within a day."""
    with installation.session() as session:
        inactive, ending = health.inactive_grants(session), health.ending_grants(session, ENDING)
    said = []
    if inactive:
        said.append(f"{len(inactive)} do not work: {few([row.id for row in inactive])}")
    if ending:
        said.append(f"{len(ending)} end within a day and have no refresh token: {few(ending)}")
    if said:
        return warning("; ".join(said), "`sivera credentials list` says why; connect them again")
    return ok("none needs a human within a day")


def check_accounts(installation: Installation) -> Finding:
    """Look for accounts that were not synced lately, or whose reports do not come."""
    with installation.session() as session:
        stale = stale_accounts(session, OVERDUE)
    if not stale:
        return ok("all were synced within two hours")
    resting = sum(account.rests for account in stale)
    slow = f", {resting} of them in the slow lane" if resting else ""
    return warning(
        f"{len(stale)} have data older than two hours{slow}: {few([account.id for account in stale])}",
        "`sivera accounts list` says why",
    )


def check_events(installation: Installation) -> Finding:
    """Look for events that wait to be published."""
    with installation.session() as session:
        count, oldest = health.unpublished_events(session, UNPUBLISHED)
    if count:
        since = f" since {to_minute(oldest)} UTC" if oldest else ""
        return warning(f"{count} wait{since} to be published", "a run of a job publishes them: see why none does")
    return ok("none waits for over an hour")


def check_disk(installation: Installation) -> Finding:
    """Look at the free space where the local stack and, if it is on this machine, PostgreSQL keep their data."""
    folder = installation.folder.absolute()
    paths = {"the stack's folder": next(each for each in (folder, *folder.parents) if each.exists())}
    size = ""
    try:
        with installation.session() as session:
            size = f"; the database is {health.database_size(session) / GIBIBYTE:.2f} GiB"
            directory = health.data_directory(session)
    except Skipped:
        directory = None
    if directory:
        paths["PostgreSQL's data directory"] = Path(directory)
    free = {}
    for name, path in paths.items():
        # Not there: it is of another machine. Closed to us: somebody else looks after it.
        with suppress(OSError):
            free[name] = shutil.disk_usage(path)
    said = ", ".join(
        f"{usage.free / GIBIBYTE:.1f} GiB ({usage.free / usage.total:.0%}) free at {name}"
        for name, usage in free.items()
    )
    if any(is_full(usage.free, usage.total) for usage in free.values()):
        return warning(said + size, "make room, or shorten what is kept: events and runs of Prefect, old logs")
    return ok(said + size)


def is_full(free: int, total: int) -> bool:
    """Say whether so few bytes of so many are free that somebody should make room."""
    return free < LEAST_FREE_BYTES or free < total * LEAST_FREE_SHARE
