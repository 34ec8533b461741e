"""Compares docs/platforms.md with what the clients send and read, in both directions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from sivera.grants.consent import challenge_of
from sivera.platforms.base import AnswersAtOnce, Revokes
from sivera.platforms.calling import new_http_client
from sivera.platforms.checking import Checker
from sivera.platforms.recording import Exchange, Recorder
from sivera.values import Period, PlatformName
from tests.consents import REDIRECT, answered
from tests.unit.platforms.conftest import NewRig
from tests.unit.platforms.rig import AMAZON, GOOGLE, META, TIKTOK, WINDOW, Rig, held

DOCUMENT = Path(__file__).parents[3] / "docs" / "platforms.md"
TITLES = {GOOGLE: "Google Ads", META: "Meta", AMAZON: "Amazon Ads", TIKTOK: "TikTok"}
CAMPAIGNS = {GOOGLE: 12, META: 220, AMAZON: 310, TIKTOK: 12}
"""Enough for a second page on platforms that request later pages in another way."""
EVIDENCE = re.compile(r"seen live|documented|assumed", re.IGNORECASE)


@dataclass(frozen=True)
class Described:
    """A row of a table of requests: its name, what is sent, and the fields of the answer."""

    name: str
    method: str
    path: str
    sent: frozenset[str]
    fields: frozenset[str]
    evidence: str

    def covers(self, exchange: Exchange) -> bool:
        return (self.method, self.path) == (exchange.method, exchange.path) and names_of(exchange) <= self.sent


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def described(platform: PlatformName) -> list[Described]:
    section = DOCUMENT.read_text().partition(f"\n## {TITLES[platform]}\n")[2].partition("\n## ")[0]
    lines = section.partition("\n| request |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = []
    for line in lines:
        name, method, path, headers, parameters, fields, evidence = (
            cell.strip() for cell in line.strip("|").split(" | ")
        )
        sent = {span.lower() for span in spans(headers)} | {span.partition("=")[0] for span in spans(parameters)}
        rows.append(Described(name, method, spans(path)[0], frozenset(sent), frozenset(fields_of(fields)), evidence))
    return rows


def fields_of(cell: str) -> Iterator[str]:
    """The fields of a cell. Those between "`list[]`:" and the next semicolon are fields of the list."""
    for part in cell.split(";"):
        if "absent" in part or "empty" in part:
            continue
        prefix = re.search(r"`([^`]+)`: ", part)
        for span in spans(part[prefix.end() :] if prefix else part):
            yield f"{prefix[1]}.{span}" if prefix else span


def names_of(exchange: Exchange) -> set[str]:
    return {*exchange.headers, *exchange.parameters}


def sent_by(rig: Rig) -> list[Exchange]:
    """Use every operation of a client, and return what it sent."""
    http = new_http_client()
    recorder = Recorder(http, rig.url)
    rig.reopen(http, developer_token=SecretStr("developer") if rig.platform is GOOGLE else None)
    client, sent = rig.client, list[Exchange]()
    now = rig.world.clock.now()
    for _ in Checker(client, recorder, rig).run(now + timedelta(hours=1)):
        sent += [each for each in recorder.exchanges if not any(each is other for other in sent)]
    del recorder.exchanges[:]
    # An account that is reached through a manager.
    account = rig.account.model_copy(update={"manager_id": rig.site.manager_id})
    day = Period(since=now - timedelta(days=1), until=now + timedelta(hours=1))
    for product in client.products:
        rig.campaigns(product, account=account)
        rig.campaigns(product, day, account)
    if isinstance(client, AnswersAtOnce):
        list(client.read_metrics(rig, account, WINDOW))
        client.read_totals(rig, account, WINDOW)
    rig.renew()
    login = client.login
    page = login.consent_url(REDIRECT, "state", challenge_of("verifier"), login.regions[0])
    login.redeem(httpx.URL(answered(page)).params[login.code_name], REDIRECT, "verifier", login.regions[0])
    if isinstance(client, Revokes):
        client.revoke(rig.new_tokens())
        rig.world.log_in(rig.grant.id)
        client.revoke(held(rig.new_tokens().access_token.get_secret_value()))
    return sent + recorder.exchanges


@pytest.mark.parametrize("platform", list(PlatformName))
def test_each_request_has_its_row_and_each_row_is_sent(new_rig: NewRig, platform: PlatformName) -> None:
    rig = new_rig(platform, campaigns=CAMPAIGNS[platform], rotates=platform is TIKTOK)
    if platform is GOOGLE:
        first, second, *_ = rig.site.campaigns
        rig.change(first, name="renamed")
        rig.change(second, budget=rig.site.campaigns[second].budget + 1)
    if platform is META:
        rig.grant.account_ids.extend(rig.world.add_grant(META, accounts=101, campaigns=0).account_ids)
    rows, sent = described(platform), sent_by(rig)
    assert rows
    unknown = [exchange for exchange in sent if not any(row.covers(exchange) for row in rows)]
    assert not unknown, unknown
    for row in rows:
        assert EVIDENCE.search(row.evidence), row.name
        covered = [exchange for exchange in sent if row.covers(exchange)]
        names = {name for exchange in covered for name in names_of(exchange)}
        assert row.sent == names, f"{row.name}: {row.sent ^ names} is never sent"
        fields = {name for exchange in covered for name in exchange.fields}
        missing = {name for name in row.fields if not any(f"{each}.".startswith(f"{name}.") for each in fields)}
        assert not missing, f"{row.name}: {missing} is in no answer"
