"""Pacing by what the Prefect server has recorded: wait for a server that is behind, but not for what is lost."""

from tasks.mapping import GIVE_UP_SECONDS, LOOK_AGAIN_SECONDS, MAX_UNRECORDED, Recorder


class Server:
    """What a server has recorded, and how often it was asked. A test moves the clock."""

    def __init__(self) -> None:
        self.recorded = self.asked = 0
        self.seconds = 0.0
        self.recorder = Recorder(self.count, lambda: self.seconds)

    def count(self) -> int:
        self.asked += 1
        return self.recorded

    def is_behind(self, ended: int) -> bool:
        return self.recorder.is_behind(ended)


def test_a_server_that_is_not_far_behind_is_not_even_asked() -> None:
    server = Server()
    server.seconds = 100
    assert not server.is_behind(MAX_UNRECORDED)
    assert server.asked == 0


def test_nothing_more_starts_until_the_server_has_caught_up() -> None:
    server = Server()
    server.seconds += LOOK_AGAIN_SECONDS
    server.recorded = 100
    assert server.is_behind(MAX_UNRECORDED + 200)
    server.recorded = 300
    assert server.is_behind(MAX_UNRECORDED + 200), "it is asked once a second at most"
    server.seconds += LOOK_AGAIN_SECONDS
    assert not server.is_behind(MAX_UNRECORDED + 200)
    assert server.asked == 2


def test_lost_task_runs_are_not_waited_for() -> None:
    server = Server()
    ended = MAX_UNRECORDED + 200
    server.recorded = 100
    server.seconds += LOOK_AGAIN_SECONDS
    assert server.is_behind(ended)
    server.seconds += GIVE_UP_SECONDS
    assert not server.is_behind(ended), "nothing was recorded for that long"
    server.seconds += LOOK_AGAIN_SECONDS
    assert server.is_behind(ended + MAX_UNRECORDED + 1), "it counts from there on"
