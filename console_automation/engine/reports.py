"""What jobs tell of themselves: read while they run, put on record, and judged when they are over.

A job made from a definition is given two files (`core.report`). What it appends to the one is taken
over into its journal, each line once: the entry says how far the file has been read, in the same
transaction. Of progress the journal has less and less the longer a run takes, and always the last. The
other one is its result, which has to match the definition's schema.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from console_automation.core.job import Cause, Channel, Contract, Exit, Job
from console_automation.core.report import Explained, Logged, Progress, Report, told
from console_automation.core.text import from_json
from console_automation.engine.json_schemas import mismatch
from console_automation.engine.ledger import Ledger
from console_automation.engine.waiters import Waiters
from console_automation.ports.machine import Clock
from console_automation.ports.runs import RunHost
from console_automation.ports.stores import Entry

_LOOK_SECONDS = 0.5
_PIECE = 65_536  #: bytes read at once
_LAST_PIECES = 16  #: read at the end of a job, at most
_MOST_LINES = 1_000  #: of a job's log that are kept
_PAUSE = 0.01  #: between two entries of progress, as a share of the time that a run has taken
_TOLD = ("Logged", "Progressed", "Explained")  #: the journal's entries
SHOWN_LINES = 20


@dataclass(slots=True, kw_only=True)
class _Reader:
    """How far a job's report has been read, and the end of what it said."""

    run_id: str
    since: float  #: when reading began
    at: int = 0
    lines: int = 0
    progress: Progress | None = None
    recorded: Progress | None = None  #: the progress that the journal has
    recorded_at: float = 0.0
    error: str | None = None  #: why the run is about to fail, in its own words
    log: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN_LINES))


