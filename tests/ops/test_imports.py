"""What a run's process imports before its first line: Prefect, and little else."""

import json
import subprocess
import sys

from ops.timetable import read_timetable
from sivera.values import PlatformName

USED_WITHIN = {"vl_convert", "altair", "fsspec", "apprise", "jinja2", "babel"}
USED_WITHIN |= {f"sivera.platforms.{platform.value}" for platform in PlatformName}
"""Imported only when a run uses them: most runs draw, write and send nothing."""

MOST_MODULES = 540
"""For all flows together, without Prefect's 1,100. SQLAlchemy accounts for 150, and a third of the time."""

IMPORT_ALL = """
import importlib, json, sys
import prefect.engine, prefect.flow_engine, prefect.main
before = set(sys.modules)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules.keys() - before)))
"""


def test_flow_modules_import_little_besides_prefect() -> None:
    names = sorted({entrypoint.rpartition(".")[0] for entrypoint in read_timetable()[1]})
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", IMPORT_ALL, *names],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
    assert set(names) <= loaded
    assert not USED_WITHIN & loaded
    assert len(loaded) <= MOST_MODULES
