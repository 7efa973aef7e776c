"""From what a client sent to a request, or to a sentence that says what is wrong with it."""

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from console_automation.core.text import one_line
from console_automation.errors import BadRequest

M = TypeVar("M", bound=BaseModel)

_SHOWN = 12  #: of the names that are known


def checked(model: type[M], arguments: object) -> M:
    """Return what was given as a request. Raises BadRequest, naming the first field that is wrong."""
    if not isinstance(arguments, dict):
        raise BadRequest(
            f"The arguments must be an object (they were {_shown(arguments)}).", field="arguments"
        )
    return _validated(model, model.model_validate, arguments)


def from_words(model: type[BaseModel], words: dict[str, Any]) -> dict[str, Any]:
    """Return arguments all of which came as text, as in a URL, with the types that a request wants.

    Raises BadRequest, naming the first field that is wrong.
    """
    from_text = partial(model.model_validate_strings, strict=False)
    request = _validated(model, from_text, words)
    return request.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _validated(model: type[M], validate: Callable[[Any], M], arguments: dict[str, Any]) -> M:
    try:
        return validate(arguments)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise BadRequest(_complaint(model, first, field), field=one_line(field)) from None


def _complaint(model: type[BaseModel], error: Any, field: str) -> str:
    """Say what is wrong with an argument, what it was, and what would be right."""
    if error["type"] == "extra_forbidden":
        *path, name = error["loc"]
        return _misplaced(model, path, str(name))
    if error["type"] == "missing":
        return f"{field} is missing."
    wrong = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "dict_type"):
        wrong = "Input should be an object"
    return f"{one_line(field)}: {wrong} (it was {_shown(error['input'])})."


#: What models write out of habit, for which the spelling would suggest nothing.
_ALIASES = {"cwd": "workingDirectory", "workingDirectory": "cwd", "env": "environment"}


def _misplaced(model: type[BaseModel], path: list[Any], given: str) -> str:
    """Say where an argument belongs that is not known where it was given."""
    known = _fields_at(model, path)
    options = _fields_at(model, [*path, "options"]) if "options" in known else []
    alias = _ALIASES.get(given, given)
    for name in (given, alias):
        if name in options:
            return f"The argument {name!r} belongs into options: {{'options': {{{name!r}: ...}}}}."
    if alias in known:
        return f"There is no argument {given!r}. Did you mean {alias!r}?"
    return unknown("argument", given, known)


def _shown(value: object) -> str:
    """Return what was given in few words, without looking at all of it: it may be huge, or deep."""
    if isinstance(value, dict):
        return f"an object with {len(value)} fields"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    try:
        return one_line(repr(value[:60] if isinstance(value, str) else value), 60)
    except ValueError:
        return "a number with thousands of digits"


def _fields_at(model: type[BaseModel], path: list[Any]) -> list[str]:
    for part in path:
        for name, each in model.model_fields.items():
            if part in (name, each.alias):
                found = next(
                    (
                        kind
                        for kind in (each.annotation, *getattr(each.annotation, "__args__", ()))
                        if isinstance(kind, type) and issubclass(kind, BaseModel)
                    ),
                    None,
                )
                if found:
                    model = found
    return [each.alias or name for name, each in model.model_fields.items()]


def unknown(kind: str, name: str, known: list[str]) -> str:
    """Say that there is nothing of a name, and what was meant perhaps."""
    name = one_line(name, 60)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if close:
        return f"There is no {kind} {name!r}. Did you mean {close[0]!r}?"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"There is no {kind} {name!r}. Known: {', '.join(known[:_SHOWN]) or 'none'}{more}."
