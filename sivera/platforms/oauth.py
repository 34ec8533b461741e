"""What the logins of Google and Amazon share: the authorization code grant of RFC 6749 with PKCE (RFC 7636)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from sivera.breaker import Subject
from sivera.errors import InvalidReply, ReconnectRequired
from sivera.platforms.base import LONGEST_LIFE_SECONDS, AppCredentials
from sivera.platforms.calling import Caller
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


def ask(app: AppCredentials, caller: Caller, url: str, form: dict[str, str]) -> Any:
    """Return the answer of a token endpoint to a form, to which our application's keys are added."""
    keys = {"client_id": app.client_id, "client_secret": app.client_secret.get_secret_value()}
    return caller.send(caller.http.build_request("POST", url, data={**form, **keys}), Subject(endpoint="token")).body


def renew(platform: PlatformName, send: Callable[[dict[str, str]], Any], tokens: GrantTokens) -> GrantTokens:
    """Exchange the refresh token for an access token (RFC 6749, section 6); it stays if the answer has no other."""
    if tokens.refresh_token is None:
        raise ReconnectRequired(platform, "gave this grant no refresh token")
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token.get_secret_value()}
    renewed = tokens_of(platform, send(form))
    return renewed.model_copy(update={"refresh_token": renewed.refresh_token or tokens.refresh_token})


def tokens_of(platform: PlatformName, body: Any, *, needs_refresh: bool = False) -> GrantTokens:
    """Read the tokens of an answer of a token endpoint (RFC 6749, 5.1)."""
    found: Any = body if isinstance(body, dict) else {}
    access, seconds, refresh = (found.get(name) for name in ("access_token", "expires_in", "refresh_token"))
    checks = {
        "access_token": isinstance(access, str) and access and "\x00" not in access,
        "expires_in": type(seconds) is int and 0 < seconds <= LONGEST_LIFE_SECONDS,
        "refresh_token": (isinstance(refresh, str) and refresh) or (refresh is None and not needs_refresh),
    }
    if odd := [name for name, is_right in checks.items() if not is_right]:
        raise InvalidReply(platform, f"sent a reply in which '{odd[0]}' is missing or not as documented")
    return GrantTokens(
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh) if refresh else None,
        expires_in=timedelta(seconds=seconds),
    )
