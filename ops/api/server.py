"""The door as a process: it opens only with a secret, and ends in good order."""

import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence

import uvicorn
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from starlette.types import ASGIApp

from blocks.cron_secret import load_cron_secret
from blocks.server import ServerBusyError
from ops.api.app import JOBS, create_app
from ops.api.guard import NO_STORE
from ops.api.jobs import read_jobs
from ops.stack.processes import free_port
from ops.stack.stack import DOOR_PORT
from sivera.errors import ConfigurationError

PORT = DOOR_PORT
BACKLOG = 128
BUSY_ATTEMPTS = 10
END_SECONDS = 2
"""How long calls that wait may take to end; the runs that they wait for go on."""

RETRIES = 1
"""Prefect's client would try five times, for a minute: a caller is told sooner."""

LOOPBACK = ("127.0.0.1", "::1")
"""Where a proxy is always believed what it says of the client's address."""


def run_door(host: str, port: int | None, say: Callable[[str], None], proxies: Sequence[str] = ()) -> None:
    """Serve the door until the process is told to stop.

    Args:
        host: The address to listen on.
        port: The port to listen on; None is 3000, or the next free one.
        say: Tells a person a line.
        proxies: Addresses and networks of proxies that are believed what they say of the client's address.

    Raises:
        ConfigurationError: The secret is missing or will not do, the Prefect server does not answer, the address
            is taken, or a proxy's will not do.
    """
    for proxy in proxies:
        _check_proxy(proxy)
    _wait_for_secret()
    jobs = read_jobs()
    if port is None:
        with free_port(PORT, say) as free:
            listener = _listen(host, free)
    else:
        listener = _listen(host, port)
    logging.getLogger("sivera.door").setLevel(logging.INFO)
    with listener, temporary_settings({PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
        address, bound = listener.getsockname()[:2]
        say(f"The door is at http://{f'[{address}]' if ':' in address else address}:{bound}{JOBS}")
        if not ipaddress.ip_address(address).is_loopback:
            say("Others can reach it, and HTTP shows them the secret on its way: put a proxy with TLS before it.")
        make_server(create_app(jobs), proxies).run(sockets=[listener])


def _check_proxy(proxy: str) -> None:
    try:
        network = ipaddress.ip_network(proxy)
    except ValueError:
        raise ConfigurationError(
            f"--trust-proxy '{proxy}' is neither an address nor a network: write it as 192.0.2.7 or 192.0.2.0/24"
        ) from None
    if network.prefixlen == 0:
        raise ConfigurationError(
            f"--trust-proxy '{proxy}' is everybody, who could then guess under ever new addresses: name the proxy"
        )


def _wait_for_secret() -> None:
    """See that there is a secret; a server that is only busy, as while a stack starts, is asked again."""
    for _ in range(BUSY_ATTEMPTS):
        try:
            load_cron_secret()
        except ServerBusyError:
            continue
        return
    load_cron_secret()


def make_server(app: ASGIApp, proxies: Sequence[str] = ()) -> uvicorn.Server:
    """Return an HTTP server for the door; `proxies` are believed what they say of the client's address."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            # It would log the query, into which somebody may write the secret.
            access_log=False,
            server_header=False,
            # Said here, so that FORWARDED_ALLOW_IPS of somebody else's server changes nothing.
            forwarded_allow_ips=[*LOOPBACK, *proxies],
            # Also of what uvicorn answers itself, to what is no HTTP.
            headers=[("Cache-Control", NO_STORE)],
            ws="none",
            lifespan="on",
            # Longer than proxies keep one that is idle (nginx: 60 s): else they may call on one that is being closed.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=END_SECONDS,
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"the door cannot listen on {host}, port {port} ({error.strerror}): choose another with --host and --port"
        ) from None
