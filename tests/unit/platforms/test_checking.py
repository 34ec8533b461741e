"""`sivera check` without its command: what is sent, what is made of the answers, and what a record reveals."""

from collections.abc import Sequence
from dataclasses import asdict

import pytest

from sandbox.faults import ABSENT, Fault, FaultKind
from sivera.platforms.checking import SLOW_SECONDS, Check, Checker, Verdict, _check, exit_code, open_recorded
from sivera.platforms.recording import Exchange, types_of
from sivera.values import PlatformName
from tests.prefect_server import free_port
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import AMAZON, GOOGLE, META, TIKTOK, Rig, app_at

STEPS = {"ad accounts", "campaigns", "campaigns that changed", "metrics of a day", "totals of a day"}
REFUSALS = {
    META: (400, {"error": {"code": 100, "message": "(#100) no", "type": "OAuthException"}}, "100"),
    AMAZON: (400, {"code": "INVALID_ARGUMENT", "message": "no"}, "INVALID_ARGUMENT"),
}


def checked(rig: Rig, url: str | None = None, known: bool = False) -> list[Check]:
    client, recorder = open_recorded(rig.platform, app_at(url or rig.url))
    try:
        checker = Checker(client, recorder, rig.tokens, [rig.account] if known else [])
        return list(checker.run(rig.world.clock.now()))
    finally:
        client.close()


def verdicts(checks: Sequence[Check]) -> dict[str, set[Verdict]]:
    found: dict[str, set[Verdict]] = {}
    for check in checks:
        found.setdefault(check.step, set()).add(check.verdict)
    return found


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


@pytest.mark.parametrize("operation", ["accounts", "campaigns"])
@pytest.mark.parametrize("platform", REFUSALS, ids=str)
def test_what_is_refused_never_stops_the_next(new_rig: NewRig, platform: PlatformName, operation: str) -> None:
    rig = new_rig(platform)
    status, body, code = REFUSALS[rig.platform]
    rig.fault(FaultKind.BODY, operation, status=status, value=body)
    checks = checked(rig, known=True)
    found = {check.step: check for check in checks}
    refused = {check.step for check in checks if check.verdict is Verdict.REFUSED}
    expected = {"accounts": {"ad accounts"}, "campaigns": {step for step in found if step.startswith("campaigns")}}
    assert refused >= expected[operation] - {"campaigns that changed"}, checks
    assert {found[step].code for step in refused} == {code}
    assert exit_code(checks) == 1
    assert any("metrics" in step or "report" in step for step in found.keys() - refused)


def test_a_slow_down_of_the_platform_does_not_stop_the_next(new_rig: NewRig) -> None:
    rig = new_rig(META)
    rig.fault(FaultKind.THROTTLE, "campaigns")
    found = verdicts(checked(rig))
    assert Verdict.ACCEPTED in found.popitem()[1]
    assert any(Verdict.REFUSED in each for step, each in found.items() if step.startswith("campaigns"))


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


def test_a_reply_of_another_shape_is_unexpected(new_rig: NewRig) -> None:
    rig = new_rig(TIKTOK)
    rig.world.faults.add(
        Fault(FaultKind.BODY, rig.platform, "campaigns", status=200, value={"shape": [True], "code": 0})
    )
    assert any(check.verdict is Verdict.UNEXPECTED and "sent" in check.why for check in checked(rig))


def test_meta_s_question_about_the_token_has_its_own_verdict(new_rig: NewRig) -> None:
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


def test_a_second_check_takes_over_the_report_of_the_first(new_rig: NewRig) -> None:
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


def test_a_slow_answer_is_told() -> None:
    exchange = Exchange("GET", "/", [], [], status=200, seconds=SLOW_SECONDS + 1)
    assert _check("x", [exchange], None, ()).verdict is Verdict.SLOW


def test_a_record_reveals_no_value(rig: Rig) -> None:
    told = str([asdict(check.exchange) for check in checked(rig) if check.exchange])
    site, token = rig.site, rig.current()
    secrets = {site.id, site.name, site.currency, site.timezone, token, app_at(None).client_id}
    secrets |= {secret for campaign in site.campaigns.values() for secret in (campaign.id, campaign.name)}
    assert not [secret for secret in secrets if secret in told]


def test_a_key_that_people_chose_is_not_told() -> None:
    body: dict[str, object] = {
        "Hanok of Seoul": {"7100000000000000000": 1},
        "a@b.test": None,
        "@type": "x",
        "quota-details.x_1": [{}],
    }
    assert types_of(body) == {"{id}.{id}": "number", "{id}": "null", "@type": "text"}
