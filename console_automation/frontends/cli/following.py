"""Waiting for a job and following its output: what `run`, `retry`, `wait` and `logs` have in common."""

from binascii import a2b_base64, b2a_base64
from collections import deque

from console_automation.frontends.cli import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_PAGE_BYTES = 1 << 20
_MOST_BYTES = 64 << 20  #: that the daemon puts into a page,
_MOST_CHUNKS = 1_000_000  #: and chunks
_STEP_MS = 1000  #: how often the progress line is renewed
_LONG_MS = 45_000
_LIVE = ("pending", "running", "opening", "open", "closing")  #: statuses that are not final


def configure(parser: "ArgumentParser") -> None:
    """Add the options of commands that start a job."""
    parser.add_argument("-w", "--wait", action="store_true", help="wait; exit with its exit code")
    parser.add_argument("-f", "--follow", action="store_true", help="wait, and show its output")


def started(given: "Namespace", client: "Client", streams: "Streams", job: "dict[str, Any]") -> int:
    """A job was started: say so, or stay with it as asked; returns the exit code."""
    if given.follow:
        return follow(client, streams, job)
    if given.wait:
        over = wait_for(client, streams, [job], enough=1)[0]
        if streams.json:
            streams.result({"success": True, "job": over})
        else:
            streams.remark(line_of(over))
        return outcome.of_job(over)
    streams.line(job["id"])
    name = handle(job)
    streams.remark(f"{job['status']}; {_ways(name, name)}")
    return outcome.DONE


def handle(job: "Mapping[str, Any]") -> str:
    """Return what a shell can be given to name a job, or a session: its name, or else its id. In the
    cluster names are no good: a job of this machine comes first."""
    name: str = "" if "target" in job else job.get("name", "")
    is_word = name.replace("-", "").replace("_", "").replace(".", "").isalnum()
    return name if is_word and not name.startswith("-") else str(job["id"])


def line_of(job: "Mapping[str, Any]") -> str:
    """Say in one line which job it is and how it stands."""
    from console_automation.operations.texts import verdict  # `run` alone starts without it

    return f"{job.get('name') or job['id']}: {verdict(job)}"  # type: ignore[arg-type]


def wait_for(
    client: "Client",
    streams: "Streams",
    jobs: "list[dict[str, Any]]",
    *,
    enough: int,
    limit_ms: float | None = None,
) -> "list[dict[str, Any]]":
    """Return the jobs when `enough` of them are over or the time is up, in the order given.

    On Ctrl-C says how to come back, and raises KeyboardInterrupt.
    """
    import time

    began = time.monotonic()
    mode = "any" if enough < len(jobs) else "all"
    ids = [job["id"] for job in jobs]
    try:
        while sum(is_over(job) for job in jobs) < enough:
            waited = (time.monotonic() - began) * 1000
            left = _LONG_MS if limit_ms is None else limit_ms - waited
            if left <= 0:
                break
            streams.progress(_progress(jobs, waited / 1000))
            step = _STEP_MS if streams.is_watched else _LONG_MS
            asked = {"jobIds": ids, "mode": mode, "timeout": min(step, left)}
            jobs = client.call("console_wait_for_jobs", asked)["jobs"]
    except KeyboardInterrupt:
        detached(streams, ids)
        raise
    streams.progress("")
    return jobs


def is_over(subject: "Mapping[str, Any]") -> bool:
    """Whether a job has a terminal status, or a session is closed."""
    return subject["status"] not in _LIVE


def _progress(jobs: "list[dict[str, Any]]", waited: float) -> str:
    from console_automation.core.text import human_bytes, human_seconds

    still = [job for job in jobs if not is_over(job)]
    size = human_bytes(sum(job["output"]["bytes"] for job in still))
    about = line_of(still[0]) if len(still) == 1 else f"{len(still)} jobs are not over"
    return f"{about}, {size} of output; waiting for {human_seconds(waited)}"


def detached(streams: "Streams", ids: "list[str]") -> None:
    """Say that the jobs go on, and how to come back to them."""
    which = " ".join(ids)
    verb = "goes" if len(ids) == 1 else "go"
    streams.remark(f"\ndetached; it {verb} on. Come back: {_ways(ids[0], which)}")


def _ways(one: str, all: str) -> str:
    return f"job logs -f {one}   job wait {all}   job stop {all}"


def follow(client: "Client", streams: "Streams", job: "dict[str, Any]") -> int:
    """Show a job's output until it is over; returns the exit code that stands for its end."""
    try:
        if "children" in job:
            from console_automation.frontends.cli import groups

            groups.show(client, streams, job, lambda _: {}, follow=True)
        else:
            display = Display(streams)
            for page in pages(client, job["id"], {}, follow=True):
                display.show(page)
    except KeyboardInterrupt:
        detached(streams, [job["id"]])
        raise
    over: dict[str, Any] = client.call("console_get_job_status", {"jobId": job["id"]})["job"]
    if not streams.json:
        streams.remark(line_of(over))
    return outcome.of_job(over)


