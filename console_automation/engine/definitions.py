"""The registry of job definitions, and how a definition and an input become the spec of a job.

Two sources: what was registered at run time is in the store; what a project defines is in a file of
its own, read anew when it has changed. A project's definition hides a registered one of its name.
"""

from collections.abc import Callable, Mapping
from typing import Any

from console_automation.config import Settings
from console_automation.core import definition as rules
from console_automation.core.definition import Caller, JobDefinition
from console_automation.core.job import Command, Contract, JobSpec
from console_automation.engine.commands import project_of, resolve
from console_automation.engine.json_schemas import check_schema, mismatch
from console_automation.errors import BadRequest, DefinitionNotFound, LimitReached
from console_automation.ports import Clock, Store

ReadProject = Callable[[str], Mapping[str, JobDefinition]]


class Definitions:
    """Finds definitions by name. `read_project` returns what a project's own file defines."""

    def __init__(
        self, *, settings: Settings, store: Store, clock: Clock, read_project: ReadProject
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._read_project = read_project
        self._registered: dict[str, JobDefinition] = {}

    async def open(self) -> None:
        """Load what was registered."""
        self._registered = {each.name: each for each in await self._store.definitions.all()}

    def known(self, project: str) -> list[JobDefinition]:
        """Return every definition that a project has, by name. Raises BadRequest for its file."""
        found = {**self._registered, **self._read_project(project)}
        return [found[name] for name in sorted(found)]

    def find(self, name: str, project: str) -> JobDefinition:
        """Return a definition. Raises DefinitionNotFound, and BadRequest for the project's file."""
        found = self._read_project(project).get(name) or self._registered.get(name)
        if found is None:
            raise DefinitionNotFound(name)
        return found

    async def register(self, definition: JobDefinition) -> bool:
        """Keep a definition, in place of the one of its name; returns whether there was one.

        Raises BadRequest, LimitReached.
        """
        check(definition)
        is_known = definition.name in self._registered
        most = self._settings.max_definitions
        if not is_known and len(self._registered) >= most:
            raise LimitReached(f"{most} job definitions are registered, which is the limit.")
        await self._store.definitions.save(definition)
        self._registered[definition.name] = definition
        return is_known

    async def remove(self, name: str) -> None:
        """Forget a registered definition; its jobs stay. Raises DefinitionNotFound."""
        if name not in self._registered:
            raise DefinitionNotFound(name)
        await self._store.definitions.delete(name)
        self._registered.pop(name, None)

    async def job_spec(self, name: str, given: Mapping[str, Any], caller: Caller) -> JobSpec:
        """Return the spec of a job for a caller.

        Raises DefinitionNotFound, BadRequest when the input does not match, and what `resolve` raises.
        """
        definition = self.find(name, project_of(caller.cwd))
        complete = rules.with_defaults(definition, given)
        wrong = mismatch(definition.input_schema, complete, "input")
        if wrong is not None:
            place, what = wrong
            raise BadRequest(
                f"{place}: {what}. No job was started. console_list_job_definitions name={name!r} says"
                " what it takes.",
                field=place,
            )
        command = self._command(definition, complete, caller)
        return JobSpec(
            command=command,
            created_at=self._clock.now(),
            client=caller.client,
            project=project_of(command.cwd),
            tags={**definition.labels, "definition": definition.name},
            retry=definition.retry,
            contract=Contract(
                definition=definition.name,
                input=complete,
                output_schema=definition.output_schema,
            ),
        )

    def _command(
        self, definition: JobDefinition, given: Mapping[str, Any], caller: Caller
    ) -> Command:
        cwd = definition.working_directory or caller.cwd
        args = rules.filled_args(definition, given)
        environment = {**caller.environment, **rules.filled_environment(definition, given)}
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


def check(definition: JobDefinition) -> None:
    """Raise BadRequest for a definition that could never be kept to."""
    check_schema(definition.input_schema, "inputSchema")
    if definition.output_schema is not None:
        check_schema(definition.output_schema, "outputSchema")
    rules.check(definition)
