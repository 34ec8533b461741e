"""`sivera check`: sends the jobs' requests to a platform with a real grant, to see whether it accepts them."""

import json as json_format
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy.orm import Session

from ops.commands.session import Flag, Id, open_resources
from ops.commands.tables import say, say_aside, say_json
from sivera.accounts import queries as account_queries
from sivera.clock import utc_now
from sivera.errors import ConfigurationError, PlatformError, SiveraError
from sivera.grants import queries
from sivera.platforms.checking import Check, Checker, exit_code, open_recorded
from sivera.platforms.recording import ID
from sivera.reasons import reason_for
from sivera.values import AdAccount, PlatformName


def check(platform: PlatformName, /, *, grant: Id | None = None, json: Flag = False, save: Path | None = None) -> int:
    """Send each read-only request of the jobs once, and print which ones the platform accepts.

    Args:
        platform: The platform to check.
        grant: Our id of the grant to use; by default, the newest one that works.
        json: Print one JSON object.
        save: Write a file with shapes, codes and counts that you can send us. It has no ids, names, tokens or amounts.
    """
    from blocks.platform_app import load_platform_app  # noqa: PLC0415
    from tasks import grants  # noqa: PLC0415

    with open_resources() as engine:
        with Session(engine) as session:
            credential_id = _find_grant(session, platform, grant)
            rows = account_queries.accounts_of(session, credential_id)
            known = [AdAccount.model_validate(row, from_attributes=True) for row in rows]
        tokens = grants.tokens(platform, credential_id)
        try:
            tokens.current()
        except PlatformError as error:
            raise SiveraError(
                f"Grant {credential_id} has no token, so nothing could be tried: {reason_for(error)}"
            ) from None
        client, recorder = open_recorded(platform, load_platform_app(platform).credentials())
        try:
            checks = []
            for one in Checker(client, recorder, tokens, known).run(utc_now()):
                checks.append(one)
                if not json:
                    say(_line(one))
        finally:
            client.close()
    code = exit_code(checks)
    if json:
        found = {"platform": platform, "grant": credential_id, "exit_code": code, "checks": list(map(asdict, checks))}
        say_json(json_format.dumps(found, ensure_ascii=False))
    if save:
        _save(save, platform, checks)
    return code


def _find_grant(session: Session, platform: PlatformName, wanted: int | None) -> int:
    found = [row for row, _, _ in queries.list_credentials(session) if row.platform == platform.value]
    working = [row.id for row in found if row.status == account_queries.ACTIVE]
    if wanted is not None and wanted not in (row.id for row in found):
        raise ConfigurationError(f"{platform.value} has no grant {wanted}: `sivera credentials list` shows them all")
    if wanted is not None and wanted not in working:
        raise ConfigurationError(
            f"grant {wanted} does not work: a user of its team must log in again, see `sivera credentials list`"
        )
    if not working:
        raise ConfigurationError(
            f"{platform.value} has no grant that works. "
            f"Connect one: sivera credentials connect --platform {platform.value}"
        )
    return wanted or max(working)


def _line(one: Check) -> str:
    said = f"{one.verdict:<11}{one.step}"
    if sent := one.exchange:
        said += f": {sent.method} {sent.path}"
        said += f", rows: {sent.rows}" if sent.rows and not sent.is_refused else ""
        said += f", {sent.seconds:.1f} s" if sent.seconds is not None else ""
    if one.left_out:
        said += f". Rows left out: {one.left_out}, first {one.row or 'one without an id'}"
    if one.why:
        said += f". {one.why[:1].upper()}{one.why[1:]}" + (f" ({one.code})" if one.code else "")
    return said


def _save(path: Path, platform: PlatformName, checks: Sequence[Check]) -> None:
    """Write the checks without the platform's words, which may have names; ours start with 'sent' and may have ids."""
    anonymous = [
        asdict(one) | {"row": None, "why": ID.sub("{id}", one.why) if one.why.startswith("sent ") else ""}
        for one in checks
    ]
    try:
        path.write_text(json_format.dumps({"platform": platform, "checks": anonymous}, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror}): name another file") from None
    say_aside(f"Wrote {path}.")
