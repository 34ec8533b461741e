"""The checks in their order, each on its own: what one of them runs into never keeps the others from being made."""

import sys
from collections.abc import Callable, Iterator, Mapping

from sqlalchemy.exc import DBAPIError

from blocks.server import explain_failures
from ops.commands.tables import printable
from ops.doctor import backup_checks, block_checks, database_checks, run_checks, server_checks, slot_checks
from ops.doctor.findings import Check, Finding, Skipped, Verdict, exit_code, fault
from ops.doctor.installation import STATEMENT_SECONDS, Installation
from sivera.errors import ConfigurationError
from sivera.values import Value

Look = Callable[[Installation], Finding]

CHECKS: Mapping[str, Look] = {
    "timetable": server_checks.check_timetable,
    "server": server_checks.check_server,
    "versions": server_checks.check_version,
    "password": server_checks.check_password,
    "server-clock": server_checks.check_server_clock,
    "worker": server_checks.check_worker,
    "block-types": server_checks.check_block_types,
    "limits": server_checks.check_limits,
    "automations": server_checks.check_automations,
    "deployments": run_checks.check_deployments,
    "paused": run_checks.check_paused,
    "late-runs": run_checks.check_late,
    "stuck-runs": run_checks.check_stuck,
    "slots": slot_checks.check_slots,
    "database-block": database_checks.check_database_block,
    "database": database_checks.check_database,
    "migrations": database_checks.check_migrations,
    "database-clock": database_checks.check_database_clock,
    "token-key": database_checks.check_token_key,
    "platform-apps": database_checks.check_platform_apps,
    "cron-secret": block_checks.check_cron_secret,
    "storages": block_checks.check_storages,
    "monitors": block_checks.check_monitors,
    "grants": database_checks.check_grants,
    "accounts": database_checks.check_accounts,
    "events": database_checks.check_events,
    "backups": backup_checks.check_backups,
    "disk": database_checks.check_disk,
}
"""In this order: the first of them open what the others examine."""

WIDTH = max(map(len, CHECKS))


class Report(Value):
    """All checks, and the worst verdict as the exit code."""

    exit_code: int
    checks: tuple[Check, ...]


def examine(installation: Installation, *, as_json: bool) -> int:
    """Make all checks, print a line for each as it is made, or all as a JSON object; return the exit code."""
    made = []
    for check in checks(installation):
        made.append(check)
        if not as_json:
            sys.stdout.write(f"{line(check)}\n")
            sys.stdout.flush()
    report = Report(exit_code=exit_code({check.verdict for check in made}), checks=tuple(made))
    if as_json:
        sys.stdout.write(f"{report.model_dump_json()}\n")
    return report.exit_code


def checks(installation: Installation) -> Iterator[Check]:
    """Make all checks, one after the other."""
    with installation.examined():
        for name, look in CHECKS.items():
            yield Check(name=name, **dict(_make(look, installation)))


def line(check: Check) -> str:
    """Return a check as a line for a person."""
    verdict = check.verdict.value if check.verdict in (Verdict.OK, Verdict.SKIPPED) else check.verdict.value.upper()
    mend = f" Mend: {check.mend}." if check.mend else ""
    return printable(f"{verdict:<8} {check.name:<{WIDTH}} {check.text}.{mend}")


def _make(look: Look, installation: Installation) -> Finding:
    try:
        with explain_failures():
            return look(installation)
    except Skipped as reason:
        return Finding(verdict=Verdict.SKIPPED, text=str(reason))
    except ConfigurationError as error:
        # They are made as 'what is wrong: the mend'; those of the timetable are several lines.
        what, _, mend = "; ".join(str(error).splitlines()).rpartition(": ")
        return fault(what or mend, mend if what else "")
    except DBAPIError as error:
        what = f"the database failed or took over {STATEMENT_SECONDS} seconds ({type(error.orig).__name__})"
        return fault(what, "see its log, and try again")
    except Exception as error:  # noqa: BLE001 - a defect in one check must not hide what the others find
        return fault(f"the check itself failed ({type(error).__name__})", "report it: it is a defect of Sivera Jobs")
