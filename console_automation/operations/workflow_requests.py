"""What clients may ask about workflows."""

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from console_automation.operations.definition_requests import Json, Permission
from console_automation.operations.requests import (
    FinishedStatus,
    Milliseconds,
    Name,
    Notify,
    Request,
    Retry,
    Text,
    plain_text,
)


def _word(first: str, others: str) -> Callable[[str], str]:
    """Return a check for names of these characters. As a pattern it would be paid for by every client
    that lists the tools."""
    pattern = re.compile(f"[{first}][{others}]*")

    def check(name: str) -> str:
        if pattern.fullmatch(name):
            return name
        raise ValueError(f"must be of {others}, and begin with one of {first}")

    return check


_Short = Annotated[str, Field(min_length=1, max_length=100)]
WorkflowName = Annotated[_Short, AfterValidator(_word("A-Za-z0-9", "A-Za-z0-9_./-"))]
StepId = Annotated[_Short, AfterValidator(_word("A-Za-z_", "A-Za-z0-9_-"))]
HookPath = Annotated[_Short, AfterValidator(_word("A-Za-z0-9", "A-Za-z0-9_/-"))]
RunId = Annotated[_Short, AfterValidator(plain_text)]
Secret = Annotated[str, Field(min_length=16, max_length=1_000), AfterValidator(plain_text)]


class Step(Request):
    """A step of a workflow."""

    id: StepId
    job: Name = Field(description="A job definition.")
    depends_on: list[StepId] = Field(default_factory=list, description="Steps.")
    input: Json = Field(
        default_factory=dict,
        description='JSON; {"$from": "steps.ID.result.rows[0]"} or {"$from": "input.x"} stands for that'
        " value.",
    )
    condition: Text | None = Field(
        None, description='E.g. steps.ID.result.count > 0 and input.mode in ["a", "b"]'
    )
    continue_on_error: bool = Field(False, description="If it fails, dependents run all the same.")
    timeout: Milliseconds | None = Field(None, description="Instead of the definition's.")
    retry: Retry | None = Field(
        None, description="Instead of the definition's; as for console_execute_async."
    )


class WorkflowTrigger(Request):
    """What starts a workflow by itself."""

    type: Literal["webhook", "completion"]
    path: HookPath | None = Field(None, description="webhook: POST /hooks/PATH, body is the input.")
    secret: Secret | None = Field(
        None, description="webhook: of the HMAC-SHA256 in X-Hub-Signature-256."
    )
    job: Name | None = Field(None, description="completion: of this definition's jobs.")
    job_name: Name | None = Field(None, description="completion: of jobs with this name.")
    statuses: list[FinishedStatus] = Field(
        default_factory=lambda: list[FinishedStatus](("completed",)), min_length=1, max_length=4
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "WorkflowTrigger":
        if self.type == "webhook" and (self.path is None or self.secret is None):
            raise ValueError("a webhook needs path and secret")
        if self.type == "completion" and self.job is None and self.job_name is None:
            raise ValueError("completion needs job or jobName")
        return self


class RegisterWorkflow(Request):
    """Keep a workflow. A file that is registered has the same fields."""

    name: WorkflowName
    description: Text = ""
    input_schema: Json | None = Field(None, description="JSON Schema of a run's input.")
    steps: list[Step] = Field(max_length=20_000)
    max_concurrency: int | None = Field(
        None, ge=1, le=100_000, description="Steps of a run that go on at once."
    )
    timeout: Milliseconds = Field(600_000, gt=0, description="Of a run; its steps end with it.")
    triggers: list[WorkflowTrigger] = Field(default_factory=list, max_length=20)
    notify: list[Notify] = Field(
        default_factory=list, max_length=10, description="Who is told of each run's end."
    )
    permissions: list[Permission] = Field(
        default_factory=list, max_length=100, description="What others than the owner may do."
    )


class ExecuteWorkflow(Request):
    """Begin a run."""

    name: WorkflowName | None = None
    input: Json = Field(default_factory=dict)
    rerun_of: RunId | None = Field(
        None,
        description="Instead of name and input: do again what did not complete in this run, and what"
        " depends on that.",
    )
    project: Text | None = Field(None, description="A directory. Default: the caller's.")
    owner: Name | None = Field(None, description="Whose, if several have one of this name.")
    idempotency_key: Name | None = Field(
        None, description="The same key and input again return the first run."
    )
    wait_ms: Milliseconds = Field(0, description="Wait this long for its end (45000 at most).")

    @model_validator(mode="after")
    def _says_what(self) -> "ExecuteWorkflow":
        if (self.name is None) is (self.rerun_of is None):
            raise ValueError("give name, or rerunOf")
        if self.rerun_of is not None and (self.idempotency_key is not None or self.input != {}):
            raise ValueError("rerunOf has the input of that run, and no idempotencyKey")
        return self


class GetWorkflowStatus(Request):
    """Ask how a run stands."""

    run_id: RunId
    wait_ms: Milliseconds = Field(0, description="Wait this long for its end (45000 at most).")
    limit: int = Field(100, ge=0, le=20_000, description="Steps shown; those that failed first.")


class CancelWorkflow(Request):
    """End a run."""

    run_id: RunId


class ListWorkflows(Request):
    """Which workflows and runs."""

    name: WorkflowName | None = None
    project: Text | None = Field(None, description="A directory. Default: all projects.")
    limit: int = Field(20, ge=0, le=1_000, description="Runs, the latest first.")


class RemoveWorkflow(Request):
    """Forget a workflow."""

    name: WorkflowName
    project: Text | None = Field(None, description="A directory. Default: the caller's.")
    owner: Name | None = None
