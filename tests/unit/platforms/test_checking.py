"""`sivera check` without its command: the requests, the verdicts, and what a record reveals."""

from contextlib import closing
from dataclasses import asdict
from typing import Any

import pytest

from sandbox.faults import ABSENT, FaultKind
from sivera.platforms.checking import SLOW_SECONDS, Check, Checker, Verdict, _check, exit_code, open_recorded
from sivera.platforms.recording import Exchange, types_of
from sivera.values import PlatformName
from tests.prefect_server import free_port
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import AMAZON, GOOGLE, META, TIKTOK, Rig, app_at

STEPS = {"ad accounts", "campaigns", "campaigns that changed", "metrics of a day", "totals of a day"}


def checked(rig: Rig, url: str | None = None, known: bool = False) -> list[Check]:
    client, recorder = open_recorded(rig.platform, app_at(url or f"{rig.url}/"))
    with closing(client):
        checker = Checker(client, recorder, rig.tokens, [rig.account] if known else [])
        return list(checker.run(rig.world.clock.now()))


def test_each_request_of_the_jobs_is_sent_and_accepted(rig: Rig) -> None:
    checks = checked(rig)
    assert {check.verdict for check in checks} == {Verdict.ACCEPTED}, checks
    assert exit_code(checks) == 0
    steps = {check.step for check in checks}
    if rig.platform is AMAZON:
        assert steps == {"ad accounts"} | {
            f"{what} of {product}"
            for what in ("campaigns", "report", "state of a report")
            for product in rig.client.products
        }
    else:
        assert steps - {"whether one is deleted"} == STEPS
    if rig.platform is META:
        assert {"/v26.0/debug_token", "/v26.0/"} <= {check.exchange.path for check in checks if check.exchange}


META_REFUSAL = {"status": 400, "value": {"error": {"code": 100, "message": "(#100) no", "type": "OAuthException"}}}
AMAZON_REFUSAL = {"status": 400, "value": {"code": "INVALID_ARGUMENT", "message": "no"}}
ODD_SHAPE = {"status": 200, "value": {"shape": [True], "code": 0}}
FAULTS: list[tuple[PlatformName, FaultKind, str, dict[str, Any], str, Verdict, str | None]] = [
    (META, FaultKind.BODY, "accounts", META_REFUSAL, "ad accounts", Verdict.REFUSED, "100"),
    (META, FaultKind.BODY, "campaigns", META_REFUSAL, "campaigns", Verdict.REFUSED, "100"),
    (META, FaultKind.THROTTLE, "campaigns", {}, "campaigns", Verdict.REFUSED, "4"),
    (AMAZON, FaultKind.BODY, "accounts", AMAZON_REFUSAL, "ad accounts", Verdict.REFUSED, "INVALID_ARGUMENT"),
    (AMAZON, FaultKind.BODY, "campaigns", AMAZON_REFUSAL, "campaigns", Verdict.REFUSED, "INVALID_ARGUMENT"),
    (TIKTOK, FaultKind.BODY, "campaigns", ODD_SHAPE, "campaigns", Verdict.UNEXPECTED, None),
]


@pytest.mark.parametrize(("platform", "kind", "operation", "options", "about", "verdict", "code"), FAULTS)
def test_a_fault_is_in_the_verdict_of_its_step_and_does_not_stop_the_next(
    new_rig: NewRig,
    platform: PlatformName,
    kind: FaultKind,
    operation: str,
    options: dict[str, Any],
    about: str,
    verdict: Verdict,
    code: str | None,
) -> None:
    rig = new_rig(platform)
    rig.fault(kind, operation, **options)
    checks = checked(rig, known=True)
    found = [check for check in checks if check.step.startswith(about)]
    assert {(check.verdict, check.code) for check in found} == {(verdict, code)}
    rest = [check for check in checks if check not in found]
    assert {check.verdict for check in rest} == {Verdict.ACCEPTED}
    assert any("metrics" in check.step or "report" in check.step for check in rest)
    assert exit_code(checks) == 1


def test_a_row_without_a_field_is_unexpected(new_rig: NewRig) -> None:
    rig, field = new_rig(GOOGLE), "campaign.name"
    first, *_ = rig.listable
    rig.fault(FaultKind.ODD_ROW, "campaigns", match=first, field=field, value=ABSENT)
    checks = checked(rig)
    (odd, *_) = [check for check in checks if check.verdict is Verdict.UNEXPECTED]
    assert odd.step.startswith("campaigns")
    assert (odd.left_out, odd.row) == (1, first)
    assert field in odd.why
    assert exit_code(checks) == 1


def test_the_description_of_metas_token_has_its_own_verdict(new_rig: NewRig) -> None:
    rig = new_rig(META)
    rig.fault(FaultKind.STATUS, "debug", status=400)
    refused = [check for check in checked(rig) if check.verdict is Verdict.REFUSED]
    assert [check.exchange.path for check in refused if check.exchange] == ["/v26.0/debug_token"]


def test_a_product_that_the_account_lacks_is_skipped(new_rig: NewRig) -> None:
    rig = new_rig(AMAZON)
    rig.site.products = ("SPONSORED_PRODUCTS",)
    checks = checked(rig)
    assert {check.verdict for check in checks if "DISPLAY" in check.step} == {Verdict.SKIPPED}
    assert exit_code(checks) == 0


def test_a_second_check_reuses_the_report_of_the_first(new_rig: NewRig) -> None:
    rig = new_rig(AMAZON)
    rig.world.report_seconds = 3600
    for _ in range(2):
        checks = checked(rig)
        assert {check.verdict for check in checks} == {Verdict.ACCEPTED}, checks


def test_without_a_network_or_an_account_the_platform_is_not_tried(new_rig: NewRig) -> None:
    rig = new_rig(GOOGLE)
    checks = checked(rig, url=f"http://127.0.0.1:{free_port()}", known=True)
    assert {check.verdict for check in checks} == {Verdict.NOT_TRIED}
    assert exit_code(checks) == 2
    rig.site.closed = True
    assert exit_code([check for check in checked(rig) if check.verdict is not Verdict.REFUSED]) == 2


def test_a_slow_answer_has_its_own_verdict() -> None:
    exchange = Exchange("GET", "/", [], [], status=200, seconds=SLOW_SECONDS + 1)
    assert _check("x", [exchange], None, ()).verdict is Verdict.SLOW


def test_a_record_reveals_no_value(rig: Rig) -> None:
    told = str([asdict(check.exchange) for check in checked(rig) if check.exchange])
    site, token = rig.site, rig.current()
    secrets = {site.id, site.name, site.currency, site.timezone, token, app_at(None).client_id}
    secrets |= {secret for campaign in site.campaigns.values() for secret in (campaign.id, campaign.name)}
    assert not [secret for secret in secrets if secret in told]


def test_a_record_does_not_reveal_a_key_that_people_chose() -> None:
    body: dict[str, object] = {
        "Hanok of Seoul": {"7100000000000000000": 1},
        "a@b.test": None,
        "@type": "x",
        "quota-details.x_1": [{}],
    }
    assert types_of(body) == {"{id}.{id}": "number", "{id}": "null", "@type": "text"}
