"""The pages on which a team's user connects a grant, in a browser without JavaScript: real HTTP, and the sandbox."""

import html
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import NoReturn
from urllib.parse import urlencode

import httpx
import pytest
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ops.api import connect_page
from ops.api.connect import HEADERS, OUTCOME, ConnectPages, Tools
from sandbox.server import serve
from sivera.clock import read_clock
from sivera.crypto import from_address, to_address
from sivera.errors import ConfigurationError
from sivera.grants.consent import LINK_LIFE
from sivera.grants.links import callback_of, is_of_this_machine, make_link
from sivera.grants.refusals import Refusal
from sivera.values import PlatformName
from tests.conftest import PATIENCE_SECONDS, SwappableApp
from tests.consents import answered
from tests.stage import Stage

TEAM = 'Hanok <b>"&'
HANGUL = re.compile("[가-힣]")


class Visitor:
    """A browser, whose user was sent a link."""

    def __init__(self, stage: Stage, url: str, http: httpx.Client) -> None:
        self.stage, self.url, self.http = stage, url, http
        self.seen: list[httpx.Response] = []

    def link(self, platform: PlatformName = PlatformName.GOOGLE, age: timedelta = timedelta()) -> str:
        with Session(self.stage.engine) as session:
            now = read_clock(session) - age
        return make_link(self.stage.keyring, self.url, platform=platform, team=TEAM, now=now)

    def get(self, url: str) -> httpx.Response:
        self.seen.append(self.http.get(url))
        return self.seen[-1]

    def begin(self, link: str, **form: str) -> str:
        """Press the button, and return the address of the consent page."""
        page = self.get(link)
        proof = re.search('name="proof" value="([0-9a-f]+)"', page.text)
        assert proof, page.text
        self.seen.append(self.http.post(link, data={"proof": proof[1]} | form))
        target = re.search('http-equiv="refresh" content="0; url=([^"]+)"', self.seen[-1].text)
        assert target, self.seen[-1].text
        return html.unescape(target[1])

    def end(self, answer: str) -> httpx.Response:
        """Come back from the platform, and return the last page."""
        response = self.get(answer)
        return self.get(response.headers["location"]) if response.is_redirect else response

    def connect(self, link: str, **form: str) -> httpx.Response:
        return self.end(answered(self.begin(link, **form)))


