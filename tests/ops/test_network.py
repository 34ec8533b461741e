"""Proxies, certificates, and a Prefect server whose address contains a password."""

import os
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from urllib.request import proxy_bypass
from uuid import UUID

import anyio
import httpx
import pytest
import requests
from prefect.events.clients import PrefectEventsClient
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_UI_URL,
    temporary_settings,
)

from blocks.server import connect, links
from ops.network import PROXIES, prepare_network, split_server_password
from sivera.breaker import Breaker
from sivera.errors import ConfigurationError, PlatformError, Unreached
from sivera.platforms.calling import Caller, new_http_client
from sivera.values import PlatformName
from tests.chats import SLACK, Chats
from tests.ops.commands import Sivera
from tests.prefect_server import PrefectServer

DEAD = "http://127.0.0.1:9"
NAMES = [spelt for name in PROXIES for spelt in (name, name.upper())]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without a proxy, which is restored afterwards."""
    for name in (*NAMES, "no_proxy", "NO_PROXY", "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@contextmanager
def answering(answer: bytes, host: str = "127.0.0.1") -> Iterator[str]:
    """A server or proxy that gives every call the same answer; yield its URL."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                with caller:
                    caller.recv(65536)
                    caller.sendall(answer)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def html(status: str) -> bytes:
    # The server closes each connection, so the client must not reuse it.
    headers = "Connection: close\r\nContent-Type: text/html\r\nContent-Length: 6"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n<html>".encode()


def has_ipv6() -> bool:
    with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


NO_PROXY_VALUES = (
    None,
    "fd00::/8, corp:port",
    ".corp.example, 10.0.0.0/8",
    "[::1],[::1]:80,corp.example",
    "*",
    "localhost",
)


@pytest.mark.parametrize(("name", "no_proxy"), list(zip(NAMES, NO_PROXY_VALUES, strict=True)))
def test_no_call_to_this_machine_uses_a_proxy(environment: pytest.MonkeyPatch, name: str, no_proxy: str | None) -> None:
    environment.setenv(name, DEAD if "http" in name.lower() else "socks5://127.0.0.1:9")
    if no_proxy is not None:
        environment.setenv("NO_PROXY", no_proxy)
    prepare_network()
    with httpx.Client() as client:
        for host in ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",):
            with answering(html("200 OK"), host) as url:
                assert client.get(url).text == "<html>"
                assert client.get(url.replace("127.0.0.1", "localhost")).text == "<html>"
                # The websockets client asks this.
                assert proxy_bypass(f"{host}:80")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    if no_proxy and ":" not in no_proxy:
        assert no_proxy.rpartition(",")[2].strip() in os.environ["NO_PROXY"]


PLATFORM_FAILURES = {
    "nobody listens": ("https", None, "cannot be reached (ConnectError: the proxy in HTTPS_PROXY is used)"),
    "it wants a password": (
        "https",
        "407 Proxy Authentication Required",
        "cannot be reached (ProxyError: the proxy in HTTPS_PROXY answered 407 Proxy Authentication Required)",
    ),
    "it wants a password for HTTP": ("http", "407 Proxy Authentication Required", "cannot be reached (HTTP 407; the"),
    "a page of its own, blocked": ("http", "403 Forbidden", "answered HTTP 403 with HTML; the proxy in HTTP_PROXY may"),
}


@pytest.mark.parametrize(("scheme", "status", "said"), PLATFORM_FAILURES.values(), ids=PLATFORM_FAILURES)
def test_a_call_to_a_platform_uses_the_proxy_and_names_it_when_it_fails(
    environment: pytest.MonkeyPatch, scheme: str, status: str | None, said: str
) -> None:
    request = httpx.Request("GET", f"{scheme}://ads.example/?access_token=hidden")
    with answering(html(status or "")) as url:
        environment.setenv(f"{scheme.upper()}_PROXY", url if status else DEAD)
        prepare_network()
        with new_http_client() as http, pytest.raises(PlatformError) as caught:
            Caller(PlatformName.META, http, lambda _: None, Breaker()).send(request)
    assert str(caught.value).startswith(f"meta: {said}")
    assert "hidden" not in str(caught.value)
    assert isinstance(caught.value, Unreached) is ("cannot be reached" in said)


def test_a_proxy_that_intercepts_tls_needs_its_certificates(environment: pytest.MonkeyPatch, chats: Chats) -> None:
    request = httpx.Request("POST", f"https://{SLACK}/hook", content=b"{}")
    prepare_network()
    with new_http_client() as http, pytest.raises(Unreached, match=r"not trusted; name .* in SSL_CERT_FILE"):
        Caller(PlatformName.META, http, lambda _: None, Breaker()).send(request)
    environment.setenv("SSL_CERT_FILE", str(chats.authority))
    prepare_network()
    with new_http_client() as http:
        assert http.send(request).status_code == 200


