"""Corrects the network settings of the environment for this process and its children.

May not import prefect, which reads the environment when it is imported.
"""

import os
import ssl
from urllib.parse import unquote, urlsplit, urlunsplit

import httpx

from sivera.errors import ConfigurationError

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
"""The variables that name a proxy, also in capitals."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare_network() -> None:
    """Keep clients from using a proxy for this machine; ConfigurationError if a proxy or certificate is bad."""
    given = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    # Brackets around an IPv6 address make httpx fail.
    hosts = (each.strip(" []") for each in given.split(","))
    direct = dict.fromkeys([*(host for host in hosts if host and _is_readable(host)), *LOOPBACK])
    # urllib, which the websockets client uses, accepts the star only on its own.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "*" if "*" in direct else ",".join(direct)
    for name in (spelt for each in PROXIES for spelt in (each, each.upper()) if os.environ.get(spelt)):
        _check_proxy(name, os.environ[name])
    if certificates := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.create_default_context(cafile=certificates)
        except OSError as error:
            raise ConfigurationError(
                f"SSL_CERT_FILE names {certificates}, which has no readable certificates ({error.strerror}): "
                "correct it, or unset it"
            ) from None


def split_server_password() -> None:
    """Move user and password from PREFECT_API_URL to PREFECT_API_AUTH_STRING.

    Prefect's websockets ignore them in the URL, and whatever shows the URL would show them.
    """
    url = os.environ.get("PREFECT_API_URL", "").strip()
    if not url:
        return
    os.environ["PREFECT_API_URL"] = url
    try:
        parts = urlsplit(url)
        # A name that the DNS cannot have is a ValueError too.
        is_name = bool((parts.hostname or "").encode("idna"))
        is_address = parts.scheme in ("http", "https") and is_name and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ConfigurationError(
            "PREFECT_API_URL is not an address like https://HOST/api: correct it; user and password belong in "
            "PREFECT_API_AUTH_STRING, as user:password"
        )
    if parts.username is not None:
        os.environ["PREFECT_API_URL"] = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        access = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        os.environ.setdefault("PREFECT_API_AUTH_STRING", access)


def forget_libpq() -> None:
    """Remove the variables of PostgreSQL's clients, such as PGSERVICE: they are meant for another server."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _is_readable(host: str) -> bool:
    """Whether httpx accepts this entry of NO_PROXY. One that it rejects, such as fd00::/8, fails every call."""
    try:
        httpx.URL(host if "://" in host else f"all://[{host}]" if host.count(":") > 1 else f"all://*{host}")
    except httpx.InvalidURL:
        return False
    return True


def _check_proxy(variable: str, url: str) -> None:
    try:
        is_proxy = bool(httpx.Proxy(url if "://" in url else f"http://{url}").url.host)
    except (ValueError, httpx.InvalidURL):
        is_proxy = False
    if not is_proxy:
        raise ConfigurationError(
            f"{variable} is not the address of a proxy: write it like http://HOST:PORT, and percent-encode user and "
            "password"
        )
