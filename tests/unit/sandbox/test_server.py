"""The sandbox's HTTP server beside the clients that keep connections to it."""

import httpx

from sandbox.app import create_app
from sandbox.server import KEEP_ALIVE_SECONDS, _server
from sandbox.world import World


def test_an_idle_connection_is_closed_by_its_client_first() -> None:
    """The other way round, a call may be sent into a connection that is being closed: no answer, by chance."""
    kept = httpx.Limits().keepalive_expiry
    assert kept is not None
    assert _server(create_app(World())).config.timeout_keep_alive == KEEP_ALIVE_SECONDS > 2 * kept
