"""The quotas of platforms that are known, and what is left of them."""

from collections.abc import Iterator, Mapping

from sivera.metrics.definitions import QUOTA_LEFT, Sample
from sivera.values import PlatformName, Value

DAILY_CALLS: dict[PlatformName, int] = {
    # Operations a day of a Cloud project with Basic access; Explorer access has 2,880, Standard more.
    PlatformName.GOOGLE: 15_000,
    # Meta says in its answers how much is used. Amazon publishes no number, and TikTok's are of calls a second.
}


class Used(Value):
    """What was used of a platform's quotas: calls in the last 24 hours, and what the platform itself said last."""

    platform: PlatformName
    calls_of_day: int
    used_percent: float | None


def left(used: Mapping[PlatformName, Used], daily_calls: Mapping[PlatformName, int]) -> Iterator[Sample]:
    """Yield what is left of each quota that is known, as a ratio from 0 to 1."""
    for platform, limit in daily_calls.items():
        calls = used[platform].calls_of_day if platform in used else 0
        yield _sample(platform, "calls_a_day", 1 - calls / limit)
    for platform, each in used.items():
        if each.used_percent is not None:
            yield _sample(platform, "said_by_platform", 1 - each.used_percent / 100)


def _sample(platform: PlatformName, quota: str, ratio: float) -> Sample:
    labels = {"platform": platform.value, "quota": quota}
    return Sample(name=QUOTA_LEFT.name, labels=labels, value=min(1.0, max(0.0, ratio)))
