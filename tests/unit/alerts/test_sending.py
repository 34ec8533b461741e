"""Which message a channel still lacks, with the receipts in a real PostgreSQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sandbox.world import World
from sivera.alerts.conditions import BadGrant, Kind
from sivera.alerts.data_rules import data_conditions
from sivera.alerts.options import Channel
from sivera.alerts.sending import MAX_LINK, MAX_MESSAGE, MOST_AT_ONCE, Message, Sent, message_of, send_messages
from sivera.clock import read_clock
from sivera.crypto import Keyring
from sivera.grants.links import make_link, read_link
from sivera.links import Links
from sivera.models import Alert
from sivera.values import PlatformName
from tests.stage import Stage
from tests.unit.tables import Tables

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def alert(**more: object) -> Alert:
    columns = {
        "id": 1,
        "kind": "job-failed",
        "subject": "a/all",
        "title": "a/all failed",
        "message": "It did.",
        "since": NOW - HOUR,
        "link": "http://ui/run",
        "raised_at": NOW - HOUR,
        "open_receipts": {},
        "close_receipts": {},
    }
    return Alert(**columns | more)


def receipt(ago: timedelta, channel: Channel = Channel.SLACK) -> dict[str, str]:
    return {channel.value: (NOW - ago).isoformat()}


@pytest.mark.parametrize(
    ("columns", "start"),
    [
        ({}, "Alert: "),
        ({"open_receipts": receipt(timedelta())}, None),
        ({"open_receipts": receipt(timedelta(), Channel.DISCORD)}, "Alert: "),
        # Once a day, while it is open; a budget stays spent until its period ends.
        ({"raised_at": NOW - DAY, "open_receipts": receipt(DAY - HOUR)}, None),
        ({"raised_at": NOW - DAY, "open_receipts": receipt(DAY)}, "Still: "),
        ({"raised_at": NOW - DAY, "open_receipts": receipt(DAY), "kind": Kind.BUDGET.value}, None),
        # Times ahead of the clock.
        ({"raised_at": NOW + DAY, "open_receipts": receipt(HOUR)}, None),
        ({"raised_at": NOW + DAY}, "Alert: "),
        ({"open_receipts": receipt(-DAY)}, "Still: "),
        # It rose since the channel accepted it.
        ({"open_receipts": receipt(2 * HOUR), "kind": Kind.BUDGET.value}, "Alert: "),
        # The end goes only to channels that accepted the beginning.
        ({"closed_at": NOW}, None),
        ({"closed_at": NOW, "open_receipts": receipt(HOUR, Channel.DISCORD)}, None),
        ({"closed_at": NOW, "open_receipts": receipt(2 * HOUR)}, "Over: "),
        ({"closed_at": NOW, "open_receipts": receipt(HOUR), "close_receipts": receipt(timedelta())}, None),
    ],
)
def test_which_message_a_channel_still_lacks(columns: Mapping[str, object], start: str | None) -> None:
    found = message_of(alert(**columns), Channel.SLACK, NOW)
    assert (found and found.title) == (start and f"{start}a/all failed")


def test_what_the_messages_say() -> None:
    over = {"closed_at": NOW, "open_receipts": receipt(HOUR)}
    assert message(alert()).body == "It did.\nSince 2026-11-24 11:30 UTC.\nhttp://ui/run"
    assert message(alert(**over, link="")).body == "It began at 2026-11-24 11:30 UTC, and is over."
    assert message(alert(**over, closed_because="So.")).body.endswith("and is over. So.\nhttp://ui/run")
    for long in ({"title": "t" * 3000}, {"message": "m" * 3000}, {"title": "t" * 3000, "message": "m" * 3000}):
        found = message(alert(**long))
        assert units(found) <= MAX_MESSAGE, "it fits Discord"
        assert found.body.endswith("\nhttp://ui/run")


def message(of: Alert, team_link: str = "") -> Message:
    found = message_of(of, Channel.SLACK, NOW, team_link)
    assert found
    return found


def units(message: Message) -> int:
    return len(f"{message.title}\r\n{message.body}".encode("utf-16-le")) // 2


def test_a_message_about_a_grant_has_a_link_for_its_team_that_is_not_stored(stage: Stage, world: World) -> None:
    grant = stage.connect(world.add_grant(PlatformName.META), team="Hanok & Sons").credential_id
    add(stage.engine, str(grant), kind=Kind.REAUTHORIZATION_REQUIRED)
    add(stage.engine, "meta", kind=Kind.ACCESS_ENDS)
    add(stage.engine, "a")
    chat = Chat()

    def link_of(platform: PlatformName, team: str, name: str, now: datetime) -> str:
        return make_link(stage.keyring, "https://jobs.example", platform=platform, team=team, name=name, now=now)

    assert send_messages(stage.engine, {Channel.SLACK: chat.send}, link_of) == {Channel.SLACK: Sent(accepted=3)}
    (link,) = re.findall(r"within 24 hours: (\S+)", "\n".join(chat.bodies))
    address = urlsplit(link)
    assert (address.netloc, address.path) == ("jobs.example", "/connect/meta")
    said = dict(parse_qsl(address.query))
    with Session(stage.engine) as session:
        now = read_clock(session)
    assert said["team"] == "Hanok & Sons"
    assert read_link(stage.keyring, said["link"], platform=PlatformName.META, team=said["team"], now=now) == "main"
    assert said["link"] not in str(stage.rows("SELECT * FROM alerts"))


@pytest.mark.parametrize("letter", ["n", "@", "_", "\U0001f525", "한"])
def test_the_longest_names_leave_room_for_the_remedy_and_the_link(letter: str) -> None:
    name = letter * 255
    grant = BadGrant(7, name, PlatformName.AMAZON, name, name * 3, NOW, [name] * 7)
    (one,) = data_conditions([grant], [], set(), 3, Links(ui_url="http://ui"))
    keyring = Keyring({"k": bytes(32)}, "k")
    team_link = make_link(keyring, "https://jobs.example", platform=PlatformName.AMAZON, team=name, now=NOW, name=name)
    found = message(alert(title=one.title, message=one.text, link=one.link), team_link)
    assert (team_link in found.body) is (len(team_link) <= MAX_LINK)
    assert units(found) <= MAX_MESSAGE
    assert found.title.endswith("must be connected again")
    assert "'sivera credentials list' says how.\nSince 2026" in found.body
    assert found.body.endswith("\nhttp://ui/artifacts/key/refresh-tokens-failures")


@dataclass
class Chat:
    """A service that refuses titles with a certain text."""

    refuses: str | None = None
    seen: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    def send(self, title: str, body: str) -> bool:
        self.seen.append(title)
        self.bodies.append(body)
        return self.refuses is None or self.refuses not in title


def add(engine: Engine, *subjects: str, kind: str = "job-failed") -> None:
    for subject in subjects:
        Tables(engine).add_alert(subject, kind)


def send(engine: Engine, **chats: Chat) -> dict[str, Sent]:
    found = send_messages(engine, {Channel(name): chat.send for name, chat in chats.items()})
    return {channel.value: sent for channel, sent in found.items()}


def test_only_the_channel_that_refused_a_message_gets_it_again(engine: Engine) -> None:
    slack, discord = Chat(), Chat(refuses="a")
    add(engine, "a", "b")
    first = send(engine, discord=discord, slack=slack)
    assert first == {"discord": Sent(accepted=1, refused=1), "slack": Sent(accepted=2)}
    assert send(engine, discord=discord, slack=slack)["discord"] == Sent(refused=1)
    discord.refuses = None
    for _ in range(2):
        send(engine, discord=discord, slack=slack)
    assert slack.seen == ["Alert: a", "Alert: b"]
    assert discord.seen == ["Alert: a", "Alert: b", "Alert: a", "Alert: a"]
    # The end of an alert is tried for seven days.
    for days, refused, sent in ((0, "Over", 1), (6, "Over", 2), (8, None, 2), (6, None, 3), (6, None, 3)):
        Tables(engine).execute(
            "UPDATE alerts SET closed_at = now() - interval '1 day' * :d WHERE subject = 'a'", d=days
        )
        slack.refuses = refused
        send(engine, discord=discord, slack=slack)
        assert slack.seen[2:] == ["Over: a"] * sent
    assert discord.seen[4:] == ["Over: a"]


def test_one_check_sends_a_limited_number_of_messages_the_oldest_first_and_budgets_last(engine: Engine) -> None:
    add(engine, *(f"budget {n:02}" for n in range(MOST_AT_ONCE)), kind=Kind.BUDGET.value)
    add(engine, "a job", "an older job")
    Tables(engine).execute("UPDATE alerts SET raised_at = now() - interval '1 hour' WHERE subject = 'an older job'")
    slack = Chat()
    assert send(engine, slack=slack) == {"slack": Sent(accepted=MOST_AT_ONCE)}
    assert slack.seen[:2] == ["Alert: an older job", "Alert: a job"]
    assert send(engine, slack=slack) == {"slack": Sent(accepted=2)}
    assert len(slack.seen) == len(set(slack.seen)) == MOST_AT_ONCE + 2


def test_refused_messages_do_not_block_the_others(engine: Engine) -> None:
    add(engine, *(f"bad {n:02}" for n in range(MOST_AT_ONCE)), "good")
    slack = Chat(refuses="bad")
    assert send(engine, slack=slack) == {"slack": Sent(accepted=1, refused=MOST_AT_ONCE)}
    assert slack.seen[-1] == "Alert: good"
