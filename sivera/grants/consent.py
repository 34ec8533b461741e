"""Connect a grant by a consent in the browser (RFC 6749, 4.1, with the advice of RFC 9700).

`begin` returns the address of the platform's consent page. The platform sends the browser back to our redirect with a
code and the `state` of this consent, and `finish` connects the grant. A state works once, for ten minutes, for one
platform, one redirect and one browser.
"""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sivera.crypto import Keyring, Place
from sivera.errors import ConfigurationError
from sivera.grants import consent_queries as queries
from sivera.grants.connecting import Connection, connect
from sivera.grants.refusals import ERRORS, ConsentRefused, Refusal, explain_refusals
from sivera.grants.renewal_queries import Notify
from sivera.models import OAuthState
from sivera.platforms.base import PlatformClient, StaticToken
from sivera.values import AccountListing, PlatformName

STATE_LIFE = timedelta(minutes=10)
LINK_LIFE = timedelta(hours=24)
"""How long a link to a consent is valid. It connects one grant."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def begin(
    engine: Engine,
    keyring: Keyring,
    client: PlatformClient,
    *,
    team: str,
    redirect_uri: str,
    name: str = "main",
    region: str = "",
    browser: str | None = None,
    link: str | None = None,
) -> str:
    """Start the consent for a team's grant, and return the address of the consent page.

    The platform sends the browser to `redirect_uri`, which must be registered there. `name` tells a team's grants on
    one platform apart. `region` defaults to the platform's first one. Only the browser whose cookie holds the secret
    `browser` may bring the answer; None if the answer comes to this machine. `link` identifies the link that the user
    opened, if there was one.

    Raises:
        ConfigurationError: The redirect or the region is not valid.
        ConsentRefused: The link was used before.
    """
    check_redirect(redirect_uri)
    region = region or client.login.regions[0]
    if region not in client.login.regions:
        known = ", ".join(client.login.regions) if client.login.regions[0] else "none"
        raise ConfigurationError(f"{client.platform.value} has no region '{region}' to log in to; it has: {known}")
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    state_hash = _hash(state)
    with Session(engine) as session, session.begin():
        if link:
            check_unused(session, link, client.platform)
        queries.add_state(
            session,
            STATE_LIFE,
            state_hash=state_hash,
            platform=client.platform,
            team=team,
            name=name,
            region=region,
            redirect_uri=redirect_uri,
            verifier=keyring.encrypt(verifier, _place(state_hash)),
            browser_hash=_hash(browser) if browser else None,
            link_hash=_hash(link) if link else None,
        )
    return client.login.consent_url(redirect_uri, state, challenge_of(verifier), region)


def finish(
    engine: Engine,
    keyring: Keyring,
    client_of: Callable[[PlatformName], PlatformClient],
    answer_url: str,
    *,
    browser: str | None = None,
    notify: Notify = lambda *_: None,
) -> Connection:
    """Connect the grant of a consent. `answer_url` is where the platform sent the browser, with code and state.

    This uses up the state, even if connecting fails. A state that belongs to another browser or redirect stays valid.
    `browser` is the secret that `begin` was given. ConsentRefused tells why nothing was stored.
    """
    redirect_uri, answer = _parts(answer_url)
    state = _use_state(engine, answer.get("state", ""), redirect_uri, _hash(browser) if browser else None)
    try:
        client = client_of(PlatformName(state.platform))
        code = _code(client, answer)
        verifier = keyring.decrypt(state.verifier or b"", _place(state.state_hash))
        with explain_refusals(Refusal.CODE_REFUSED):
            tokens = client.login.redeem(code, redirect_uri, verifier, state.region or "")
        found = _accounts(client, StaticToken(tokens.access_token, client.platform))
        team, name = str(state.team), str(state.name)
        return connect(engine, keyring, client, team=team, tokens=tokens, name=name, notify=notify, found=found)
    except Exception:
        with Session(engine) as session, session.begin():
            queries.release_link(session, state.id)
        raise


def challenge_of(verifier: str) -> str:
    """Return the PKCE challenge of a code verifier (RFC 7636, 4.2, S256)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _use_state(engine: Engine, text: str, redirect_uri: str, browser_hash: str | None) -> OAuthState:
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            state, has_expired = queries.lock_state(session, _hash(text)) or (None, False)
            if state is None:
                raise ConsentRefused(Refusal.STATE_UNKNOWN)
            refusals = {
                Refusal.OTHER_BROWSER: state.browser_hash != browser_hash,
                Refusal.OTHER_PLATFORM: state.redirect_uri != redirect_uri,
                Refusal.STATE_USED: state.used_at is not None,
                Refusal.STATE_EXPIRED: has_expired,
            }
            for why, holds in refusals.items():
                if holds:
                    raise ConsentRefused(why, PlatformName(state.platform))
            queries.use_state(session, state, LINK_LIFE)
            return state
    except IntegrityError:
        raise ConsentRefused(Refusal.LINK_USED) from None


def _code(client: PlatformClient, answer: Mapping[str, str]) -> str:
    platform, login = client.platform, client.login
    if login.issuer is not None and answer.get("iss", login.issuer) != login.issuer:
        raise ConsentRefused(Refusal.OTHER_PLATFORM, platform)
    if error := answer.get("error") or answer.get("error_code"):  # Meta has both
        words = answer.get("error_description") or answer.get("error_message") or error
        raise ConsentRefused(ERRORS.get(error, Refusal.PLATFORM_FAILED), platform, f"{platform.value}: {words}")
    if not (code := answer.get(login.code_name)):
        raise ConsentRefused(Refusal.OTHER_PLATFORM, platform)
    return code


def _accounts(client: PlatformClient, token: StaticToken) -> AccountListing:
    with explain_refusals(Refusal.PLATFORM_FAILED):
        found = client.list_accounts(token)
    if not found.accounts:
        why = next((f"{row.id or 'an account'} {row.why}" for row in found.left_out), "")
        raise ConsentRefused(Refusal.NO_ACCOUNTS, client.platform, why)
    return found


def _parts(answer_url: str) -> tuple[str, dict[str, str]]:
    # A repeated parameter is invalid (RFC 6749, 3.1).
    redirect_uri, _, rest = answer_url.strip().partition("?")
    pairs = parse_qsl(rest.partition("#")[0], keep_blank_values=True)
    names = [name for name, _ in pairs]
    return redirect_uri, {name: value for name, value in pairs if names.count(name) == 1}


def check_unused(session: Session, link: str, platform: PlatformName) -> None:
    """Raise ConsentRefused if a consent of this link has connected a grant, or is about to."""
    if queries.is_link_used(session, _hash(link)):
        raise ConsentRefused(Refusal.LINK_USED, platform)


def check_redirect(redirect_uri: str) -> None:
    """Raise ConfigurationError unless the redirect is an https address, or an http one of this machine (RFC 8252)."""
    try:
        parts = urlsplit(redirect_uri)
        is_address = bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        is_address = False
    is_plain = redirect_uri.isascii() and redirect_uri.isprintable() and not set("?# ") & set(redirect_uri)
    if not (is_address and is_plain and (parts.scheme == "https" or is_loopback(redirect_uri))):
        raise ConfigurationError(
            f"'{redirect_uri}' cannot be a redirect: it must be an https address, or an http address of this machine, "
            "without a query"
        )


def is_loopback(redirect_uri: str) -> bool:
    """Return whether the redirect leads to a plain HTTP server on this machine."""
    parts = urlsplit(redirect_uri)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _place(state_hash: str) -> Place:
    return Place(OAuthState.__tablename__, "verifier", state_hash)
