"""What clients see of job definitions and results."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from console_automation.core.definition import JobDefinition
from console_automation.core.job import Status
from console_automation.core.text import sanitize


class DefinitionView(TypedDict):
    """A job definition."""

    name: str
    description: str
    command: str
    args: NotRequired[list[str]]
    inputSchema: dict[str, Any]
    outputSchema: NotRequired[dict[str, Any]]
    timeout: NotRequired[int]
    maxAttempts: int
    tags: list[str]
    labels: dict[str, str]
    source: Literal["registered", "project"]


class DefinitionsResult(TypedDict):
    """A page of definitions, by name."""

    success: bool
    definitions: list[DefinitionView]
    total: int
    nextAfter: NotRequired[str]


class RegisterResult(TypedDict):
    """A kept definition."""

    success: bool
    name: str
    replaced: bool


class RemoveResult(TypedDict):
    """A definition that is gone."""

    success: bool
    name: str


class ResultResult(TypedDict):
    """What a job came to. `result` is there when it completed and left one."""

    success: bool
    jobId: str
    status: Status
    reason: NotRequired[str]
    error: NotRequired[str]
    exitCode: int | None
    attempt: int
    result: NotRequired[Any]


def definition_view(definition: JobDefinition) -> DefinitionView:
    """Return a definition as clients see it."""
    view: DefinitionView = {
        "name": definition.name,
        "description": sanitize(definition.description),
        "command": definition.command,
        "inputSchema": dict(definition.input_schema),
        "maxAttempts": definition.retry.max_attempts,
        "tags": list(definition.tags),
        "labels": dict(definition.labels),
        "source": definition.source.value,
    }
    if definition.args is not None:
        view["args"] = list(definition.args)
    if definition.output_schema is not None:
        view["outputSchema"] = dict(definition.output_schema)
    if definition.timeout is not None:
        view["timeout"] = round(definition.timeout * 1000)
    return view
