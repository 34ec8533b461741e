"""The checks of the blocks that lead neither to the database nor to a platform."""

from collections.abc import Iterator

from prefect.blocks.core import Block

from blocks.alert_channels import CHANNEL_TYPES, document_name
from blocks.cron_secret import load_cron_secret
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.names import CRON_SECRET, DEAD_MANS_PING, RESULT_WEBHOOK
from blocks.server import BlockError, BlockMissingError, load
from blocks.storage import STORAGES, load_storage
from ops.doctor.findings import Finding, fault, ok
from ops.doctor.installation import Installation


def check_cron_secret(installation: Installation) -> Finding:
    """Load the secret of the HTTP door."""
    installation.require_server()
    load_cron_secret()
    return ok(f"the block cron-secret/{CRON_SECRET} loads")


def check_storages(installation: Installation) -> Finding:
    """Load the places for files, and see that there is a way to each."""
    installation.require_server()
    places = []
    for name in STORAGES:
        storage = load_storage(name)
        storage.get_filesystem()
        places.append(f"{name} at {storage.url}")
    return ok(", ".join(places))


def check_monitors(installation: Installation) -> Finding:
    """Load what is set of the blocks by which people and their monitors are told."""
    installation.require_server()
    found, wrong = [], []
    for kind, name in _monitors():
        try:
            load(kind, name, "")
        except BlockMissingError:
            continue
        except BlockError as error:
            wrong.append(str(error).removesuffix(": "))
        else:
            found.append(f"{kind.get_block_type_slug()}/{name}")
    if wrong:
        return fault("; ".join(wrong), "set it again: `sivera monitor` or `sivera alerts set`")
    return ok(f"the blocks {', '.join(found)} load" if found else "none is set")


def _monitors() -> Iterator[tuple[type[Block], str]]:
    yield ResultWebhook, RESULT_WEBHOOK
    yield DeadMansPing, DEAD_MANS_PING
    yield from ((kind, document_name(channel)) for channel, kind in CHANNEL_TYPES.items())
