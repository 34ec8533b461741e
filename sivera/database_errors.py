"""What an error of the database means for an operator: one sentence with the remedy.

It shows neither the statement and its values nor the driver's message, which can hold parts of a URL. A message is in
the server's language (`lc_messages`), so it is only matched if there is no SQLSTATE.
"""

import re
from typing import NamedTuple

from psycopg.pq import Conninfo
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

PREPARER = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]

POOL_REFUSAL = "unsupported startup parameter|command-line options"
"""How PgBouncer and Amazon's RDS Proxy refuse settings that come with a connection."""


class Place(NamedTuple):
    """Where an error happened, in words for people: the server, the database, the role, and its schema."""

    server: str
    database: str
    user: str
    schema: str


def place_of(url: URL, schema: str | None = None) -> Place:
    """Return the place that a URL and the environment name, without secrets. Options win, as in libpq."""
    by_default = {each.keyword.decode(): (each.val or b"").decode(errors="replace") for each in Conninfo.get_defaults()}
    written = {"host": url.host, "port": url.port, "user": url.username} | url.query
    parts = by_default | {name: str(part) for name, part in written.items() if part}
    hosts, ports = (parts["host"] or parts["hostaddr"]).split(","), parts["port"].split(",")
    ports += ports[-1:] * (len(hosts) - len(ports))
    named = [f"[{host}]" if ":" in host else host or "this machine" for host in hosts]
    server = ",".join(f"{host}:{port}" for host, port in zip(named, ports, strict=False))
    return Place(server, url.database or parts["user"], parts["user"], schema or "public")


UNKNOWN_PLACE = Place("the server", "the database", "the URL's user", "public")

MANY_CONNECTIONS = "{server} accepts no more connections: close some, or raise max_connections"
LOST = "the connection to PostgreSQL at {server} was lost: check that it is running, and fix what its log reports"
STARTING = "PostgreSQL at {server} is starting or stopping: wait, and if it takes long, fix what its log reports"
POOL_ALONE = (
    "the pool at {server} got no connection to PostgreSQL: check that PostgreSQL is running and accepts the pool's "
    "connections, and raise default_pool_size if all of them are busy"
)
POOL_HURRIES = (
    "the pool at {server} cancelled a slow statement or transaction: raise its query_timeout and "
    "idle_transaction_timeout, or set them to 0"
)
REFUSED = (
    "PostgreSQL at {server} refuses the user {user} or its password: correct them in the URL, with special characters "
    "percent-encoded (%40 for @), and check in pg_roles that the password has not expired"
)
NO_CERTIFICATE = (
    "the client certificate of {user} for PostgreSQL at {server}, or its key, is missing or unreadable: name both "
    "files with sslcert and sslkey in the URL, and make the key readable only by its owner"
)
UNMET = (
    "PostgreSQL at {server} does not meet what an option of the URL requires (channel_binding, gssencmode, "
    "min_protocol_version or require_auth): remove it"
)
NO_SERVICE = (
    "the service that PGSERVICE names is not in libpq's service file, or the file cannot be read: correct it, or unset "
    "PGSERVICE"
)
READ_ONLY = (
    "the database {database} takes no writes: make room on its disk if that is full, then run `SET "
    "default_transaction_read_only = off; ALTER DATABASE {database_} RESET default_transaction_read_only; ALTER ROLE "
    "{user_} RESET default_transaction_read_only`; if {server} is a standby, name the primary in the URL"
)
NO_SCHEMA = (
    "the user {user} may not use any schema of its search_path in the database {database}: run `CREATE SCHEMA {user_} "
    "AUTHORIZATION {user_}`, or `GRANT USAGE, CREATE ON SCHEMA` for the schema that it should use"
)
NO_DATABASE = "PostgreSQL at {server} has no database {database}: create it, or correct the URL"
UNMIGRATED = "the database {database} is not migrated to this version, or hides its tables: run `sivera migrate`"
WAITED = "another session of the database has held a lock for too long: find it in pg_locks and end it"
LACKING = "the database server lacks memory or another resource ({state}): give it more of what its log names"
FAILING = "the database server failed ({state}): fix what its log reports"

