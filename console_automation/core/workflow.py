"""Workflows as they are written down: steps, what each waits for, and what starts them.

A workflow is a graph of steps without cycles; each step is a job of a definition. What can be wrong with
one is found by `check` before it is stored, and so before anything of it runs: the time for that grows
with the number of steps and of the arrows between them.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from console_automation.core.access import LOCAL, Action, Decision, Principal, Rule, decide
from console_automation.core.definition import Caller
from console_automation.core.expression import (
    Condition,
    ExpressionError,
    Path,
    parse_condition,
    parse_path,
)
from console_automation.core.notify import Notify
from console_automation.core.retry import RetryPolicy
from console_automation.errors import BadRequest

FROM = "$from"  #: the one key of an object that stands for the value of a path
_DEEPEST_INPUT = 32


class TriggerKind(StrEnum):
    """What starts a workflow by itself."""

    WEBHOOK = "webhook"  #: a signed HTTP request
    COMPLETION = "completion"  #: the end of a job


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Starts a workflow by itself. Anybody who may can start it by hand besides.

    `path` is that of a webhook. `definition`, `job_name` and `statuses` say of which jobs the end counts.
    """

    kind: TriggerKind
    path: str | None = None
    definition: str | None = None
    job_name: str | None = None
    statuses: tuple[str, ...] = ("completed",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One job of a workflow. `timeout` (seconds) and `retry` stand in for those of its definition."""

    id: str
    job: str  #: the name of a job definition
    depends_on: tuple[str, ...] = ()
    input: Any = field(default_factory=dict)  #: JSON in which {"$from": path} stands for a value
    condition: str | None = None
    continue_on_error: bool = False
    timeout: float | None = None
    retry: RetryPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What is to be done. Runs keep it as it was when they began."""

    name: str
    steps: tuple[Step, ...]
    description: str = ""
    input_schema: Mapping[str, Any] | None = None
    max_concurrency: int | None = (
        None  #: steps of a run that go on at once; None: as jobs in general
    )
    timeout: float = 600.0
    triggers: tuple[Trigger, ...] = ()
    notify: tuple[Notify, ...] = ()  #: who is told of the end of each run
    permissions: tuple[Rule, ...] = ()  #: what others than its owner may do with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A workflow as a project has it. What starts it by itself starts it for whoever registered it."""

    workflow: Workflow
    project: str
    caller: Caller  #: its directory is that of every run
    registered_at: float
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)  #: by path of the webhook

    @property
    def owner(self) -> str:
        """The principal whose it is, and as whom it runs when it starts by itself."""
        return self.caller.principal

    @property
    def hears_of(self) -> str | None:
        """Whose jobs may start it by their end: the owner's, or, of the user's, everybody's: None."""
        return None if self.owner == LOCAL.name else self.owner

    @property
    def place(self) -> tuple[str, str, str]:
        """What no other has: project, name and owner."""
        return self.project, self.workflow.name, self.owner

    def decide(self, principal: Principal, action: Action) -> Decision:
        """Return whether a principal may do something with it, or the guards of which one has to agree.

        It is its owner's. Others may do what rules say, and see what any rule lets them do something
        with; what has no owner is the admins' alone.
        """
        if principal.owns(self.owner) or not self.owner:
            return principal.owns(self.owner)
        rules = self.workflow.permissions
        is_seen = any(rule.fits(principal) for rule in rules)
        unsaid = is_seen and action in (Action.READ, Action.LIST)
        return decide(rules, principal, action, unsaid=unsaid)


def completion_key(registration: Registration, job_id: str) -> str:
    """Return the key of the run that a job's end starts."""
    return ":".join(
        ("completion", registration.owner, registration.project, registration.workflow.name, job_id)
    )


def check(workflow: Workflow) -> None:
    """Refuse a workflow that could not be carried out.

    Raises BadRequest, which names the step, the field, and what would be right.
    """
    numbers = _numbered(workflow.steps)
    for number, step in enumerate(workflow.steps):
        _check_parents(number, step, numbers)
    above = _ancestors(workflow.steps, numbers)
    for number, step in enumerate(workflow.steps):
        _check_condition(number, step, numbers, above[number])
        _check_input(number, step, numbers, above[number])


def order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps so that each comes after those it depends on; those in a cycle are missing."""
    numbers = {step.id: number for number, step in enumerate(steps)}
    below: list[list[int]] = [[] for _ in steps]
    lacking = [len(step.depends_on) for step in steps]
    for number, step in enumerate(steps):
        for parent in step.depends_on:
            below[numbers[parent]].append(number)
    sorted_ = [number for number, count in enumerate(lacking) if count == 0]
    for number in sorted_:  # grows meanwhile
        for child in below[number]:
            lacking[child] -= 1
            if lacking[child] == 0:
                sorted_.append(child)
    return [steps[number] for number in sorted_]


def condition_of(step: Step) -> Condition | None:
    """Return a step's condition, parsed. Raises ExpressionError."""
    return None if step.condition is None else parse_condition(step.condition)


