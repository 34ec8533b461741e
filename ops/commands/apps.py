"""`sivera apps`: the keys of our application on each platform."""

from cyclopts import App

from blocks.platform_app import load_platform_app
from blocks.server import connect
from blocks.setup import setup
from ops.commands.session import read_secret
from ops.commands.tables import say
from sivera.errors import ConfigurationError
from sivera.platforms.base import AppCredentials
from sivera.values import PlatformName

apps = App(name="apps")


@apps.command(name="set")
def set_app(platform: PlatformName, /, *, client_id: str, base_url: str | None = None) -> None:
    """Save our application's keys for a platform; the secret is read from standard input.

    Args:
        platform: The platform that gave the keys.
        client_id: The application's id there.
        base_url: Replaces the platform's hosts, for a sandbox; left out, it is the live platform.
    """
    with connect():
        pass  # before a person pastes a secret
    secret = read_secret(f"the secret of our {platform.value} application")
    try:
        # It is entered in the UI, and new keys must not remove it.
        developer_token = load_platform_app(platform).developer_token
    except ConfigurationError:
        developer_token = None
    app = AppCredentials(client_id=client_id, client_secret=secret, base_url=base_url, developer_token=developer_token)
    setup(apps={platform: app})
    where = f"{platform.value} at {base_url}" if base_url else f"the live {platform.value}"
    say(f"Saved our application's keys for {where}; runs that begin from now on use them.")
    say(f"To check them: sivera credentials connect --platform {platform.value} --team TEAM")
