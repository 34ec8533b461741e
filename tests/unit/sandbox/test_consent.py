"""The sandbox's consent pages with third-party OAuth clients, and with wrong requests."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import business_api_client
import httpx
import pytest
from google_auth_oauthlib.flow import Flow  # type: ignore[import-untyped]
from oauthlib.oauth2 import OAuth2Error, WebApplicationClient  # type: ignore[import-untyped]
from requests_oauthlib import OAuth2Session  # type: ignore[import-untyped]

from sandbox.facts import CLIENT_ID, CLIENT_SECRET
from sandbox.world import World
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS
from tests.consents import REDIRECT, answered

GOOGLE, META, AMAZON, TIKTOK = PlatformName
ADWORDS = "https://www.googleapis.com/auth/adwords"
PAGES = {
    GOOGLE: ("/google/o/oauth2/v2/auth", {"scope": ADWORDS}),
    META: ("/meta/v26.0/dialog/oauth", {"scope": "ads_read"}),
    AMAZON: ("/amazon/eu/ap/oa", {"scope": "advertising::campaign_management"}),
    TIKTOK: ("/tiktok/portal/auth", {}),
}


@pytest.fixture(autouse=True)
def plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow oauthlib to talk to a local server without TLS."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def with_google(sandbox: str) -> str:
    """Log in with Google's own library."""
    keys = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    places = {"auth_uri": f"{sandbox}/google/o/oauth2/v2/auth", "token_uri": f"{sandbox}/google/token"}
    flow = Flow.from_client_config({"web": {**keys, **places}}, [ADWORDS], redirect_uri=REDIRECT)
    page, _ = flow.authorization_url(access_type="offline", prompt="consent")
    flow.fetch_token(authorization_response=answered(page), include_client_id=True)
    assert flow.credentials.refresh_token
    return str(flow.credentials.token)


def with_oauthlib(sandbox: str, page: str, tokens: str, scope: str, **options: Any) -> str:
    """Log in with a library for any OAuth server."""
    session = OAuth2Session(CLIENT_ID, redirect_uri=REDIRECT, scope=scope, **options)
    url, _ = session.authorization_url(f"{sandbox}/{page}")
    given = session.fetch_token(
        f"{sandbox}/{tokens}",
        authorization_response=answered(url),
        method="GET" if page.startswith("meta") else "POST",
        client_secret=CLIENT_SECRET,
        include_client_id=True,
    )
    assert given["expires_in"] <= 7200
    return str(given["access_token"])


def with_tiktok(sandbox: str) -> str:
    """Log in with TikTok's own library."""
    configuration = business_api_client.Configuration()
    configuration.host = f"{sandbox}/tiktok"
    api = business_api_client.AuthenticationApi(business_api_client.ApiClient(configuration))
    page = httpx.URL(f"{sandbox}/tiktok/portal/auth", params={"app_id": CLIENT_ID, "redirect_uri": REDIRECT})
    code = httpx.URL(answered(str(page))).params["auth_code"]
    body = business_api_client.Oauth2AccessTokenBody(app_id=CLIENT_ID, secret=CLIENT_SECRET, auth_code=code)
    return str(api.oauth2_access_token(body=body)["data"]["access_token"])


META_LOGIN = ("meta/v26.0/dialog/oauth", "meta/v26.0/oauth/access_token", "ads_read")
AMAZON_LOGIN = ("amazon/eu/ap/oa", "amazon/eu/auth/o2/token", "advertising::campaign_management")


@pytest.mark.parametrize(
    "connect",
    [
        with_google,
        lambda sandbox: with_oauthlib(sandbox, *META_LOGIN),
        lambda sandbox: with_oauthlib(sandbox, *AMAZON_LOGIN, pkce="S256"),
        with_tiktok,
    ],
    ids=["google", "meta", "amazon", "tiktok"],
)
def test_third_party_clients_get_tokens(world: World, sandbox: str, connect: Callable[[str], str]) -> None:
    token = connect(sandbox)
    (grant,) = world.grants.values()
    assert world.grant_of_access(grant.platform, token) is grant


def asked(sandbox: str, platform: PlatformName, **changes: str | None) -> httpx.Response:
    """Request a consent page without the parameters that are None."""
    path, own = PAGES[platform]
    name = "app_id" if platform is TIKTOK else "client_id"
    kind = {} if platform is TIKTOK else {"response_type": "code"}
    params = {name: CLIENT_ID, "redirect_uri": REDIRECT, "state": "s", **kind, **own, **changes}
    given = {key: value for key, value in params.items() if value is not None}
    return httpx.get(f"{sandbox}{path}", params=given, timeout=PATIENCE_SECONDS)


