"""What the Prefect UI shows of our block types, and that a block shows no secret."""

import base64

import pytest
from prefect.blocks.core import Block
from pydantic import ValidationError

from blocks.apprise_url import AppriseUrl
from blocks.cron_secret import CronSecret
from blocks.database import to_connector
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.platform_app import PlatformApp
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
    assert kind.get_block_type_slug() == slug, "the slugs of saved documents do not change"
    assert kind.get_description()
    for name, field in kind.model_fields.items():
        if name != "notify_type":  # of Prefect's own block
            assert (field.description or "").endswith("."), f"{name} has no description that ends with a period"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted") as caught:
        kind(**{name: getattr(block, name) for name in kind.model_fields}, misspelt=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("slug", ALL)
def test_shows_no_secret(slug: str) -> None:
    shown = repr(ALL[slug]) + str(ALL[slug]) + ALL[slug].model_dump_json()
    assert SECRET not in shown
    assert IN_BASE64 not in shown
