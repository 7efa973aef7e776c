"""The output of a job on several workers: in whole lines, each with the name of its worker before it."""

from console_automation.frontends.cli import following, outcome
from console_automation.frontends.client import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_TURN_MS = 200  #: that one worker is listened to, while the others wait for their turn


def show(
    client: "Client",
    streams: "Streams",
    group: "Mapping[str, Any]",
    options_for: "Callable[[str], Mapping[str, Any]]",
    *,
    follow: bool,
    timestamps: bool = False,
) -> int:
    """Print it worker by worker; if followed, as it comes, until all are over. Returns the exit code: what
    a worker has that cannot be reached is not shown."""
    width = max(len(child["host"]) for child in group["children"])
    turns = []
    for child in group["children"]:
        lines = _Lines(streams, child["host"], width, timestamps=timestamps)
        turns.append(_turns(client, child["jobId"], options_for, lines, follow=follow))
    code = outcome.DONE
    while turns:
        turn = turns[0]
        try:
            next(turn)
        except StopIteration:
            turns.remove(turn)
        except Refused as error:
            if error.code != "UNAVAILABLE":
                raise
            streams.remark(str(error))
            turns.remove(turn)
            code = outcome.UNAVAILABLE
        else:
            if follow:
                turns.append(turns.pop(0))
    return code


def _turns(
    client: "Client",
    job_id: str,
    options_for: "Callable[[str], Mapping[str, Any]]",
    lines: "_Lines",
    *,
    follow: bool,
) -> "Iterator[None]":
    """Print a page of a worker's at each turn."""
    pages = following.pages(client, job_id, options_for(job_id), follow=follow, wait_ms=_TURN_MS)
    for page in pages:
        lines.show(page)
        yield
    lines.end()


class _Lines:
    """What is printed of one worker's output."""

    def __init__(self, streams: "Streams", host: str, width: int, *, timestamps: bool) -> None:
        self._streams = streams
        self._host = host
        self._title = f"{host:<{width}} |"
        self._timestamps = timestamps
        self._begun = ""  #: a line whose end has not come

    def show(self, page: "Mapping[str, Any]") -> None:
        """Print the lines that end in a page."""
        if self._streams.json:
            self._streams.result(page)
            return
        for chunk in page["output"]:
            *whole, self._begun = (self._begun + chunk["content"]).split("\n")
            stamp = f" {chunk['timestamp']}" if self._timestamps else ""
            for line in whole:
                self._streams.line(f"{self._title}{stamp} {line}".rstrip())
        self._streams.flush()
        following.tell_age(self._streams, page, f"worker {self._host}")

    def end(self) -> None:
        """Print what is left of a last line without an end."""
        if self._begun:
            self._streams.line(f"{self._title} {self._begun}")
