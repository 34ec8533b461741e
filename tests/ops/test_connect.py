"""`sivera credentials connect`: the consent page, the redirect to this machine, and the table."""

import io
import re
import socket
import struct
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from ops.api.connect import open_tools
from ops.api.connections import NO_STORE
from ops.loopback import listen, take_answer
from sandbox.world import World
from sivera.clock import read_clock
from sivera.errors import ConfigurationError
from sivera.grants.links import read_link
from sivera.grants.refusals import ConsentRefused, Refusal
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS
from tests.consents import Person, answered
from tests.ops.commands import Sivera
from tests.prefect_server import free_port
from tests.stage import Stage


def command(platform: PlatformName, *more: str) -> list[str]:
    return ["credentials", "connect", "--platform", platform.value, "--team", "Northwind Goods", *more]


def test_a_consent_in_the_browser_connects_and_ends_with_a_table(
    sivera: Sivera, ready: Stage, world: World, person: Person, redirect: str
) -> None:
    for platform in PlatformName:
        person.seen = Future()
        answer = sivera(*command(platform, "--redirect-uri", redirect))
        assert answer.code == 0, answer.err
        grant = max(world.grants.values(), key=lambda each: each.id)
        assert f"Connected {platform.value} grant {grant.id} (main) of team Northwind Goods." in answer.out
        assert "It carries 2 ad accounts; the next run syncs the new ones." in answer.out
        for account in world.accounts_of(grant):
            assert re.search(rf"{re.escape(account.name)} +{account.id} +{account.currency}", answer.out)
        page = person.seen.result(PATIENCE_SECONDS)
        assert "Connected" in page.text
        assert "Northwind Goods" in page.text
        assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", NO_STORE)
        secret = httpx.URL(page.url).params[ready.client(platform).login.code_name]
        assert secret not in answer.out + answer.err


def test_the_terminal_and_the_browser_show_a_refusal(
    sivera: Sivera, ready: Stage, person: Person, redirect: str
) -> None:
    person.decide = lambda page: answered(page, "deny")
    answer = sivera(*command(PlatformName.META, "--redirect-uri", redirect))
    assert (answer.code, answer.err) == (
        1,
        "sivera: Access was denied on the consent page. Start again and allow it. (meta: Permissions error)\n",
    )
    page = person.seen.result(PATIENCE_SECONDS)
    assert "Not connected" in page.text
    assert "Access was denied" in page.text
    assert ready.rows("SELECT 1 FROM teams") == []


@pytest.mark.parametrize(
    "more", [("--no-browser", "--name", "second"), ("--redirect-uri", "https://app.example/back")], ids=" ".join
)
def test_without_a_browser_the_address_is_pasted_back(
    sivera: Sivera, ready: Stage, world: World, more: tuple[str, ...]
) -> None:
    world.redirects.add("https://app.example/back")

    class Paste(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            assert isinstance(sys.stdout, io.StringIO)
            (page,) = re.findall(r"any browser: (\S+)", sys.stdout.getvalue())
            return answered(page) + "\n"

    answer = sivera(*command(PlatformName.AMAZON, *more), stdin=Paste())
    assert answer.code == 0, answer.err
    assert "Connected amazon grant" in answer.out
    assert "code=" not in answer.out + answer.err
    assert len(ready.rows("SELECT 1 FROM teams")) == 1


def test_a_wrong_address_connects_nothing(sivera: Sivera, ready: Stage) -> None:
    paste = "http://localhost:8910/amazon?code=AN&state=made-up"
    answer = sivera(*command(PlatformName.AMAZON, "--no-browser"), stdin=paste)
    assert answer.code == 1
    assert answer.err == "sivera: This answer does not belong to a consent that was started here. Start again.\n"
    assert sivera(*command(PlatformName.AMAZON, "--region", "moon", "--no-browser"), stdin="").refusal.startswith(
        "amazon has no region"
    )
    for wrong in ("http://localhost:port/", "http://localhost:8910/a b"):
        refusal = sivera(*command(PlatformName.META, "--redirect-uri", wrong)).refusal
        assert refusal.startswith(f"'{wrong}' cannot be a redirect")
    assert ready.rows("SELECT 1 FROM oauth_states WHERE used_at IS NOT NULL") == []


def test_the_redirect_listens_only_on_this_machine_and_for_a_limited_time(redirect: str) -> None:
    with listen(redirect) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ConfigurationError, match="free that port"):
            listen(redirect)
        with pytest.raises(ConsentRefused) as refused:
            take_answer(listener, redirect, str, str, seconds=0)
    assert refused.value.why is Refusal.STATE_EXPIRED


