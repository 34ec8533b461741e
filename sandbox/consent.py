"""The platforms' logins: a page with 'Allow' and 'Deny', codes that work once, and OAuth's token endpoint.

Each platform has a `Dialect`. The visitor of the page logs in as one of the world's grants or as a new user. Redirects
to this machine are always registered, so the demo needs no settings; `world.redirects` has the others.
"""

import base64
import hashlib
import html
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.http import Call, Entry, Refusal, Reply
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.values import PlatformName

LOOPBACK = ("127.0.0.1", "localhost", "::1")
NEW_USER, NO_ACCOUNTS = "new", "none"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui; max-width: 34em; margin: 4em auto; padding: 0 1em }}
button {{ font: inherit; padding: .4em 1.4em; margin-right: .6em }}</style>
<h1>{title}</h1>{body}</html>"""
FORM = """<p>This is the sandbox, not {platform}. The application <b>{client}</b> asks to read ads.</p>
<form method="post"><p><label>Log in as <select name="user">{users}</select></label></p>
<p><label><input type="checkbox" name="ads" checked> Let it read my ads</label></p>
<p><button name="answer" value="allow">Allow</button><button name="answer" value="deny">Deny</button></p></form>"""


@dataclass(frozen=True)
class Dialect:
    """The parameters and answers of a platform's consent page.

    It requires the parameters in `needs` and accepts those in `knows`. It sends the code under each name in `sends`,
    and `denial` if the user denies access; with `has_issuer` it also sends `iss` (RFC 9207). `wrong_redirect` is the
    token endpoint's error for a code that was sent to another redirect.
    """

    platform: PlatformName
    path: str
    lifetime: timedelta
    scope: str = ""
    needs: frozenset[str] = frozenset({"client_id", "redirect_uri", "response_type", "scope"})
    knows: frozenset[str] = frozenset({"state"})
    client_name: str = "client_id"
    sends: tuple[str, ...] = ("code",)
    denial: Mapping[str, str] = field(default_factory=lambda: {"error": "access_denied"})
    prefix: str = ""
    fragment: str = ""
    has_issuer: bool = False
    wrong_redirect: str = "invalid_grant"


GRANT_TYPES = {
    "refresh_token": ("refresh_token", frozenset({"scope"})),
    "authorization_code": ("code", frozenset({"redirect_uri", "code_verifier"})),
}
"""By `grant_type`: the field that a token request requires, and its optional ones."""


@dataclass
class Code:
    """An authorization code that was sent to a redirect."""

    grant: Grant
    redirect_uri: str
    challenge: str | None
    region: str
    expires: datetime
    used: bool = False


class CodeRefused(Exception):
    """A code cannot be redeemed; the first argument says why: unknown, expired, used, redirect or verifier."""


class ConsentPages:
    """A platform's consent page, and the codes that it has issued."""

    def __init__(self, world: World, dialect: Dialect) -> None:
        self.world, self.dialect = world, dialect
        self._codes: dict[str, Code] = {}

    def routes(self, prefix: str = "") -> list[Entry]:
        """Return the routes of the page."""
        path = f"{prefix}{self.dialect.path}"
        return [("GET", path, "consent", self.show), ("POST", path, "consent", self.decide)]

    def show(self, call: Call) -> Reply:
        """Show the page; a wrong request ends here or at its redirect (RFC 6749, 4.1.2.1)."""
        self._check(call)
        grants = [grant for grant in self.world.grants.values() if grant.platform is self.dialect.platform]
        users = [(NEW_USER, "a new user with two ad accounts"), (NO_ACCOUNTS, "a new user without an ad account")]
        users += [(str(grant.id), f"user {grant.id} ({len(grant.account_ids)} ad accounts)") for grant in grants]
        options = "".join(f'<option value="{value}">{text}</option>' for value, text in users)
        client = html.escape(call.query[self.dialect.client_name])
        return _page(
            "Allow access?", FORM.format(platform=self.dialect.platform.value.title(), client=client, users=options)
        )

    def decide(self, call: Call) -> Reply:
        """Send the browser back with a code, or with the denial."""
        self._check(call)
        if call.form.get("answer") != "allow":
            return self._back(call, self.dialect.denial)
        user, platform = call.form.get("user", NEW_USER), self.dialect.platform
        if user in (NEW_USER, NO_ACCOUNTS):
            grant = self.world.add_grant(platform, accounts=2 if user == NEW_USER else 0)
        else:
            grant = self.world.grants[int(user)]
        grant.may_read_ads = "ads" in call.form
        code = self.dialect.prefix + secrets.token_urlsafe(24)
        self._codes[code] = Code(
            grant,
            call.query["redirect_uri"],
            call.query.get("code_challenge"),
            call.path.get("region", ""),
            self.world.clock.now() + self.dialect.lifetime,
        )
        return self._back(call, dict.fromkeys(self.dialect.sends, code))

    def redeem(self, text: str, redirect_uri: str | None, verifier: str | None = None, region: str = "") -> Grant:
        """Use a code up, and return its grant.

        Raises:
            CodeRefused: It is unknown, used or expired, or belongs to another redirect, verifier or region.
        """
        code = self._codes.get(text)
        if code is None or code.region != region:
            raise CodeRefused("unknown")
        if code.used:
            raise CodeRefused("used")
        if code.expires <= self.world.clock.now():
            raise CodeRefused("expired")
        if redirect_uri is not None and redirect_uri != code.redirect_uri:
            raise CodeRefused("redirect")
        if code.challenge is not None and _challenge(verifier or "") != code.challenge:
            raise CodeRefused("verifier")
        code.used = True
        return self.world.log_in(code.grant.id)

    def grant_for(self, call: Call) -> Grant:
        """Return the grant of the refresh token (RFC 6749, section 6) or code (section 4.1.3) in a form."""
        form, kind = call.form, call.form.get("grant_type", "")
        needed, optional = GRANT_TYPES.get(kind, ("", frozenset()))
        unknown = sorted(form.keys() - {"grant_type", "client_id", "client_secret", needed} - optional)
        content_type = call.headers.get("content-type", "")
        checks = (
            (content_type.startswith("application/x-www-form-urlencoded"), 400, "invalid_request", "Not a form."),
            (kind, 400, "invalid_request", "Missing required parameter: grant_type"),
            (needed, 400, "unsupported_grant_type", f"Invalid grant_type: {kind}"),
            (not unknown, 400, "invalid_request", f"Unknown parameter: {unknown}"),
            (form.get("client_id") == CLIENT_ID, 401, "invalid_client", "The OAuth client was not found."),
            (form.get("client_secret") == CLIENT_SECRET, 401, "invalid_client", "Unauthorized"),
            (form.get(needed), 400, "invalid_request", f"Missing required parameter: {needed}"),
        )
        for is_right, status, error, words in checks:
            if not is_right:
                raise Refusal(oauth_error(status, error, words))
        if kind == "refresh_token":
            grant = self.world.grant_of_refresh(self.dialect.platform, form["refresh_token"])
            if grant is None:
                raise Refusal(oauth_error(400, "invalid_grant", "Token has been expired or revoked."))
            return grant
        region = call.path.get("region", "")
        try:
            return self.redeem(form["code"], form.get("redirect_uri", ""), form.get("code_verifier"), region)
        except CodeRefused as refused:
            error = self.dialect.wrong_redirect if refused.args[0] == "redirect" else "invalid_grant"
            raise Refusal(oauth_error(400, error, f"The code is refused: {refused}")) from None

    def _check(self, call: Call) -> None:
        """Refuse a wrong request; nothing is ever sent to a redirect that is not registered."""
        query = call.query
        if query.get(self.dialect.client_name) != CLIENT_ID:
            raise Refusal(_page("Error: invalid_client", "<p>The application is unknown.</p>", 401))
        redirect = query.get("redirect_uri", "")
        if urlsplit(redirect).hostname not in LOOPBACK and redirect not in self.world.redirects:
            words = f"<p>The redirect {html.escape(redirect)} is not registered with the application.</p>"
            raise Refusal(_page("Error 400: redirect_uri_mismatch", words, 400))
        missing = sorted(name for name in self.dialect.needs if not query.get(name))
        unknown = sorted(query.keys() - self.dialect.needs - self.dialect.knows - {self.dialect.client_name})
        kind, method = query.get("response_type", "code"), query.get("code_challenge_method", "S256")
        scope = query.get("scope", self.dialect.scope)
        checks = (
            (not missing, "invalid_request", f"Missing: {missing}"),
            (not unknown, "invalid_request", f"Unknown: {unknown}"),
            (kind == "code", "unsupported_response_type", "response_type must be code."),
            (scope == self.dialect.scope, "invalid_scope", "The scope is not approved."),
            (method == "S256", "invalid_request", "code_challenge_method must be S256."),
        )
        for is_right, error, words in checks:
            if not is_right:
                raise Refusal(self._back(call, {"error": error, "error_description": words}))

    def _back(self, call: Call, answer: Mapping[str, str]) -> Reply:
        more = {"state": call.query["state"]} if "state" in call.query else {}
        if self.dialect.has_issuer:
            more["iss"] = f"http://{call.headers['host']}{call.url.partition(self.dialect.path)[0]}"
        url = f"{call.query['redirect_uri']}?{urlencode({**answer, **more})}{self.dialect.fragment}"
        return Reply(b"", 302, {"Location": url, "Cache-Control": "no-store"})


def oauth_error(status: int, error: str, description: str) -> Reply:
    """Return an error of a token endpoint (RFC 6749, 5.2)."""
    return Reply({"error": error, "error_description": description}, status)


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _page(title: str, body: str, status: int = 200) -> Reply:
    content = PAGE.format(title=html.escape(title), body=body).encode()
    return Reply(content, status, {"Cache-Control": "no-store"}, "text/html; charset=utf-8")
