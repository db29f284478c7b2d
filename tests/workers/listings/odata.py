"""A small RESO Web API, strict about its query language: whatever it cannot parse is answered with 400."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

Row = dict[str, Any]
Condition = Callable[[Row], bool]

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|\d{4}-\d\d-\d\d|-?\d+|[A-Za-z]\w*|[(),])")


class BadQueryError(Exception):
    """Not understood."""


class Filter:
    """``$filter``, as far as it is needed here."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise BadQueryError(text[at:])
            self._tokens.append(found[1])
            at = found.end()
        self._at = 0
        self.matches = self._any()
        if self._at != len(self._tokens):
            raise BadQueryError("more than one condition")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self, expected: str | None = None) -> str:
        token = self._peek()
        if not token or (expected is not None and token != expected):
            raise BadQueryError(token)
        self._at += 1
        return token

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._peek() == "or":
            self._next()
            parts.append(self._all())
        return lambda row: any(part(row) for part in parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._peek() == "and":
            self._next()
            parts.append(self._one())
        return lambda row: all(part(row) for part in parts)

    def _one(self) -> Condition:
        if self._peek() == "(":
            self._next()
            inner = self._any()
            self._next(")")
            return inner
        if self._peek() == "contains":
            self._next()
            self._next("(")
            text = self._value()
            self._next(",")
            part = self._value()
            self._next(")")
            return lambda row: (part(row) or "") in (text(row) or "")
        left, operator, right = self._value(), self._next(), self._value()
        if operator == "eq":
            return lambda row: left(row) == right(row)
        if operator not in ("le", "ge"):
            raise BadQueryError(operator)

        def compare(row: Row) -> bool:
            one, other = left(row), right(row)
            return one is not None and (one <= other if operator == "le" else one >= other)

        return compare

    def _value(self) -> Callable[[Row], Any]:
        token = self._next()
        if token == "tolower":
            self._next("(")
            inner = self._value()
            self._next(")")
            return lambda row: (inner(row) or "").lower()
        if token.startswith("'"):
            text = token[1:-1].replace("''", "'")
            return lambda _: text
        if token == "null":
            return lambda _: None
        if re.fullmatch(r"\d{4}-\d\d-\d\d", token):
            return lambda _: token
        if re.fullmatch(r"-?\d+", token):
            number = int(token)
            return lambda _: number
        return lambda row: row[token]


def answer(rows: list[Row], target: str) -> tuple[int, bytes]:
    """Status and body for the path and query of a request."""
    parts = urlsplit(target)
    if parts.path != "/odata/Property":
        return 404, b"{}"
    query = {name: values[0] for name, values in parse_qs(parts.query, strict_parsing=True).items()}
    try:
        chosen = Filter(query["$filter"]).matches
        found = sorted((row for row in rows if chosen(row)), key=lambda row: (row["ListPrice"], row["ListingKey"]))
    except (BadQueryError, KeyError, TypeError):
        return 400, b"{}"
    assert query["$orderby"] == "ListPrice asc,ListingKey asc"
    skip, top, fields = int(query["$skip"]), int(query["$top"]), query["$select"].split(",")
    page = [{name: row.get(name) for name in fields} for row in found[skip : skip + top]]
    return 200, json.dumps({"@odata.context": "…", "@odata.count": len(found), "value": page}).encode()
