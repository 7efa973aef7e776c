"""Watch the jobs: those that run or wait, then those that have ended, the latest first. `q` or Ctrl-C
quits, `a` shows all projects, or this one again. Where there is no terminal it is printed once.

Examples:
  job top
  job top --all
  job top --once
"""

import os
import sys

from console_automation.frontends.cli import arguments, outcome, tables
from console_automation.frontends.client import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_ONCE = 50  #: jobs shown where no window bounds them


def configure(parser: "ArgumentParser") -> None:
    """Say what `job top` takes."""
    parser.add_argument("-a", "--all", action="store_true", help="of every project")
    parser.add_argument("--once", action="store_true", help="print it once and end")


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Show the jobs until it is enough."""
    board = Board(client, every=given.all)
    is_window = streams.is_terminal and sys.stdin.isatty() and os.environ.get("TERM") != "dumb"
    if is_window and not given.once:
        from console_automation.frontends.cli import live

        live.show(board, streams)
        return outcome.DONE
    streams.line(board.figures())
    if found := board.jobs(_ONCE):
        tables.jobs(streams, found, projects=board.every)
    return outcome.DONE


class Board:
    """What is on the board: figures, and as many jobs as there is room for. `every`: of all projects."""

    def __init__(self, client: "Client", *, every: bool) -> None:
        self.every = every
        self._client = client
        self._project = arguments.here()
        self._live: set[str] = set()  #: those that ran or waited when it was last looked
        self._ended: dict[str, dict[str, Any]] = {}  #: those whose end was seen

    def figures(self) -> str:
        """Return how the queue stands, in a line."""
        figures = self._client.call("console_get_job_metrics", {})["metrics"]
        slots = figures["concurrency"]
        whose = "all projects" if self.every else "this project"
        return (
            f"{slots['current']} of {slots['maximum']} slots, {figures['pendingJobs']} pending,"
            f" load {figures['systemLoad']:.2f}  {whose}"
        )

    def jobs(self, room: int) -> "list[dict[str, Any]]":
        """Return as many jobs: those that run, those that wait, those that have ended, the latest first."""
        live: list[dict[str, Any]] = []
        for status in ("running", "pending"):
            live += self._listed(room - len(live), status=status)
        self._see_ends({job["id"] for job in live})
        left = room - len(live)
        if left <= 0:
            return live
        # A job that was created long ago and has just ended is not among the newest.
        ended = {job["id"]: job for job in self._listed(room) if "completedAt" in job}
        ended |= self._ended
        latest = sorted(ended.values(), key=lambda job: str(job["completedAt"]), reverse=True)
        return live + latest[:left]

    def turn(self) -> None:
        """Show all projects, or this one again."""
        self.every = not self.every
        self._live.clear()
        self._ended.clear()

    def _listed(self, limit: int, **which: str) -> "Sequence[dict[str, Any]]":
        if limit <= 0:
            return []
        options: dict[str, Any] = {"limit": limit, **which}
        if not self.every:
            options["project"] = self._project
        found: list[dict[str, Any]] = self._client.call("console_list_jobs", {"options": options})[
            "jobs"
        ]
        return found

    def _see_ends(self, live: set[str]) -> None:
        """Keep those that are over now and were not when it was last looked."""
        for job_id in self._live - live:
            try:
                job = self._client.call("console_get_job_status", {"jobId": job_id})["job"]
            except Refused:
                continue  # it was cleaned up
            if "completedAt" in job:
                self._ended[job_id] = job
        self._live = live
