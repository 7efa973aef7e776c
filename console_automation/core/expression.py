"""The expressions of workflows: where a step's input comes from, and whether a step is to run.

A path names a value, `input.days` or `steps.extract.result.rows[0].id` or `steps.extract.status`. A
condition compares such values: `steps.extract.result.count > 0 and input.mode in ["full", "daily"]`.
There is nothing else: no arithmetic, no calls, no access to anything but the JSON that is handed in.
A text is parsed once, within bounds of length and depth, so that what is stored can be carried out.

    condition  = both { "or" both }
    both       = negation { "and" negation }
    negation   = "not" negation | comparison
    comparison = value [ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in") value ]
    value      = path | text | number | "true" | "false" | "null" | "(" condition ")"
               | "[" [ value { "," value } ] "]"
    path       = ("input" | "steps" "." name) { "." name | "[" number "]" | "[" text "]" }

`and` and `or` look at their right side only when the left one does not decide. They, `not` and the
condition as a whole want true or false, nothing counts as either. `<` and its kin want two numbers or
two texts. What is not there, and what cannot be compared, is an error: nothing is guessed.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

LONGEST = 1_000  #: characters of a condition
DEEPEST = 20  #: parentheses, lists and `not` within one another

_QUOTED = r""" "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' """
_TOKEN = re.compile(
    rf"""\s*(?:
    (?P<text>{_QUOTED})
    |(?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<path>(?:input|steps)(?![\w-])(?:\.[A-Za-z_][\w-]*|\[\d+\]|\[(?:{_QUOTED})\])*)
    |(?P<word>[A-Za-z_][\w-]*)
    |(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    )""",
    re.VERBOSE | re.ASCII,
)
_PART = re.compile(rf"\.([A-Za-z_][\w-]*) | \[(\d+)\] | \[({_QUOTED})\]", re.VERBOSE | re.ASCII)
_CONSTANTS = {"true": True, "false": False, "null": None}


class ExpressionError(ValueError):
    """The text is no expression, or its values are not what it wants. The message is for people."""


@dataclass(frozen=True, slots=True)
class Path:
    """Names one value. `parts` are the names and numbers that lead to it, `text` is how it was written."""

    text: str
    parts: tuple[str | int, ...]

    @property
    def step(self) -> str | None:
        """The step whose outcome it is about, None for the input."""
        return str(self.parts[1]) if self.parts[0] == "steps" else None

    def find(self, scope: Mapping[str, Any]) -> Any:
        """Return the value. Raises ExpressionError when it is not there."""
        found: Any = scope
        for number, part in enumerate(self.parts):
            if not _has(found, part):
                raise ExpressionError(f"{self.text} has no value: {_lacking(self.parts, number)}")
            found = found[part]
        return found


