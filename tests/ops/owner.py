"""Runs part of a stack until it is stopped or killed: `owner.py FOLDER tree|postgres`."""

import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from ops.stack.folder import own_folder
from ops.stack.postgres import embedded_postgres

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
signal.pause()
"""
TREE = f"""
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", '''{STUBBORN}'''], start_new_session=True)
signal.pause()
"""


def main() -> None:
    path, part = sys.argv[1:]
    with own_folder(Path(path)) as folder, ExitStack() as resources:
        if part == "tree":
            child = resources.enter_context(folder.run("tree", "tree", [sys.executable, "-c", TREE]))
            child.wait_until(lambda: "ready" in child.log.read_text(), 60)
        else:
            url = resources.enter_context(embedded_postgres(folder))
            (folder.path / "host").write_text(str(url.query["host"]))
        sys.stdout.write("started\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
