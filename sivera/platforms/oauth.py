"""Shared by the logins: the authorization code grant of RFC 6749 with PKCE (RFC 7636), and reading tokens."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlencode

from pydantic import SecretStr

from sivera.breaker import Subject
from sivera.errors import InvalidRequest, Misconfigured, PlatformError, ReconnectRequired, ThrottleScope, Unavailable
from sivera.platforms.base import Login
from sivera.platforms.calling import Reply, trouble_of
from sivera.platforms.rows import Record, field_of
from sivera.values import GrantTokens, PlatformName

Verdicts = Mapping[str, tuple[type[PlatformError], str]]

LONGEST_LIFE_SECONDS = 400 * 24 * 3600
"""No platform issues an access token for more than a year: a longer lifetime is an error."""
OAUTH_ERRORS: Verdicts = {
    "invalid_client": (Misconfigured, "refuses our client id or secret; correct the keys of the app"),
    "unauthorized_client": (Misconfigured, "does not let our application get tokens; check the keys of the app"),
    "unsupported_grant_type": (Misconfigured, "knows no such grant type; check the keys and the base URL of the app"),
    "server_error": (Unavailable, "cannot issue tokens at the moment"),
    "temporarily_unavailable": (Unavailable, "cannot issue tokens at the moment"),
}
"""The errors of RFC 6749, 5.2."""


def token_error_of(platform: PlatformName, verdicts: Verdicts, reply: Reply) -> PlatformError | None:
    """Return the error that a token endpoint's reply means. `verdicts` covers the platform's own codes."""
    name = field_of(reply.body, "error")
    if reply.status == 200 and (not name or field_of(reply.body, "access_token")):
        return None
    codes = (field_of(reply.body, "error_subtype"), name)
    code = next((code for code in codes if isinstance(code, str) and code), str(reply.status))
    if trouble := trouble_of(platform, reply, code, scope=ThrottleScope.ENDPOINT):
        return trouble
    other: tuple[type[PlatformError], str] = (InvalidRequest, "refuses our request for a token")
    if reply.status < 400:
        other = (Unavailable, f"answered HTTP {reply.status}")
    kind, sentence = verdicts.get(str(name)) or OAUTH_ERRORS.get(str(name), other)
    return kind(platform, sentence, code)


class PkceLogin(Login):
    """The login of a platform that follows the RFCs. `options` are its own parameters for the consent page."""

    scope: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def page(self, region: str) -> str:
        """Return the address of the consent page without its parameters."""

    @abstractmethod
    def token_url(self, region: str) -> str:
        """Return the address of the token endpoint."""

    def consent_url(self, redirect_uri: str, state: str, challenge: str, region: str = "") -> str:
        """Return the address of the consent page (RFC 6749, 4.1.1, and RFC 7636, 4.3)."""
        query = {
            "client_id": self.app.client_id,
            "redirect_uri": redirect_uri,
            "response_type": "code",
            "scope": self.scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.page(region)}?{urlencode({**query, **self.options})}"

    def redeem(self, code: str, redirect_uri: str, verifier: str, region: str = "") -> GrantTokens:
        """Exchange the code for tokens (RFC 6749, 4.1.3, and RFC 7636, 4.5)."""
        form = {"code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
        answer = self._ask("authorization_code", form, region)
        self.check_scope(answer)
        return tokens_of(answer, needs_refresh=True)

    def check_scope(self, answer: Record) -> None:
        """Raise ScopeMissing if the answer says that the user did not allow our scope."""

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        """Exchange the refresh token for an access token of an hour (RFC 6749, section 6)."""
        if tokens.refresh_token is None:
            raise ReconnectRequired(self.oauth.platform, "gave this grant no refresh token")
        form = {"refresh_token": tokens.refresh_token.get_secret_value()}
        return tokens_of(self._ask("refresh_token", form, self.regions[0]), kept=tokens.refresh_token)

    def _ask(self, grant_type: str, form: Mapping[str, str], region: str) -> Record:
        keys = {"client_id": self.app.client_id, "client_secret": self.app.client_secret.get_secret_value()}
        data = {"grant_type": grant_type, **form, **keys}
        request = self.oauth.http.build_request("POST", self.token_url(region), data=data)
        return Record(self.oauth.platform, self.oauth.send(request, Subject(endpoint="token")).body)


def tokens_of(
    answer: Record, *, kept: SecretStr | None = None, needs_refresh: bool = False, may_last: bool = False
) -> GrantTokens:
    """Read the tokens of an answer (RFC 6749, 5.1). If it has no refresh token, the grant keeps `kept`.

    With `may_last`, an answer without a lifetime has a token that does not expire.
    """
    access = answer.text("access_token")
    seconds = answer.count("expires_in") if answer.has("expires_in") or not may_last else 0
    if seconds > LONGEST_LIFE_SECONDS or (seconds == 0 and not may_last):
        raise answer.invalid("expires_in")
    refresh = answer.text("refresh_token") if needs_refresh else answer.optional("refresh_token")
    for name, token in (("access_token", access), ("refresh_token", refresh or "")):
        if not token.isascii() or not token.isprintable():
            raise answer.invalid(name)
    return GrantTokens(
        access_token=SecretStr(access),
        refresh_token=SecretStr(refresh) if refresh else kept,
        expires_in=timedelta(seconds=seconds) if seconds else None,
    )
