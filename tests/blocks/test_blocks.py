"""What the Prefect UI shows of our block types."""

import pytest
from prefect.blocks.core import Block

from blocks.cron_secret import CronSecret
from blocks.platform_app import PlatformApp
from blocks.token_key import TokenKey

KINDS = (PlatformApp, TokenKey, CronSecret)
BLOCKS = pytest.mark.parametrize("block", KINDS)


@BLOCKS
def test_describes_itself_and_each_field(block: type[Block]) -> None:
    assert block.get_description()
    for name, field in block.model_fields.items():
        assert (field.description or "").endswith("."), f"{name} has no description that ends with a period"


@BLOCKS
def test_has_an_example_that_imports_and_loads_it(block: type[Block]) -> None:
    example = block.get_code_example() or ""
    assert f"from {block.__module__} import {block.__name__}" in example
    assert f'{block.__name__}.load("' in example


def test_the_slugs_of_saved_documents_do_not_change() -> None:
    assert [block.get_block_type_slug() for block in KINDS] == ["platform-app", "token-key", "cron-secret"]
