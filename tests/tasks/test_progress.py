"""The progress of a run, with a Prefect server that accepts a call and never answers."""

import socket
from uuid import uuid4

from prefect.artifacts import update_progress_artifact
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.progress import single_attempt


def test_a_server_that_never_answers_does_not_hold_up_a_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}), single_attempt(seconds=0.2):
            update_progress_artifact(uuid4(), 50.0)
