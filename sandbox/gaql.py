"""The part of the Google Ads Query Language that the sandbox understands: one SELECT, conditions joined by AND.

The grammar is that of the Google Ads API's guide 'Query grammar', without LIKE, CONTAINS, REGEXP_MATCH, DURING,
IS NULL and PARAMETERS: those are refused, never ignored.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")
Literal = str | int | float | bool

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<symbol><=|>=|!=|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LOWER = frozenset({">", ">=", "BETWEEN"})
_UPPER = frozenset({"<", "<=", "BETWEEN"})


class QueryRefused(Exception):
    """The query is not taken; `category` and `code` are Google's, such as `queryError` and `BAD_OPERATOR`."""

    def __init__(self, code: str, message: str, category: str = "queryError") -> None:
        super().__init__(code, message, category)
        self.code, self.message, self.category = code, message, category


@dataclass(frozen=True)
class Condition:
    """One condition on a field; `values` are one literal, the two of BETWEEN, or the list of IN."""

    field: str
    operator: str
    values: tuple[Literal, ...]

    def holds(self, value: object) -> bool:
        """Whether a field's JSON value meets the condition; an unset one meets only `!=` and NOT IN."""
        if value is None:
            return self.operator in ("!=", "NOT IN")
        literal = self.values[0]
        if isinstance(value, str) and type(literal) in (int, float) and value.isdigit():
            value = int(value)  # JSON carries int64 as text
        if isinstance(value, str) != isinstance(literal, str) or isinstance(value, bool) != isinstance(literal, bool):
            raise QueryRefused("BAD_VALUE", f"Error in query: {literal!r} is not a value of {self.field}.")
        match self.operator:
            case "IN":
                return value in self._members
            case "NOT IN":
                return value not in self._members
            case "BETWEEN":
                low, high = self.values
                return bool(low <= value <= high)  # type: ignore[operator]
            case compare:
                return _COMPARE[compare](value, self.values[0])

    @cached_property
    def _members(self) -> frozenset[Literal]:
        return frozenset(self.values)


@dataclass(frozen=True)
class Query:
    """A parsed query. `order` holds fields, each with whether it goes down."""

    fields: tuple[str, ...]
    resource: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every field that the query names."""
        return (*self.fields, *(c.field for c in self.conditions), *(field for field, _ in self.order))

    def bounds(self, field: str) -> tuple[str | None, str | None]:
        """The lowest and the highest value that the conditions leave to a field of text; None where there is none."""
        mine = [c for c in self.conditions if c.field == field]
        low = [str(c.values[0]) for c in mine if c.operator in _LOWER or c.operator == "="]
        high = [str(c.values[-1]) for c in mine if c.operator in _UPPER or c.operator == "="]
        return max(low, default=None), min(high, default=None)


def parse(text: str) -> Query:
    """Parse a query; QueryRefused says where it is wrong."""
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
        order: tuple[tuple[str, bool], ...] = ()
        if self.accept("ORDER"):
            self.keyword("BY", "EXPECTED_BY")
            order = self.comma_separated(self.ordering)
        limit = self.limit() if self.accept("LIMIT") else None
        if self.at < len(self.tokens):
            raise QueryRefused("UNEXPECTED_INPUT", f"Error in query: unexpected input {self.tokens[self.at][1]}.")
        return Query(fields, resource, tuple(conditions), order, limit)

    def condition(self) -> Condition:
        field, sign = self.word(), self.next()[1].upper()
        if sign == "NOT":
            self.keyword("IN", "BAD_OPERATOR")
            sign = "NOT IN"
        if sign in ("IN", "NOT IN"):
            self.keyword("(", "EXPECTED_LIST")
            values = self.comma_separated(self.literal)
            self.keyword(")", "EXPECTED_LIST")
        elif sign == "BETWEEN":
            low = self.literal()
            self.keyword("AND", "EXPECTED_VALUE_WITH_BETWEEN_OPERATOR")
            values = (low, self.literal())
        elif sign in _COMPARE:
            values = (self.literal(),)
        else:
            raise QueryRefused(
                "BAD_OPERATOR", f"Error in query: invalid operator {sign}, or one unknown to the sandbox."
            )
        if len({isinstance(value, str) for value in values}) > 1:
            raise QueryRefused("BAD_VALUE", f"Error in query: the values for {field} are of several types.")
        return Condition(field, sign, values)

    def ordering(self) -> tuple[str, bool]:
        field = self.word()
        return field, not self.accept("ASC") and self.accept("DESC")

    def limit(self) -> int:
        kind, text = self.next()
        if kind != "number" or not text.isdigit() or int(text) == 0:
            raise QueryRefused("BAD_LIMIT_VALUE", f"Limit value is invalid: {text}.")
        return int(text)

    def literal(self) -> Literal:
        kind, text = self.next()
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "number":
            return float(text) if "." in text else int(text)
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
            code = "STRING_NOT_TERMINATED" if rest[0] in "'\"" else "BAD_SYMBOL"
            raise QueryRefused(code, f"Error in query: cannot read from {rest[:20]!r} on.")
        tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
        at = match.end()
    return tokens
