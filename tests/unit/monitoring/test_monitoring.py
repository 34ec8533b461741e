"""The signed webhook and the dead man's ping, sent to a real HTTP server."""

import logging
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from sivera.monitoring import Outcome, Signal, check_secret, check_url, deliver, generate_secret, host_of, ping
from tests.receiver import Receiver, receiving

SECRET = generate_secret()
MESSAGE = {"type": "sivera.sync-campaigns.finished", "message": "한글", "failed": 1}
ID = str(uuid4())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def post(receiver: Receiver) -> Outcome:
    return deliver(SecretStr(f"{receiver.url}/hook/T0P-secret?token=s3cret"), SECRET, ID, MESSAGE)


def test_a_delivery_is_signed(receiver: Receiver) -> None:
    outcome = post(receiver)
    assert (outcome.is_delivered, outcome.sentence) == (True, "HTTP 200 after 1 attempt")
    (got,) = receiver.received
    assert (got.method, got.path) == ("POST", "/hook/T0P-secret?token=s3cret")
    assert got.headers["webhook-id"] == ID
    assert Webhook(SECRET.get_secret_value()).verify(got.body, got.headers) == MESSAGE
    with pytest.raises(WebhookVerificationError):
        Webhook(generate_secret().get_secret_value()).verify(got.body, got.headers)


def test_a_failing_receiver_gets_the_same_message_again(receiver: Receiver) -> None:
    receiver.answers = [(429, {}), (503, {})]
    outcome = post(receiver)
    assert (outcome.status, outcome.attempts) == (200, 3)
    assert {got.headers["webhook-id"] for got in receiver.received} == {ID}
    for got in receiver.received:
        assert Webhook(SECRET.get_secret_value()).verify(got.body, got.headers) == MESSAGE


@pytest.mark.parametrize("answer", [(400, {}), (410, {}), (307, {"Location": "/elsewhere"})])
def test_refusals_are_final_and_redirects_are_not_followed(
    receiver: Receiver, answer: tuple[int, dict[str, str]]
) -> None:
    receiver.answers = [answer]
    assert post(receiver) == Outcome(status=answer[0], attempts=1)
    assert receiver.paths == ["/hook/T0P-secret"]


def test_an_absent_or_silent_receiver_delays_briefly_and_no_url_is_shown(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    # A bound port that nobody listens on refuses connections.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = SecretStr(f"http://127.0.0.1:{taken.getsockname()[1]}/T0P-secret")
        outcome = ping(away, Signal.FAIL, uuid4(), "s3cret", seconds=1.0)
    assert (outcome.status, outcome.trouble) == (None, "ConnectError")
    assert outcome.attempts > 1
    receiver.silent = True
    silent = ping(SecretStr(f"{receiver.url}/T0P-secret"), Signal.START, uuid4(), seconds=0.3)
    assert silent.trouble == "ReadTimeout"
    assert not any(word in caplog.text + outcome.sentence for word in ("T0P", "s3cret", "127.0.0.1"))


def test_each_signal_has_its_path_and_the_run_id(receiver: Receiver) -> None:
    run = uuid4()
    for signal in Signal:
        assert ping(SecretStr(f"{receiver.url}/ping/a%2Fb/?create=1"), signal, run, "x" * 5000).is_delivered
    assert [got.path for got in receiver.received] == [
        f"/ping/a%2Fb{end}?create=1&rid={run}" for end in ("/start", "", "/fail")
    ]
    assert [len(got.body) for got in receiver.received] == [1000] * 3


@pytest.mark.parametrize(
    "url",
    ["", "host/path", "ftp://h/s3cret", "http://", "https://h:x/s3cret", "https://h/s3cret\n", "https:/ho st/"],
)
def test_an_invalid_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="write it like https://host/path") as error:
        check_url(SecretStr(url))
    assert "s3cret" not in str(error.value)


def test_only_the_host_of_a_url_is_shown() -> None:
    url = SecretStr("https://user:s3cret@hc.example.com:8443/ping/s3cret?x=s3cret")
    assert host_of(url) == "hc.example.com:8443"


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "!" * 44, "A" * 44, "whsec_" + "한" * 40]
)
def test_an_invalid_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as error:
        check_secret(SecretStr(secret))
    assert not secret[6:] or secret[6:] not in str(error.value)
