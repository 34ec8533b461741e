"""A receiver on the loopback that stands for Slack, for Discord and for any webhook.

Slack's and Discord's addresses are fixed, so the sender gets this as its HTTPS proxy, and a certificate under their
names. That way the blocks are tested as they are, down to the bytes.
"""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tenacity import Retrying, stop_after_delay, wait_fixed

SLACK, DISCORD = "hooks.slack.com", "discord.com"


@dataclass(frozen=True)
class Message:
    """What was posted: to which service, at which path, and what."""

    host: str
    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The words that a person reads there."""
        match self.host:
            case "hooks.slack.com":
                return "\n".join(part for one in self.body["attachments"] for part in (one["title"], one["text"]))
            case "discord.com":
                return str(self.body["content"])
            case _:
                return f"{self.body['title']}\n{self.body['message']}"


@dataclass
class Chats:
    """What the services were sent. They answer 200, or what `statuses` says of a service."""

    url: str
    authority: Path
    messages: list[Message] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def of(self, host: str, start: str = "") -> list[str]:
        """Return the texts that a service was sent, if they begin like this."""
        return [one.text for one in list(self.messages) if one.host == host and one.text.startswith(start)]

    def wait_for(self, host: str, start: str, count: int = 1, seconds: float = 90) -> list[str]:
        """Return the same, once there are as many as this."""
        for attempt in Retrying(wait=wait_fixed(0.2), stop=stop_after_delay(seconds), reraise=True):
            with attempt:
                assert len(self.of(host, start)) >= count, [one.text for one in self.messages]
        return self.of(host, start)


@contextmanager
def chats(folder: Path) -> Iterator[Chats]:
    """Serve the services, with their keys in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_make_certificate(folder))
    received: list[Chats] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def do_CONNECT(self) -> None:
            self.host = self.path.partition(":")[0]
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            host = self.host or "webhook"
            received[0].messages.append(Message(host, self.path, body))
            self.send_response(received[0].statuses.get(host, 200))
            answer = b"ok"
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def finish(self) -> None:
            super().finish()
            self.connection.close()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.append(Chats(f"http://127.0.0.1:{server.server_port}", folder / "chats.pem"))
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield received[0]
        finally:
            server.shutdown()


def _make_certificate(folder: Path) -> Path:
    """Make a self-signed certificate with its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chats of a test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SLACK), x509.DNSName(DISCORD)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "chats.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
