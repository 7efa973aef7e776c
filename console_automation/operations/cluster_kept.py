"""The output of a job of the cluster as its record has it, for while its worker is away."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from console_automation.config import Settings
from console_automation.core.cluster_job import ClusterJob, Copy
from console_automation.core.output import Chunk, last_lines
from console_automation.core.text import iso
from console_automation.errors import Unavailable
from console_automation.operations import requests as ask
from console_automation.operations import views as view
from console_automation.operations.cluster_views import chunks_before


def kept_page(
    job: ClusterJob, settings: Settings, options: ask.OutputOptions
) -> view.OutputResult | None:
    """Return what was kept of the output that was asked for; None when a job that is not over has
    nothing of it, or not without a gap.

    Raises Unavailable when it cannot be had from what was kept.
    """
    told = job.outcome or job.copy
    if told is None:
        return None
    if options.raw or options.grep is not None:
        raise Unavailable(
            f"Worker {job.holder and job.holder.host}, which has the output of {job.id}, cannot be"
            " reached. The end of it was kept as text: ask without raw and grep."
        )
    before, ends = chunks_before(job), options.latest or options.tail is not None
    kept = numbered(told.tail, before)
    first = kept[0]["sequenceNumber"] if kept else None
    wanted = [
        each
        for each in kept
        if (options.latest or each["sequenceNumber"] > options.since)
        and options.stream in (None, each["type"])
    ]
    has_gap = first is not None and first > max(options.since, before) + 1
    if not job.is_over and (not wanted or (has_gap and not ends)):
        return None
    if options.tail is not None:
        wanted = _last_lines(wanted, options.tail)
    fitting = _fitting(wanted, settings, options, ends=ends)
    page = page_of(job, fitting, options.since)
    page["hasMore"] = not ends and len(fitting) < len(wanted)
    if first is None or first > before + 1:
        there = sum(len(each["content"].encode()) for each in kept)
        page["droppedBytes"] = max(0, told.job["output"]["bytes"] - there)
    page["firstAvailableSequence"] = first
    if isinstance(told, Copy):
        page["asOf"] = iso(told.at)
    return page


def has_read_all(job: ClusterJob, options: ask.OutputOptions) -> bool:
    """Whether the latest attempt has ended, and who reads on has all that it has printed."""
    if job.outcome is None:
        return False
    last: int = job.outcome.job["output"]["lastSequence"]
    return options.since >= last + (chunks_before(job) if last else 0)


def _last_lines(chunks: Iterable[Mapping[str, Any]], count: int) -> list[Any]:
    by_number = {each["sequenceNumber"]: each for each in chunks}
    found = last_lines(
        (Chunk(n, 0.0, each["type"], each["content"].encode()) for n, each in by_number.items()),
        count,
    )
    return [{**by_number[each.sequence], "content": each.data.decode()} for each in found]


def _fitting(
    chunks: Sequence[Any], settings: Settings, options: ask.OutputOptions, *, ends: bool
) -> tuple[Any, ...]:
    """Return those that fit into a page: the first, or the last where these were asked for."""
    most = options.limit or settings.output_page_chunks
    left = options.max_bytes or settings.output_page_bytes
    fitting: list[Any] = []
    for each in reversed(chunks) if ends else chunks:
        left -= len(each["content"].encode())
        if len(fitting) == most or (fitting and left < 0):
            break
        fitting.append(each)
    return tuple(reversed(fitting) if ends else fitting)


def page_of(job: ClusterJob, chunks: Sequence[Any], since: int) -> view.OutputResult:
    """Return chunks as the page after a cursor."""
    return {
        "success": True,
        "jobId": job.id,
        "output": list(chunks),
        "nextSince": chunks[-1]["sequenceNumber"] if chunks else since,
        "hasMore": False,
        "droppedBytes": 0,
        "firstAvailableSequence": chunks[0]["sequenceNumber"] if chunks else None,
        "status": job.status,
    }


def numbered(chunks: Iterable[Mapping[str, Any]], before: int) -> list[Any]:
    """Return chunks of an attempt as they are numbered among those of the job."""
    return [{**each, "sequenceNumber": each["sequenceNumber"] + before} for each in chunks]
