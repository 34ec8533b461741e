"""Links that let a team's user connect a grant without an account at Sivera Jobs.

A link is encrypted with the token key and bound to its platform and team, so nobody can make or change one without
that key. Making one stores nothing.
"""

from datetime import datetime
from urllib.parse import urlencode, urlsplit

from sivera.crypto import Keyring, Place, UndecryptableError, from_address, to_address
from sivera.errors import ConfigurationError
from sivera.grants.consent import LINK_LIFE, LOOPBACK, check_redirect
from sivera.grants.refusals import ConsentRefused, Refusal
from sivera.values import PlatformName

CALLBACK = "/connect/callback"
"""The path, below the public address, to which platforms send the browser. It is registered with each application."""


def callback_of(public_url: str) -> str:
    """Return the HTTP API's redirect; ConfigurationError unless the address is https or on this machine."""
    try:
        check_redirect(redirect := f"{public_url.rstrip('/')}{CALLBACK}")
    except ConfigurationError:
        # The message omits the address, which may hold a password.
        raise ConfigurationError(
            "SIVERA_PUBLIC_URL does not fit: use an https address, or an http address of this machine, without user, "
            "password and query"
        ) from None
    return redirect


def is_of_this_machine(public_url: str) -> bool:
    """Return whether only browsers on this machine reach the address; ConfigurationError if it is not valid."""
    callback_of(public_url)
    return urlsplit(public_url).hostname in LOOPBACK


def make_link(
    keyring: Keyring, public_url: str, *, platform: PlatformName, team: str, now: datetime, name: str = "main"
) -> str:
    """Return a link that lets someone connect a grant of a team. It is valid for 24 hours and connects one grant.

    `public_url` is where browsers reach the HTTP API (ConfigurationError if it is not valid); `now` is the database's
    time. The team is created with its first grant. `name` tells a team's grants on one platform apart; reusing a name
    replaces that grant's tokens.
    """
    callback_of(public_url)
    sealed = to_address(keyring, {"name": name, "until": (now + LINK_LIFE).timestamp()}, _place(platform, team))
    return f"{public_url.rstrip('/')}/connect/{platform.value}?{urlencode({'team': team, 'link': sealed})}"


def read_link(keyring: Keyring, link: str, *, platform: PlatformName, team: str, now: datetime) -> str:
    """Return the grant's name in a `link`; ConsentRefused if it is not valid for this platform and team, or expired."""
    try:
        facts = from_address(keyring, link, _place(platform, team))
    except UndecryptableError:
        raise ConsentRefused(Refusal.LINK_UNKNOWN, platform) from None
    if now.timestamp() > facts["until"]:
        raise ConsentRefused(Refusal.LINK_EXPIRED, platform)
    return str(facts["name"])


def _place(platform: PlatformName, team: str) -> Place:
    return Place("connect", "link", f"{platform.value} of {team}")