def _has(value: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(value, list) and part < len(value)
    return isinstance(value, Mapping) and part in value


def _lacking(parts: tuple[str | int, ...], number: int) -> str:
    before = "".join(
        f"[{each}]" if isinstance(each, int) else f".{each}" for each in parts[:number]
    )
    return f"{before.removeprefix('.')} has no {parts[number]!r}"


Value = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """A parsed condition: which paths it mentions, and how its value comes about."""

    text: str
    paths: tuple[Path, ...]
    _value: Value

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Whether it is true of these values.

        Raises ExpressionError when a path has no value, or a value is of the wrong kind.
        """
        return _truth(self._value(scope), "the condition")


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Return the path that a text is. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"a path may have {LONGEST} characters, this has {len(text)}")
    match = _TOKEN.fullmatch(text)
    if match is None or match["path"] is None or text != text.strip():
        raise ExpressionError(
            f"{text[:60]!r} is no path; one begins with input, or with steps and a step's id:"
            " steps.extract.result.rows[0]"
        )
    return _path(text)


@lru_cache(maxsize=4096)
def parse_condition(text: str) -> Condition:
    """Return the condition that a text is. Raises ExpressionError."""
    if len(text) > LONGEST:
        raise ExpressionError(f"a condition may have {LONGEST} characters, this has {len(text)}")
    parser = _Parser(text)
    value = parser.condition()
    parser.expect_end()
    return Condition(text, tuple(parser.paths), value)


def _path(text: str) -> Path:
    root = text[:5]
    parts: list[str | int] = [root]
    for name, number, key in _PART.findall(text[5:]):
        parts.append(name or (int(number) if number else _unquoted(key)))
    if root == "steps" and (
        len(parts) < 3 or not isinstance(parts[1], str) or parts[2] not in ("result", "status")
    ):
        raise ExpressionError(
            f"{text}: of a step there are steps.<id>.result, what is in that, and steps.<id>.status"
        )
    return Path(text, tuple(parts))


def _unquoted(text: str) -> str:
    if text[0] == "'":
        text = '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'
    try:
        return str(json.loads(text))
    except ValueError:
        raise ExpressionError(f"{text[:60]} is no valid text") from None


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self.paths: list[Path] = []
        self._tokens = [*_tokens(text), ("end", "its end", len(text))]
        self._at = 0
        self._depth = 0

    # -- the grammar -------------------------------------------------------------------------

    def condition(self) -> Value:
        value = self._both()
        while self._take("or"):
            value = _either(value, self._both())
        return value

    def _both(self) -> Value:
        value = self._negation()
        while self._take("and"):
            value = _both(value, self._negation())
        return value

    def _negation(self) -> Value:
        if not self._take("not"):
            return self._comparison()
        with self._deeper():
            value = self._negation()
        return lambda scope: not _truth(value(scope), "not")

    def _comparison(self) -> Value:
        left = self._value()
        negated = self._text == "not" and self._next == "in" and self._take("not")
        kind, operator, _ = self._tokens[self._at]
        compare = _COMPARISONS.get(operator) if kind in ("sign", "word") else None
        if compare is None:
            return left
        self._at += 1
        right = self._value()
        return _compared(left, right, compare, negated=negated)

    def _value(self) -> Value:
        kind, text, _ = self._tokens[self._at]
        if kind == "text":
            return self._constant(_unquoted(text))
        if kind == "number":
            return self._constant(json.loads(text))
        if kind == "word" and text in _CONSTANTS:
            return self._constant(_CONSTANTS[text])
        if kind == "path":
            self._at += 1
            path = _path(text)
            self.paths.append(path)
            return path.find
        if self._take("("):
            with self._deeper():
                value = self.condition()
            self._expect(")")
            return value
        if self._take("["):
            return self._list()
        raise self._complaint("a value")

    def _list(self) -> Value:
        values: list[Value] = []
        with self._deeper():
            while not self._take("]"):
                if values:
                    self._expect(",")
                values.append(self._value())
        return lambda scope: [value(scope) for value in values]

    # -- the tokens --------------------------------------------------------------------------

    @property
    def _text(self) -> str:
        return self._tokens[self._at][1]

    @property
    def _next(self) -> str:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)][1]

    def _constant(self, constant: Any) -> Value:
        self._at += 1
        return lambda scope: constant

    def _take(self, text: str) -> bool:
        kind, found, _ = self._tokens[self._at]
        if kind in ("sign", "word") and found == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise self._complaint(repr(text))

    def expect_end(self) -> None:
        """Refuse whatever is left."""
        if self._tokens[self._at][0] != "end":
            raise self._complaint("and, or, a comparison or the end")

    def _complaint(self, wanted: str) -> ExpressionError:
        _, text, at = self._tokens[self._at]
        return ExpressionError(f"character {at + 1}: {wanted} was expected, not {text[:60]}")

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError(f"it is nested more than {DEEPEST} deep")
        yield
        self._depth -= 1


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(f"character {at + 1}: nothing known begins with {text[at]!r}")
        yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
        at = match.end()


# -- what the operators mean ------------------------------------------------------------------------


def _both(left: Value, right: Value) -> Value:
    return lambda scope: _truth(left(scope), "and") and _truth(right(scope), "and")


def _either(left: Value, right: Value) -> Value:
    return lambda scope: _truth(left(scope), "or") or _truth(right(scope), "or")


def _compared(
    left: Value, right: Value, compare: Callable[[Any, Any], bool], *, negated: bool
) -> Value:
    return lambda scope: compare(left(scope), right(scope)) is not negated


def _truth(value: Any, who: str) -> bool:
    if isinstance(value, bool):
        return value
    raise ExpressionError(f"{who} wants true or false, not {kind_of(value)}")


def _equal(left: Any, right: Any) -> bool:
    """Equality of JSON: unlike Python's, true is not 1, at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _contained(left: Any, right: Any) -> bool:
    if isinstance(right, list):
        return any(_equal(left, each) for each in right)
    if isinstance(right, str | Mapping) and isinstance(left, str):
        return left in right
    raise ExpressionError(f"in cannot look for {kind_of(left)} in {kind_of(right)}")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def checked(left: Any, right: Any) -> bool:
        kinds = {kind_of(left), kind_of(right)}
        if kinds not in ({"a number"}, {"a text"}):
            raise ExpressionError(f"{kind_of(left)} and {kind_of(right)} have no order")
        return compare(left, right)

    return checked


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
    "in": _contained,
}


def kind_of(value: Any) -> str:
    """Say what kind of JSON value this is, for a message."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"