@contextmanager
def served(stage: Stage, ready: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Serve the pages, each request once it is `ready`, beside a path that others ask for. Yield the public address."""

    @contextmanager
    def tools() -> Iterator[Tools]:
        ready()
        yield Tools(stage.engine, stage.keyring, stage.client)

    application = SwappableApp()
    with serve(application) as address:
        other = Route("/other", lambda _: PlainTextResponse("here"))  # in a thread, as the HTTP API's own paths
        application.app = Starlette(routes=[other, *ConnectPages(address, tools).routes()])
        yield address


@pytest.fixture
def url(stage: Stage) -> Iterator[str]:
    with served(stage) as address:
        yield address


@pytest.fixture
def visit(stage: Stage, url: str) -> Iterator[Callable[..., Visitor]]:
    """Opens another browser."""
    with ExitStack() as stack:

        def visit(language: str = "en-GB,en;q=0.8,ko;q=0.5") -> Visitor:
            http = httpx.Client(headers={"Accept-Language": language}, timeout=PATIENCE_SECONDS)
            return Visitor(stage, url, stack.enter_context(http))

        yield visit


@pytest.fixture
def visitor(visit: Callable[..., Visitor]) -> Visitor:
    return visit()


@pytest.mark.parametrize("platform", PlatformName)
def test_a_user_connects_with_two_clicks_and_nothing_leaks(
    stage: Stage, visitor: Visitor, platform: PlatformName, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sivera")
    link = visitor.link(platform)
    answer = answered(visitor.begin(link))
    done = visitor.end(answer)
    names = [row.name for row in stage.rows("SELECT name FROM ad_accounts")]
    assert len(names) == 2
    assert [name for name in names if html.escape(name) not in done.text] == []
    assert html.escape(TEAM, quote=False) in visitor.seen[0].text.replace("&#34;", '"')
    assert "<b>" not in "".join(response.text for response in visitor.seen)
    assert [row.name for row in stage.rows("SELECT name FROM teams")] == [TEAM]
    for response in visitor.seen:
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert "httponly" in response.headers.get("set-cookie", "httponly").lower()
    # A history keeps the addresses of pages. The callback is a redirect.
    callback = next(response for response in visitor.seen if response.is_redirect)
    kept = [str(response.url) for response in visitor.seen if response is not callback]
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("sivera")]
    given = httpx.URL(answer).params
    for secret in (given[stage.client(platform).login.code_name], given["state"], httpx.URL(link).params["link"]):
        assert [text for text in (*kept[2:], callback.headers["location"], *ours) if secret in text] == []
    assert visitor.get(link).status_code == 400, "the link is used"


@pytest.mark.parametrize("language", ["en", "ko-KR,ko;q=0.9,en;q=0.8"])
def test_a_refusal_says_what_to_do_in_the_language_of_the_browser(
    stage: Stage, url: str, visit: Callable[..., Visitor], language: str
) -> None:
    def check(response: httpx.Response, why: Refusal) -> None:
        assert response.status_code == 400
        assert connect_page.REFUSALS[why][language.startswith("ko")] in html.unescape(response.text)

    one = visit(language)
    link = one.link()
    for made_up in (
        f"{url}/connect/elsewhere?team=x&link=y",
        f"{url}/connect/google/more",
        link[:-8],
        f"{link}ü",
        link.replace("Hanok", "Northwind"),
        link.replace("/google", "/meta"),
    ):
        check(one.get(made_up), Refusal.LINK_UNKNOWN)
    check(one.get(one.link(age=LINK_LIFE + timedelta(seconds=1))), Refusal.LINK_EXPIRED)
    check(one.end(answered(one.begin(link), "deny")), Refusal.DENIED)
    stolen = answered(one.begin(link))
    check(visit(language).end(stolen), Refusal.OTHER_BROWSER)
    check(one.get(f"{url}/connect/done?of=made-up"), Refusal.STATE_UNKNOWN)
    assert not stage.rows("SELECT 1 FROM platform_credentials")
    assert one.end(stolen).status_code == 200
    check(one.end(stolen), Refusal.STATE_USED)
    check(one.get(link), Refusal.LINK_USED)


def test_a_form_that_another_site_sends_starts_nothing(stage: Stage, visitor: Visitor) -> None:
    link = visitor.link()
    proof = re.search('name="proof" value="([0-9a-f]+)"', visitor.get(link).text)
    assert proof
    assert 'name="proof"' in visitor.http.post(link, data={"proof": proof[1], "more": "x" * 20_000}).text, "too long"
    for form in ({}, {"proof": "0" * 64}, {"proof": "ü"}):
        response = visitor.http.post(link, data=form)
        assert (response.status_code, 'name="proof"' in response.text) == (200, True)
        assert ("blocks cookies" in response.text) is ("proof" in form)
    assert stage.rows("SELECT 1 FROM oauth_states") == []


def test_the_form_selects_a_region_and_an_unknown_one_means_the_first(visitor: Visitor) -> None:
    link = visitor.link(PlatformName.AMAZON)
    pages = [visitor.begin(link, region=region).partition("?")[0] for region in ("eu", "na", "of\nno platform")]
    assert pages[0] != pages[1] == pages[2]
    assert "is connected" in visitor.connect(link, region="fe").text


def test_a_link_works_again_after_a_failure_of_ours(visitor: Visitor, stage: Stage) -> None:
    link = visitor.link()
    answer = answered(visitor.begin(link))
    client = stage.client

    def fail(_: PlatformName) -> NoReturn:
        raise ConfigurationError("the block platform-app/google is missing")

    stage.client = fail  # type: ignore[assignment]
    page = visitor.end(answer)
    assert (page.status_code, "platform-app" in page.text) == (503, False)
    assert "open the link again in a few minutes" in page.text
    stage.client = client
    assert "is connected" in visitor.connect(link).text


def test_the_last_page_reloaded_later_shows_no_accounts_and_no_failure(visitor: Visitor, stage: Stage) -> None:
    done = visitor.connect(visitor.link()).url
    outcome = from_address(stage.keyring, done.params["of"], OUTCOME)
    old = to_address(stage.keyring, outcome | {"until": 0.0}, OUTCOME)
    page = visitor.get(str(done.copy_set_param("of", old)))
    assert "Google Ads is connected" in page.text
    assert [row.name for row in stage.rows("SELECT name FROM ad_accounts") if html.escape(row.name) in page.text] == []


def test_visitors_who_wait_for_a_platform_block_nobody_else(stage: Stage) -> None:
    answers = threading.Event()
    with (
        served(stage, lambda: answers.wait(PATIENCE_SECONDS)) as address,
        ThreadPoolExecutor(50) as pool,
        httpx.Client(timeout=PATIENCE_SECONDS) as http,
    ):
        waiting = [pool.submit(http.get, callback_of(address)) for _ in range(50)]
        assert http.get(f"{address}/other").text == "here"
        answers.set()
        assert {each.result().status_code for each in waiting} == {400}


def test_only_our_own_redirect_is_sent_whatever_the_request_says(url: str, visitor: Visitor) -> None:
    visitor.http.headers["Host"] = "evil.example"
    page = visitor.begin(f"{visitor.link()}&{urlencode({'redirect_uri': 'https://evil.example', 'next': '//evil'})}")
    assert httpx.URL(page).params.get_list("redirect_uri") == [callback_of(url)]
    assert "evil" not in page


def test_two_tabs_of_one_browser_do_not_disturb_each_other_and_head_uses_nothing_up(visitor: Visitor) -> None:
    pages = [visitor.begin(visitor.link(platform)) for platform in (PlatformName.GOOGLE, PlatformName.TIKTOK)]
    for answer in map(answered, pages):
        assert httpx.head(answer).status_code == 405
        assert "is connected" in visitor.end(answer).text


@pytest.mark.parametrize("address", ["http://jobs.example.com", "https://x:port"])
def test_an_invalid_public_address_is_refused_by_name(address: str) -> None:
    with pytest.raises(ConfigurationError, match="SIVERA_PUBLIC_URL"):
        is_of_this_machine(address)
    with pytest.raises(ConfigurationError, match="SIVERA_PUBLIC_URL"):
        ConnectPages(address).routes()


def test_every_text_exists_in_both_languages() -> None:
    assert connect_page.REFUSALS.keys() == set(Refusal)
    for english, korean in (*connect_page.TEXTS.values(), *connect_page.REFUSALS.values()):
        assert HANGUL.search(korean)
        assert not HANGUL.search(english)
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", korean))


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("KO-kr", "ko"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.1, ko", "ko"),
        ("fr, en ; Q=0.4, ko ; q=0.6", "ko"),
        ("ko;q=x, ko;q=0, en;q=0.1", "en"),
        ("de;q=1, *", "en"),
        ("ko;q=nan, en;q=0.5", "en"),
    ],
)
def test_the_language_is_the_one_that_the_browser_prefers(accepted: str, language: str) -> None:
    assert connect_page.language_of(accepted) == language
