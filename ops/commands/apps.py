"""`sivera apps`: the keys of our application on each platform."""

from cyclopts import App

from blocks.platform_app import PlatformApp
from blocks.setup import save_secrets
from ops.commands.session import read_block_secret, validating
from ops.commands.tables import say
from sivera.values import PlatformName

apps = App(name="apps")


@apps.command(name="set")
def set_app(platform: PlatformName, /, *, client_id: str, base_url: str | None = None) -> None:
    """Save our application's keys for a platform. The secret is read from standard input.

    Args:
        platform: The platform that gave the keys.
        client_id: The application's id at the platform.
        base_url: Replaces the platform's hosts, for a sandbox; by default, it is the live platform.
    """
    secret = read_block_secret(f"the secret of our {platform.value} application")
    with validating("the application's keys"):
        app = PlatformApp(client_id=client_id, client_secret=secret, base_url=base_url)
    save_secrets({platform.value: app})
    where = f"{platform.value} at {base_url}" if base_url else f"the live {platform.value}"
    say(f"Saved our application's keys for {where}; new runs use them.")
    say(f"To check them: sivera credentials connect --platform {platform.value} --team TEAM")
