"""The workflows that are kept: whose they are, who may do what with them, and what starts them.

A workflow belongs to its owner, and to the project in which it was registered. What somebody may not read
is for them as if it was not there.
"""

import asyncio
import difflib
import hmac
from collections.abc import Mapping

from console_automation.config import Settings
from console_automation.core.access import Action, Principal
from console_automation.core.definition import Caller
from console_automation.core.workflow import Registration, Trigger, TriggerKind, Workflow, check
from console_automation.engine.changes import whole
from console_automation.engine.commands import project_of
from console_automation.engine.definitions import Definitions
from console_automation.engine.json_schemas import check_schema
from console_automation.engine.permissions import Kind, check_guards
from console_automation.errors import (
    AccessDenied,
    BadRequest,
    Conflict,
    DefinitionNotFound,
    LimitReached,
    WorkflowNotFound,
)
from console_automation.ports.machine import Clock
from console_automation.ports.stores import WorkflowStore


class WorkflowRegistry:
    """Keeps workflows, and finds them for whoever may see them."""

    def __init__(
        self, *, settings: Settings, clock: Clock, definitions: Definitions, store: WorkflowStore
    ) -> None:
        self.changing = asyncio.Lock()
        self.awaiting: list[Registration] = []  #: those that the end of a job may start
        self._settings = settings
        self._clock = clock
        self._definitions = definitions
        self._permissions = definitions.permissions
        self._store = store
        self._registered: dict[tuple[str, str, str], Registration] = {}

    async def open(self) -> None:
        """Load what is registered."""
        self._registered = {each.place: each for each in await self._store.all()}
        self._note_awaiting()

    @whole
    async def register(
        self, workflow: Workflow, secrets: Mapping[str, str], caller: Caller
    ) -> tuple[Registration, bool]:
        """Keep a workflow for a caller, in place of their own of that name in their project, or of one
        that they may update; also returns whether there was one. Runs go on with what they began with.

        Raises AccessDenied, BadRequest for what could not be carried out, Conflict for the path of
        another webhook of the same owner, LimitReached.
        """
        principal = self._permissions.principal(caller)
        project = project_of(caller.cwd)
        former = self._former(workflow.name, project, principal)
        if former is None:
            self._permissions.check_create(Kind.WORKFLOW, workflow.name, principal)
        registration = Registration(
            workflow=workflow,
            project=project,
            caller=caller if former is None or former.owner == principal.name else former.caller,
            registered_at=self._clock.now(),
            secrets=secrets,
        )
        self._check(registration, principal)
        if registration.caller is not caller and workflow.triggers:
            self._refuse_guarded(workflow, caller)
        if former is None and len(self._registered) >= self._settings.max_workflows:
            raise LimitReached(
                f"{self._settings.max_workflows} workflows are registered, which is the limit (setting"
                " max_workflows). Remove one with console_remove_workflow."
            )
        await self._store.save(registration)
        self._registered[registration.place] = registration
        self._note_awaiting()
        return registration, former is not None

    def _former(self, name: str, project: str, principal: Principal) -> Registration | None:
        """Return what a principal replaces: an admin what is their own, though they may do anything."""
        own = self._registered.get((project, name, principal.name))
        if own is not None or principal.is_admin:
            return own
        others = (
            each
            for each in self.visible(principal, project)
            if each.workflow.name == name and each.decide(principal, Action.UPDATE) is True
        )
        return next(others, None)

    def _check(self, registration: Registration, principal: Principal) -> None:
        workflow = registration.workflow
        most = self._settings.max_workflow_steps
        if len(workflow.steps) > most:
            raise BadRequest(
                f"steps: {len(workflow.steps)} are more than the {most} that a workflow may have"
                " (setting max_workflow_steps).",
                field="steps",
            )
        check(workflow)
        check_guards(workflow.permissions)
        self.check_jobs(registration, principal)
        if workflow.input_schema is not None:
            check_schema(workflow.input_schema, "inputSchema")
        for other in self._registered.values():
            taken = sorted(registration.secrets.keys() & other.secrets.keys())
            if taken and other.owner == registration.owner and other.place != registration.place:
                raise Conflict(
                    f"triggers: the webhook {taken[0]!r} is that of workflow {other.workflow.name!r} in"
                    f" {other.project}. Take another path."
                )

    def _refuse_guarded(self, workflow: Workflow, caller: Caller) -> None:
        """Raise AccessDenied for a step whose guard would be asked about a caller, but not about the owner
        as whom the workflow starts by itself."""
        for step in workflow.steps:
            if self._definitions.asks_guards(step.job, caller):
                raise AccessDenied(
                    f"step {step.id!r}, job: {step.job} has a guard for {caller.principal}, which nobody"
                    " would ask where triggers start the workflow as its owner. Leave the triggers out."
                )

    def check_jobs(self, registration: Registration, principal: Principal) -> None:
        """Raise BadRequest for a step whose job is not there, for a principal; AccessDenied for one that
        they may not execute."""
        found: set[str] = set()
        for number, step in enumerate(registration.workflow.steps):
            if step.job in found:
                continue
            try:
                self._definitions.check_step(step.job, registration.project, principal)
                found.add(step.job)
            except DefinitionNotFound as error:
                raise BadRequest(
                    f"step {step.id!r}, job: {error.message}", field=f"steps.{number}.job"
                ) from None
            except AccessDenied as error:
                raise AccessDenied(f"step {step.id!r}, job: {error.message}") from None

    async def remove(
        self, name: str, project: str, principal: Principal, owner: str | None = None
    ) -> Registration:
        """Forget a workflow. Its runs go on, and stay. Raises WorkflowNotFound, AccessDenied, and
        BadRequest when it could be several."""
        found = self.find(name, project, principal, owner)
        if found.decide(principal, Action.DELETE) is not True:
            raise AccessDenied(f"{principal.name} may not remove the workflow {name}.")
        await self._remove(found)
        return found

    @whole
    async def _remove(self, registration: Registration) -> None:
        await self._store.delete(*registration.place)
        self._registered.pop(registration.place, None)
        self._note_awaiting()

    def _note_awaiting(self) -> None:
        self.awaiting = [each for each in self._registered.values() if completions(each)]

    def visible(
        self, principal: Principal, project: str | None = None, action: Action = Action.READ
    ) -> list[Registration]:
        """Return the workflows that a principal may read, or list, by project, name and owner."""
        return [
            self._registered[place]
            for place in sorted(self._registered)
            if project in (None, place[0])
            and self._registered[place].decide(principal, Action.READ)
            and self._registered[place].decide(principal, action)
        ]

    def find(
        self, name: str, project: str, principal: Principal, owner: str | None = None
    ) -> Registration:
        """Return the workflow that a name means for a principal in a project: the project's, else the
        only one there is; their own, else the only one that they may read.

        Raises WorkflowNotFound, also for one that is not theirs to see, and BadRequest when it could be
        several.
        """
        exact = self._registered.get((project, name, owner or principal.name))
        if exact is not None and exact.decide(principal, Action.READ):
            return exact
        visible = self.visible(principal)
        found = [e for e in visible if e.workflow.name == name and owner in (None, e.owner)]
        found = [each for each in found if each.project == project] or found
        found = [each for each in found if each.owner == principal.name] or found
        if len(found) == 1:
            return found[0]
        if found:
            places = ", ".join(f"{each.project} ({each.owner})" for each in found[:5])
            raise BadRequest(
                f"name: there are several workflows {name!r}: {places}. Say which with project, and with"
                " owner.",
                field="name",
            )
        known = {each.workflow.name for each in visible}
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean {close[0]!r}?" if close else "console_list_workflows shows them."
        raise WorkflowNotFound(f"There is no workflow {name!r}. {meant}", name=name)

    def signed(self, path: str, body: bytes, signature: str) -> Registration:
        """Return the workflow that a request to a webhook is for: several owners may have the same path,
        which the secret tells apart.

        Raises WorkflowNotFound for an unknown path and for a wrong signature alike.
        """
        holders = [each for each in self._registered.values() if path in each.secrets]
        meant = [each for each in holders if _is_signed(each.secrets[path], body, signature)]
        if not holders:
            _is_signed("", body, signature)  # takes as long as for a path that there is
        if not meant:
            raise WorkflowNotFound("There is no such webhook, or the signature is not right.")
        return meant[0]


def completions(registration: Registration) -> list[Trigger]:
    """Return what of a workflow is started by the ends of jobs."""
    triggers = registration.workflow.triggers
    return [each for each in triggers if each.kind is TriggerKind.COMPLETION]


def _is_signed(secret: str, body: bytes, signature: str) -> bool:
    expected = "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())
