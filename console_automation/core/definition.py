"""Job definitions: named, typed templates of jobs, and how an input becomes a command.

An input is never spliced into text that something parses. It takes the place of a whole argument, or
of the whole value of a variable: what stands there as `{name}` and nothing else. All of it is in the
variable CONSOLE_AUTOMATION_INPUT as well, as JSON.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from console_automation.core.access import Rule
from console_automation.core.retry import RetryPolicy
from console_automation.errors import BadRequest

Schema = Mapping[str, Any]

INPUT = "CONSOLE_AUTOMATION_INPUT"  #: the variable that has the whole input
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")


class Source(StrEnum):
    """Where a definition comes from."""

    REGISTERED = "registered"  #: at run time, kept in the store
    PROJECT = "project"  #: the project's own file


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom a job is made, also when nobody is there any more to ask."""

    client: str
    principal: str  #: by name: what they may do is looked up when the job is made
    environment: Mapping[str, str] = field(repr=False)
    cwd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """A named template: what goes in, what is run, what comes out."""

    name: str
    command: str  #: a program, or without `args` a shell line
    args: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None  #: None: the caller's
    description: str = ""
    input_schema: Schema = field(default_factory=dict)
    output_schema: Schema | None = None
    timeout: float | None = None  #: 0: never; None: as the settings say
    retry: RetryPolicy = RetryPolicy()
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    permissions: tuple[Rule, ...] = ()
    hidden: bool = False  #: not listed, but there for those who know its name
    target: str | None = None  #: where in the cluster; None: on this machine
    source: Source = Source.REGISTERED

    def matches(self, *, tags: Iterable[str], labels: Mapping[str, str], query: str) -> bool:
        """Whether it has any of the tags, all of the labels, and the text in name or description."""
        text = f"{self.name}\n{self.description}".casefold()
        wanted = set(tags)
        return (
            (not wanted or not wanted.isdisjoint(self.tags))
            and labels.items() <= self.labels.items()
            and query.casefold() in text
        )


def check(definition: JobDefinition) -> None:
    """Raise BadRequest where an input is put that could not get there whole."""
    known = _properties(definition.input_schema)
    spliced = [name for name in _PLACE.findall(definition.command) if name in known]
    if spliced:
        raise BadRequest(
            f"command: {{{spliced[0]}}} would be spliced into the command. Put it into environment,"
            f' as {{"{spliced[0].upper()}": "{{{spliced[0]}}}"}}, and write "${spliced[0].upper()}";'
            " or make it an element of args.",
            field="command",
        )
    for at, word in enumerate(definition.args or ()):
        _check_place(word, known, f"args.{at}")
    for name, value in definition.environment.items():
        _check_place(value, known, f"environment.{name}")


def _check_place(text: str, known: Mapping[str, Any], field: str) -> None:
    whole = _PLACE.fullmatch(text)
    if whole and whole[1] not in known:
        names = ", ".join(known) or "none"
        raise BadRequest(
            f"{field}: there is no input {whole[1]!r} in inputSchema.properties (known: {names}).",
            field=field,
        )
    inside = [name for name in _PLACE.findall(text) if name in known]
    if inside and not whole:
        raise BadRequest(
            f"{field}: {text!r} has the input {inside[0]!r} as a part of it. An input takes a place"
            f' of its own: "{{{inside[0]}}}".',
            field=field,
        )


def with_defaults(definition: JobDefinition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input with the defaults that its schema has for what is not given."""
    defaults = {
        name: schema["default"]
        for name, schema in _properties(definition.input_schema).items()
        if isinstance(schema, Mapping) and "default" in schema
    }
    return {**defaults, **given}


def filled_args(definition: JobDefinition, given: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the arguments with the input in its places.

    A list takes as many places as it has elements, what was not given takes none.
    """
    if definition.args is None:
        return None
    known = _properties(definition.input_schema)
    return tuple(word for each in definition.args for word in _words(each, known, given))


def _words(word: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> Sequence[str]:
    name = _place(word, known)
    if name is None:
        return (word,)
    if name not in given or given[name] is None:
        return ()
    value = given[name]
    return [_text(each) for each in value] if isinstance(value, list) else (_text(value),)


def filled_environment(definition: JobDefinition, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the definition's variables with the input in its places, and the whole input."""
    known = _properties(definition.input_schema)
    variables = {}
    for variable, value in definition.environment.items():
        name = _place(value, known)
        if name is None:
            variables[variable] = value
        elif given.get(name) is not None:
            variables[variable] = _text(given[name])
    return {**variables, INPUT: json.dumps(given, ensure_ascii=False)}


def _place(text: str, known: Mapping[str, Any]) -> str | None:
    whole = _PLACE.fullmatch(text)
    return whole[1] if whole and whole[1] in known else None


def _text(value: Any) -> str:
    """Return a value as a program reads it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _properties(schema: Schema) -> Mapping[str, Any]:
    found = schema.get("properties", {})
    return found if isinstance(found, Mapping) else {}