def test_the_page_has_two_buttons_and_escapes_what_it_shows(sandbox: str) -> None:
    for platform in PlatformName:
        page = asked(sandbox, platform)
        assert page.status_code == 200
        assert "Allow" in page.text
        assert "Deny" in page.text
        assert "<script>" not in asked(sandbox, platform, redirect_uri="https://x.example/<script>").text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"unknown": "x"}, "invalid_request"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_a_wrong_request_is_redirected_with_its_error(sandbox: str, changes: dict[str, str | None], error: str) -> None:
    for platform in (GOOGLE, AMAZON):
        answer = asked(sandbox, platform, **changes)
        assert answer.status_code == 302
        back = httpx.URL(answer.headers["location"])
        assert str(back).startswith(f"{REDIRECT}?")
        assert (back.params["error"], back.params["state"]) == (error, "s")


def test_an_unknown_application_or_redirect_is_never_redirected(sandbox: str, world: World) -> None:
    for platform in PlatformName:
        name = "app_id" if platform is TIKTOK else "client_id"
        for changes in ({name: "other"}, {"redirect_uri": "https://app.example/back"}, {"redirect_uri": None}):
            answer = asked(sandbox, platform, **changes)
            assert answer.status_code in (400, 401)
            assert "location" not in answer.headers
    world.redirects.add("https://app.example/back")
    assert asked(sandbox, GOOGLE, redirect_uri="https://app.example/back").status_code == 200
    assert asked(sandbox, GOOGLE, redirect_uri="https://app.example/back/").status_code == 400, "exactly"


def test_each_answer_has_the_format_of_its_platform(sandbox: str) -> None:
    def answer(platform: PlatformName, button: str) -> httpx.URL:
        return httpx.URL(answered(str(asked(sandbox, platform).url), button))

    assert answer(GOOGLE, "allow").params["iss"] == f"{sandbox}/google"
    assert str(answer(META, "allow")).endswith("#_=_")
    assert answer(META, "deny").params["error_reason"] == "user_denied"
    both = answer(TIKTOK, "allow").params
    assert both["auth_code"] == both["code"]
    assert {answer(each, "deny").params["error"] for each in PlatformName} == {"access_denied"}


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"refresh_token": "not-ours"}, 400, "invalid_grant"),
        ({"refresh_token": ""}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_assertion": "x"}, 400, "invalid_request"),
    ],
)
def test_an_oauth_client_understands_each_refusal_of_a_renewal(
    world: World, sandbox: str, changes: dict[str, str], status: int, code: str
) -> None:
    for platform, path in ((GOOGLE, "google/token"), (AMAZON, "amazon/na/auth/o2/token")):
        form = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        form["refresh_token"] = world.issue_refresh(world.add_grant(platform))
        url = f"{sandbox}/{path}"
        reply = httpx.post(url, data=form | changes, timeout=PATIENCE_SECONDS)
        with pytest.raises(OAuth2Error) as caught:
            WebApplicationClient(CLIENT_ID).parse_request_body_response(reply.text)
        assert (reply.status_code, caught.value.error) == (status, code)
        unnamed = httpx.post(url, content=urlencode(form), timeout=PATIENCE_SECONDS)
        assert unnamed.json()["error_description"] == "Not a form."


@pytest.mark.parametrize("platform", [GOOGLE, AMAZON])
def test_a_code_works_once_and_only_for_its_redirect(sandbox: str, platform: PlatformName) -> None:
    path = "google/token" if platform is GOOGLE else "amazon/eu/auth/o2/token"
    code = httpx.URL(answered(str(asked(sandbox, platform).url))).params["code"]

    def redeemed(redirect: str) -> str | None:
        form = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        form |= {"code": code, "redirect_uri": redirect}
        answer = httpx.post(f"{sandbox}/{path}", data=form, timeout=PATIENCE_SECONDS).json()
        return None if "access_token" in answer else str(answer["error"])

    wrong = "redirect_uri_mismatch" if platform is GOOGLE else "invalid_grant"
    assert [redeemed(f"{REDIRECT}/other"), redeemed(REDIRECT), redeemed(REDIRECT)] == [wrong, None, "invalid_grant"]
