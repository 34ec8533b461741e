"""Our logins at oauthlib's server, which checks the code, its redirect and its verifier, and at the live addresses."""

from typing import Any

import httpx
import pytest
from oauthlib.oauth2 import RequestValidator, WebApplicationServer  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sivera.errors import InvalidRequest, ReconnectRequired, Unreached
from sivera.grants.consent import challenge_of
from sivera.platforms import open_client
from sivera.platforms.base import Login
from sivera.values import PlatformName
from tests.conftest import Stageable
from tests.consents import REDIRECT
from tests.unit.platforms.rig import AMAZON, GOOGLE, META, TIKTOK, Canned, app_at

VERIFIER = "v" * 43


class Validator(RequestValidator):  # type: ignore[misc]
    """One client, whose user allows everything. The server itself knows only the grant and response type `code`."""

    def __init__(self) -> None:
        self.codes: dict[str, Any] = {}

    def _yes(self, *_: Any) -> bool:
        return True

    validate_response_type = validate_grant_type = validate_scopes = is_pkce_required = save_bearer_token = _yes

    def get_default_scopes(self, *_: Any) -> list[str]:
        return []

    def validate_client_id(self, client_id: str, request: Any, *_: Any) -> bool:
        return client_id == CLIENT_ID

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, *_: Any) -> bool:
        return redirect_uri == REDIRECT

    def save_authorization_code(self, client_id: str, code: dict[str, str], request: Any, *_: Any) -> None:
        self.codes[code["code"]] = request

    def authenticate_client(self, request: Any, *_: Any) -> bool:
        request.client = type("Client", (), {"client_id": request.client_id})
        return bool((request.client_id, request.client_secret) == (CLIENT_ID, CLIENT_SECRET))

    def validate_code(self, client_id: str, code: str, client: Any, request: Any, *_: Any) -> bool:
        known = self.codes.get(code)
        request.scopes = known.scopes if known else []
        return known is not None

    def confirm_redirect_uri(self, client_id: str, code: str, redirect_uri: str, *_: Any) -> bool:
        return bool(redirect_uri == self.codes[code].redirect_uri)

    def get_code_challenge(self, code: str, request: Any) -> str:
        return str(self.codes[code].code_challenge)

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return str(self.codes[code].code_challenge_method)

    def invalidate_authorization_code(self, client_id: str, code: str, *_: Any) -> None:
        del self.codes[code]


@pytest.fixture
def foreign(served: tuple[str, Stageable], monkeypatch: pytest.MonkeyPatch) -> str:
    """The base URL of oauthlib's server, with the paths of Google and Amazon."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    server = WebApplicationServer(Validator())

    async def endpoint(request: Request) -> Response:
        body = (await request.body()).decode()
        asked = (str(request.url), request.method, body, dict(request.headers))
        if request.url.path.endswith("token"):
            headers, content, status = server.create_token_response(*asked)
        else:
            scopes, credentials = server.validate_authorization_request(*asked)
            headers, content, status = server.create_authorization_response(*asked, scopes, credentials)
        return Response(content, status, headers)

    paths = ("/o/oauth2/v2/auth", "/token", "/na/ap/oa", "/na/auth/o2/token")
    url, application = served
    application.app = Starlette(routes=[Route(path, endpoint, methods=["GET", "POST"]) for path in paths])
    return url


def code_of(login: Login) -> str:
    page = login.consent_url(REDIRECT, "state", challenge_of(VERIFIER), login.regions[0])
    answer = httpx.URL(httpx.get(page).headers["location"])
    assert (str(answer).partition("?")[0], answer.params["state"]) == (REDIRECT, "state")
    return answer.params["code"]


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON])
def test_the_server_of_oauthlib_accepts_our_code_once(foreign: str, platform: PlatformName) -> None:
    client = open_client(platform, app_at(foreign))
    login = client.login
    region = login.regions[0]
    code = code_of(login)
    with pytest.raises(ReconnectRequired):
        login.redeem(code, REDIRECT, "another" * 7, region)
    with pytest.raises(InvalidRequest):
        login.redeem(code, f"{REDIRECT}/other", VERIFIER, region)
    tokens = login.redeem(code, REDIRECT, VERIFIER, region)
    assert all([tokens.access_token.get_secret_value(), tokens.refresh_token, tokens.expires_in])
    with pytest.raises(ReconnectRequired):
        login.redeem(code, REDIRECT, VERIFIER, region)
    client.close()


LIVE = {
    (GOOGLE, ""): ("https://accounts.google.com/o/oauth2/v2/auth", "https://oauth2.googleapis.com/token"),
    (META, ""): ("https://www.facebook.com/v26.0/dialog/oauth", "https://graph.facebook.com/v26.0/oauth/access_token"),
    (AMAZON, "na"): ("https://www.amazon.com/ap/oa", "https://api.amazon.com/auth/o2/token"),
    (AMAZON, "eu"): ("https://eu.account.amazon.com/ap/oa", "https://api.amazon.co.uk/auth/o2/token"),
    (AMAZON, "fe"): ("https://apac.account.amazon.com/ap/oa", "https://api.amazon.co.jp/auth/o2/token"),
    (TIKTOK, ""): (
        "https://business-api.tiktok.com/portal/auth",
        "https://business-api.tiktok.com/open_api/v1.3/oauth2/access_token/",
    ),
}


@pytest.mark.parametrize(("platform", "region"), LIVE, ids=str)
def test_without_a_base_url_the_live_platform_is_asked(platform: PlatformName, region: str) -> None:
    canned = Canned(platform, httpx.ConnectError("unplugged"), app=app_at(None))
    login = canned.client.login
    page = login.consent_url(REDIRECT, "state", challenge_of(VERIFIER), region)
    with pytest.raises(Unreached):
        login.redeem("code", REDIRECT, VERIFIER, region)
    (request,) = canned.requests
    assert (page.partition("?")[0], str(request.url.copy_with(query=None))) == LIVE[platform, region]