class Reports:
    """Follows the live jobs that have a contract. `changes` hears of jobs that have told something."""

    def __init__(
        self, *, ledger: Ledger, host: RunHost, clock: Clock, changes: Waiters, result_limit: int
    ) -> None:
        self._ledger = ledger
        self._host = host
        self._clock = clock
        self._changes = changes
        self._result_limit = result_limit
        self._readers: dict[str, _Reader] = {}
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Look no more."""
        if self._timer:
            self._timer.cancel()

    async def resume(self, job: Job) -> None:
        """Follow a job that an earlier engine has followed so far."""
        if job.spec.contract is None:
            return
        # Before it is followed: a look in between would take over once more what is on record.
        told = await self._ledger.store.journal(job.id)
        reader = self._follow(job)
        if reader is not None:
            _recall(reader, told)

    def follow(self, job: Job) -> None:
        """Follow a job whose run is about to begin."""
        self._follow(job)

    def _follow(self, job: Job) -> _Reader | None:
        if job.spec.contract is None or job.run_id is None:
            return None
        former = self._readers.get(job.id)
        reader = self._readers[job.id] = self._reader(job)
        if former:  # of another attempt: its log goes on, its progress does not
            reader.lines, reader.log = former.lines, former.log
        self._look_again()
        return reader

    def _look_again(self) -> None:
        if self._timer is None and self._readers:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        for job_id in list(self._readers):
            self._note(job_id)
        self._look_again()

    def _note(self, job_id: str) -> None:
        """Take over what a live job has told since."""
        job = self._ledger.active(job_id)
        if job is None or job.is_terminal:
            del self._readers[job_id]
        elif job.is_live:
            self._take_over(job_id, self._readers[job_id])

    def _take_over(self, job_id: str, reader: _Reader) -> None:
        before, now = reader.at, self._clock.now()
        entries = self._read(job_id, reader)
        if now - reader.recorded_at >= _PAUSE * (now - reader.since):
            entries += self._progressed(job_id, reader)
        if entries:
            self._ledger.note(entries)
        if reader.at > before:
            self._changes.tell(job_id)

    def latest(self, job_id: str) -> Progress | None:
        """Return how far a live job is, as far as it has said so."""
        reader = self._readers.get(job_id)
        return reader.progress if reader else None

    async def told_by(self, job: Job) -> tuple[Progress | None, Sequence[str]]:
        """Return how far a job is or was, and the end of its log."""
        if job.spec.contract is None:
            return None, ()
        if job.id in self._readers:
            self._note(job.id)
        reader = self._readers.get(job.id)
        if reader is None:
            reader = self._reader(job)
            _recall(reader, await self._ledger.store.journal(job.id))
        return reader.progress, list(reader.log)

    def concluded(self, job: Job, exit: Exit) -> tuple[Report, list[Entry]]:
        """Return what a run that is over has left, and the journal's share of it."""
        contract = job.spec.contract
        if contract is None or job.run_id is None:
            return Report(), []
        reader = self._readers.setdefault(job.id, self._reader(job))
        entries = list[Entry]()
        for _ in range(_LAST_PIECES):
            before = reader.at
            entries += self._read(job.id, reader)
            if reader.at == before:
                break
        entries += self._progressed(job.id, reader)
        if exit.cause is Cause.EXIT and exit.code == 0:
            return self._result(job.run_id, contract), entries
        return Report(error=reader.error), entries

    def _reader(self, job: Job) -> _Reader:
        return _Reader(run_id=job.run_id or "", since=self._clock.now())

    # -- the progress file -------------------------------------------------------------------

    def _read(self, job_id: str, reader: _Reader) -> list[Entry]:
        """Read on, and return entries for what is new, but for the progress."""
        data = self._host.report(reader.run_id, Channel.PROGRESS, since=reader.at, max_bytes=_PIECE)
        whole = data[: data.rfind(b"\n") + 1] if data else b""
        if data and not whole and len(data) == _PIECE:
            whole = data  # one line that is longer than anything that makes sense
        reader.at += len(whole)
        lines, errors = list[str](), list[str]()
        for said in told(whole):
            match said:
                case Progress():
                    reader.progress = said
                case Logged():
                    lines.append(said.text)
                case Explained():
                    errors.append(said.text)
        entries = [
            self._entry(job_id, reader, "Logged", text=text) for text in self._kept(reader, lines)
        ]
        if errors:
            reader.error = errors[-1]
            entries.append(self._entry(job_id, reader, "Explained", text=reader.error))
        return entries

    def _kept(self, reader: _Reader, lines: Sequence[str]) -> list[str]:
        """Return those of new lines of the log that are kept."""
        kept = list(lines[: max(0, _MOST_LINES - reader.lines)])
        if len(kept) < len(lines) and reader.lines <= _MOST_LINES:
            kept.append(f"[more than {_MOST_LINES} lines; no further ones are kept]")
        reader.lines += len(lines)
        reader.log.extend(kept)
        return kept

    def _progressed(self, job_id: str, reader: _Reader) -> list[Entry]:
        """Return the entry for a progress that is not in the journal yet."""
        progress = reader.progress
        if progress is None or progress == reader.recorded:
            return []
        reader.recorded, reader.recorded_at = progress, self._clock.now()
        return [self._entry(job_id, reader, "Progressed", **_plain(progress))]

    def _entry(self, job_id: str, reader: _Reader, event: str, **data: Any) -> Entry:
        place = {"run": reader.run_id, "until": reader.at}
        return Entry(job_id=job_id, at=self._clock.now(), event=event, data={**place, **data})

    # -- the result --------------------------------------------------------------------------

    def _result(self, run_id: str, contract: Contract) -> Report:
        data = self._host.report(run_id, Channel.RESULT, max_bytes=self._result_limit + 1)
        schema = contract.output_schema
        if not data or not data.strip():
            if schema is None:
                return Report()
            return Report(
                mismatch="it exited with 0 but left no result: write one JSON document to the file"
                " that CONSOLE_AUTOMATION_RESULT names"
            )
        if len(data) > self._result_limit:
            return Report(mismatch=f"its result has more than {self._result_limit} bytes")
        try:
            value = from_json(data)
        except (ValueError, RecursionError) as error:
            return Report(mismatch=f"its result is no JSON document: {error}")
        wrong = mismatch(schema, value, "result") if schema is not None else None
        if wrong:
            return Report(mismatch=f"{wrong[0]} is not what outputSchema promises: {wrong[1]}")
        return Report(result=json.dumps(value, separators=(",", ":")))


def _plain(progress: Progress) -> dict[str, Any]:
    return {"done": progress.done, "total": progress.total, "message": progress.message}


def _recall(reader: _Reader, entries: Iterable[Entry]) -> None:
    """Bring a reader to where the journal says that the file has been read to."""
    for entry in entries:
        data = entry.data
        if entry.event == "Logged":
            reader.lines += 1
            reader.log.append(data["text"])
        if entry.event in _TOLD and data["run"] == reader.run_id:
            reader.at = max(reader.at, data["until"])
            if entry.event == "Progressed":
                reader.progress = reader.recorded = Progress(
                    done=data["done"], total=data["total"], message=data["message"]
                )
            elif entry.event == "Explained":
                reader.error = data["text"]
