"""check-budgets as a flow: a real Prefect server, real PostgreSQL."""

import json
from datetime import timedelta

import pytest

from flows.check_budgets import check_budgets
from sivera.budgets.options import BudgetOptions
from sivera.clock import utc_now
from sivera.values import PlatformName
from tests.flows.runs import announced, artifacts, events_where, flow_run_id, run, wait_for_task_runs
from tests.stage import Stage
from tests.unit.budgets.ledger import Ledger


@pytest.fixture
def ledger(ready: Stage) -> Ledger:
    return Ledger(ready.engine, utc_now())


def test_spending_is_shown_and_opens_one_alert(ledger: Ledger) -> None:
    account = ledger.account(currency="KRW")
    campaign = ledger.campaign(account, "1000000", "lifetime", name="Launch | Seoul")
    today = ledger.now.date()
    ledger.spend(account, campaign, "45000", today - timedelta(days=20), today - timedelta(days=1))
    budget = ledger.budget("99999999", "KRW")
    state = run(check_budgets)
    assert (state.name, state.message) == ("Completed", "2 budgets of 1 account checked, 1 alert opened")
    worst, second = json.loads(artifacts(state)["check-budgets-budgets"])
    assert "Launch" in worst["budget"]
    assert (worst["spent"], worst["of"], worst["%"]) == ("900,000 KRW", "1,000,000 KRW", 90)
    assert f"monthly budget {budget}" in second["budget"]
    wait_for_task_runs(state, {"google", "meta", "amazon", "tiktok", "team-budgets"})
    assert announced(check_budgets, state, "opened", "closed", "stale") == [True, 2, 0, 1, 0, 0]
    subject = f"account-{account}.campaign-{campaign}.lifetime"
    resource = {"id": [f"sivera.alert.budget.{subject}"]}
    (opened,) = events_where(resource=resource)
    assert (opened["kind"], opened["subject"], opened["threshold"]) == ("budget", subject, 80)
    assert str(flow_run_id(state)) in opened["link"]
    assert "Launch | Seoul" in opened["title"]
    assert ledger.open() == {subject: 80}
    assert run(check_budgets).message == "2 budgets of 1 account checked"
    assert len(events_where(resource=resource)) == 1


def test_an_account_and_a_part_that_fail_make_the_run_red_and_the_others_are_checked(ledger: Ledger) -> None:
    ledger.account(timezone="Mars/Olympus")
    account = ledger.account(PlatformName.META)
    ledger.spend(account, ledger.campaign(account, "10", "lifetime"), "9", ledger.now.date())
    ledger.budget("1000")
    ledger.execute("ALTER TABLE team_budgets RENAME amount TO elsewhere")
    state = run(check_budgets)
    assert state.is_failed()
    said = "1 budget of 2 accounts checked, 1 alert opened, 1 not judged; team-budgets was not "
    assert (state.message or "").startswith(said)
    assert "there is no team 'Nobody'" in (run(check_budgets, BudgetOptions(teams=("Nobody",))).message or "")
