"""A local receiver that stands for Slack, Discord and any webhook.

The addresses of Slack and Discord are fixed, so the receiver is the sender's HTTPS proxy and has a certificate in their
names.
"""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.conftest import eventually
from tests.own_postgres import make_certificate
from tests.receiver import Received, Receiver, receiving

SLACK, DISCORD, WEBHOOK = "hooks.slack.com", "discord.com", "webhook"


@dataclass(frozen=True)
class Message:
    host: str
    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """What a person reads."""
        match self.host:
            case "hooks.slack.com":
                return "\n".join(part for one in self.body["attachments"] for part in (one["title"], one["text"]))
            case "discord.com":
                return str(self.body["content"])
            case _:
                return f"{self.body['title']}\n{self.body['message']}"


@dataclass
class Chats(Receiver):
    """The messages to the services. They answer 200, or the status in `statuses`."""

    authority: Path = Path()
    messages: list[Message] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def take(self, request: Received) -> tuple[int, dict[str, str]]:
        """Keep a message."""
        host = request.host or WEBHOOK
        self.messages.append(Message(host, request.path, json.loads(request.body)))
        return self.statuses.get(host, 200), {}

    def of(self, host: str, start: str = "") -> list[str]:
        """The texts that a service was sent, if they start like this."""
        return [one.text for one in list(self.messages) if one.host == host and one.text.startswith(start)]

    def wait_for(self, host: str, start: str) -> list[str]:
        """The same, once there are any."""

        def texts() -> list[str]:
            found = self.of(host, start)
            assert found, [one.text for one in self.messages]
            return found

        return eventually(texts, seconds=90)


@pytest.fixture(scope="session")
def all_chats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chats]:
    folder = tmp_path_factory.mktemp("chats")
    certificate, key = make_certificate(folder, x509.DNSName(SLACK), x509.DNSName(DISCORD))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    services = Chats(tls=context, authority=certificate)
    with receiving(services):
        yield services


@pytest.fixture
def chats(all_chats: Chats, monkeypatch: pytest.MonkeyPatch) -> Chats:
    """The services without messages; this process sends to them."""
    all_chats.messages.clear()
    all_chats.statuses.clear()
    monkeypatch.setenv("HTTPS_PROXY", all_chats.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(all_chats.authority))
    return all_chats