def test_a_web_application_can_hand_over_a_consent_as_the_guide_shows(ready: Stage, world: World) -> None:
    guide = Path(__file__).parents[2] / "docs" / "going-live.md"
    (example,) = re.findall(r"^```python\n(.*?)^```$", guide.read_text(), re.MULTILINE | re.DOTALL)
    shown: dict[str, Any] = {}
    exec(example, shown)  # noqa: S102 - our own document
    grant = world.add_grant(PlatformName.GOOGLE, accounts=2)
    access, seconds = world.issue_access(grant)
    answer = {"access_token": access, "refresh_token": world.issue_refresh(grant), "expires_in": seconds}
    credential_id = shown["hand_over"]("Northwind Goods", answer)
    link = httpx.URL(shown["link_for"]("Northwind Goods"))
    shown["google"].close()
    shown["engine"].dispose()
    assert ready.tokens(PlatformName.GOOGLE, credential_id).current()
    assert len(ready.rows("SELECT 1 FROM ad_accounts")) == 2
    assert (link.host, link.path, link.params["team"]) == ("jobs.example.com", "/connect/meta", "Northwind Goods")


def test_a_visit_leaves_no_connection_to_a_platform_open(ready: Stage) -> None:
    with open_tools() as tools:
        client = tools.client(PlatformName.GOOGLE)
    assert ready.rows("SELECT 1 FROM teams") == []
    with pytest.raises(RuntimeError, match="closed"):
        client.login.redeem("code", "redirect", "verifier")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_browser_that_disconnects_blocks_nothing(host: str, capfd: pytest.CaptureFixture[str]) -> None:
    redirect = f"http://{host}:{free_port()}/back"
    with listen(redirect) as listener:
        browser = socket.create_connection(listener.getsockname()[:2])
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
        browser.sendall(b"GET /back?code=1 HTTP/1.1\r\nHost: x\r\n\r\n")

        def finish(answer_url: str) -> str:
            browser.close()
            return answer_url

        answer = take_answer(listener, redirect, finish, lambda _: "x" * 10_000_000, PATIENCE_SECONDS)
    assert answer == f"{redirect}?code=1"
    assert "Traceback" not in capfd.readouterr().err


def test_an_idle_connection_of_a_browser_blocks_nothing(redirect: str) -> None:
    request = b"GET /back%%20here?code=%d HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        listen(redirect) as listener,
        socket.create_connection(listener.getsockname()) as later,
        socket.create_connection(listener.getsockname()) as browser,
    ):
        browser.sendall(request % 1)

        def finish(answer_url: str) -> str:
            if answer_url.endswith("1"):
                with pytest.raises(BlockingIOError):  # it is still open
                    later.recv(1, socket.MSG_DONTWAIT)
                later.sendall(request % 2)
                raise ConsentRefused(Refusal.STATE_UNKNOWN)
            return answer_url

        assert take_answer(listener, redirect, finish, str, PATIENCE_SECONDS) == f"{redirect}?code=2"
        assert b"code=2" in later.recv(10_000)


def test_a_link_for_a_team_is_printed_with_the_redirect_to_register(
    sivera: Sivera, ready: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = ["credentials", "link", "--platform", "meta", "--team", "Northwind Goods"]
    assert "It works only on this machine: for others set SIVERA_PUBLIC_URL" in sivera(*link).out
    monkeypatch.setenv("SIVERA_PUBLIC_URL", "https://jobs.example.com/")
    redirect, made = sivera(*link).out.splitlines()
    assert redirect.endswith(" https://jobs.example.com/connect/callback")
    assert made.startswith("https://jobs.example.com/connect/meta?team=Northwind+Goods&link=")
    with Session(ready.engine) as session:
        now = read_clock(session)
    said = httpx.URL(made).params
    assert read_link(ready.keyring, said["link"], platform=PlatformName.META, team=said["team"], now=now) == "main"
    monkeypatch.setenv("SIVERA_PUBLIC_URL", "http://jobs.example.com")
    assert "SIVERA_PUBLIC_URL does not fit" in sivera(*link).refusal
