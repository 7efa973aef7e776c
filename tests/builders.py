"""Records for tests: a whole one from the few words that matter."""

from pathlib import Path
from typing import Any

from console_automation.adapters.guards import ProcessGuards
from console_automation.adapters.output_log import SegmentLog
from console_automation.adapters.tokens import Tokens
from console_automation.app import engine_around
from console_automation.core.job import Cause, Command, Exit, Job, JobSpec, OutputCounts, Phase
from console_automation.engine.carrying import Carrying
from console_automation.engine.definitions import Definitions
from console_automation.engine.engine import Engine
from console_automation.engine.jobs import JobManager


def command(*argv: str, **fields: Any) -> Command:
    argv = argv or ("/bin/true",)
    defaults: dict[str, Any] = {
        "line": argv[0],
        "args": argv[1:],
        "shell": False,
        "executable": argv[0],
        "argv": argv,
        "cwd": "/",
        "environment": {"PATH": "/usr/bin:/bin"},
        "timeout": 60.0,
        "grace": 2.0,
    }
    return Command(**{**defaults, **fields})


def script(text: str, **fields: Any) -> Command:
    return command("/bin/sh", "-c", text, **fields)


def spec(what: Command | None = None, **fields: Any) -> JobSpec:
    return JobSpec(**{"command": what or command(), "created_at": 0.0, "client": "test", **fields})


def job(job_id: str = "job-1", phase: Phase = Phase.READY, **fields: Any) -> Job:
    spec_fields = fields.pop("spec", None) or spec()
    if phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING):
        fields = {
            "run_id": f"{job_id}.1",
            "boot_id": "this-boot",
            "attempt": 1,
            "dispatches": 1,
            **fields,
        }
    if phase is Phase.RUNNING:
        fields = {"pid": 4711, "started_at": 1.0, **fields}
    return Job(id=job_id, spec=spec_fields, phase=phase, **fields)


def exit_of(code: int | None = 0, **fields: Any) -> Exit:
    defaults: dict[str, Any] = {
        "cause": Cause.EXIT,
        "code": code,
        "ended_at": 2.0,
        "started_at": 1.0,
        "output": OutputCounts(bytes=10, last_sequence=1),
    }
    return Exit(**{**defaults, **fields})


def engine_of(manager: JobManager, runs: Path) -> Engine:
    """The whole engine around a JobManager, with its settings, store and host."""
    store: Any = manager.ledger.store
    return engine_around(
        manager,
        definitions_of(manager, runs),
        store=store,
        log=SegmentLog(runs),
        carrying=Carrying("/nowhere", is_gateway=False),
    )


def definitions_of(manager: JobManager, home: Path) -> Definitions:
    """The registry of job definitions beside a JobManager; no project has a file of its own."""
    return Definitions(
        settings=manager.settings,
        store=manager.ledger.store,
        clock=manager.clock,
        read_project=lambda project: {},
        principals=Tokens(home),
        guards=ProcessGuards(),
        carrying=Carrying(str(home), is_gateway=False),
    )
