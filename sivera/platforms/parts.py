"""Reading listings page by page, and halving questions that a platform cannot answer as a whole."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from typing import Any, TypeVar

from sivera.errors import InvalidReply, PlatformError
from sivera.platforms.rows import field_of, unread
from sivera.values import DateWindow, OddRow, PlatformName

T = TypeVar("T")
AnswerT = TypeVar("AnswerT")

MAX_PAGES = 10_000
"""A listing with more pages than this does not end."""
MAX_EMPTY_PAGES = 20
"""This many pages in a row without a new row are an error."""
MOST_UNREAD = 3
"""If this many days cannot be read, the others are not tried; of totals, only if fewer could be read."""


def all_rows(platform: PlatformName, pages: Iterable[list[Any]], *key: str) -> list[Any]:
    """Return the rows of all pages without those that an earlier page has too; pages in the middle may be empty.

    The fields of the `key` tell rows apart. A row without a key, or with the key of a different row on its page, is
    told apart by its place on the page.
    """
    found: dict[str, Any] = {}
    idle = 0
    for number, page in enumerate(pages, 1):
        known, here = len(found), set[str]()
        for place, row in enumerate(page):
            values = [field_of(row, path) for path in key]
            identity = " ".join(map(str, values))
            if None in values or (identity in here and found[identity] != row):
                identity = f"{place} {row!r}"
            here.add(identity)
            found[identity] = row
        idle = 0 if len(found) > known else idle + 1
        if idle == MAX_EMPTY_PAGES or number == MAX_PAGES:
            raise InvalidReply(platform, "sends page after page of a listing with nothing new, and no last one")
    return list(found.values())


def batches(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut a sequence into parts of at most this size."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_halves(
    parts: Iterable[Sequence[T]], ask: Callable[[Sequence[T]], AnswerT], splits: Callable[[PlatformError], bool]
) -> Iterator[tuple[Sequence[T], AnswerT | PlatformError]]:
    """Ask for each part, the last one first. Halve a part if its error `splits`.

    Yield each part with its answer as soon as it arrives, or a single item with its error.
    """
    todo = list(parts)
    while todo:
        part = todo.pop()
        try:
            answer: AnswerT | PlatformError = ask(part)
        except PlatformError as error:
            if not splits(error):
                raise
            if len(part) > 1:
                todo += [part[: len(part) // 2], part[len(part) // 2 :]]
                continue
            answer = error
        yield part, answer


def window_of(days: Sequence[date]) -> DateWindow:
    """Return the window of some consecutive days."""
    return DateWindow(since=days[0], until=days[-1])


def unread_days(answers: Iterable[tuple[Sequence[date], list[Any] | PlatformError]]) -> tuple[list[Any], list[OddRow]]:
    """Return the rows of all parts and the days that cannot be read; raise the last error if most cannot."""
    rows, unread_, days = list[Any](), list[OddRow](), 0
    error: PlatformError | None = None
    for part, answer in answers:
        if isinstance(answer, list):
            rows, days = rows + answer, days + len(part)
            continue
        unread_.append(unread(str(part[0]), answer))
        error = answer
        if len(unread_) >= MOST_UNREAD and len(unread_) > days:
            break
    if error is not None and len(unread_) > days:
        raise error
    return rows, unread_
