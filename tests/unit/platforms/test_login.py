"""The addresses of the live logins."""

import httpx
import pytest

from sivera.errors import Unreached
from sivera.grants.consent import challenge_of
from sivera.values import PlatformName
from tests.consents import REDIRECT
from tests.unit.platforms.desk import AMAZON, GOOGLE, META, TIKTOK, Network, app_at, client_on

VERIFIER = "v" * 43


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
    network = Network(httpx.ConnectError("unplugged"))
    login = client_on(platform, network, app_at(None)).login
    page = login.consent_url(REDIRECT, "state", challenge_of(VERIFIER), region)
    with pytest.raises(Unreached):
        login.redeem("code", REDIRECT, VERIFIER, region)
    (request,) = network.requests
    assert (page.partition("?")[0], str(request.url.copy_with(query=None))) == LIVE[platform, region]