STATES: tuple[tuple[str, str], ...] = (
    ("25006", READ_ONLY),
    ("53100", "the disk of the database server {server} is full: make room on it"),
    ("53200", "the database server {server} is out of memory: give it more, or lower its work_mem"),
    ("53300", MANY_CONNECTIONS),
    ("57014", "the database took too long for a statement: look in pg_stat_activity for what keeps it busy"),
    ("57P03", STARTING),
    ("25P03", "an idle transaction was ended: run `ALTER ROLE {user_} SET idle_in_transaction_session_timeout = 0`"),
    ("25P04", "a slow transaction was ended: run `ALTER ROLE {user_} SET transaction_timeout = 0`"),
    ("28", REFUSED),
    ("3D000", NO_DATABASE),
    ("3F000", NO_SCHEMA),
    ("42P01", UNMIGRATED),
    ("42703", UNMIGRATED),
    ("55P03", WAITED),
    ("40", WAITED),
    ("53", LACKING),
    ("54", LACKING),
    ("08", LOST),
    ("57", LOST),
    ("58", FAILING),
    ("F0", FAILING),
    ("XX", FAILING),
)
"""By the start of the SQLSTATE; see 'PostgreSQL Error Codes' in PostgreSQL's manual."""

WORDS: tuple[tuple[str, str], ...] = (
    ("database .* does not exist|no such database", NO_DATABASE),
    (
        "permission denied for database|CONNECT privilege",
        "the user {user} may not connect to {database}: run `GRANT CONNECT ON DATABASE {database_} TO {user_}`",
    ),
    (
        "too many connections for role",
        "the user {user} may open no more connections: run `ALTER ROLE {user_} CONNECTION LIMIT -1`",
    ),
    (
        "too many connections for database",
        "the database {database} accepts no more connections: run `ALTER DATABASE {database_} CONNECTION LIMIT -1`",
    ),
    ("query_wait_timeout|server_login_retry|server down|pgbouncer cannot connect", POOL_ALONE),
    ("query timeout|transaction timeout", POOL_HURRIES),
    ("too many|connection slots|no more connections", MANY_CONNECTIONS),
    (
        "statement pooling mode",
        "the pool at {server} allows no transactions: set its pool_mode to transaction or session",
    ),
    (
        "no encryption|SSL off|SSL required|TLS required|requires SSL",
        "PostgreSQL at {server} accepts only encrypted connections: add sslmode=require to the URL",
    ),
    (
        "pg_hba.conf",
        "PostgreSQL at {server} does not let {user} into {database} from here: add this machine to pg_hba.conf",
    ),
    (
        "does not support SSL|doesn't support SSL",
        "PostgreSQL at {server} has no TLS, but sslmode requires it: enable TLS there, or omit sslmode",
    ),
    ("weak sslmode", "sslmode is too weak for other options of the URL: set sslmode to verify-full"),
    (
        "does not match host name",
        "PostgreSQL at {server} has a certificate for another name: use that name as the host in the URL",
    ),
    ("client certificate|private key|(?<!root )certificate file", NO_CERTIFICATE),
    (
        "certificate|SSL error|tlsv1|sslrootcert",
        "PostgreSQL at {server} has a certificate that is not trusted: name a file with its authority with sslrootcert",
    ),
    ("starting up|shutting down|recovery mode|not (yet )?accepting", STARTING),
    (
        "read-only|hot standby|in recovery",
        "none of {server} is what target_session_attrs requires: check which one is the primary",
    ),
    (
        "not permitted to log in",
        "the user {user} may not log in to PostgreSQL at {server}: run `ALTER ROLE {user_} LOGIN`",
    ),
    ("channel binding|GSSAPI|protocol version|method requirement", UNMET),
    ("service file|definition of service", NO_SERVICE),
    ("authentication|password|role .* does not exist|no such user|login", REFUSED),
    (
        "resolve|translate host|hostname|network address",
        "the host of PostgreSQL at {server} cannot be resolved: correct it in the URL",
    ),
)
"""By the message of an error without a useful SQLSTATE: while connecting, and PgBouncer's own refusals."""

OF_A_POOL = "08P01"
"""The SQLSTATE of every refusal by PgBouncer."""

