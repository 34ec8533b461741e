"""Connecting a grant by a consent in the browser (RFC 6749, 4.1, with the advice of RFC 9700).

`begin` gives the address of the platform's consent page. The platform sends the browser back to our redirect with a
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
from sivera.errors import ConfigurationError, PlatformError
from sivera.grants import consent_queries as queries
from sivera.grants.connecting import Connection, connect
from sivera.grants.refusals import ERRORS, ConsentRefused, Refusal, refusal_of
from sivera.grants.renewal_queries import Notify
from sivera.models import OAuthState
from sivera.platforms.base import Login, PlatformClient, StaticToken
from sivera.values import AccountListing, GrantTokens, PlatformName, Value

STATE_LIFE = timedelta(minutes=10)
LINK_LIFE = timedelta(hours=24)
"""A link to begin a consent lives this long, and leads to one grant."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Connected(Value):
    """A grant that a consent has connected."""

    platform: PlatformName
    team: str
    name: str
    connection: Connection


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
    """Begin the consent for a team's grant, and return the address of the consent page.

    Args:
        engine: The database.
        keyring: Encrypts the code verifier.
        client: The client of the platform.
        team: The name of the team; a new name makes a new team, once there is a grant.
        redirect_uri: Where the platform sends the browser; it has to be registered there.
        name: Tells a team's grants on one platform apart.
        region: One of the platform's regions with a consent page of its own; left out, the first.
        browser: A secret in a cookie of the browser that may bring the answer; None if it comes to this machine.
        link: What is unique about the link that begins it. A link leads to one grant; see `LINK_LIFE`.

    Raises:
        ConfigurationError: The redirect or the region is none.
        ConsentRefused: The link was used before.
    """
    check_redirect(redirect_uri)
    region = region or client.login.regions[0]
    if region not in client.login.regions:
        known = ", ".join(client.login.regions) if client.login.regions[0] else "none"
        raise ConfigurationError(f"{client.platform.value} has no region '{region}' to log in to; it has: {known}")
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    state_hash, link_hash = _hash(state), _hash(link)
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
            browser_hash=_hash(browser),
            link_hash=link_hash,
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
) -> Connected:
    """Connect the grant of a consent with the platform's answer: its address, with code and state in the query.

    The state is used up, whatever comes of it; that of another browser or redirect is left alone. `browser` is the
    secret that was given to `begin`. The code is exchanged, the ad accounts are listed, and all is stored at once.

    Raises:
        ConsentRefused: Nothing was stored; it says why.
    """
    redirect_uri, answer = _parts(answer_url)
    state = _use_state(engine, answer.get("state", ""), redirect_uri, _hash(browser))
    platform = PlatformName(state.platform)
    try:
        client = client_of(platform)
        code = _code(platform, client.login, answer)
        verifier = keyring.decrypt(state.verifier or b"", _place(state.state_hash))
        tokens = _redeem(client, code, redirect_uri, verifier, state.region or "")
        connection = connect(
            engine,
            keyring,
            client,
            team=str(state.team),
            tokens=tokens,
            name=str(state.name),
            notify=notify,
            found=_accounts(client, tokens),
        )
    except Exception:
        with Session(engine) as session, session.begin():
            queries.release_link(session, state.id)
        raise
    return Connected(platform=platform, team=str(state.team), name=str(state.name), connection=connection)


def challenge_of(verifier: str) -> str:
    """Return the challenge of a code verifier (RFC 7636, 4.2, S256)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _use_state(engine: Engine, text: str, redirect_uri: str, browser_hash: str | None) -> OAuthState:
    state_hash = _hash(text) or ""
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            state = queries.use_state(session, state_hash, redirect_uri, browser_hash, LINK_LIFE)
            found = None if state else queries.find_state(session, state_hash)
    except IntegrityError:
        raise ConsentRefused(Refusal.LINK_USED) from None
    if state is not None:
        return state
    if found is None:
        raise ConsentRefused(Refusal.STATE_UNKNOWN)
    known, has_expired = found
    platform = PlatformName(known.platform)
    if known.browser_hash != browser_hash:
        raise ConsentRefused(Refusal.OTHER_BROWSER, platform)
    if known.redirect_uri != redirect_uri:
        raise ConsentRefused(Refusal.OTHER_PLATFORM, platform)
    if known.used_at is None and has_expired:
        raise ConsentRefused(Refusal.STATE_EXPIRED, platform)
    raise ConsentRefused(Refusal.STATE_USED, platform)


def _code(platform: PlatformName, login: Login, answer: Mapping[str, str]) -> str:
    """Return the code of an answer."""
    if login.issuer is not None and answer.get("iss", login.issuer) != login.issuer:
        raise ConsentRefused(Refusal.OTHER_PLATFORM, platform)
    if error := answer.get("error") or answer.get("error_code"):  # Meta has both
        words = answer.get("error_description") or answer.get("error_message") or error
        raise ConsentRefused(ERRORS.get(error, Refusal.PLATFORM_FAILED), platform, f"{platform.value}: {words}")
    if not (code := answer.get(login.code_name)):
        raise ConsentRefused(Refusal.OTHER_PLATFORM, platform)
    return code


def _redeem(client: PlatformClient, code: str, redirect_uri: str, verifier: str, region: str) -> GrantTokens:
    try:
        return client.login.redeem(code, redirect_uri, verifier, region)
    except PlatformError as error:
        raise refusal_of(error, Refusal.CODE_REFUSED) from None


def _accounts(client: PlatformClient, tokens: GrantTokens) -> AccountListing:
    """List the ad accounts of the tokens, which proves them; there has to be one."""
    try:
        found = client.list_accounts(StaticToken(tokens.access_token, client.platform))
    except PlatformError as error:
        raise refusal_of(error, Refusal.PLATFORM_FAILED) from None
    if not found.accounts:
        why = next((f"{row.id or 'an account'} {row.why}" for row in found.left_out), "")
        raise ConsentRefused(Refusal.NO_ACCOUNTS, client.platform, why)
    return found


def _parts(answer_url: str) -> tuple[str, dict[str, str]]:
    """Return the redirect and the parameters of an answer. One that comes twice does not count (RFC 6749, 3.1)."""
    redirect_uri, _, rest = answer_url.strip().partition("?")
    pairs = parse_qsl(rest.partition("#")[0], keep_blank_values=True)
    names = [name for name, _ in pairs]
    return redirect_uri, {name: value for name, value in pairs if names.count(name) == 1}


def check_unused(session: Session, link: str, platform: PlatformName) -> None:
    """Raise ConsentRefused if a consent that was begun with a link has connected a grant, or is about to."""
    if queries.is_link_used(session, _hash(link) or ""):
        raise ConsentRefused(Refusal.LINK_USED, platform)


def check_redirect(redirect_uri: str) -> None:
    """Raise ConfigurationError unless a redirect is an https address, or an http one of this machine (RFC 8252)."""
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
    """Return whether a redirect leads to a plain HTTP server of this machine."""
    parts = urlsplit(redirect_uri)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


def _hash(secret: str | None) -> str | None:
    return None if secret is None else hashlib.sha256(secret.encode()).hexdigest()


def _place(state_hash: str | None) -> Place:
    return Place(OAuthState.__tablename__, "verifier", state_hash or "")