def pages(
    client: "Client",
    subject_id: str,
    options: "Mapping[str, Any]",
    *,
    follow: bool,
    wait_ms: int = _LONG_MS,
) -> "Iterator[dict[str, Any]]":
    """Yield the output of a job or a session page by page: what there is, then, if followed, what comes
    until its end. While nothing comes there is an empty page every `wait_ms`."""
    asked = {"maxBytes": _PAGE_BYTES, **options}
    read = page
    if "tail" in options:
        read = _last_matches if "grep" in options else _last_lines
    while True:
        found = read(client, subject_id, asked)
        yield found
        if not found["hasMore"] and (is_over(found) or not follow):
            return
        wait = 0 if found["hasMore"] else wait_ms
        asked = {**asked, "since": found["nextSince"], "waitMs": wait}
        asked.pop("tail", None)
        asked.pop("latest", None)
        read = page


def _last_lines(
    client: "Client", subject_id: str, options: "Mapping[str, Any]"
) -> "dict[str, Any]":
    """Return the last lines as a page, which is as large as they need, up to a bound."""
    asked = {**options, "limit": _MOST_CHUNKS}
    while True:
        found = page(client, subject_id, asked)
        begun = found["output"][0]["sequenceNumber"] if found["output"] else 0
        has_all = begun <= (found["firstAvailableSequence"] or 0)
        if has_all or _ends_in(found, "raw" in options) >= options["tail"]:
            return found
        if asked["maxBytes"] >= _MOST_BYTES:
            return found
        asked["maxBytes"] = min(asked["maxBytes"] * 8, _MOST_BYTES)


def _ends_in(found: "Mapping[str, Any]", raw: bool) -> int:
    """Return how many lines end in a page."""
    contents = (chunk["content"] for chunk in found["output"])
    return sum((a2b_base64(each) if raw else each.encode()).count(b"\n") for each in contents)


def _last_matches(
    client: "Client", subject_id: str, options: "Mapping[str, Any]"
) -> "dict[str, Any]":
    """Return the last lines that match as a page: a search comes to the end of a long output in
    several stretches, each with last lines of its own."""
    kept: deque[dict[str, Any]] = deque(maxlen=options["tail"])
    asked = {**options}
    while True:
        found = page(client, subject_id, asked)
        for chunk in found["output"]:
            kept.extend(_lines_of(chunk, raw="raw" in options))
        if not found["hasMore"]:
            return {**found, "output": list(kept)}
        asked["since"] = found["nextSince"]


def _lines_of(chunk: "Mapping[str, Any]", *, raw: bool) -> "Iterator[dict[str, Any]]":
    """Yield the whole lines that a search has put into a chunk, each as a chunk."""
    content = a2b_base64(chunk["content"]) if raw else chunk["content"].encode()
    for line in content.split(b"\n")[:-1]:
        whole = line + b"\n"
        text = b2a_base64(whole, newline=False) if raw else whole
        yield {**chunk, "content": text.decode()}


def page(client: "Client", subject_id: str, options: "Mapping[str, Any]") -> "dict[str, Any]":
    """Return a page of the output of a job or a session."""
    if subject_id.startswith("session-"):
        return client.call("console_get_output", {"sessionId": subject_id, "options": options})
    return client.call("console_get_job_output", {"jobId": subject_id, "options": options})


def tell_age(streams: "Streams", page: "Mapping[str, Any]", whose: str = "its worker") -> None:
    """Say of a page that it is old, if it is."""
    if "asOf" in page and not page["hasMore"]:
        streams.remark(f"{whose} cannot be reached; this is what it had told at {page['asOf']}")


class Display:
    """Prints pages of output, one after the other."""

    def __init__(self, streams: "Streams", *, raw: bool = False, timestamps: bool = False) -> None:
        self._streams = streams
        self._raw = raw
        self._timestamps = timestamps
        self._begins_line = True

    def show(self, page: "Mapping[str, Any]") -> None:
        """Print a page."""
        streams = self._streams
        if streams.json:
            streams.result(page)
        elif self._raw:
            for chunk in page["output"]:
                streams.raw(a2b_base64(chunk["content"]))
        elif self._timestamps:
            streams.text("".join(map(self._stamped, page["output"])))
        else:
            streams.text("".join([chunk["content"] for chunk in page["output"]]))
        streams.flush()
        if not streams.json:
            tell_age(streams, page)

    def _stamped(self, chunk: "Mapping[str, Any]") -> str:
        """Return the text of a chunk with its time before every line that begins in it."""
        lines = []
        for line in chunk["content"].splitlines(keepends=True):
            lines.append(f"{chunk['timestamp']} {line}" if self._begins_line else line)
            self._begins_line = line.endswith("\n")
        return "".join(lines)
