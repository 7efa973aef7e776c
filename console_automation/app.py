"""The composition root: where the parts are put together, and the product as a Python library.

    async with open_app() as app:
        job_id = await app.start_background_job("python", ["train.py"], session_id="ml")
        ...

The library is the same engine as the daemon's, on the same kind of state directory, with the same
shims: jobs it started go on when the program ends or crashes, and the next `open_app()` or daemon on
that directory takes them up.
"""

import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel
from ulid import ULID

from console_automation import NOT_ON_WINDOWS, config, errors, paths

if sys.platform == "win32":
    raise ImportError(NOT_ON_WINDOWS)

from console_automation.adapters.guards import ProcessGuards
from console_automation.adapters.machine import SystemClock, SystemLoad
from console_automation.adapters.mail_courier import MailCourier
from console_automation.adapters.output_log import SegmentLog
from console_automation.adapters.processes import SystemProcesses
from console_automation.adapters.shims import ShimHost
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.adapters.state_directory import StateDirectory
from console_automation.adapters.tokens import Tokens
from console_automation.adapters.webhook_courier import WebhookCourier
from console_automation.config import Settings
from console_automation.core.notify import Channel
from console_automation.engine.admission import Admission
from console_automation.engine.carrying import Carrying
from console_automation.engine.cluster import Cluster
from console_automation.engine.commands import inherited
from console_automation.engine.consoles import ConsoleManager
from console_automation.engine.definitions import Definitions
from console_automation.engine.engine import Engine
from console_automation.engine.jobs import JobManager
from console_automation.engine.notifications import Courier, Notifications
from console_automation.engine.output import OutputReader
from console_automation.engine.recordings import recording
from console_automation.engine.retention import Retention
from console_automation.engine.schedules import Schedules
from console_automation.engine.screens import Screens
from console_automation.engine.workflows import Workflows
from console_automation.joining import cluster_of
from console_automation.operations.definition_files import ProjectFiles
from console_automation.operations.operation import Answer
from console_automation.operations.submission import Call
from console_automation.operations.table import invoke
from console_automation.ports.cluster import ClusterBus
from console_automation.ports.machine import Emulator
from console_automation.ports.runs import RunHost
from console_automation.ports.stores import Store

_OPEN = ("pending", "running")


def new_job_id() -> str:
    """Return a job id: sortable by time, 80 bits of it random."""
    return f"job-{str(ULID()).lower()}"


def new_session_id() -> str:
    """Return a session id, made like that of a job."""
    return f"session-{str(ULID()).lower()}"


def new_workflow_run_id() -> str:
    """Return the id of a workflow run, made like that of a job."""
    return f"workflow-{str(ULID()).lower()}"


def new_schedule_id() -> str:
    """Return a schedule id, made like that of a job."""
    return f"schedule-{str(ULID()).lower()}"


def new_screen(cols: int, rows: int) -> Emulator:
    """Return an empty screen. What draws it is imported when somebody looks for the first time."""
    from console_automation.adapters.screen import TerminalScreen

    return TerminalScreen(cols, rows)


def build_engine(
    directory: StateDirectory,
    settings: Settings,
    *,
    store: Store | None = None,
    host: RunHost | None = None,
    bus: ClusterBus | None = None,
) -> Engine:
    """Put an engine together; `store`, `host` and `bus` can be replaced, for tests that break them."""
    clock = SystemClock()
    store = store or SqliteStore(directory.home)
    host = host or shim_host(directory, settings, clock.boot_id)
    log = SegmentLog(directory.runs)
    manager = JobManager(
        settings=settings,
        store=store,
        host=host,
        clock=clock,
        admission=Admission(settings, SystemLoad()),
        new_id=new_job_id,
    )
    cluster = cluster_of(settings, clock, new_ulid=lambda: str(ULID()).lower(), bus=bus)
    carrying = Carrying(
        str(directory.home), is_gateway=cluster is not None and cluster.gateway is not None
    )
    definitions = _definitions(directory, settings, store, clock, carrying)
    return engine_around(
        manager, definitions, store=store, log=log, carrying=carrying, cluster=cluster
    )


def engine_around(
    manager: JobManager,
    definitions: Definitions,
    *,
    store: Store,
    log: SegmentLog,
    carrying: Carrying,
    cluster: Cluster | None = None,
) -> Engine:
    """Put together what there is around jobs and their definitions."""
    settings, host = manager.settings, manager.host
    consoles = ConsoleManager(
        settings=settings,
        store=store.sessions,
        host=host,
        output=log,
        clock=manager.clock,
        new_id=new_session_id,
    )
    manager.owners.add("session", consoles)
    screens = Screens(log, new_screen)
    return Engine(
        settings=settings,
        jobs=manager,
        output=OutputReader(get=manager.ledger.get, changes=manager.changes, host=host, log=log),
        definitions=definitions,
        consoles=consoles,
        session_output=OutputReader(get=consoles.get, changes=consoles.changes, host=host, log=log),
        screens=screens,
        processes=SystemProcesses(),
        retention=Retention(manager, consoles, screens),
        workflows=Workflows(
            jobs=manager,
            definitions=definitions,
            store=store.workflows,
            new_id=new_workflow_run_id,
        ),
        schedules=Schedules(
            jobs=manager,
            definitions=definitions,
            store=store.schedules,
            new_id=new_schedule_id,
        ),
        notifications=Notifications(manager, couriers(settings)),
        carrying=carrying,
        cluster=cluster,
    )


