"""What the process of a run loads before its first line: Prefect, and little beside it."""

import json
import subprocess
import sys

from ops.timetable import read_timetable
from sivera.values import PlatformName

USED_WITHIN = {"vl_convert", "altair", "fsspec", "apprise", "jinja2", "babel"}
USED_WITHIN |= {f"sivera.platforms.{platform.value}" for platform in PlatformName}
"""What is imported where a run uses it: most runs draw, write and send nothing."""

MOST_MODULES = 410
"""Beside Prefect's 1,100; 200 are ours, and 150 of SQLAlchemy, which takes a third of the time."""

IMPORT_EACH = """
import importlib, json, os, sys
import prefect.engine, prefect.flow_engine, prefect.main
before = set(sys.modules)
for name in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(name)
        print(json.dumps([name, sorted(sys.modules.keys() - before)]), flush=True)
        os._exit(0)
    os.wait()
"""
"""Forks, because Prefect takes seconds to import, and what one flow imports must not hide what the next does."""


def test_the_module_of_a_flow_loads_little_beside_prefect() -> None:
    names = sorted({entrypoint.rpartition(".")[0] for entrypoint in read_timetable()[1]})
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", IMPORT_EACH, *names],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = dict(json.loads(line) for line in done.stdout.splitlines())
    assert sorted(loaded) == names
    assert [name for name, modules in loaded.items() if USED_WITHIN & set(modules)] == []
    assert max(map(len, loaded.values())) <= MOST_MODULES, {name: len(modules) for name, modules in loaded.items()}