MISFIT = re.compile(
    r'(?:invalid|bad value for) "?(\w+)"?(?: value| number)?:|connection option "(\w+)"|parameter "([\w.]+)"'
)
"""How libpq and the server report an option of the URL with an invalid value."""

REFUSAL = re.compile(r"failed: \w+:  (?P<said>[^\n]+)")
"""A server's refusal, in its own language: libpq puts two spaces between the severity and the message."""
REFUSED_SOMEHOW = "PostgreSQL at {server} refuses {user} in the database {database} ({said}): correct what it names"
SILENT = "PostgreSQL at {server}/{database} does not answer: check that it is running and that the URL is right"

LACKS_RIGHT = "42501"
DENIED = re.compile(
    r"(?:permission denied for|must be (?P<owner>owner) of|row-level (?P<policy>security) policy for) (?P<kind>\w+) "
    r'"?(?P<name>[^\n"]+)'
)
GRANT_TABLES = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema_} TO {user_}"
GRANTS = {
    "schema": "GRANT USAGE, CREATE ON SCHEMA {name_} TO {user_}",
    "sequence": "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema_} TO {user_}",
    "database": "GRANT CREATE ON DATABASE {database_} TO {user_}",
    "owner": "ALTER TABLE {name_} OWNER TO {user_}",
    "security": "ALTER TABLE {name_} DISABLE ROW LEVEL SECURITY",
    "": "GRANT USAGE, CREATE ON SCHEMA {schema_} TO {user_}; " + GRANT_TABLES,
}
"""What to run, by the kind of object that is denied; the empty kind is for messages that are not in English."""


def state_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error from SQLAlchemy; empty if there is none, for example while connecting."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def explain(error: BaseException) -> str | None:
    """Return 'what is wrong: the remedy'; None if only a defect of ours can cause the error.

    The engines of `sivera.database` add the place to their errors.
    """
    if not isinstance(error, DBAPIError):
        return None
    place: Place = getattr(error.orig, "place", None) or UNKNOWN_PLACE
    state = state_of(error)
    words = str(error.orig)
    if not state and error.connection_invalidated:
        return _fill(LOST, place)
    if state == LACKS_RIGHT:
        found = DENIED.search(words)
        grant = GRANTS.get((found["owner"] or found["policy"] or found["kind"]) if found else "", GRANT_TABLES)
        template = f"the user {{user}} lacks a right in the database {{database}}: run `{grant}`"
        return _fill(template, place, name=found["name"] if found else place.schema)
    if not state:
        return _unconnected(words, place)
    if state == OF_A_POOL:
        return _fill(_by_words(words) or LOST, place)
    by_state = next((text for start, text in STATES if state.startswith(start)), None)
    return _fill(by_state, place, state=state) if by_state else None


def read_only(place: Place) -> str:
    """Return what `explain` says of a read-only database."""
    return _fill(READ_ONLY, place)


def sentence(error: SQLAlchemyError) -> str:
    """Return what `explain` says, and a sentence for all other errors."""
    state = state_of(error)
    kind = f"{type(error).__name__}{f', {state}' if state else ''}"
    return explain(error) or f"the database failed ({kind}): report it with the traceback in the log, it is a defect"


def quoted(name: str) -> str:
    """Return a name for SQL, in quotes if it needs them."""
    return PREPARER.quote(name) if name else '""'


def _fill(template: str, place: Place, **more: str) -> str:
    names = place._asdict() | more
    return template.format(**names, **{f"{name}_": quoted(value) for name, value in names.items()})


def _by_words(words: str) -> str | None:
    unnamed = re.sub('"[^"]*"', '""', words)  # a host may have the name 'login'
    return next((template for pattern, template in WORDS if re.search(pattern, unnamed)), None)


def _unconnected(words: str, place: Place) -> str:
    if template := _by_words(words):
        return _fill(template, place)
    if found := MISFIT.search(words):
        name = next(filter(None, found.groups()))
        return f"the option '{name}' of the database URL has an invalid value: correct it"
    if refusals := REFUSAL.findall(words):
        return _fill(REFUSED_SOMEHOW, place, said=refusals[-1])
    return _fill(SILENT, place)
