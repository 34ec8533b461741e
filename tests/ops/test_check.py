"""`sivera check` against a real Prefect server, sandbox and PostgreSQL."""

import json
from datetime import timedelta
from pathlib import Path

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.values import PlatformName
from tests.ops.commands import Sivera
from tests.stage import Stage

STORED = (
    "SELECT 'grant', to_jsonb(c)::text FROM platform_credentials c UNION ALL "
    "SELECT 'account', to_jsonb(a)::text FROM ad_accounts a UNION ALL "
    "SELECT 'report', to_jsonb(r)::text FROM report_requests r ORDER BY 1, 2"
)


def test_each_request_has_a_line_and_nothing_is_stored(sivera: Sivera, ready: Stage, tmp_path: Path) -> None:
    assert "Connect one: sivera credentials connect --platform meta" in sivera("check", "meta").refusal
    assert sivera("check", "meta").code == 2
    for platform in PlatformName:
        grant = ready.world.add_grant(platform, campaigns=6)
        ready.connect(grant)
        before = ready.rows(STORED)
        file = tmp_path / f"{platform.value}.json"
        answer = sivera("check", platform.value, "--save", str(file))
        assert answer.code == 0, answer.out
        assert {line.split()[0] for line in answer.out.splitlines()} == {"accepted"}
        assert ready.rows(STORED) == before
        (site,) = ready.world.accounts_of(grant)
        told = answer.out + file.read_text()
        secrets = [site.id, site.name, site.currency, *site.campaigns, *(one.name for one in site.campaigns.values())]
        assert not [secret for secret in secrets if secret in told]


def test_refusals_show_the_platform_s_words_except_in_the_file(sivera: Sivera, ready: Stage, tmp_path: Path) -> None:
    old = ready.connect(ready.world.add_grant(PlatformName.META, campaigns=3), team="Hanok").credential_id
    meta = ready.world.add_grant(PlatformName.META, campaigns=3)
    new = ready.connect(meta, team="Northwind").credential_id
    error = {"error": {"code": 100, "message": "(#100) No perms for Northwind [SQL: x]", "type": "OAuthException"}}
    ready.world.faults.add(Fault(FaultKind.BODY, PlatformName.META, "campaigns", status=400, value=error))
    file = tmp_path / "meta.json"

    answer = sivera("check", "meta", "--json", "--save", str(file))
    assert answer.code == 1
    found = json.loads(answer.out)
    assert (found["grant"], found["exit_code"]) == (new, 1)
    refused = [one for one in found["checks"] if one["verdict"] == "refused"]
    assert {one["code"] for one in refused} == {"100"}
    assert "No perms for Northwind [SQL: x]" in refused[0]["why"]
    assert "accepted" in {one["verdict"] for one in found["checks"]}
    assert "Northwind" not in file.read_text()
    assert '"code": "100"' in file.read_text()

    ready.world.faults.clear()
    (site, *_) = ready.world.accounts_of(meta)
    (campaign, *_) = site.campaigns
    ready.world.faults.add(Fault(FaultKind.ODD_ROW, PlatformName.META, "campaigns", match=campaign, field="name"))
    said = sivera("check", "meta", "--save", str(file)).out
    assert f"Rows left out: 1, first {campaign}. Sent a reply in which name is missing" in said
    assert "in which name is missing" in file.read_text()
    assert campaign not in file.read_text()

    ready.world.faults.clear()
    unread = Fault(FaultKind.BODY, PlatformName.META, "objects", status=200, value={campaign: None})
    ready.world.faults.add(unread)
    sivera("check", "meta", "--save", str(file))
    assert "in which {id} is missing" in file.read_text()
    assert campaign not in file.read_text()
    ready.world.faults.add(Fault(FaultKind.BODY, PlatformName.META, "campaigns", status=400, value=error))

    said = sivera("check", "meta", "--grant", str(old)).out
    assert "\nrefused    campaigns: GET /v26.0/act_{id}/campaigns, " in said
    assert sivera("check", "google", "--grant", str(old)).refusal.startswith(f"google has no grant {old}")


def test_a_grant_without_a_token_cannot_be_checked(sivera: Sivera, ready: Stage, world: World) -> None:
    grant = world.add_grant(PlatformName.AMAZON)
    id_ = ready.connect(grant).credential_id
    ready.age(timedelta(hours=2))
    world.revoke_grant(grant.id)
    answer = sivera("check", "amazon")
    assert answer.code == 2
    assert "connect the account again" in answer.refusal
    assert f"grant {id_} does not work" in sivera("check", "amazon", "--grant", str(id_)).refusal
