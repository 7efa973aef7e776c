"""The program `job` as a person or a script runs it: real processes on a state directory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_automation.frontends.client import Client
from tests.integration.command_line import JOB
from tests.integration.live_shell import hear_signals
from tests.integration.servers import PROGRAM
from tests.waiting import PATIENCE, until_now


class Shell:
    """Runs `job` in a directory with an environment, and remembers both."""

    def __init__(self, home: Path, directory: Path, **environment: str | None) -> None:
        # The tests may run under make, whose variables would tell a make in a job that it is nested.
        none = dict.fromkeys(("COLUMNS", "LINES", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"))
        changes = {"CONSOLE_AUTOMATION_HOME": str(home), **none, **environment}
        self.home = home
        self.directory = directory
        self.environment = {**os.environ}
        for name, value in changes.items():
            if value is None:
                self.environment.pop(name, None)
            else:
                self.environment[name] = value

    def job(
        self, *words: str, stdin: str | bytes = b"", **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command of `job` to its end."""
        return self._run([*JOB, *words], stdin, **options)

    def server(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of `console-automation` to its end."""
        return self._run([*PROGRAM, *words], b"")

    def _run(
        self, words: list[str], stdin: str | bytes, **options: Any
    ) -> "subprocess.CompletedProcess[str]":
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            words,
            cwd=self.directory,
            env=self.environment,
            input=given,
            capture_output=True,
            check=False,
            timeout=2 * PATIENCE,
            **options,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        out, err = (each.decode("utf-8", "surrogateescape") for each in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    @contextmanager
    def begun(self, *words: str, **options: Any) -> "Iterator[subprocess.Popen[bytes]]":
        """Start a command and leave it alone, until the context is left."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        with subprocess.Popen(
            [*JOB, *words],
            cwd=self.directory,
            env=self.environment,
            preexec_fn=hear_signals,  # noqa: PLW1509 - there are no threads here
            **options,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *words: str) -> str:
        """Start a job and return its id."""
        done = self.job("run", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def json(self, *words: str) -> dict[str, Any]:
        """Run a command with --json and return what it prints."""
        done = self.job(*words, "--json")
        view: dict[str, Any] = json.loads(done.stdout)
        return view

    def status(self, reference: str) -> dict[str, Any]:
        """Return a job as it stands: asked of the daemon, without the time that a process takes."""
        with Client(str(self.home)) as client:
            return self._asked(client, reference)

    def over(self, reference: str) -> dict[str, Any]:
        """Return a job once it is over."""

        def ended() -> dict[str, Any] | None:
            job = self._asked(client, reference, waitMs=1000)
            return job if job["status"] not in ("pending", "running") else None

        with Client(str(self.home)) as client:
            found = until_now(ended, f"the end of {reference}")
        assert found is not None
        return found

    def running(self, reference: str) -> dict[str, Any]:
        """Return a job once its command has been spawned."""

        def spawned() -> dict[str, Any] | None:
            job = self._asked(client, reference)
            return job if "pid" in job else None

        with Client(str(self.home)) as client:
            found = until_now(spawned, f"the start of {reference}")
        assert found is not None
        return found

    def _asked(self, client: Client, reference: str, **arguments: Any) -> dict[str, Any]:
        options = {"ref": reference, "project": str(self.directory), "limit": 1}
        [meant] = client.call("console_list_jobs", {"options": options})["jobs"]
        asked = {"jobId": meant["id"], **arguments}
        job: dict[str, Any] = client.call("console_get_job_status", asked)["job"]
        return job

    def logs(self, reference: str, *options: str) -> str:
        """Return what a job has printed."""
        return self.job("logs", *options, reference).stdout


PYTHON = sys.executable
