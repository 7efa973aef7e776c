"""What clients may ask about job definitions."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue

from console_automation.core.text import check_tellable
from console_automation.operations.requests import (
    Aim,
    JobId,
    Line,
    Milliseconds,
    Name,
    Pairs,
    Request,
    Retry,
    Text,
    Variables,
)

_DEEPEST = 50


def _not_too_deep(value: Any) -> Any:
    """Refuse what nests so deeply that whoever walks through it would run out of stack."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            check_tellable(value)
            return value
    raise ValueError(f"must not nest deeper than {_DEEPEST} levels")


DefinitionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}$")]
Json = Annotated[dict[str, JsonValue], AfterValidator(_not_too_deep)]


class Permission(Request):
    """Who may do something with a definition. Several for one action are alternatives."""

    action: Literal["read", "update", "delete", "execute", "list"]
    roles: list[Name] = Field(default_factory=list, max_length=100)
    scopes: list[Name] = Field(default_factory=list, max_length=100)
    custom: Text | None = None


class RegisterJob(Request):
    """Define a job. A table of a project's file has the same fields."""

    name: DefinitionName
    description: Text = ""
    command: Line = Field(description="A program with args; without args a shell line.")
    args: list[Text] | None = Field(
        None,
        max_length=1_000,
        description='"{x}" is replaced by the input x; a list takes as many places as it has.',
    )
    environment: Variables = Field(
        default_factory=dict, description='A value "{x}" is replaced by the input x.'
    )
    working_directory: Text | None = Field(None, description="Default: the caller's.")
    input_schema: Json = Field(default_factory=dict, description="JSON Schema of the input.")
    output_schema: Json | None = Field(
        None,
        description="JSON Schema of the result, which the job writes as JSON to the file"
        " $CONSOLE_AUTOMATION_RESULT. A mismatch fails the job.",
    )
    timeout: Milliseconds | None = None
    retry: Retry | None = None
    tags: list[Name] = Field(default_factory=list, max_length=100)
    labels: Pairs = Field(default_factory=dict)
    permissions: list[Permission] = Field(
        default_factory=list,
        max_length=100,
        description="One of roles and one of scopes must be there. An action without: anybody.",
    )
    hide_from_discovery: bool = False
    target: Aim | None = Field(None, description="Where in the cluster it runs: _any, a host.")


class ListJobDefinitions(Request):
    """Which definitions."""

    name: Name | None = Field(None, description="Just this one, also if hidden.")
    query: Text = Field("", description="In name or description.")
    tags: list[Name] = Field(default_factory=list, description="Any of them.")
    labels: Pairs = Field(default_factory=dict, description="All of them.")
    limit: int = Field(50, ge=1, le=1_000)
    after: Name | None = Field(None, description="nextAfter of the page before.")


class ExecuteJob(Request):
    """Run a defined job."""

    name: Name
    input: Json = Field(default_factory=dict)
    target: Aim | None = Field(None, description="Run it in the cluster.")
    background: bool = Field(False, description="Return at once.")
    idempotency_key: Name | None = Field(
        None, description="The same key and input again return the first job."
    )


class GetJobResult(Request):
    """Ask for a job's result."""

    job_id: JobId
    wait_ms: Milliseconds = Field(0, description="Wait this long for its end (45000 at most).")


class RemoveJob(Request):
    """Forget a definition."""

    name: Name
