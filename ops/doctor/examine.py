"""`sivera doctor`: runs all checks. A check that fails never stops the others."""

import json as json_format
from collections.abc import Callable, Iterator, Mapping

from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from sqlalchemy.exc import SQLAlchemyError

from blocks.server import explain_failures
from ops.commands.session import Flag
from ops.commands.tables import say, say_json
from ops.doctor import data_checks, prefect_checks
from ops.doctor.findings import Finding, Installation, Skipped, Verdict, explain, fault
from ops.stack.folder import FOLDER
from ops.stack.prefect_server import use_running_stack
from sivera.database_errors import sentence
from sivera.errors import ConfigurationError

Check = Callable[[Installation], Finding]

CHECKS: Mapping[str, Check] = {
    "server": prefect_checks.check_server,
    "password": prefect_checks.check_password,
    "worker": prefect_checks.check_worker,
    "limits": prefect_checks.check_limits,
    "automations": prefect_checks.check_automations,
    "deployments": prefect_checks.check_deployments,
    "runs": prefect_checks.check_runs,
    "database": data_checks.check_database,
    "blocks": prefect_checks.check_blocks,
    "clock": data_checks.check_clock,
    "grants": data_checks.check_grants,
    "accounts": data_checks.check_accounts,
    "backups": data_checks.check_backups,
    "disk": data_checks.check_disk,
}
"""In this order: `server` and `database` open what later checks use."""

WIDTH = max(map(len, CHECKS))

PATIENCE = {PREFECT_API_REQUEST_TIMEOUT: 5.0, PREFECT_CLIENT_MAX_RETRIES: 1}
"""For each of the few requests of a check to the Prefect server. One slow answer is not a fault."""


def doctor(*, json: Flag = False) -> int:
    """Run all checks, and print each result as soon as it is known; return the exit code.

    Args:
        json: Print the checks as one JSON object.
    """
    return show(Installation(folder=use_running_stack() or FOLDER), as_json=json)


def show(installation: Installation, *, as_json: bool) -> int:
    """Run all checks and print the results; return the exit code."""
    findings = {}
    for name, found in examine(installation):
        findings[name] = found
        if not as_json:
            say(line(name, found))
    code = exit_code(found.verdict for found in findings.values())
    if as_json:
        checks = [{"name": name, **found._asdict()} for name, found in findings.items()]
        say_json(json_format.dumps({"exit_code": code, "checks": checks}, ensure_ascii=False))
    return code


def examine(installation: Installation) -> Iterator[tuple[str, Finding]]:
    """Run all checks, one after the other."""
    with temporary_settings(PATIENCE), installation.resources:
        for name, check in CHECKS.items():
            yield name, run(check, installation)


def run(check: Check, installation: Installation) -> Finding:
    """Run one check, and turn any exception into a finding."""
    try:
        with explain_failures():
            return check(installation)
    except Skipped as reason:
        return Finding(Verdict.SKIPPED, str(reason))
    except ConfigurationError as error:
        return explain([error])
    except SQLAlchemyError as error:
        return explain([ConfigurationError(sentence(error))])
    except Exception as error:  # noqa: BLE001 - a defect in one check must not hide what the others find
        return fault(f"the check itself failed ({type(error).__name__})", "report it: it is a defect of Sivera Jobs")


def exit_code(verdicts: Iterator[Verdict]) -> int:
    """Return 2 if there is a fault, 1 if there is a warning, otherwise 0."""
    return max(({Verdict.WARNING: 1, Verdict.FAULT: 2}.get(verdict, 0) for verdict in verdicts), default=0)


def line(name: str, found: Finding) -> str:
    """Format a finding as a line."""
    loud = found.verdict in (Verdict.WARNING, Verdict.FAULT)
    verdict = found.verdict.upper() if loud else found.verdict.value
    remedy = f" Remedy: {found.remedy}." if found.remedy else ""
    return f"{verdict:<8} {name:<{WIDTH}} {found.text}.{remedy}"
