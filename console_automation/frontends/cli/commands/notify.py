"""What --notify starts at a job's end: a shell line that sees the job in its environment.

It is a job of its own that depends on the first, however that ends; so it comes after a crash too.
It is tried up to three times, and sees JOB_ID, JOB_NAME, JOB_STATUS, JOB_REASON and JOB_EXIT_CODE; of
these only the first, when the job's record was removed before its turn came.
"""

import hashlib
import os
import sys

from console_automation.frontends.client import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_ATTEMPTS = 3


def configure(parser: "ArgumentParser") -> None:
    """Say what the command takes."""
    parser.add_argument("job", metavar="ID")
    parser.add_argument("line", metavar="LINE")


def submit(client: "Client", job: "Mapping[str, Any]", line: str) -> None:
    """Have a shell line run when a job is over."""
    python = ["-P", "-m", "console_automation.frontends.cli", "notify", job["id"], line]
    options = {
        "dependsOn": [job["id"]],
        "evenIfFailed": True,
        "retry": {"maxAttempts": _ATTEMPTS},
        "tags": {"notify": job["id"]},
        "idempotencyKey": f"notify:{job['id']}:{hashlib.sha256(line.encode()).hexdigest()}",
        "workingDirectory": job["workingDirectory"],
        # whatever of the environment a setting holds back, it has to ask the same daemon
        "environment": {"CONSOLE_AUTOMATION_HOME": client.home},
    }
    request = {"command": sys.executable, "args": python, "options": options}
    client.call("console_execute_async", request)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Become the shell that carries out the line."""
    told = {"JOB_ID": given.job, **_known(client, given.job)}
    shell = os.environ.get("SHELL") or "/bin/sh"
    os.execve(shell, [shell, "-c", given.line], {**os.environ, **told})


def _known(client: "Client", job_id: str) -> "dict[str, str]":
    try:
        job: dict[str, Any] = client.call("console_get_job_status", {"jobId": job_id})["job"]
    except Refused as refused:
        if refused.code != "JOB_NOT_FOUND":
            raise
        return dict.fromkeys(("JOB_NAME", "JOB_STATUS", "JOB_REASON", "JOB_EXIT_CODE"), "")
    return {
        "JOB_NAME": job.get("name", ""),
        "JOB_STATUS": job["status"],
        "JOB_REASON": job.get("reason", ""),
        "JOB_EXIT_CODE": "" if job["exitCode"] is None else str(job["exitCode"]),
    }
