"""`sivera api`: serves the HTTP API. It starts only if its secret is set."""

import ipaddress
import logging
import socket
from contextlib import nullcontext
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from blocks.cron_secret import load_cron_secret
from ops.api.app import create_app
from ops.api.connections import make_server
from ops.api.jobs import read_jobs
from ops.api.openapi import JOBS
from ops.commands.tables import say
from ops.stack.processes import free_port
from ops.stack.stack import API_PORT, BUSY_SECONDS
from sivera.errors import ConfigurationError

RETRIES = 1
"""Prefect's client would retry five times, for a minute. Callers should not wait that long."""


def api(
    *,
    host: str = "127.0.0.1",
    port: Annotated[int | None, Parameter(validator=Number(gte=0, lte=65535))] = None,
) -> None:
    """Serve the HTTP API until the process is told to stop.

    Args:
        host: The address to listen on.
        port: The port to listen on; left out, it is 3000 or the next free one.
    """
    load_cron_secret(BUSY_SECONDS)
    jobs = read_jobs()
    with free_port(API_PORT, say) if port is None else nullcontext(port) as chosen:
        listener = _listen(host, chosen)
    logging.getLogger("sivera.api").setLevel(logging.INFO)
    with listener, temporary_settings({PREFECT_CLIENT_MAX_RETRIES: RETRIES}):
        address, bound = listener.getsockname()[:2]
        say(f"The HTTP API is at http://{f'[{address}]' if ':' in address else address}:{bound}{JOBS}")
        if not ipaddress.ip_address(address).is_loopback:
            say("Other machines can reach it, and HTTP does not encrypt the secret: put it behind a proxy with TLS.")
        make_server(create_app(jobs)).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ConfigurationError(
            f"the HTTP API cannot listen on {host}, port {port} ({error.strerror}): "
            "choose another address with --host and --port"
        ) from None
