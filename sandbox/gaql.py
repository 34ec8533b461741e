"""The part of the Google Ads Query Language that the client uses: one SELECT, conditions joined by AND, LIMIT.

Anything else in the grammar (other operators, ORDER BY, PARAMETERS) is refused, never ignored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Literal = str | int | bool

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\\n]|\\.)*')
      | (?P<number>\d+)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<symbol><=|>=|!=|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)


class QueryRefused(Exception):
    """The query is refused; `category` and `code` are Google's, such as `queryError` and `BAD_OPERATOR`."""

    def __init__(self, code: str, message: str, category: str = "queryError") -> None:
        super().__init__(code, message, category)
        self.code, self.message, self.category = code, message, category


@dataclass(frozen=True)
class Condition:
    """One condition on a field; `values` are one literal (=), the two of BETWEEN, or the list of IN."""

    field: str
    operator: str
    values: tuple[Literal, ...]

    def holds(self, value: object) -> bool:
        """Whether a field's JSON value meets the condition; an unset one never does."""
        if value is None:
            return False
        if type(value) is not type(self.values[0]):
            raise QueryRefused("BAD_VALUE", f"Error in query: {self.values[0]!r} is not a value of {self.field}.")
        if self.operator == "BETWEEN":
            low, high = self.values
            return bool(low <= value <= high)  # type: ignore[operator]
        return value in self.values


@dataclass(frozen=True)
class Query:
    """A parsed query."""

    fields: tuple[str, ...]
    resource: str
    conditions: tuple[Condition, ...] = ()
    limit: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All fields that the query names."""
        return (*self.fields, *(condition.field for condition in self.conditions))

    def range_of(self, field: str) -> tuple[str, str] | None:
        """Return the two values of the BETWEEN condition on a field; None if there is none."""
        found = (c.values for c in self.conditions if c.field == field and c.operator == "BETWEEN")
        values = next(found, None)
        return (str(values[0]), str(values[1])) if values else None


def parse(text: str) -> Query:
    """Parse a query; QueryRefused says what is wrong."""
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def query(self) -> Query:
        self.keyword("SELECT", "EXPECTED_SELECT")
        fields = self.comma_separated(self.word)
        self.keyword("FROM", "EXPECTED_FROM")
        resource = self.word()
        conditions: list[Condition] = []
        if self.accept("WHERE"):
            conditions.append(self.condition())
            while self.accept("AND"):
                conditions.append(self.condition())
        limit = self.limit() if self.accept("LIMIT") else None
        if self.at < len(self.tokens):
            raise QueryRefused("UNEXPECTED_INPUT", f"Error in query: unexpected input {self.tokens[self.at][1]}.")
        return Query(fields, resource, tuple(conditions), limit)

    def condition(self) -> Condition:
        field, operator = self.word(), self.next()[1].upper()
        match operator:
            case "=":
                values: tuple[Literal, ...] = (self.literal(),)
            case "IN":
                self.keyword("(", "EXPECTED_LIST")
                values = self.comma_separated(self.literal)
                self.keyword(")", "EXPECTED_LIST")
            case "BETWEEN":
                low = self.literal()
                self.keyword("AND", "EXPECTED_VALUE_WITH_BETWEEN_OPERATOR")
                values = (low, self.literal())
            case _:
                message = f"Error in query: invalid operator {operator}, or one unknown to the sandbox."
                raise QueryRefused("BAD_OPERATOR", message)
        if len({type(value) for value in values}) > 1:
            raise QueryRefused("BAD_VALUE", f"Error in query: the values for {field} are of several types.")
        return Condition(field, operator, values)

    def limit(self) -> int:
        kind, text = self.next()
        if kind != "number" or int(text) == 0:
            raise QueryRefused("BAD_LIMIT_VALUE", f"Limit value is invalid: {text}.")
        return int(text)

    def literal(self) -> Literal:
        kind, text = self.next()
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "number":
            return int(text)
        if kind == "word":
            return text.upper() == "TRUE" if text.upper() in ("TRUE", "FALSE") else text
        raise QueryRefused("BAD_VALUE", f"Error in query: {text} is not a value.")

    def word(self) -> str:
        kind, text = self.next()
        if kind != "word":
            raise QueryRefused("BAD_FIELD_NAME", f"Error in query: {text} is not a field name.")
        return text

    def comma_separated(self, item: Callable[[], T]) -> tuple[T, ...]:
        items = [item()]
        while self.accept(","):
            items.append(item())
        return tuple(items)

    def keyword(self, text: str, code: str) -> None:
        if not self.accept(text):
            found = self.tokens[self.at][1] if self.at < len(self.tokens) else "the end"
            raise QueryRefused(code, f"Error in query: expected {text}, found {found}.")

    def accept(self, text: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at][1].upper() == text:
            self.at += 1
            return True
        return False

    def next(self) -> tuple[str, str]:
        if self.at == len(self.tokens):
            raise QueryRefused("UNEXPECTED_END_OF_QUERY", "Error in query: unexpected end of query.")
        self.at += 1
        return self.tokens[self.at - 1]


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at, text = 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            code = "STRING_NOT_TERMINATED" if rest[0] == "'" else "BAD_SYMBOL"
            raise QueryRefused(code, f"Error in query: cannot read from {rest[:20]!r} on.")
        tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        at = match.end()
    return tokens
