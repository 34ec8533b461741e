"""Connecting a grant by a consent in the browser, on the sandbox's consent pages."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.accounts.queries import accounts_of
from sivera.errors import ConfigurationError, WrongRedirect
from sivera.grants.connecting import Connection
from sivera.grants.consent import begin, challenge_of, finish
from sivera.grants.refusals import ConsentRefused, Refusal
from sivera.values import PlatformName
from tests.consents import REDIRECT, answered
from tests.stage import Stage

GOOGLE, META, AMAZON, TIKTOK = PlatformName

each_platform = pytest.mark.parametrize("platform", PlatformName)


def start(stage: Stage, platform: PlatformName = GOOGLE, **more: str) -> str:
    options = {"team": "Hanok", "redirect_uri": REDIRECT} | more
    return begin(stage.engine, stage.keyring, stage.client(platform), **options)


def complete(stage: Stage, answer: str) -> Connection:
    return finish(stage.engine, stage.keyring, stage.client, answer, notify=stage.notify)


def refusal_of(stage: Stage, answer: str) -> Refusal:
    """Finish a consent that is refused. It must store nothing, and its message must hold no secret."""
    before = stage.rows("SELECT id FROM platform_credentials"), stage.rows("SELECT id FROM teams")
    with pytest.raises(ConsentRefused) as refused:
        complete(stage, answer)
    assert before == (stage.rows("SELECT id FROM platform_credentials"), stage.rows("SELECT id FROM teams"))
    message = str(refused.value)
    assert message.startswith(refused.value.why.value)
    given = httpx.URL(answer).params
    secrets = [given.get(name, "") for name in ("code", "auth_code", "state")]
    assert not [secret for secret in secrets if len(secret) > 9 and secret in message]
    return refused.value.why


def answer_to(page: str, **parameters: str) -> str:
    """Return an answer to the consent of a page, with parameters that the platform did not send."""
    return str(httpx.URL(REDIRECT, params={"state": httpx.URL(page).params["state"], **parameters}))


@each_platform
def test_a_consent_connects_a_grant_and_a_second_one_replaces_its_tokens(
    stage: Stage, world: World, platform: PlatformName
) -> None:
    connected = complete(stage, answered(start(stage, platform, name="second")))
    assert (connected.platform, connected.team, connected.name) == (platform, "Hanok", "second")
    (grant,) = world.grants.values()
    with Session(stage.engine) as session:
        carried = {account.external_id for account in accounts_of(session, connected.credential_id)}
    assert carried == set(grant.account_ids)
    assert stage.tokens(platform, connected.credential_id).current()
    (row,) = stage.rows("SELECT expires_at - now() AS life FROM platform_credentials")
    assert row.life is None or row.life < timedelta(days=61)
    assert (platform is META) is (row.life is not None and row.life > timedelta(days=59)), "Meta's token is exchanged"
    world.revoke_grant(grant.id)
    stage.execute("UPDATE ad_accounts SET next_attempt_at = now() + interval '1 day'")
    again = complete(stage, answered(start(stage, platform, name="second"), user=str(grant.id)))
    assert again == connected
    assert not stage.rows("SELECT 1 FROM ad_accounts WHERE next_attempt_at > now()"), "its accounts no longer rest"
    stage.tokens.cache_clear()
    assert stage.tokens(platform, again.credential_id).current()


def test_neither_state_nor_verifier_is_stored_in_plain(stage: Stage) -> None:
    page = httpx.URL(start(stage, browser="cookie", link="link")).params
    (row,) = stage.rows("SELECT * FROM oauth_states")
    assert not {page["state"], "cookie", "link", page["code_challenge"]} & {*map(str, row)}
    assert row.verifier[0] == 1
    assert len(row.verifier) > 64


@each_platform
def test_each_platform_refuses_in_its_own_way(stage: Stage, world: World, platform: PlatformName) -> None:
    denied = answered(start(stage, platform), "deny")
    assert refusal_of(stage, denied) is Refusal.DENIED
    assert refusal_of(stage, denied) is Refusal.STATE_USED
    assert refusal_of(stage, answered(start(stage, platform), user="none")) is Refusal.NO_ACCOUNTS
    if platform in (GOOGLE, META):
        assert refusal_of(stage, answered(start(stage, platform), ads=False)) is Refusal.SCOPE_MISSING
    for operation in ("token", "validate" if platform is TIKTOK else "accounts"):
        answer = answered(start(stage, platform))
        world.faults.add(Fault(FaultKind.STATUS, platform, operation))
        assert refusal_of(stage, answer) is Refusal.PLATFORM_FAILED
        world.faults.clear()
    late = answered(start(stage, platform))
    world.clock.advance(timedelta(minutes=61))
    assert refusal_of(stage, late) is Refusal.CODE_REFUSED
    answer = answered(start(stage, platform))
    login = stage.client(platform).login
    wrong = login.app.model_copy(update={"client_secret": SecretStr("another")})
    stage.client(platform).login = replace(login, app=wrong)
    assert refusal_of(stage, answer) is Refusal.APP_REFUSED


def test_a_platform_may_answer_with_an_error(stage: Stage) -> None:
    for error, why in (("invalid_scope", Refusal.APP_REFUSED), ("something_new", Refusal.PLATFORM_FAILED)):
        answer = answer_to(start(stage), error=error, error_description="\x1b[31mNo,\n" + "no" * 500)
        with pytest.raises(ConsentRefused) as refused:
            complete(stage, answer)
        assert refused.value.why is why
        assert refused.value.detail.startswith("google: [31mNo, nono")
        assert len(refused.value.detail) <= 150


# -- attacks; login CSRF is in tests/unit/connect ---------------------------------------------------------------------


def test_an_unknown_or_expired_state_is_refused(stage: Stage) -> None:
    page = start(stage)
    answer = answered(page)
    state = httpx.URL(page).params["state"]
    assert refusal_of(stage, f"{REDIRECT}?code=4/0A") is Refusal.STATE_UNKNOWN
    assert refusal_of(stage, answer.replace(state, "made-up")) is Refusal.STATE_UNKNOWN
    assert refusal_of(stage, f"{answer}&state={state}") is Refusal.STATE_UNKNOWN, "twice: RFC 6749, 3.1"
    stage.execute(
        "INSERT INTO oauth_states (state_hash, platform, expires_at) SELECT :hash, 'google', 'infinity'",
        hash="of the web application",
    )
    assert complete(stage, answer)

    answer = answered(start(stage))
    rows = stage.rows("SELECT expires_at - created_at AS life FROM oauth_states WHERE used_at IS NULL AND team <> ''")
    assert [row.life for row in rows] == [timedelta(minutes=10)]
    stage.execute("UPDATE oauth_states SET expires_at = now()")
    assert refusal_of(stage, answer) is Refusal.STATE_EXPIRED


def test_an_answer_works_once_even_if_it_comes_twice_at_the_same_time(stage: Stage) -> None:
    answer = answered(start(stage))

    def attempt() -> str | None:
        try:
            complete(stage, answer)
        except ConsentRefused as refused:
            return refused.why.name
        return None

    waiting = "SELECT pg_stat_clear_snapshot(), cardinality(pg_blocking_pids(pid)) > 0 AS waits FROM pg_stat_activity"
    with ThreadPoolExecutor() as pool, stage.engine.connect() as first:
        first.execute(text("SELECT FROM oauth_states FOR UPDATE"))
        attempts = [pool.submit(attempt) for _ in range(4)]
        while sum(bool(row.waits) for row in first.execute(text(waiting))) < len(attempts):
            assert not [each for each in attempts if each.done()]
        first.rollback()
        assert sorted(str(each.result()) for each in attempts) == ["None", *["STATE_USED"] * 3]


def test_the_answer_of_another_platform_is_refused(stage: Stage) -> None:
    """Mix-up (RFC 9700, 4.4)."""
    for old, new in (("/callback", "/other"), ("code=", "auth_code=")):
        assert refusal_of(stage, answered(start(stage)).replace(old, new)) is Refusal.OTHER_PLATFORM
    answer = httpx.URL(answered(start(stage))).copy_set_param("iss", "https://attacker.example")
    assert refusal_of(stage, str(answer)) is Refusal.OTHER_PLATFORM


@each_platform
def test_a_code_of_another_platform_or_consent_is_useless(stage: Stage, platform: PlatformName) -> None:
    """Code injection (RFC 9700, 4.5): PKCE and the platform bind a code to its consent."""
    other = TIKTOK if platform is not TIKTOK else GOOGLE
    name = stage.client(platform).login.code_name
    stolen = httpx.URL(answered(start(stage, other))).params["code"]
    assert refusal_of(stage, answer_to(start(stage, platform), **{name: stolen})) is Refusal.CODE_REFUSED
    if platform in (GOOGLE, AMAZON):
        stolen = httpx.URL(answered(start(stage, platform))).params["code"]
        assert refusal_of(stage, answer_to(start(stage, platform), code=stolen)) is Refusal.CODE_REFUSED


@pytest.mark.parametrize("platform", [GOOGLE, META])
def test_a_code_is_valid_only_with_the_redirect_of_its_consent(stage: Stage, platform: PlatformName) -> None:
    login = stage.client(platform).login
    page = login.consent_url(REDIRECT, "state", challenge_of("v"))
    with pytest.raises(WrongRedirect):
        login.redeem(httpx.URL(answered(page)).params["code"], f"{REDIRECT}/other", "v")


def test_a_link_connects_one_grant(stage: Stage) -> None:
    first, second = start(stage, link="a"), start(stage, link="a")
    other = start(stage, link="b")
    assert refusal_of(stage, answered(start(stage, link="a"), "deny")) is Refusal.DENIED
    assert complete(stage, answered(first))
    assert refusal_of(stage, answered(second)) is Refusal.LINK_USED
    with pytest.raises(ConsentRefused, match="link was used before"):
        start(stage, link="a")
    assert complete(stage, answered(other))
    (row,) = stage.rows("SELECT max(expires_at) - now() > interval '23 hours' AS is_kept FROM oauth_states")
    assert row.is_kept


def test_an_invalid_redirect_or_region_is_named(stage: Stage) -> None:
    addresses = ("http://example.com", "https://a/?b=", "https://a@b/", "https://", "/", "https://a b/", "http://[::1/")
    for redirect in addresses:
        with pytest.raises(ConfigurationError, match=f"'{re.escape(redirect)}' cannot be a redirect"):
            start(stage, redirect_uri=redirect)
    for platform, known in ((GOOGLE, "none"), (AMAZON, "na, eu, fe")):
        with pytest.raises(ConfigurationError, match=f"no region 'moon' to log in to; it has: {known}"):
            start(stage, platform, region="moon")
    assert stage.rows("SELECT 1 FROM oauth_states") == []
