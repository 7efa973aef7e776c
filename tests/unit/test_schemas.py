"""The schemas that clients get: small, plain, true.

A client pays for every byte of the list of tools, and flattens or refuses what is clever.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from console_automation.frontends.mcp.server import instructions, tool_of
from console_automation.operations.operation import Operation
from console_automation.operations.schemas import request_schema, result_schema
from console_automation.operations.table import OPERATIONS

EACH = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def parts_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield a schema and every schema inside it."""
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from parts_of(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from parts_of(each)


@pytest.mark.parametrize(
    ("toolsets", "most"),
    [
        ({"jobs"}, 16_000),
        ({"jobs", "sessions"}, 26_000),
        ({"definitions"}, 8_000),
        ({"schedules"}, 8_000),
        ({"workflows"}, 8_000),
        ({"cluster"}, 4_000),
    ],
    ids=lambda each: " ".join(sorted(each)) if isinstance(each, set) else str(each),
)
def test_the_list_of_tools_is_small(toolsets: set[str], most: int) -> None:
    listed = [
        tool_of(each).model_dump(by_alias=True, exclude_none=True)
        for each in OPERATIONS.values()
        if each.is_in(toolsets)
    ]
    assert len(json.dumps({"tools": listed}, separators=(",", ":"))) < most
    assert len(instructions(toolsets)) < 2_048


@EACH
def test_a_tool_says_in_bounded_words_what_it_does(operation: Operation) -> None:
    assert operation.title and 20 < len(operation.description) < 2_048
    assert len(f"mcp__console-automation__{operation.name}") <= 60


@EACH
def test_the_hints_do_not_contradict_each_other(operation: Operation) -> None:
    assert not (operation.read_only and (operation.destructive or operation.open_world))
    reads = operation.name.startswith(("console_get_", "console_list_", "console_wait_"))
    assert operation.read_only is reads


@EACH
def test_schemas_are_valid_flat_and_without_references(operation: Operation) -> None:
    for schema in (
        request_schema(operation.request, operation.name),
        result_schema(operation.result, operation.name),
    ):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        for part in parts_of(schema):
            assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf"} & set(part)


@EACH
def test_a_request_schema_has_the_names_of_the_model_and_no_others(operation: Operation) -> None:
    schema = request_schema(operation.request, operation.name)
    fields = operation.request.model_fields
    names = {field.alias or name: field for name, field in fields.items()}
    assert set(schema.get("properties", {})) == set(names)
    assert schema["additionalProperties"] is False
    required = {name for name, field in names.items() if field.is_required()}
    assert set(schema.get("required", [])) == required


@EACH
def test_every_argument_says_what_type_it_is(operation: Operation) -> None:
    for part in parts_of(request_schema(operation.request, operation.name)):
        for name, field in part.get("properties", {}).items():
            assert {"type", "enum", "const"} & set(field), name


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (
            "console_execute_async",
            {
                "command": "make",
                "args": ["-j4"],
                "options": {
                    "workingDirectory": "/",
                    "environment": {"A": "b"},
                    "shell": False,
                    "stdin": "",
                    "name": "n",
                    "sessionId": "s",
                    "timeout": 0,
                    "idleTimeout": 1.5,
                    "priority": 10,
                    "tags": {"a": "b"},
                    "keepStdin": True,
                    "mergeStderr": True,
                    "idempotencyKey": "k",
                    "outputLimitBytes": 65_536,
                    "onOutputLimit": "kill",
                    "leftovers": "leave",
                    "retry": {
                        "maxAttempts": 2,
                        "backoffMs": 1,
                        "backoffMultiplier": 1,
                        "maxBackoffMs": 1,
                        "on": ["lost"],
                    },
                    "dependsOn": ["job-1"],
                    "evenIfFailed": True,
                    "notify": [{"email": "me@example.org", "on": ["failed"]}],
                    "terminal": {"cols": 80, "rows": 24},
                    "target": "group:web.dev",
                    "waitMs": 1,
                },
            },
        ),
        (
            "console_get_job_output",
            {
                "jobId": "j",
                "options": {
                    "since": 1,
                    "latest": False,
                    "tail": 1,
                    "stream": "stderr",
                    "grep": "x",
                    "ignoreCase": True,
                    "invert": True,
                    "context": 1,
                    "limit": 1,
                    "maxBytes": 1,
                    "waitMs": 1,
                    "raw": True,
                },
            },
        ),
        (
            "console_list_jobs",
            {
                "options": {
                    "status": "running",
                    "sessionId": "s",
                    "name": "n",
                    "tags": {},
                    "project": "/",
                    "ref": "r",
                    "cluster": "dead_letters",
                    "limit": 1,
                    "cursor": "job-1",
                }
            },
        ),
    ],
)
def test_arguments_with_every_option_match_the_schema_and_the_model(
    tool: str, arguments: dict[str, Any]
) -> None:
    model = OPERATIONS[tool].request
    Draft202012Validator(request_schema(model, tool)).validate(arguments)
    options = model.model_validate(arguments).options  # type: ignore[attr-defined]
    assert set(arguments["options"]) == {
        field.alias for field in type(options).model_fields.values()
    }


@EACH
def test_what_one_tool_describes_in_full_the_others_only_name(operation: Operation) -> None:
    text = json.dumps(result_schema(operation.result, operation.name))
    assert ("queuePosition" in text) is (operation.name == "console_get_job_status")
    assert ("sequenceNumber" in text) is (operation.name == "console_get_job_output")
