"""All checks in their order. What goes wrong in one never stops the others."""

import sys
from collections.abc import Callable, Iterator, Mapping

from sqlalchemy.exc import DBAPIError

from blocks.server import explain_failures
from ops.doctor import data_checks, prefect_checks
from ops.doctor.findings import Check, Finding, Report, Skipped, Verdict, exit_code, explain, fault, line
from ops.doctor.installation import STATEMENT_SECONDS, Installation
from sivera.errors import ConfigurationError

Look = Callable[[Installation], Finding]

CHECKS: Mapping[str, Look] = {
    "server": prefect_checks.check_server,
    "password": prefect_checks.check_password,
    "worker": prefect_checks.check_worker,
    "limits": prefect_checks.check_limits,
    "automations": prefect_checks.check_automations,
    "deployments": prefect_checks.check_deployments,
    "runs": prefect_checks.check_runs,
    "blocks": prefect_checks.check_blocks,
    "database": data_checks.check_database,
    "migrations": data_checks.check_migrations,
    "clock": data_checks.check_clock,
    "channels": prefect_checks.check_channels,
    "token-key": data_checks.check_token_key,
    "platform-apps": data_checks.check_platform_apps,
    "grants": data_checks.check_grants,
    "accounts": data_checks.check_accounts,
    "backups": data_checks.check_backups,
    "disk": data_checks.check_disk,
}
"""`server`, `database` and `migrations` open what the checks after them use."""

WIDTH = max(map(len, CHECKS))


def examine(installation: Installation, *, as_json: bool) -> int:
    """Make all checks, print a line for each as it is made, or all as a JSON object; return the exit code."""
    made = []
    for check in checks(installation):
        made.append(check)
        if not as_json:
            sys.stdout.write(f"{line(check, WIDTH)}\n")
            sys.stdout.flush()
    report = Report(exit_code=exit_code({check.verdict for check in made}), checks=tuple(made))
    if as_json:
        sys.stdout.write(f"{report.model_dump_json()}\n")
    return report.exit_code


def checks(installation: Installation) -> Iterator[Check]:
    """Make all checks, one after the other."""
    with installation.examined():
        for name, look in CHECKS.items():
            yield Check(name=name, **dict(make(look, installation)))


def make(look: Look, installation: Installation) -> Finding:
    """Make one check; whatever it raises becomes a finding."""
    try:
        with explain_failures():
            return look(installation)
    except Skipped as reason:
        return Finding(verdict=Verdict.SKIPPED, text=str(reason))
    except ConfigurationError as error:
        return explain([error])
    except DBAPIError as error:
        what = f"the database failed or took over {STATEMENT_SECONDS} seconds ({type(error.orig).__name__})"
        return fault(what, "see its log, and try again")
    except Exception as error:  # noqa: BLE001 - a defect in one check must not hide what the others find
        return fault(f"the check itself failed ({type(error).__name__})", "report it: it is a defect of Sivera Jobs")