def test_an_alert_goes_through_a_socks_proxy(environment: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor(1) as pool:
        environment.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.getsockname()[1]}")
        proxy.settimeout(60)
        sending = pool.submit(requests.post, f"https://{SLACK}/hook", timeout=60)  # as Apprise does
        caller, _ = proxy.accept()
        with caller:
            assert caller.recv(1) == b"\5"
        assert isinstance(sending.exception(), requests.ConnectionError)


INVALID = [
    ("HTTP_PROXY", "ftp://127.0.0.1:9"),
    ("https_proxy", "http://user:pa/ss@127.0.0.1:9"),
    ("ALL_PROXY", "http://"),
    ("SSL_CERT_FILE", "/no/such/file"),
    ("SSL_CERT_FILE", __file__),
    ("PREFECT_API_URL", "127.0.0.1:4200/api"),
    ("PREFECT_API_URL", "http://admin:pa/ss@127.0.0.1/api"),
    ("PREFECT_API_URL", "http://admin:pa?s@127.0.0.1/api"),
    ("PREFECT_API_URL", "http://127.0.0.1:port/api"),
    ("PREFECT_API_URL", "http://[/api"),
    ("PREFECT_API_URL", "http://admin:pa%2Fss@host..example/api"),
    ("PREFECT_API_URL", f"http://{'a' * 64}.example/api"),
]


@pytest.mark.parametrize(("name", "value"), INVALID)
def test_an_invalid_variable_is_named_without_possible_secrets(
    environment: pytest.MonkeyPatch, sivera: Sivera, name: str, value: str
) -> None:
    environment.setenv(name, value)
    refusal = sivera("status").refusal
    assert re.search(f"{name} (is not (an|the) address|names)", refusal)
    assert not re.search("pa(%2F|[/?])s", refusal)


ADDRESSES = {
    "http://admin:s3cret@host/api": ("http://host/api", "admin:s3cret"),
    "https://admin:s%40cret%2F@host:8443/prefect/api/": ("https://host:8443/prefect/api/", "admin:s@cret/"),
    "http://admin:p@ss@[::1]:4200/api": ("http://[::1]:4200/api", "admin:p@ss"),
    "http://admin@host/api": ("http://host/api", "admin:"),
    " http://host/api\n": ("http://host/api", None),
}


def test_the_password_is_moved_out_of_the_address_of_the_prefect_server(environment: pytest.MonkeyPatch) -> None:
    for url, split in ADDRESSES.items():
        environment.setenv("PREFECT_API_URL", url)
        environment.delenv("PREFECT_API_AUTH_STRING", raising=False)
        split_server_password()
        assert (os.environ["PREFECT_API_URL"], os.environ.get("PREFECT_API_AUTH_STRING")) == split
    environment.setenv("PREFECT_API_URL", "http://admin:s3cret@host/api")
    environment.setenv("PREFECT_API_AUTH_STRING", "of:its-own")
    split_server_password()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "of:its-own"


def test_the_server_accepts_the_password_of_its_address(
    environment: pytest.MonkeyPatch, prefect_api: PrefectServer
) -> None:
    environment.setenv("PREFECT_API_URL", prefect_api.api_url.replace("//", f"//{prefect_api.auth_string}@"))
    split_server_password()
    given = {
        PREFECT_API_URL: os.environ["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: os.environ["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(given), connect() as client:
        assert client.read_flows() is not None
        # Otherwise websockets would be refused, and events and task runs lost.
        anyio.run(open_events)


async def open_events() -> None:
    async with PrefectEventsClient():
        pass


PAGES = {
    "http://admin:s3cret@host/api": "http://host",
    "http://admin:s3/cr?et@host/api": "http://host",
    "https://ADMIN:s3cret@host:8443/prefect/api/": "https://host:8443/prefect",
    "http://[::1]:4200/api": "http://[::1]:4200",
}


def test_links_to_the_ui_hold_no_password() -> None:
    for url, start in PAGES.items():
        with temporary_settings({PREFECT_API_URL: url}):
            assert links().run(UUID(int=1)) == f"{start}/runs/flow-run/{UUID(int=1)}"
    with temporary_settings({PREFECT_UI_URL: "https://admin:s3cret@ui.example/"}):
        assert links().page("runs") == "https://ui.example/runs"


def test_a_failing_proxy_in_front_of_the_prefect_server_is_named(environment: pytest.MonkeyPatch) -> None:
    with answering(html("502 Bad Gateway")) as url, temporary_settings({PREFECT_API_URL: "http://prefect.example/api"}):
        environment.setenv("HTTP_PROXY", url)
        with pytest.raises(ConfigurationError, match=r"failed .HTTP 502.*; the proxy in HTTP_PROXY"), connect():
            pass
        environment.setenv("HTTP_PROXY", DEAD)
        with (
            pytest.raises(ConfigurationError, match="ConnectError: the proxy in HTTP_PROXY is used"),
            connect(),
        ):
            pass
