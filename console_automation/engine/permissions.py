"""The one place where it is decided whether somebody may do something, before any of it is on record.

Whatever becomes a job passes here, whoever starts it: a client, a workflow's step or a schedule's fire.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from console_automation.config import Settings
from console_automation.core.access import Action, Decision, Principal, Rule, decide
from console_automation.core.definition import Caller
from console_automation.errors import AccessDenied, BadRequest


class Kind(StrEnum):
    """What is made new. It has no rules yet, so that who may create it is said by a setting."""

    DEFINITION = "job definition"
    WORKFLOW = "workflow"
    SCHEDULE = "schedule"


class Principals(Protocol):
    """Who there is, as of now."""

    def named(self, name: str) -> Principal | None:
        """Return a principal, None for one who may do nothing any more."""
        ...


class Guards(Protocol):
    """The guards that rules name."""

    async def agrees(self, guard: str, question: Mapping[str, Any]) -> bool:
        """Ask a guard, `FILE.py:FUNCTION`. One that cannot be asked does not agree."""
        ...


class Permissions:
    """Decides by rules, by who there is, and by guards."""

    def __init__(self, *, settings: Settings, principals: Principals, guards: Guards) -> None:
        self._principals = principals
        self._guards = guards
        self._create = {
            Kind.DEFINITION: _creating(settings.create_definitions),
            Kind.WORKFLOW: _creating(settings.create_workflows),
            Kind.SCHEDULE: _creating(settings.create_schedules),
        }

    def principal(self, caller: Caller) -> Principal:
        """Return for whom a caller asks, as of now. Raises AccessDenied for whose token is gone."""
        found = self._principals.named(caller.principal)
        if found is None:
            raise AccessDenied(f"{caller.principal} may do nothing here any more.")
        return found

    def check_create(self, kind: Kind, name: str, principal: Principal) -> None:
        """Raise AccessDenied unless a principal may make something that is not there yet."""
        if not decide(self._create[kind], principal, Action.CREATE, unsaid=False):
            raise AccessDenied(f"{principal.name} may not create the {kind} {name}.")

    async def check_execute(
        self,
        decision: Decision,
        principal: Principal,
        kind: Kind,
        name: str,
        given: Mapping[str, Any],
    ) -> None:
        """Raise AccessDenied unless a principal may execute something with an input.

        `decision` is what its rules say; when that are guards, one of them has to agree.
        """
        if isinstance(decision, tuple):
            question = {
                "principal": principal.name,
                "roles": sorted(principal.roles),
                "scopes": sorted(principal.scopes),
                "definition" if kind is Kind.DEFINITION else "workflow": name,
                "input": given,
            }
            decision = await self._one_agrees(decision, question)
        if not decision:
            raise AccessDenied(f"{principal.name} may not execute {name}.")

    async def _one_agrees(self, guards: Iterable[str], question: Mapping[str, Any]) -> bool:
        for guard in guards:
            if await self._guards.agrees(guard, question):
                return True
        return False


def check_guards(rules: Iterable[Rule]) -> None:
    """Raise BadRequest for a guard that nobody would ever ask."""
    for at, rule in enumerate(rules):
        if rule.guard is not None and rule.action is not Action.EXECUTE:
            field = f"permissions.{at}.custom"
            raise BadRequest(
                f"{field}: a guard is asked before a job runs; it goes with the action execute, not with"
                f" {rule.action}.",
                field=field,
            )


def _creating(setting: str) -> tuple[Rule, ...]:
    """Return the rules that a setting says: words like `*`, `role:a`, `scope:b` or `role:a+scope:b`."""
    return tuple(map(_rule, setting.split()))


def _rule(word: str) -> Rule:
    parts = [] if word == "*" else [part.partition(":") for part in word.split("+")]
    return Rule(
        action=Action.CREATE,
        roles=tuple(name for kind, _, name in parts if kind == "role"),
        scopes=tuple(name for kind, _, name in parts if kind == "scope"),
    )
