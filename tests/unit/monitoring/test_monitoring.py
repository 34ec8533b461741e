"""The signed webhook and the dead-man's ping, sent to a real HTTP server."""

import logging
import socket
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sivera.monitoring.ping import Signal, ping
from sivera.monitoring.sending import BUDGET_SECONDS, Outcome, check_url, host_of
from sivera.monitoring.webhook import decode_secret, deliver, generate_secret, sign
from standardwebhooks import Webhook, WebhookVerificationError

from tests.receiver import Receiver, receiving
from tests.unit.test_docs import ENGLISH, blocks

SECRET = generate_secret()
MESSAGE = {"type": "sivera.sync-campaigns.finished", "message": "한글", "failed": 1}
ID = str(uuid4())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def post(receiver: Receiver) -> Outcome:
    return deliver(SecretStr(f"{receiver.url}/hook/T0P-secret?token=s3cret"), SECRET, ID, MESSAGE)


def test_a_delivery_is_verified_by_the_standard_s_own_library(receiver: Receiver) -> None:
    outcome = post(receiver)
    assert (outcome.is_delivered, outcome.sentence) == (True, "HTTP 200 after 1 attempt")
    (got,) = receiver.received
    assert (got.method, got.path) == ("POST", "/hook/T0P-secret?token=s3cret")
    assert got.headers["webhook-id"] == ID
    assert Webhook(SECRET.get_secret_value()).verify(got.body, got.headers) == MESSAGE
    for changed in ({"webhook-id": str(uuid4())}, {"webhook-timestamp": str(int(time.time()) - 60)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET.get_secret_value()).verify(got.body, got.headers | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(generate_secret().get_secret_value()).verify(got.body, got.headers)


def test_the_guide_s_code_tells_a_delivery_of_ours_from_others(receiver: Receiver) -> None:
    (code,) = blocks(ENGLISH.read_text(), "python")
    guide: dict[str, Any] = {}
    exec(code, guide)  # noqa: S102 - our own guide
    secret, is_genuine = SECRET.get_secret_value(), guide["is_genuine"]
    post(receiver)
    (got,) = receiver.received
    assert is_genuine(secret, got.headers, got.body)
    assert not is_genuine(secret, got.headers, got.body + b" ")
    assert not is_genuine(generate_secret().get_secret_value(), got.headers, got.body)
    assert not is_genuine(secret, got.headers | {"webhook-id": "another"}, got.body)
    old = str(int(time.time()) - 301)
    signature = sign(decode_secret(SECRET), ID, int(old), got.body)
    assert not is_genuine(secret, got.headers | {"webhook-timestamp": old, "webhook-signature": signature}, got.body)
    several = f"v1a,another {got.headers['webhook-signature']}"
    assert is_genuine(secret, got.headers | {"webhook-signature": several}, got.body)


def test_the_signature_is_that_of_the_specification_s_library_for_any_body() -> None:
    at = 1674087231
    ours = sign(decode_secret(SECRET), "msg_2KWP", at, b'{"a":1}')
    headers = {"webhook-id": "msg_2KWP", "webhook-timestamp": str(at), "webhook-signature": ours}
    with pytest.raises(WebhookVerificationError, match="too old"):  # it is right but for its age
        Webhook(SECRET.get_secret_value()).verify('{"a":1}', headers)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_receiver_in_trouble_is_asked_again_with_the_same_id(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {}), (status, {})]
    outcome = post(receiver)
    assert (outcome.status, outcome.attempts) == (200, 3)
    assert {got.headers["webhook-id"] for got in receiver.received} == {ID}
    for got in receiver.received:
        assert Webhook(SECRET.get_secret_value()).verify(got.body, got.headers) == MESSAGE


def test_it_waits_as_long_as_the_receiver_asks(receiver: Receiver) -> None:
    receiver.answers = [(503, {"Retry-After": "2"})]
    begun = time.monotonic()
    assert post(receiver).is_delivered
    assert time.monotonic() - begun >= 2


def test_it_gives_up_where_the_receiver_asks_for_more_than_there_is_time(receiver: Receiver) -> None:
    receiver.answers = [(429, {"Retry-After": "3600"})]
    begun = time.monotonic()
    assert post(receiver).sentence == "HTTP 429 after 1 attempt"
    assert time.monotonic() - begun < BUDGET_SECONDS


@pytest.mark.parametrize("status", [400, 401, 404, 410])
def test_a_refusal_is_final(receiver: Receiver, status: int) -> None:
    receiver.answers = [(status, {})]
    assert post(receiver) == Outcome(status=status, attempts=1)
    assert len(receiver.received) == 1


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": f"{receiver.url}/elsewhere"})]
    outcome = post(receiver)
    assert (outcome.is_delivered, outcome.status) == (False, 307)
    assert receiver.paths == ["/hook/T0P-secret"]


def test_a_receiver_that_is_away_or_silent_costs_seconds_and_shows_nothing(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    begun = time.monotonic()
    # Whoever connects to a port that is taken, and that nobody listens on, is refused.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = SecretStr(f"http://127.0.0.1:{taken.getsockname()[1]}/T0P-secret")
        outcome = ping(away, Signal.FAIL, uuid4(), "s3cret")
    assert (outcome.status, outcome.trouble) == (None, "ConnectError")
    assert outcome.attempts > 1
    receiver.silent = True
    outcome = ping(SecretStr(f"{receiver.url}/T0P-secret"), Signal.START, uuid4())
    assert outcome.trouble == "ReadTimeout"
    assert time.monotonic() - begun < 40, "a receiver that is silent is so for a minute"
    assert not any(word in caplog.text + outcome.sentence for word in ("T0P", "s3cret", "127.0.0.1"))


def test_each_signal_has_its_path_and_the_run_s_id(receiver: Receiver) -> None:
    run = uuid4()
    for signal in Signal:
        assert ping(SecretStr(f"{receiver.url}/ping/a%2Fb/?create=1"), signal, run, "x" * 5000).is_delivered
    assert [got.path for got in receiver.received] == [
        f"/ping/a%2Fb{end}?create=1&rid={run}" for end in ("/start", "", "/fail")
    ]
    assert [len(got.body) for got in receiver.received] == [1000] * 3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/path",
        "ftp://host/s3cret",
        "http://",
        "https://host:x/s3cret",
        "https://host/s3cret\n",
        "https:/ho st/",
    ],
)
def test_a_url_that_cannot_be_sent_to_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="write it like https://host/path") as error:
        check_url(url)
    assert "s3cret" not in str(error.value)


def test_of_a_url_only_the_host_is_shown() -> None:
    assert host_of("https://user:s3cret@hc.example.com:8443/ping/s3cret?x=s3cret") == "hc.example.com:8443"


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "!" * 44, "A" * 44, "whsec_" + "한" * 40]
)
def test_a_secret_that_will_not_do_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 bytes") as error:
        decode_secret(SecretStr(secret))
    assert not secret[6:] or secret[6:] not in str(error.value)
