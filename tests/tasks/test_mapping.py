"""Pacing by what the Prefect server has recorded: it waits for a server that is behind, and never for what is lost."""

from tasks.mapping import GIVE_UP_SECONDS, LOOK_AGAIN_SECONDS, MAX_UNRECORDED, Recorder


class Server:
    """A server that has recorded so many, a clock that a test moves, and a count of questions."""

    def __init__(self) -> None:
        self.recorded = 0
        self.seconds = 0.0
        self.asked = 0

    def count(self) -> int:
        self.asked += 1
        return self.recorded

    def recorder(self) -> Recorder:
        return Recorder(self.count, lambda: self.seconds)


def test_a_server_that_is_not_far_behind_is_not_even_asked() -> None:
    server = Server()
    recorder = server.recorder()
    server.seconds = 100
    assert not recorder.is_behind(MAX_UNRECORDED)
    assert server.asked == 0


def test_no_more_begins_until_the_server_has_caught_up() -> None:
    server = Server()
    recorder = server.recorder()
    server.seconds += LOOK_AGAIN_SECONDS
    server.recorded = 100
    assert recorder.is_behind(MAX_UNRECORDED + 200)
    server.recorded = 300
    assert recorder.is_behind(MAX_UNRECORDED + 200), "it is asked once a second at most"
    server.seconds += LOOK_AGAIN_SECONDS
    assert not recorder.is_behind(MAX_UNRECORDED + 200)
    assert server.asked == 2


def test_what_is_lost_is_not_waited_for() -> None:
    server = Server()
    recorder = server.recorder()
    ended = MAX_UNRECORDED + 200
    server.recorded = 100
    server.seconds += LOOK_AGAIN_SECONDS
    assert recorder.is_behind(ended)
    server.seconds += GIVE_UP_SECONDS
    assert not recorder.is_behind(ended), "nothing more was recorded for so long"
    server.seconds += LOOK_AGAIN_SECONDS
    assert recorder.is_behind(ended + MAX_UNRECORDED + 1), "and from there on it counts anew"