def couriers(settings: Settings) -> dict[Channel, Courier]:
    """Return who takes notifications to the world outside."""
    return {
        Channel.WEBHOOK: WebhookCourier(
            secret=settings.webhook_secret, allow_private=settings.webhook_allow_private
        ),
        Channel.EMAIL: MailCourier(
            host=settings.smtp_host,
            port=settings.smtp_port,
            user=settings.smtp_user,
            password=settings.smtp_password,
            sender=settings.smtp_from,
            tls=settings.smtp_tls,
            timeout=settings.notify_timeout_ms / 1000,
        ),
    }


def _definitions(
    directory: StateDirectory,
    settings: Settings,
    store: Store,
    clock: SystemClock,
    carrying: Carrying,
) -> Definitions:
    return Definitions(
        settings=settings,
        store=store,
        clock=clock,
        read_project=ProjectFiles(),
        principals=Tokens(directory.home),
        guards=ProcessGuards(),
        carrying=carrying,
    )


def shim_host(directory: StateDirectory, settings: Settings, boot_id: str) -> ShimHost:
    """Return the host for the runs of a state directory."""
    return ShimHost(
        runs=directory.runs,
        path=directory.runtime / "shims.sock",
        boot_id=boot_id,
        max_idle=settings.idle_shims,
        uses=settings.shim_uses,
        log_file=directory.log_file,
    )


class App:
    """The product as a library. Options are those of the tools, in snake_case."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_open = True
        self._environment = inherited(os.environ, engine.settings.environment)

    async def call(self, operation: str, /, **arguments: Any) -> Answer:
        """Carry out any operation, with the arguments of the tool of that name.

        Raises Unavailable once the app is closed.
        """
        self._check_open()
        call = Call(client=f"python:{os.getpid()}", environment=self._environment, cwd=os.getcwd())
        return await invoke(self.engine, operation, arguments, call)

    async def start_background_job(
        self, command: str, args: Sequence[str] | None = None, **options: Any
    ) -> str:
        """Start a job and return its id. Raises what the tool would refuse with."""
        arguments: dict[str, Any] = {"command": command}
        if args is not None:
            arguments["args"] = args if isinstance(args, str) else list(args)  # text is refused
        arguments["options"] = {to_camel(name): value for name, value in options.items()}
        return str((await self._result("console_execute_async", arguments))["jobId"])

    async def register(self, *jobs: Callable[..., Any]) -> None:
        """Register jobs written in Python (`console_automation.typed.job`); each is run from its file.

        Raises TypeError for what is no job, and what the tool would refuse with.
        """
        from console_automation.typed import describe

        for each in jobs:
            await self._result("console_register_job", describe(each))

    async def execute_job(self, name: str, /, **given: Any) -> dict[str, Any]:
        """Run a defined job with an input and return what it came to, however long that takes.

        Raises DefinitionNotFound, and BadRequest for an input that does not match.
        """
        started = await self._result(
            "console_execute_job", {"name": name, "input": given, "background": True}
        )
        asked = {"jobId": started["jobId"], "waitMs": self.engine.settings.max_wait_ms}
        while (over := await self._result("console_get_job_result", asked))["status"] in _OPEN:
            pass
        return over

    async def get_background_job_status(self, job_id: str, *, wait_ms: float = 0) -> dict[str, Any]:
        """Return a job as the tools show it. Raises JobNotFound."""
        arguments = {"jobId": job_id, "waitMs": wait_ms}
        job: dict[str, Any] = (await self._result("console_get_job_status", arguments))["job"]
        return job

    async def get_background_job_output(self, job_id: str, **options: Any) -> dict[str, Any]:
        """Return a page of output as the tools show it. Raises JobNotFound."""
        camel = {to_camel(name): value for name, value in options.items()}
        return await self._result("console_get_job_output", {"jobId": job_id, "options": camel})

    async def get_background_job_metrics(self) -> dict[str, Any]:
        """Return the figures as the tools show them."""
        metrics: dict[str, Any] = (await self._result("console_get_job_metrics", {}))["metrics"]
        return metrics

    async def recording(self, session_id: str) -> AsyncIterator[str]:
        """Yield the lines of a session's recording, which make an asciicast file.

        Raises SessionNotFound; Unavailable once the app is closed.
        """
        self._check_open()
        async for line in recording(self.engine.session_output, session_id):
            yield line

    def _check_open(self) -> None:
        if not self.is_open:
            raise errors.Unavailable("This app is closed; open_app() opens another.")

    async def _result(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self.call(operation, **arguments)
        if answer.is_error:
            raise errors.from_code(
                answer.view["code"], answer.view["error"], answer.view["details"]
            )
        return dict(answer.view)


@asynccontextmanager
async def open_app(
    home: str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> AsyncIterator[App]:
    """Open the engine in this process, on a state directory that no other engine holds.

    Raises Unavailable when a daemon or another program holds it.
    """
    directory = StateDirectory(Path(home) if home is not None else Path(paths.home()))
    directory.acquire()
    try:
        engine = build_engine(directory, settings or config.load(directory.home))
        await engine.open()
        app = App(engine)
        try:
            yield app
        finally:
            app.is_open = False
            await engine.close()
    finally:
        directory.release()
