"""What tests of grants share."""

from datetime import timedelta

import pytest

from sandbox.world import World
from tests.stage import Stage
from tests.unit.grants.due import AMAZON, Due


@pytest.fixture
def due(stage: Stage, world: World) -> Due:
    """A grant whose access token has expired."""
    grant = world.add_grant(AMAZON, rotates=True)
    connection = stage.connect(grant)
    stage.pass_time(timedelta(hours=2))
    return Due(stage, grant, connection.credential_id)
