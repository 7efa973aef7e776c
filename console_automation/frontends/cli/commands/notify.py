"""What --notify starts at a job's end: a shell line that sees the job in its environment.

It is a job of its own that depends on the first, however that ends; so it comes after a crash too.
It is tried up to three times, and sees JOB_ID, JOB_NAME, JOB_STATUS, JOB_REASON and JOB_EXIT_CODE.
"""

import os
import sys

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
        "idempotencyKey": f"notify:{job['id']}:{line}"[:200],
        "workingDirectory": job["workingDirectory"],
    }
    request = {"command": sys.executable, "args": python, "options": options}
    client.call("console_execute_async", request)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Become the shell that carries out the line."""
    job: dict[str, Any] = client.call("console_get_job_status", {"jobId": given.job})["job"]
    told = {
        "JOB_ID": job["id"],
        "JOB_NAME": job.get("name", ""),
        "JOB_STATUS": job["status"],
        "JOB_REASON": job.get("reason", ""),
        "JOB_EXIT_CODE": "" if job["exitCode"] is None else str(job["exitCode"]),
    }
    shell = os.environ.get("SHELL") or "/bin/sh"
    os.execve(shell, [shell, "-c", given.line], {**os.environ, **told})
