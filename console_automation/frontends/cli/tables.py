"""Jobs and figures for a person to read: aligned, quiet, and as wide as the terminal.

On a terminal rich draws; anywhere else the same columns come as plain text, whole and without colour.
"""

import re
import time
from datetime import datetime

from console_automation.core.text import human_bytes, human_seconds, one_line
from console_automation.frontends.cli.streams import STATUS_COLOURS
from console_automation.operations.texts import progress, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rich.table import Table

    from console_automation.frontends.cli.streams import Streams

_KIND = re.compile(r"^(cluster-)?[a-z]+-")  #: at the beginning of an id
_SHORT_ID = 12  #: characters: the millisecond, and two at random
_LONGEST_COMMAND = 200
_WIDEST_COLUMN = 30  #: characters, but for the last
_LEAST_OF_LAST = 16


def jobs(streams: "Streams", listed: "Sequence[Mapping[str, Any]]", *, projects: bool) -> None:
    """Print jobs as a table."""
    table(streams, *of_jobs(listed, projects=projects, short=streams.is_terminal))


def of_jobs(
    listed: "Sequence[Mapping[str, Any]]", *, projects: bool, short: bool
) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table of jobs."""
    head = ["ID", "NAME", "STATUS", "TIME", *(["PROJECT"] if projects else []), "COMMAND"]
    ids = shortened([job["id"] for job in listed]) if short else None
    rows = [_cells(job, ids[job["id"]] if ids else job["id"], projects) for job in listed]
    return head, rows


def sessions(streams: "Streams", listed: "Sequence[Mapping[str, Any]]") -> None:
    """Print sessions as a table."""
    ids = shortened([each["sessionId"] for each in listed]) if streams.is_terminal else {}
    rows = [
        [
            ids.get(each["sessionId"], each["sessionId"]),
            each.get("name", ""),
            _standing(each),
            _between(each["createdAt"], each.get("closedAt")),
            each.get("host", ""),
            one_line(each["command"], _LONGEST_COMMAND),
        ]
        for each in listed
    ]
    table(streams, ["ID", "NAME", "STATUS", "TIME", "HOST", "COMMAND"], rows)


def _standing(session: "Mapping[str, Any]") -> str:
    """Return a session's status, and of one that is closed its exit code, or why it is."""
    if session["status"] != "closed":
        return str(session["status"])
    if session["closing"] != "exited":
        return f"closed {session['closing']}"
    return f"closed {session.get('exitCode', session.get('signal', ''))}".rstrip()


def _cells(job: "Mapping[str, Any]", job_id: str, projects: bool) -> list[str]:
    project = [job.get("project") or ""] if projects else []
    command = one_line(" ".join([job["command"], *job.get("args", [])]), _LONGEST_COMMAND)
    name = job.get("name") or job.get("definition", "")
    return [job_id, name, how(job), spent(job), *project, command]


def how(job: "Mapping[str, Any]") -> str:
    """Return a job's status, with its exit code or reason where there is one to know."""
    if job["status"] != "failed":
        return str(job["status"])
    return f"failed {job['exitCode']}" if job["exitCode"] else f"failed {job.get('reason', '')}"


def spent(job: "Mapping[str, Any]") -> str:
    """Return how long a job has run or waited."""
    if "durationMs" in job:
        return human_seconds(job["durationMs"] / 1000)
    return _between(job.get("startedAt") or job["createdAt"], job.get("completedAt"))


def _between(began: str, ended: str | None) -> str:
    """Return the time from one moment to another, or to now."""
    until = time.time() if ended is None else datetime.fromisoformat(ended).timestamp()
    seconds = until - datetime.fromisoformat(began).timestamp()
    return human_seconds(float(round(max(0.0, seconds))))


def shortened(ids: "Sequence[str]") -> dict[str, str]:
    """Return the ids without their kind, as short as tells them apart, and no shorter than need be
    to tell them from those of any other millisecond."""
    bare = sorted((_KIND.sub("", each), each) for each in ids)
    texts = [text for text, _ in bare]
    short = {}
    for before, (text, each), after in zip(["", *texts], bare, [*texts[1:], ""], strict=False):
        alike = max(_common(text, before), _common(text, after))
        short[each] = text[: max(_SHORT_ID, alike + 1)]
    return short


