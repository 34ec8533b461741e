"""`sivera monitor` against a real Prefect server and a real HTTP receiver."""

from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from blocks.monitoring import find_pings, find_webhook
from tests.ops.commands import Sivera
from tests.receiver import Receiver, receiving

pytestmark = pytest.mark.usefixtures("clean_prefect")

PATH = "/hook/T0P-secret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def test_a_webhook_is_set_listed_tested_and_replaced(sivera: Sivera, receiver: Receiver) -> None:
    assert "there is no webhook" in sivera("monitor", "test").refusal
    set_it = sivera("monitor", "set-webhook", stdin=receiver.url + PATH)
    secret = set_it.out.strip()
    host = receiver.url.removeprefix("http://")
    assert host in set_it.err
    listed = sivera("monitor", "list").out
    assert host in listed
    assert "T0P" not in listed
    tested = sivera("monitor", "test")
    assert tested.out == f"The webhook at {host} accepted the test message: HTTP 200 after 1 attempt.\n"
    (got,) = receiver.received
    assert got.path == PATH
    assert Webhook(secret).verify(got.body, got.headers)["type"] == "sivera.test"
    receiver.answers = [(410, {})]
    said = sivera("monitor", "test").refusal
    assert "did not accept the test message: HTTP 410 after 1 attempt: check that its receiver runs" in said
    assert "T0P" not in said

    assert sivera("monitor", "set-webhook", stdin=f"{receiver.url}/elsewhere").out == ""
    webhook = find_webhook()
    assert webhook
    assert webhook.secret.get_secret_value() == secret
    assert webhook.url.get_secret_value() == f"{receiver.url}/elsewhere"
    new = sivera("monitor", "set-webhook", "--new-secret", stdin=receiver.url).out.strip()
    assert new.startswith("whsec_")
    assert new != secret


def test_pings_are_set_for_a_job_or_deployment_and_removed(sivera: Sivera) -> None:
    assert sivera("monitor", "set-ping", "sync-campaigns", stdin="https://hc.example.com/T0P-1").code == 0
    assert sivera("monitor", "set-ping", "sync-campaigns/google", stdin="https://hc.example.com/T0P-2").code == 0
    listed = sivera("monitor", "list").out
    assert listed.count("hc.example.com") == 2
    assert "T0P" not in listed
    pings = find_pings()
    assert pings
    urls = {name: pings.url_of("sync-campaigns", name) for name in ("all", "google")}
    assert {name: url and url.get_secret_value()[-1] for name, url in urls.items()} == {"all": "1", "google": "2"}
    assert pings.url_of("refresh-tokens", "all") is None
    assert sivera("monitor", "remove-ping", "sync-campaigns").code == 0
    assert "has no ping URL" in sivera("monitor", "remove-ping", "sync-campaigns").refusal
    left = find_pings()
    assert left
    assert left.by_job.keys() == {"sync-campaigns/google"}


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["set-webhook"], "htps:/T0P", "write it like https://host/path"),
        (["set-ping", "sync-campaigns"], "T0P", "sync-campaigns: it is not a URL"),
        (["set-ping", "sync-campaign"], "https://h/T0P", "did you mean sync-campaigns?"),
        (["set-webhook"], "", "standard input is empty: pass the URL of the webhook there"),
    ],
)
def test_wrong_input_is_refused(sivera: Sivera, arguments: list[str], stdin: str, says: str) -> None:
    assert says in sivera("monitor", *arguments, stdin=stdin).refusal
    assert sivera("monitor", "list").out.startswith("There are no monitors.")
