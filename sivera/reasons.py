"""What a failure means: whether a retry may help, and a sentence with the remedy for the person who has to act."""

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from sivera.crypto import UndecryptableError
from sivera.database_errors import explain, sentence, state_of
from sivera.errors import (
    AccountInaccessible,
    InvalidReply,
    InvalidRequest,
    LeftAlone,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    SiveraError,
    Throttled,
    TokenRejected,
    Unavailable,
)

LACKS_PARENT = "23503"
"""PostgreSQL's SQLSTATE for a row that refers to a missing one."""
DELETED = "its team, grant or account was deleted meanwhile, so it was not stored: connect it again if you need it"

_REMEDIES: tuple[tuple[type[SiveraError], str], ...] = (
    (InvalidReply, "The next run tries again; if it lasts, report it with what `sivera check {platform}` prints."),
    (Unavailable, "The next run tries again; if it lasts, look at the platform's status page."),
    (Throttled, "The next run tries again; `sivera status` shows what is left of the quotas."),
    (TokenRejected, "The token is rejected although it was just renewed; the next run tries again."),
    (ReconnectRequired, "Someone on the team must connect the account again, and allow everything it asks for."),
    (AccountInaccessible, "Ask the team to open the account or to give the connected user access to it."),
    (
        Misconfigured,
        "Correct our application's registration, or update Sivera Jobs: see `sivera check {platform}`.",
    ),
    (InvalidRequest, "Other accounts go on. If it lasts, report it with what `sivera check {platform}` prints."),
    (UndecryptableError, "Someone on the team must connect the account again, and allow everything it asks for."),
)


def is_worth_a_retry(error: BaseException) -> bool:
    """Return whether the same work may succeed in a moment."""
    return isinstance(error, Unavailable | OperationalError) and not isinstance(error, LeftAlone)


def is_explained(error: Exception) -> bool:
    """Return whether the reason says everything, so a traceback would only clutter the log."""
    return isinstance(error, SiveraError) or explain(error) is not None


def names_remedy(reason: str) -> bool:
    """Return whether a reason already says what to do."""
    return any(text.partition("{")[0] in reason for _, text in _REMEDIES)


def reason_for(error: object) -> str:
    """Say why an account, a grant or a team failed, and what to do about it.

    A result that is not an exception counts as a failure too: someone stopped the task.
    """
    if not isinstance(error, Exception):
        return f"Someone stopped it, and it ended as {error!r}. The next run tries again; if it lasts, report it."
    if isinstance(error, SQLAlchemyError):
        said = DELETED if state_of(error) == LACKS_PARENT else sentence(error)
        return f"{said[0].upper()}{said[1:]}."
    if not isinstance(error, SiveraError):
        return f"Unexpected {type(error).__name__}: a defect of Sivera Jobs; the task run's log has the traceback."
    remedy = next((text for kind, text in _REMEDIES if isinstance(error, kind)), None)
    if remedy is None:  # it names its own
        return str(error)
    platform = error.platform.value if isinstance(error, PlatformError) else ""
    return f"{str(error).rstrip('.')}. {remedy.format(platform=platform)}"