def _common(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def table(streams: "Streams", head: "Sequence[str]", rows: "Sequence[Sequence[str]]") -> None:
    """Print a table: the last column is cut on a terminal, and whole anywhere else."""
    if streams.is_terminal:
        from rich.console import Console

        streams.flush()
        console = Console(no_color=not streams.has_colours, highlight=False)
        console.print(drawn(head, rows, streams.width))
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        streams.line("  ".join(cells).rstrip())


def drawn(head: "Sequence[str]", rows: "Sequence[Sequence[str]]", width: int) -> "Table":
    """Return a table for rich to draw, as wide as this."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    columns = list(zip(head, *rows, strict=True))
    # Every column has the room it needs, up to a bound; the last one has what is left. Where all that
    # is too much, the widest give way.
    widths = [min(max(map(cell_len, column)), _WIDEST_COLUMN) for column in columns[:-1]]
    left = width - sum(widths) - 2 * len(widths)
    widths.append(max(left, min(_LEAST_OF_LAST, max(map(cell_len, columns[-1])))))
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, room in zip(head, widths, strict=True):
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=room)
    for row in rows:
        styled = zip(head, row, strict=True)
        table.add_row(*(Text(cell, style=_style(name, cell)) for name, cell in styled))
    return table


def _style(column: str, cell: str) -> str:
    return STATUS_COLOURS.get(cell.split(" ")[0], "") if column == "STATUS" else ""


def job(streams: "Streams", view: "Mapping[str, Any]") -> None:
    """Print all that is worth knowing of a job."""
    colour = STATUS_COLOURS[view["status"]]
    said = {
        "id": view["id"],
        "name": view.get("name"),
        "definition": view.get("definition"),
        "status": streams.coloured(verdict(view), colour),  # type: ignore[arg-type]
        "command": one_line(" ".join([view["command"], *view.get("args", [])]), _LONGEST_COMMAND),
        "directory": view["workingDirectory"],
        "project": view.get("project"),
        "session": view.get("sessionId"),
        "created": view["createdAt"],
        "started": view.get("startedAt"),
        "ended": view.get("completedAt"),
        "timeout": human_seconds(view["timeout"] / 1000) if view["timeout"] else "none",
        "attempt": f"{view['attempt']} of {view['maxAttempts']}"
        if view["maxAttempts"] > 1 and "children" not in view  # of which each has its own
        else None,
        "pid": view.get("pid") if view["status"] == "running" else None,
        "after": ", ".join(view.get("dependsOn", [])),
        "retry of": view.get("retryOf"),
        "target": view.get("target"),
        "worker": view.get("worker"),
        "late": "; ".join(
            f"{each['host']} has said {each['status']} of an attempt that was given up"
            for each in view.get("lateResults", [])
        ),
        "tags": ", ".join(f"{name}={value}" for name, value in view["tags"].items()),
        "output": None if "children" in view else _printed(view["output"]),
        "progress": progress(view["progress"]) if "progress" in view else None,
        "log": "\n".join(view.get("logs", [])),
        "usage": _usage(view.get("usage")),
        "left behind": ", ".join(
            f"{each['pid']} {each['command']}" for each in view.get("leftovers", [])
        ),
    }
    facts(streams, said)


def _printed(output: "Mapping[str, Any]") -> str:
    dropped = output["droppedBytes"]
    return human_bytes(output["bytes"]) + (f", {human_bytes(dropped)} dropped" if dropped else "")


def _usage(usage: "Mapping[str, Any] | None") -> str | None:
    if usage is None:
        return None
    return (
        f"{usage['cpuSeconds']:.2f} s of processor, {human_bytes(usage['maxRssBytes'])} of memory"
    )


def system(streams: "Streams", daemon: "Mapping[str, Any]", figures: "Mapping[str, Any]") -> None:
    """Print how daemon and queue stand."""
    slots = figures["concurrency"]
    wait, ran = figures["queueWaitMs"], figures["runTimeMs"]
    names = ("pending", "running", "completed", "failed", "cancelled", "interrupted")
    facts(
        streams,
        {
            "daemon": f"pid {daemon['pid']}, version {daemon['version']}, {daemon['home']}",
            "http": daemon["http"],
            "slots": f"{slots['current']} of {slots['maximum']} in use",
            "jobs": ", ".join(f"{figures[name + 'Jobs']} {name}" for name in names),
            "queue wait": _quantiles(wait),
            "run time": _quantiles(ran),
            "load": f"{figures['systemLoad']} per processor",
        },
    )


def _quantiles(figures: "Mapping[str, Any]") -> str | None:
    if figures["p50"] is None:
        return None
    half, most = (human_seconds(figures[name] / 1000) for name in ("p50", "p95"))
    return f"median {half}, 95 % within {most}"


def facts(streams: "Streams", said: "Mapping[str, Any]") -> None:
    """Print what is known of something, a line for each."""
    known = {name: value for name, value in said.items() if value not in (None, "")}
    width = max(map(len, known))
    for name, value in known.items():
        streams.line(f"{name:<{width}}  {value}")