def paths_in(template: Any) -> Iterator[Path]:
    """Yield the paths whose values a step's input takes. Raises ExpressionError."""
    yield from _paths_in(template, _DEEPEST_INPUT)


def _paths_in(template: Any, deeper: int) -> Iterator[Path]:
    if deeper == 0:
        raise ExpressionError(f"it is nested more than {_DEEPEST_INPUT} deep")
    if isinstance(template, Mapping):
        if FROM in template:
            yield _path_of(template)
            return
        template = template.values()
    elif not isinstance(template, list):
        return
    for each in template:
        yield from _paths_in(each, deeper - 1)


def filled(template: Any, scope: Mapping[str, Any]) -> Any:
    """Return a step's input with the values of its paths. Raises ExpressionError for one without."""
    if isinstance(template, Mapping):
        if FROM in template:
            return _path_of(template).find(scope)
        return {key: filled(each, scope) for key, each in template.items()}
    return [filled(each, scope) for each in template] if isinstance(template, list) else template


def _path_of(reference: Mapping[str, Any]) -> Path:
    path = reference[FROM]
    if len(reference) > 1 or not isinstance(path, str):
        raise ExpressionError(
            f'an object with {FROM} has nothing else, and a path: {{"{FROM}": "input.x"}}'
        )
    return parse_path(path)


# -- what can be wrong -----------------------------------------------------------------------------


def _numbered(steps: Sequence[Step]) -> dict[str, int]:
    if not steps:
        raise BadRequest("steps: a workflow needs one at least.", field="steps")
    numbers: dict[str, int] = {}
    for number, step in enumerate(steps):
        if step.id in numbers:
            raise _wrong(
                number, step, "id", f"step {numbers[step.id]} has this id too; each needs its own"
            )
        numbers[step.id] = number
    return numbers


def _check_parents(number: int, step: Step, numbers: Mapping[str, int]) -> None:
    seen: set[str] = set()
    for parent in step.depends_on:
        if parent not in numbers:
            raise _wrong(number, step, "dependsOn", _no_step(parent, numbers))
        if parent == step.id:
            raise _wrong(number, step, "dependsOn", "it cannot depend on itself")
        if parent in seen:
            raise _wrong(number, step, "dependsOn", f"{parent!r} stands there twice")
        seen.add(parent)


def _ancestors(steps: Sequence[Step], numbers: Mapping[str, int]) -> list[int]:
    """Return for each step the set of its ancestors, as the bits of a number: 1,000 sets of up to
    1,000 are made in a millisecond, and take 128 kB. Refuses cycles."""
    above = [0] * len(steps)
    sorted_ = order(steps)
    if len(sorted_) < len(steps):
        raise _in_circle(steps, numbers, {step.id for step in sorted_})
    for step in sorted_:
        bits = 0
        for parent in step.depends_on:
            bits |= above[numbers[parent]] | 1 << numbers[parent]
        above[numbers[step.id]] = bits
    return above


def _in_circle(steps: Sequence[Step], numbers: Mapping[str, int], fine: set[str]) -> BadRequest:
    """Every step that is left depends on another that is: following these leads into a cycle."""
    trail: list[str] = []
    at = next(step.id for step in steps if step.id not in fine)
    while at not in trail:
        trail.append(at)
        at = next(parent for parent in steps[numbers[at]].depends_on if parent not in fine)
    circle = [*trail[trail.index(at) :], at]
    step = steps[numbers[at]]
    shown = " → ".join(circle if len(circle) <= 10 else [*circle[:9], "…", at])
    return _wrong(numbers[at], step, "dependsOn", f"steps wait for each other: {shown}")


def _check_condition(number: int, step: Step, numbers: Mapping[str, int], above: int) -> None:
    try:
        condition = condition_of(step)
    except ExpressionError as error:
        raise _wrong(number, step, "condition", str(error)) from None
    for path in condition.paths if condition else ():
        _check_path(number, step, "condition", path, numbers, above)


def _check_input(number: int, step: Step, numbers: Mapping[str, int], above: int) -> None:
    try:
        for path in paths_in(step.input):
            _check_path(number, step, "input", path, numbers, above)
    except ExpressionError as error:
        raise _wrong(number, step, "input", str(error)) from None


def _check_path(
    number: int, step: Step, place: str, path: Path, numbers: Mapping[str, int], above: int
) -> None:
    if path.step is None:
        return
    if path.step not in numbers:
        raise _wrong(number, step, place, f"{path.text}: {_no_step(path.step, numbers)}")
    if not above >> numbers[path.step] & 1:
        raise _wrong(
            number,
            step,
            place,
            f"{path.text}: step {path.step!r} need not be over by then; put it into dependsOn",
        )


def _no_step(name: str, numbers: Mapping[str, int]) -> str:
    close = difflib.get_close_matches(name, numbers, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return f"there is no step {name[:60]!r}{meant}"


def _wrong(number: int, step: Step, place: str, what: str) -> BadRequest:
    return BadRequest(
        f"step {step.id!r}, {place}: {what}.".replace("?.", "?"), field=f"steps.{number}.{place}"
    )
