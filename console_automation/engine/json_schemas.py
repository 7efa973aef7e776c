"""JSON Schema (draft 2020-12) as definitions use it: for inputs, which clients send, and for results.

Both schema and value come from outside. Patterns are RE2, so no pattern takes more than linear time;
references stay inside of the schema, so nothing is fetched; what nests too deeply is refused. No value
keeps the event loop for long, and none breaks whoever asks: a job's end waits for the answer.
"""

import logging
from collections.abc import Hashable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any
from urllib.parse import unquote

from console_automation.core.text import one_line
from console_automation.engine.patterns import compile_pattern
from console_automation.errors import BadRequest

log = logging.getLogger(__name__)

_LONGEST_COMPLAINT = 300
_MOST_ERRORS = 100  #: that are looked at to find the one that is told
_DATA = ("const", "default", "enum", "examples")  #: keywords whose values are no schemas
#: Keywords whose values are schemas by names, which may be those of keywords.
_NAMED = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_LONGEST_SCHEMA = 100_000  #: characters, as JSON


def check_schema(schema: Mapping[str, Any], field: str) -> None:
    """Raise BadRequest unless this is a schema that values can be held against."""
    import json

    from jsonschema import SchemaError

    if len(json.dumps(schema)) > _LONGEST_SCHEMA:
        raise BadRequest(
            f"{field}: it has more than {_LONGEST_SCHEMA} characters; make it shorter.", field=field
        )
    try:
        _Check(schema, field).part(schema)
    except SchemaError as error:
        place = ".".join(map(str, (field, *error.path)))
        raise BadRequest(f"{place}: {_short(error.message)}", field=place) from None
    except RecursionError:
        raise BadRequest(f"{field}: it nests too deeply.", field=field) from None


def mismatch(schema: Mapping[str, Any], value: object, name: str) -> tuple[str, str] | None:
    """Return where a value does not match a schema, and what is wrong there; None if it matches.

    The place is a path from `name`, as in `input.items.0.price`.
    """
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        errors = _validator_class()(schema, registry=_registry()).iter_errors(value)
        error = best_match(islice(errors, _MOST_ERRORS))
    except RecursionError:
        return name, "it, or the schema, nests too deeply"
    except Unresolvable as error:
        return name, f"the schema has a reference that leads nowhere: {_short(error.ref)}"
    except Exception as error:  # of the library: a number that is no float, say
        log.exception("a value could not be held against its schema")
        return name, f"it cannot be held against the schema: {_short(str(error))}"
    if error is None:
        return None
    return ".".join(map(str, (name, *error.absolute_path))), _short(error.message)


class _Check:
    """Looks at what the meta-schema says nothing about: patterns, references and what they lead to."""

    def __init__(self, root: Mapping[str, Any], field: str) -> None:
        self._root = root
        self._field = field
        self._seen: set[int] = set()

    def part(self, node: object) -> None:
        """Check what is a schema, and all that it leads to. Raises SchemaError, BadRequest."""
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        _validator_class().check_schema(node)
        self._walk(node)

    def _walk(self, node: object) -> None:
        if isinstance(node, list):
            for each in node:
                self._walk(each)
        if not isinstance(node, Mapping):
            return
        self._check_keywords(node)
        for name, each in node.items():
            if name in _NAMED and isinstance(each, Mapping):
                self._walk(list(each.values()))
            elif name not in _DATA:
                self._walk(each)

    def _check_keywords(self, node: Mapping[str, Any]) -> None:
        if isinstance(pattern := node.get("pattern"), str):
            _compiled(pattern, self._field)
        if isinstance(patterns := node.get("patternProperties"), Mapping):
            for pattern in patterns:
                _compiled(pattern, self._field)
        for keyword in ("$ref", "$dynamicRef"):
            if isinstance(reference := node.get(keyword), str):
                self._check_reference(keyword, reference)
        if "unevaluatedProperties" in node:
            raise self._refused(
                "unevaluatedProperties", "is not supported; use additionalProperties"
            )
        if "$id" in node and node is not self._root:
            raise self._refused("$id", "has its place at the top only; name parts of it by $defs")

    def _check_reference(self, keyword: str, reference: str) -> None:
        said = f"{keyword} {one_line(reference, 60)!r}"
        if not reference.startswith("#"):
            raise self._refused(
                said,
                "points out of the schema; nothing is fetched. Put what it names under $defs",
            )
        if reference.startswith("#/"):
            target = _led_to(reference, self._root)
            if not isinstance(target, Mapping | bool):
                raise self._refused(said, "leads nowhere, or to what is no schema")
            self.part(target)

    def _refused(self, what: str, why: str) -> BadRequest:
        return BadRequest(f"{self._field}: {what} {why}.", field=self._field)


def _led_to(pointer: str, root: object) -> object:
    """Return what a JSON pointer (RFC 6901) points to; None if that is nothing."""
    for part in pointer.removeprefix("#/").split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(root, list) and key.isdigit() and int(key) < len(root):
            root = root[int(key)]
        elif isinstance(root, Mapping) and key in root:
            root = root[key]
        else:
            return None
    return root


@lru_cache(1000)
def _compiled(pattern: str, field: str) -> Any:
    return compile_pattern(pattern, field=field)


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Any:
    from jsonschema import ValidationError

    if isinstance(value, str) and not _compiled(pattern, "pattern").search(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Any:
    if isinstance(value, dict):
        for pattern, part in patterns.items():
            compiled = _compiled(pattern, "patternProperties")
            for name in filter(compiled.search, value):
                yield from validator.descend(value[name], part, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, value: Any, schema: Any) -> Any:
    from jsonschema import ValidationError

    if not isinstance(value, dict):
        return
    patterns = [
        _compiled(each, "patternProperties") for each in schema.get("patternProperties", ())
    ]
    known = schema.get("properties", {})
    for name in value:
        if name in known or any(each.search(name) for each in patterns):
            continue
        if allowed is False:
            fields = ", ".join(known) or "none"
            yield ValidationError(f"there is no field {name!r} (known: {fields})")
        else:
            yield from validator.descend(value[name], allowed, path=name)


def _unique_items(validator: Any, wanted: Any, value: Any, schema: Any) -> Any:
    from jsonschema import ValidationError

    if wanted and isinstance(value, list) and len({_same(each) for each in value}) < len(value):
        yield ValidationError(f"{value!r} has non-unique elements")


def _same(value: Any) -> Hashable:
    """Return what is equal for values that are equal in JSON, where true is not 1."""
    if isinstance(value, dict):
        return frozenset((name, _same(each)) for name, each in value.items())
    if isinstance(value, list):
        return tuple(map(_same, value))
    return isinstance(value, bool), value


@lru_cache(1)
def _validator_class() -> Any:
    """Return the validator, whose library takes long to import: when somebody needs it."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    return extend(
        Draft202012Validator,
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
            "uniqueItems": _unique_items,
        },
    )


@lru_cache(1)
def _registry() -> Any:
    from referencing import Registry

    return Registry()  # one that fetches nothing


def _short(message: str) -> str:
    return one_line(message, _LONGEST_COMPLAINT)
