"""What logins share: the authorization code grant of RFC 6749 with PKCE (RFC 7636), and the tokens of an answer."""

from collections.abc import Callable
from datetime import timedelta

from pydantic import SecretStr

from sivera.breaker import Subject
from sivera.errors import ReconnectRequired
from sivera.platforms.base import LONGEST_LIFE_SECONDS, AppCredentials
from sivera.platforms.calling import Caller
from sivera.platforms.rows import Record
from sivera.values import GrantTokens, PlatformName


def consent_query(app: AppCredentials, scope: str, redirect_uri: str, state: str, challenge: str) -> dict[str, str]:
    """Return the parameters of a consent page (RFC 6749, 4.1.1, and RFC 7636, 4.3)."""
    return {
        "client_id": app.client_id,
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "scope": scope,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }


def code_form(code: str, redirect_uri: str, verifier: str) -> dict[str, str]:
    """Return the form that exchanges a code (RFC 6749, 4.1.3, and RFC 7636, 4.5)."""
    kind = "authorization_code"
    return {"grant_type": kind, "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}


def ask(app: AppCredentials, caller: Caller, url: str, form: dict[str, str]) -> Record:
    """Return the answer of a token endpoint to a form, to which our application's keys are added."""
    keys = {"client_id": app.client_id, "client_secret": app.client_secret.get_secret_value()}
    request = caller.http.build_request("POST", url, data={**form, **keys})
    return Record(caller.platform, caller.send(request, Subject(endpoint="token")).body)


def renew(platform: PlatformName, send: Callable[[dict[str, str]], Record], tokens: GrantTokens) -> GrantTokens:
    """Exchange the refresh token for an access token (RFC 6749, section 6)."""
    if tokens.refresh_token is None:
        raise ReconnectRequired(platform, "gave this grant no refresh token")
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.get_secret_value()}
    return tokens_of(send(form), kept=tokens.refresh_token)


def tokens_of(
    answer: Record, *, kept: SecretStr | None = None, needs_refresh: bool = False, may_last: bool = False
) -> GrantTokens:
    """Read the tokens of an answer (RFC 6749, 5.1); the refresh token that is `kept` stays if it has no other.

    Tokens that `may_last` do not expire if the answer names no lifetime.
    """
    access = answer.text("access_token")
    if not access.isascii() or not access.isprintable():
        raise answer.invalid("access_token")
    seconds = answer.count("expires_in") if answer.has("expires_in") or not may_last else 0
    if seconds > LONGEST_LIFE_SECONDS or (seconds == 0 and not may_last):
        raise answer.invalid("expires_in")
    refresh = answer.text("refresh_token") if needs_refresh else answer.optional("refresh_token")
    return GrantTokens(
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh) if refresh else kept,
        expires_in=timedelta(seconds=seconds) if seconds else None,
    )
