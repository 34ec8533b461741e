"""Links with which a team's user connects a grant without an account at Sivera Jobs: see `make_link`.

A link is encrypted with the token key and bound to its platform and team, so that nobody can make or change one
without that key. Nothing is stored when it is made.
"""

from datetime import datetime
from urllib.parse import urlencode, urlsplit

from sivera.crypto import Keyring, Place, UndecryptableError, from_address, to_address
from sivera.errors import ConfigurationError
from sivera.grants.consent import LINK_LIFE, LOOPBACK, check_redirect
from sivera.grants.refusals import ConsentRefused, Refusal
from sivera.values import PlatformName

CALLBACK = "/connect/callback"
"""Where platforms send the browser: below the public address, and registered with each of our applications."""


def callback_of(public_url: str) -> str:
    """Return the HTTP API's redirect; ConfigurationError unless the address is https or of this machine."""
    try:
        check_redirect(redirect := f"{public_url.rstrip('/')}{CALLBACK}")
    except ConfigurationError:
        # Without the address: it may hold a password.
        raise ConfigurationError(
            "SIVERA_PUBLIC_URL does not fit: write an https address, or an http address of this machine, without user, "
            "password and query"
        ) from None
    return redirect


def is_of_this_machine(public_url: str) -> bool:
    """Return whether only browsers of this machine reach an address; ConfigurationError if it does not fit."""
    callback_of(public_url)
    return urlsplit(public_url).hostname in LOOPBACK


def make_link(
    keyring: Keyring, public_url: str, *, platform: PlatformName, team: str, now: datetime, name: str = "main"
) -> str:
    """Return a link with which someone connects a grant of a team. It lives 24 hours, and leads to one grant.

    `public_url` is where browsers reach the HTTP API, `now` the database's time. A new team's name makes a new team,
    once there is a grant. `name` tells a team's grants on one platform apart; the same name again replaces the tokens.

    Raises:
        ConfigurationError: The address does not fit.
    """
    callback_of(public_url)
    sealed = to_address(keyring, {"name": name, "until": (now + LINK_LIFE).timestamp()}, _place(platform, team))
    return f"{public_url.rstrip('/')}/connect/{platform.value}?{urlencode({'team': team, 'link': sealed})}"


def read_link(keyring: Keyring, link: str, *, platform: PlatformName, team: str, now: datetime) -> str:
    """Return the name of the grant that a link is for; `link` is what it has under that name.

    Raises:
        ConsentRefused: The link was not made here, is for another platform or team, or is over.
    """
    try:
        said = from_address(keyring, link, _place(platform, team))
    except UndecryptableError:
        raise ConsentRefused(Refusal.LINK_UNKNOWN, platform) from None
    if now.timestamp() > said["until"]:
        raise ConsentRefused(Refusal.LINK_EXPIRED, platform)
    return str(said["name"])


def _place(platform: PlatformName, team: str) -> Place:
    return Place("connect", "link", f"{platform.value} of {team}")
