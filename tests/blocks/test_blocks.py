"""What the Prefect UI shows of our blocks, which is never a secret, and which values they refuse."""

import base64
from datetime import UTC, datetime

import pytest
from prefect.blocks.core import Block
from pydantic import SecretStr, ValidationError

from blocks.apprise_url import AppriseUrl
from blocks.cron_secret import CronSecret
from blocks.database import to_connector
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.platform_app import PlatformApp
from blocks.server import explain
from blocks.storage import Storage
from blocks.token_key import TokenKey

SECRET = "s3cret" + 26 * "v"
IN_BASE64 = base64.b64encode(SECRET.encode()).decode()
OURS: dict[str, Block] = {
    "platform-app": PlatformApp(client_id="id", client_secret=SECRET, developer_token=SECRET),
    "token-key": TokenKey(keys={"a": IN_BASE64}, current="a"),
    "cron-secret": CronSecret(current=SECRET),
    "storage": Storage(url="s3://bucket/x", options={"key": SECRET}),
    "result-webhook": ResultWebhook(url=f"https://example.com/{SECRET}", secret=f"whsec_{IN_BASE64}"),
    "dead-mans-ping": DeadMansPing(urls={"sync-campaigns": f"https://example.com/{SECRET}"}),
    "apprise-url": AppriseUrl(url=f"json://user:{SECRET}@127.0.0.1:9/hook"),
}
ALL = {**OURS, "sqlalchemy-connector": to_connector(f"postgresql://ana:{SECRET}@h/sivera")}


@pytest.mark.parametrize("slug", OURS)
def test_describes_itself_and_each_field_and_refuses_others(slug: str) -> None:
    block, kind = OURS[slug], type(OURS[slug])
    assert kind.get_block_type_slug() == slug, "saved documents have this slug"
    assert kind.get_description()
    for name, field in kind.model_fields.items():
        if name != "notify_type":  # a field of Prefect's own block
            assert (field.description or "").endswith("."), f"{name} has no description that ends with a period"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted") as caught:
        kind(**{name: getattr(block, name) for name in kind.model_fields}, misspelt=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("slug", ALL)
def test_shows_no_secret(slug: str) -> None:
    shown = repr(ALL[slug]) + str(ALL[slug]) + ALL[slug].model_dump_json()
    assert SECRET not in shown
    assert IN_BASE64 not in shown


APP: dict[str, object] = {"client_id": "id", "client_secret": "hidden"}
GOOD = SecretStr("the-secret-of-all-that-fits")
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
UNGUESSABLE = "it is shorter than 16 characters: make one with `sivera secret generate`"
SENDABLE = "it contains a space or a non-ASCII character, which a header cannot carry: leave it out"
AS_BASE64 = "key 'a' is not base64url: write 32 bytes as 44 characters"
REFUSED: list[tuple[type[Block], dict[str, object], str]] = [
    (CronSecret, {"current": ""}, f"current: {UNGUESSABLE}"),
    (CronSecret, {"current": "hidden-letters"}, f"current: {UNGUESSABLE}"),
    (CronSecret, {"current": "hidden behind a space"}, f"current: {SENDABLE}"),
    (CronSecret, {"current": "hidden\nbehind a line"}, f"current: {SENDABLE}"),
    (CronSecret, {"current": "hidden" + "비밀" * 9}, f"current: {SENDABLE}"),
    (CronSecret, {"current": GOOD, "previous": "hidden", "previous_until": NOW}, f"previous: {UNGUESSABLE}"),
    (CronSecret, {"current": GOOD, "previous": GOOD}, "previous has no end: set previous_until, or remove previous"),
    (PlatformApp, {"client_id": "hidden"}, "client_secret: it is missing"),
    (PlatformApp, APP | {"base_url": "ads.example.com"}, "base_url: write it like https://host or "),
    (PlatformApp, APP | {"base_url": "https://"}, "base_url: write it like https://host or "),
    (PlatformApp, APP | {"base_url": "http://10.0.0.1:8080"}, "base_url: use https: "),
    (PlatformApp, APP | {"base_url": "http://localhost.example.com"}, "base_url: use https: "),
    (PlatformApp, APP | {"base_url": "https://ads.example.com/"}, "base_url: leave out the slash at its end"),
    (PlatformApp, APP | {"base_url": "https://user:hidden@ads.example.com"}, "base_url: leave out user, password"),
    (PlatformApp, APP | {"base_url": "https://ads.example.com/x?key=hidden"}, "base_url: leave out user, password"),
    (Storage, {"url": "/var/lib/reports"}, "url: it does not name a place"),
    (Storage, {"url": "s3://"}, "url: it does not name a place"),
    (Storage, {"url": "file://reports"}, "url: it depends on the folder of the process: write it as file:///folder"),
    (Storage, {"url": "local://./reports"}, "url: it depends on the folder of the process"),
    (Storage, {"url": "s3://key:hidden@bucket/reports"}, "url: it holds credentials"),
    (TokenKey, {"keys": {"a": base64.b64encode(bytes(31)).decode()}, "current": "a"}, "key 'a' has 31 bytes and needs"),
    (TokenKey, {"keys": {"a": "hidden!"}, "current": "a"}, AS_BASE64),
    (TokenKey, {"keys": {"a": 7}, "current": "a"}, AS_BASE64),
    (TokenKey, {"keys": {"a": IN_BASE64}, "current": "b"}, "current names the key 'b', which is not among the keys"),
    (AppriseUrl, {"url": "hidden"}, "url: Apprise does not know it"),
    (AppriseUrl, {"url": "nosuchservice://hidden"}, "url: Apprise does not know it"),
]


@pytest.mark.parametrize(("kind", "fields", "said"), REFUSED)
def test_an_invalid_value_is_refused_with_a_remedy_and_not_shown(
    kind: type[Block], fields: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        kind(**fields)
    assert explain(caught.value).startswith(said)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://ads.example.com:8443/google", "http://127.0.0.1:8080", "http://[::1]/meta", "http://localhost", ""],
)
def test_a_url_replaces_a_platform_s_hosts_and_an_empty_form_field_means_the_live_ones(url: str) -> None:
    assert PlatformApp(**APP, base_url=url).base_url == (url or None)
