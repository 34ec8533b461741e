"""An operator's PostgreSQL: Debian's, with TLS only, scram, another time zone and an unprivileged role.

Tests that use these fixtures run on one worker, and are skipped if Debian's packages are missing.
"""

import ipaddress
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg.sql import SQL, Identifier
from sqlalchemy import URL

from ops.stack.child import identity
from ops.stack.processes import child_process
from tests.prefect_server import free_port

BINARIES = max(
    Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), default=Path()
).parent
PGBOUNCER = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"

START_SECONDS = 60
SUPERUSER = "postgres"
USER, PASSWORD, SCHEMA = "jobs", "Winter@2026!/#?:%pw", "ads"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "ssl": "on",
    "ssl_cert_file": "../server.crt",
    "ssl_key_file": "../server.key",
    "TimeZone": "Asia/Seoul",
    "fsync": "off",
}
LOCALE = ("--encoding=UTF8", "--locale=C.UTF-8", "--lc-messages=C")
GERMAN = {"LANGUAGE": "de"}
"""The server's language if `lc_messages` is not C and Debian's translations are installed."""
RULES = "local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class OwnPostgres:
    """The server. `folder` has its certificate and its socket, which the superuser connects to."""

    port: int
    folder: Path
    system_user: str | None

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser, each in its own transaction."""
        with psycopg.connect(
            host=str(self.folder), port=self.port, user=SUPERUSER, dbname=database, autocommit=True
        ) as connection:
            for statement in statements:
                connection.execute(statement)

    def url(self, database: str, port: int | None = None) -> URL:
        """The URL of a database for our role."""
        return URL.create(
            "postgresql", USER, PASSWORD, "127.0.0.1", port or self.port, database, {"sslmode": "require"}
        )

    @contextmanager
    def database(self, name: str = "shop", options: str = "") -> Iterator[URL]:
        """Create a database in which our role owns only its schema; yield its URL."""
        with self.empty(name, options, SUPERUSER) as url:
            self.run(
                f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {USER}",
                f"ALTER ROLE {USER} IN DATABASE {Identifier(name).as_string()} SET search_path = {SCHEMA}",
                database=name,
            )
            yield url

    @contextmanager
    def full_disk(self, database: str) -> Iterator[None]:
        """Put the temporary tables of a database on a disk of 64 kB."""
        disk = self.folder / "disk"
        disk.mkdir()
        tiny = ["mount", "-t", "tmpfs", "-o", f"size=64k,mode=700,uid={self.folder.stat().st_uid}", "tmpfs", str(disk)]
        if subprocess.run(tiny, check=False, capture_output=True).returncode:  # noqa: S603 - our own command line
            pytest.skip("no right to mount a disk here")
        try:
            self.run(f"CREATE TABLESPACE disk LOCATION '{disk}'", "GRANT CREATE ON TABLESPACE disk TO public")
            self.run(f"ALTER DATABASE {database} SET temp_tablespaces = disk")
            yield
            self.run(f"ALTER DATABASE {database} RESET temp_tablespaces", "DROP TABLESPACE disk")
        finally:
            subprocess.run(["umount", "-l", disk], check=True)  # noqa: S603, S607 - our own command line

    @contextmanager
    def empty(self, name: str, options: str = "", owner: str = USER) -> Iterator[URL]:
        """Create a database that our role owns; yield its URL."""
        quoted = Identifier(name).as_string()
        self.run(f"CREATE DATABASE {quoted} OWNER {owner} {options}")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {quoted} WITH (FORCE)")


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[OwnPostgres]:
    """The server, shared by all tests because `initdb` takes two seconds."""
    if not BINARIES.name:
        pytest.skip("Debian's PostgreSQL is missing: `apt-get install postgresql`, see 'Work on it' in README.md")
    user = SUPERUSER if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="sivera-own-") as path:
        folder = Path(path)
        if user:
            shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
        data = folder / "data"
        subprocess.run(  # noqa: S603 - Debian's own
            [BINARIES / "initdb", "-D", data, "-U", SUPERUSER, "--no-sync", *LOCALE],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            check=True,
            **identity(user),
        )
        (data / "pg_hba.conf").write_text(RULES)
        for file in make_certificate(folder, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))):
            if user:
                shutil.chown(file, user)
        port = free_port()
        settings = SETTINGS | {"port": str(port), "unix_socket_directories": path}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server = OwnPostgres(port, folder, user)
        with child_process(
            "PostgreSQL",
            [BINARIES / "postgres", "-D", data, *options],
            folder / "postgres.log",
            {**os.environ, **GERMAN},
            user,
        ) as child:
            child.wait_until(lambda: answers(server), START_SECONDS)
            server.run(SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(Identifier(USER), PASSWORD).as_string())
            yield server


@pytest.fixture
def own_database(own_postgres: OwnPostgres) -> Iterator[URL]:
    """The URL of an empty database in which our role owns only its schema."""
    with own_postgres.database() as url:
        yield url


Pool = Callable[..., AbstractContextManager[int]]


@pytest.fixture
def pgbouncer(own_postgres: OwnPostgres) -> Pool:
    """Runs PgBouncer in front of the server, by default in transaction mode."""
    if not Path(PGBOUNCER).exists():
        pytest.skip("PgBouncer is missing: `apt-get install pgbouncer`, see 'Work on it' in README.md")

    @contextmanager
    def run(**settings: str) -> Iterator[int]:
        folder, port = own_postgres.folder, free_port()
        users, file = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{USER}" "{PASSWORD}"\n')
        given = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(users),
            "pool_mode": "transaction",
            "client_tls_sslmode": "require",
            "client_tls_cert_file": str(folder / "server.crt"),
            "client_tls_key_file": str(folder / "server.key"),
            "server_tls_sslmode": "require",
            # All clients share one session, so each finds what another has left behind.
            "default_pool_size": "1",
        } | settings
        lines = [
            "[databases]",
            f"* = host=127.0.0.1 port={own_postgres.port}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in given.items()),
        ]
        file.write_text("\n".join(lines))
        with child_process(
            "PgBouncer", [PGBOUNCER, file], folder / "pgbouncer.log", user=own_postgres.system_user
        ) as child:
            child.wait_until(lambda: listens(port), START_SECONDS)
            yield port

    return run


def make_certificate(folder: Path, *names: x509.GeneralName) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key; return their files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "server.crt", folder / "server.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    files[1].chmod(0o600)
    return files


def answers(server: OwnPostgres) -> bool:
    try:
        server.run("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
