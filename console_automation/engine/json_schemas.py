"""JSON Schema (draft 2020-12) as definitions use it: for inputs, which clients send, and for results.

Both schema and value come from outside. Patterns are RE2, so no pattern takes more than linear time;
references stay inside of the schema, so nothing is fetched; what nests too deeply is refused.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from console_automation.core.text import one_line
from console_automation.engine.patterns import compile_pattern
from console_automation.errors import BadRequest

_LONGEST_COMPLAINT = 300
_DATA = ("const", "default", "enum", "examples")  #: keywords whose values are no schemas
_LONGEST_SCHEMA = 100_000  #: characters, as JSON


def check_schema(schema: Mapping[str, Any], field: str) -> None:
    """Raise BadRequest unless this is a schema that values can be held against."""
    import json

    from jsonschema import SchemaError

    if len(json.dumps(schema)) > _LONGEST_SCHEMA:
        raise BadRequest(
            f"{field}: it has more than {_LONGEST_SCHEMA} characters; make it shorter.", field=field
        )
    validator = _validator_class()
    try:
        validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, (field, *error.path)))
        raise BadRequest(f"{place}: {_short(error.message)}", field=place) from None
    except RecursionError:
        raise BadRequest(f"{field}: it nests too deeply.", field=field) from None
    _check_parts(schema, field, schema)


def mismatch(schema: Mapping[str, Any], value: object, name: str) -> tuple[str, str] | None:
    """Return where a value does not match a schema, and what is wrong there; None if it matches.

    The place is a path from `name`, as in `input.items.0.price`.
    """
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(_validator_class()(schema, registry=_registry()).iter_errors(value))
    except RecursionError:
        return name, "it, or the schema, nests too deeply"
    except Unresolvable as error:
        return name, f"the schema has a reference that leads nowhere: {_short(error.ref)}"
    if error is None:
        return None
    return ".".join(map(str, (name, *error.absolute_path))), _short(error.message)


def _check_parts(node: object, field: str, root: Mapping[str, Any]) -> None:
    """Look at the parts that the meta-schema says nothing about: patterns and references."""
    if isinstance(node, list):
        for each in node:
            _check_parts(each, field, root)
    if not isinstance(node, Mapping):
        return
    _check_patterns(node, field)
    for keyword in ("$ref", "$dynamicRef"):
        if isinstance(reference := node.get(keyword), str):
            _check_reference(keyword, reference, field, root)
    for name, each in node.items():
        if name not in _DATA:
            _check_parts(each, field, root)


def _check_patterns(node: Mapping[str, Any], field: str) -> None:
    patterns = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
    if isinstance(node.get("patternProperties"), Mapping):
        patterns += node["patternProperties"]
    for pattern in patterns:
        _compiled(pattern, field)


def _check_reference(keyword: str, reference: str, field: str, root: Mapping[str, Any]) -> None:
    said = f"{field}: {keyword} {one_line(reference, 60)!r}"
    if not reference.startswith("#"):
        raise BadRequest(
            f"{said} points out of the schema; nothing is fetched. Put what it names under $defs.",
            field=field,
        )
    if reference.startswith("#/") and not _leads_somewhere(reference, root):
        raise BadRequest(f"{said} leads nowhere.", field=field)


def _leads_somewhere(pointer: str, root: object) -> bool:
    """Whether there is something where a JSON pointer (RFC 6901) points to."""
    for part in pointer.removeprefix("#/").split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(root, list) and key.isdigit() and int(key) < len(root):
            root = root[int(key)]
        elif isinstance(root, Mapping) and key in root:
            root = root[key]
        else:
            return False
    return True


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
        },
    )


@lru_cache(1)
def _registry() -> Any:
    from referencing import Registry

    return Registry()  # one that fetches nothing


def _short(message: str) -> str:
    return one_line(message, _LONGEST_COMPLAINT)
