"""JSON schemas as small as they can be: a client pays for every byte of the list of tools.

What a reader does not need goes: titles, references, the word null where a field can be left out, and
bounds that are there to refuse abuse, not to be known.
"""

from typing import Any

from pydantic import BaseModel, TypeAdapter

#: Records that one tool describes in full, and how the others name them.
_BRIEF: dict[str, tuple[str, dict[str, Any]]] = {
    "JobView": (
        "console_get_job_status",
        {"type": "object", "description": "See console_get_job_status."},
    ),
    "Status": ("console_get_job_status", {"type": "string"}),
    "ChunkView": (
        "console_get_job_output",
        {"type": "object", "description": "See console_get_job_output."},
    ),
    "LeftoverView": ("", {"type": "object"}),
    "TerminalView": ("", {"type": "object"}),
    "UsageView": ("", {"type": "object"}),
    "ChildView": ("", {"type": "object"}),
    "LateView": ("", {"type": "object"}),
    "RefusalView": ("", {"type": "object"}),
    "ProgressView": ("", {"type": "object"}),
    "OutputView": ("", {"type": "object"}),
    "SessionView": (
        "console_list_sessions",
        {"type": "object", "description": "See console_list_sessions."},
    ),
    "CommandView": (
        "console_get_command_history",
        {"type": "object"},
    ),
    "ScheduleView": (
        "console_get_schedule",
        {"type": "object", "description": "See console_get_schedule."},
    ),
    "VersionView": ("", {"type": "object"}),
    "MetricsView": ("", {"type": "object"}),
    "Cursor": ("", {"type": "object", "description": "row, column (from 0), visible"}),
    "WorkflowView": (
        "console_list_workflows",
        {"type": "object", "description": "See console_list_workflows."},
    ),
    "WorkflowTriggerView": ("", {"type": "object"}),
    "RunView": (
        "console_get_workflow_status",
        {"type": "object", "description": "See console_get_workflow_status."},
    ),
    "StepView": (
        "console_get_workflow_status",
        {"type": "object", "description": "See console_get_workflow_status."},
    ),
    # in requests
    "Trigger": (
        "console_create_schedule",
        {"type": "object", "description": "As for console_create_schedule."},
    ),
    "Retry": (
        "console_execute_async",
        {
            "type": "object",
            "description": "As for console_execute_async: maxAttempts, backoffMs, ...",
        },
    ),
    "JobOptions": (
        "",
        {
            "type": "object",
            "description": "Of each job, as for console_execute_async: workingDirectory, environment,"
            " shell, stdin, timeout (ms; default 300000, 0: never), idleTimeout, priority, tags,"
            " retry ({maxAttempts, backoffMs, ...}), notify, ...",
        },
    ),
    "Notify": ("", {"type": "object"}),
    "OutputOptions": (
        "console_get_job_output",
        {
            "type": "object",
            "description": "As for console_get_job_output: since, tail, grep, waitMs, maxBytes, ...",
        },
    ),
}
#: Options that one tool describes and another takes in the same way.
_SAID_BEFORE = {"ExecuteOptions": ("workingDirectory", "environment", "shell", "stdin")}
_BOUNDS = frozenset({"maxLength", "minLength", "maxItems", "minItems", "maxProperties", "gt"})


def request_schema(model: type[BaseModel], tool: str) -> dict[str, Any]:
    """Return the schema of a tool's request. Fields that may be null may as well be left out."""
    schema = model.model_json_schema(by_alias=True)
    _shorten(schema.get("$defs", {}), tool)
    return _finish(schema, nulls=False)


def result_schema(result: type, tool: str) -> dict[str, Any]:
    """Return the schema of a tool's result.

    An error result has the same shape for every tool and is not part of it: clients check the schema
    of results that are no errors.
    """
    schema = TypeAdapter(result).json_schema()
    definitions = schema.get("$defs", {})
    _shorten(definitions, tool)
    schema.pop("required", None)  # all of it is there, always; a reader can do without the list
    for definition in definitions.values():
        definition.pop("required", None)
        if "title" in definition:
            definition.pop("description", None)  # a docstring, written for people
    return _finish(schema, nulls=True)


def _shorten(definitions: dict[str, Any], tool: str) -> None:
    for name, (described_by, brief) in _BRIEF.items():
        if name in definitions and tool != described_by:
            definitions[name] = dict(brief)


def _finish(schema: dict[str, Any], *, nulls: bool) -> dict[str, Any]:
    definitions = schema.pop("$defs", {})
    if not nulls:
        for name, definition in definitions.items():
            if name not in _BRIEF or definition != _BRIEF[name][1]:
                definition.pop("description", None)  # a docstring
            definition.pop("additionalProperties", None)  # refused all the same
            for option in _SAID_BEFORE.get(name, ()):
                definition["properties"][option].pop("description", None)
    smaller: dict[str, Any] = _compact(schema, definitions, nulls)
    smaller.pop("description", None)
    return smaller


def _compact(node: Any, definitions: dict[str, Any], nulls: bool) -> Any:
    if isinstance(node, list):
        return [_compact(each, definitions, nulls) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _compact(_resolved(node, definitions), definitions, nulls)
    if "anyOf" in node:
        return _compact(_without_choice(node, nulls), definitions, nulls)
    return {
        key: (
            {name: _compact(each, definitions, nulls) for name, each in value.items()}
            if key == "properties"
            else _compact(value, definitions, nulls)
        )
        for key, value in node.items()
        if not _is_noise(key, value)
    }


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    target = definitions[node["$ref"].rpartition("/")[2]]
    rest = {key: value for key, value in node.items() if key not in ("$ref", "default")}
    return {**target, **rest}


def _without_choice(node: dict[str, Any], nulls: bool) -> dict[str, Any]:
    """Return "X or null" as X, or as a type that may be null."""
    (chosen,) = [option for option in node["anyOf"] if option != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if nulls:
        rest["type"] = [chosen["type"], "null"]
    return {**chosen, **rest}


def _is_noise(key: str, value: Any) -> bool:
    if key == "default":
        return not value
    if key == "maximum":
        return bool(value >= 100)
    if key == "minimum":
        return value in (0, 1, 2)
    if key == "additionalProperties":
        return value is not False
    return key == "title" or key in _BOUNDS
