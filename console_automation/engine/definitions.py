"""The registry of job definitions, and how a definition and an input become the spec of a job.

Two sources: what was registered at run time is in the store; what a project defines is in a file of
its own, read anew when it has changed. A project's definition hides a registered one of its name.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from console_automation.config import Settings
from console_automation.core import definition as rules
from console_automation.core.access import Action, Principal, decide
from console_automation.core.definition import Caller, JobDefinition
from console_automation.core.job import Command, Contract, JobSpec
from console_automation.core.target import parse_target
from console_automation.core.text import one_line
from console_automation.engine.carrying import Carrying
from console_automation.engine.changes import whole
from console_automation.engine.commands import project_of, resolve
from console_automation.engine.json_schemas import check_schema, mismatch
from console_automation.engine.permissions import (
    Guards,
    Kind,
    Permissions,
    Principals,
    check_guards,
)
from console_automation.errors import (
    AccessDenied,
    BadRequest,
    ConsoleAutomationError,
    DefinitionNotFound,
    LimitReached,
)
from console_automation.ports.machine import Clock
from console_automation.ports.stores import Store

ReadProject = Callable[[str], Mapping[str, JobDefinition]]


class Definitions:
    """Finds definitions by name. `read_project` returns what a project's own file defines."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        clock: Clock,
        read_project: ReadProject,
        principals: Principals,
        guards: Guards,
        carrying: Carrying,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._read_project = read_project
        self.permissions = Permissions(settings=settings, principals=principals, guards=guards)
        self._carrying = carrying
        self.changing = asyncio.Lock()
        self._registered: dict[str, JobDefinition] = {}

    async def open(self) -> None:
        """Load what was registered."""
        self._registered = {each.name: each for each in await self._store.definitions.all()}

    def listed(self, project: str, principal: Principal) -> list[JobDefinition]:
        """Return the definitions of a project that are not hidden and that a principal may list and
        read, by name. Raises BadRequest for the project's file."""
        found = {**self._registered, **self._read_project(project)}
        return [
            found[name]
            for name in sorted(found)
            if not found[name].hidden
            and _may(found[name], principal, Action.LIST)
            and _may(found[name], principal, Action.READ)
        ]

    def find(self, name: str, project: str, principal: Principal) -> JobDefinition:
        """Return a definition that a principal may read.

        Raises DefinitionNotFound, also for one that is not theirs to see, and BadRequest for the
        project's file.
        """
        found = self._read_project(project).get(name) or self._registered.get(name)
        if found is None or not _may(found, principal, Action.READ):
            raise DefinitionNotFound(name)
        return found

    @whole
    async def register(self, definition: JobDefinition, principal: Principal) -> bool:
        """Keep a definition, in place of the one of its name; returns whether there was one.

        Whoever defines jobs can run anything as the user. So that is for admins, for those whom the
        setting `create_definitions` names, and for those whom the definition that is replaced names.
        Raises AccessDenied, BadRequest, LimitReached.
        """
        former = self._registered.get(definition.name)
        is_known = former is not None
        if former is None:
            self.permissions.check_create(Kind.DEFINITION, definition.name, principal)
        elif not _is_named(former, principal, Action.UPDATE):
            # As if there was none, for whoever may not read it.
            verb = "replace" if _may(former, principal, Action.READ) else "create"
            raise AccessDenied(f"{principal.name} may not {verb} the job definition {former.name}.")
        check(definition)
        most = self._settings.max_definitions
        if not is_known and len(self._registered) >= most:
            raise LimitReached(f"{most} job definitions are registered, which is the limit.")
        await self._store.definitions.save(definition)
        self._registered[definition.name] = definition
        return is_known

    @whole
    async def remove(self, name: str, principal: Principal) -> None:
        """Forget a registered definition; its jobs stay. Raises DefinitionNotFound, AccessDenied."""
        found = self._registered.get(name)
        if found is None or not _may(found, principal, Action.READ):
            raise DefinitionNotFound(name)
        if not _is_named(found, principal, Action.DELETE):
            raise AccessDenied(f"{principal.name} may not remove {name}.")
        await self._store.definitions.delete(name)
        self._registered.pop(name, None)

    def check_step(self, name: str, project: str, principal: Principal) -> None:
        """Raise DefinitionNotFound, AccessDenied, or BadRequest for the project's file, when a principal
        can have no job of a definition, whatever its input."""
        definition = self.find(name, project, principal)
        if decide(definition.permissions, principal, Action.EXECUTE) is False:
            raise AccessDenied(f"{principal.name} may not execute {name}.")

    def asks_guards(self, name: str, caller: Caller) -> bool:
        """Whether `job_spec` has to ask a guard, which may take its time. What else is wrong it says."""
        try:
            principal = self.permissions.principal(caller)
            definition = self.find(name, project_of(caller.cwd), principal)
        except ConsoleAutomationError:
            return False
        return isinstance(decide(definition.permissions, principal, Action.EXECUTE), tuple)

    async def job_spec(self, name: str, given: Mapping[str, Any], caller: Caller) -> JobSpec:
        """Return the spec of a job of this machine for a caller. One whose definition has a target is
        carried out in the cluster.

        Raises what `permitted` and `resolve` raise, Unavailable when there is no way to the cluster.
        """
        definition, complete = await self.permitted(name, given, caller)
        if definition.target is None:
            return self.spec_of(definition, complete, caller)
        spec = self.spec_of(definition, complete, caller, is_here=False)
        asked = {"name": name, "input": complete, "background": True}
        command = self._carrying.command(spec.command, "console_execute_job", asked, cwd=caller.cwd)
        contract = spec.contract
        if contract and parse_target(definition.target).is_group:
            # Each of the workers sees to its own result; there is not one of them all.
            contract = replace(contract, output_schema=None)
        return replace(spec, command=command, contract=contract)

    async def permitted(
        self, name: str, given: Mapping[str, Any], caller: Caller
    ) -> tuple[JobDefinition, Mapping[str, Any]]:
        """Return a definition that a caller may run, and the whole input.

        This is where that is decided, whoever starts the job: a client, a workflow or a schedule. Raises
        DefinitionNotFound, AccessDenied, BadRequest when the input does not match.
        """
        principal = self.permissions.principal(caller)
        definition = self.find(name, project_of(caller.cwd), principal)
        decision = decide(definition.permissions, principal, Action.EXECUTE)
        await self.permissions.check_execute(decision, principal, Kind.DEFINITION, name, given)
        complete = rules.with_defaults(definition, given)
        wrong = mismatch(definition.input_schema, complete, "input")
        if wrong is not None:
            place, what = wrong
            raise BadRequest(
                f"{place}: {what}. No job was started. console_list_job_definitions name={name!r} says"
                " what it takes.",
                field=place,
            )
        return definition, complete

    def spec_of(
        self,
        definition: JobDefinition,
        complete: Mapping[str, Any],
        caller: Caller,
        *,
        is_here: bool = True,
    ) -> JobSpec:
        """Return the spec of a job on this machine; unless it `is_here`, its program may be elsewhere.

        Raises what `resolve` raises.
        """
        command = self._command(definition, complete, caller, is_here=is_here)
        return JobSpec(
            command=command,
            created_at=self._clock.now(),
            client=caller.client,
            project=project_of(command.cwd),
            tags={**definition.labels, "definition": definition.name},
            retry=definition.retry,
            owner=caller.principal,
            contract=Contract(
                definition=definition.name,
                input=complete,
                output_schema=definition.output_schema,
            ),
        )

    def _command(
        self,
        definition: JobDefinition,
        given: Mapping[str, Any],
        caller: Caller,
        *,
        is_here: bool,
    ) -> Command:
        cwd = definition.working_directory or caller.cwd
        args = rules.filled_args(definition, given)
        environment = {**caller.environment, **rules.filled_environment(definition, given)}
        _check_passable((*(args or ()), *environment.values()))
        executable, argv, by_shell = "", tuple[str, ...](), args is None
        if is_here:
            executable, argv, by_shell = resolve(
                definition.command, args, shell=None, cwd=cwd, environment=environment
            )
        timeout = definition.timeout
        if timeout is None:
            timeout = self._settings.job_timeout_ms / 1000
        return Command(
            line=definition.command,
            args=args,
            shell=by_shell,
            executable=executable,
            argv=argv,
            cwd=cwd,
            environment=environment,
            timeout=timeout or None,
            grace=self._settings.kill_grace_ms / 1000,
            output_limit=self._settings.output_limit_bytes,
            reports=True,
        )


def _may(definition: JobDefinition, principal: Principal, action: Action) -> bool:
    return decide(definition.permissions, principal, action) is True


def _is_named(definition: JobDefinition, principal: Principal, action: Action) -> bool:
    """Whether a rule lets the principal, and not only the want of one."""
    return decide(definition.permissions, principal, action, unsaid=False) is True


def _check_passable(words: Iterable[str]) -> None:
    """Raise BadRequest for an input that no program can be given: the system has no way to pass it."""
    for word in words:
        try:
            is_passable = b"\0" not in os.fsencode(word)
        except UnicodeEncodeError:
            is_passable = False
        if not is_passable:
            raise BadRequest(
                f"input: {one_line(word, 60)!r} cannot be passed to a program: it has a NUL or half of a"
                " character.",
                field="input",
            )


def check(definition: JobDefinition) -> None:
    """Raise BadRequest for a definition that could never be kept to."""
    check_schema(definition.input_schema, "inputSchema")
    if definition.output_schema is not None:
        check_schema(definition.output_schema, "outputSchema")
    rules.check(definition)
    check_guards(definition.permissions)
