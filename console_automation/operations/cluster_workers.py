"""The use cases about the cluster's workers."""

import asyncio
import time
from dataclasses import replace

from console_automation.core.worker import Worker
from console_automation.engine.cluster import Cluster
from console_automation.engine.engine import Engine
from console_automation.engine.roster import Standing
from console_automation.errors import BadRequest, Conflict, Unavailable
from console_automation.operations import cluster_requests as ask
from console_automation.operations import cluster_views as view
from console_automation.operations.submission import Call, telling

_LISTEN_SECONDS = 5.0


async def list_workers(engine: Engine, call: Call, request: ask.ListWorkers) -> view.WorkerList:
    """Return every worker there is."""
    cluster = await _listening(engine)
    standings = cluster.roster.standings()
    return {"success": True, "workers": [view.worker_view(each) for each in standings]}


async def drain_worker(engine: Engine, call: Call, request: ask.DrainWorker) -> view.WorkerResult:
    """Have a worker take no more jobs, and wait until it has none; or take that back."""
    cluster = await _listening(engine)
    found = _found(cluster, request.host)
    if request.action == "forget":
        if found.is_live:
            raise Conflict(
                f"Worker {request.host} is alive; only one that is unreachable can be forgotten. Drain it"
                " and stop it first."
            )
        await cluster.roster.forget(request.host)
        return {"success": True, "worker": view.worker_view(found), "drained": _is_empty(found)}
    by = "" if request.action == "uncordon" else call.client
    await cluster.roster.change(request.host, lambda entry: _cordoned(entry, by, request.host))
    if request.action == "drain":
        wait = min(request.wait_ms, engine.settings.max_wait_ms) / 1000
        await telling(
            engine.settings,
            call,
            wait,
            _emptied(cluster, request.host, wait),
            lambda: f"{request.host} still has jobs",
        )
    found = _found(cluster, request.host)
    return {"success": True, "worker": view.worker_view(found), "drained": _is_empty(found)}


async def _listening(engine: Engine) -> Cluster:
    """Return the cluster when its workers are known. Raises Unavailable."""
    if engine.cluster is None:
        view.gateway_of(engine)  # says what is lacking
    cluster = engine.cluster
    assert cluster is not None
    try:
        async with asyncio.timeout(_LISTEN_SECONDS):
            await cluster.roster.listens.wait()
    except TimeoutError:
        raise Unavailable("The cluster cannot be reached (setting nats_url).") from None
    return cluster


def _found(cluster: Cluster, host: str) -> Standing:
    found = cluster.roster.get(host)
    if found is None:
        known = ", ".join(each.worker.host for each in cluster.roster.standings())
        raise BadRequest(
            f"host: there is no worker {host!r}. Known: {known or 'none'}.", field="host"
        )
    return found


def _cordoned(entry: Worker | None, by: str, host: str) -> Worker:
    if entry is None:
        raise BadRequest(f"host: there is no worker {host!r} any more.", field="host")
    return replace(entry, cordoned_by=by)


async def _emptied(cluster: Cluster, host: str, wait: float) -> None:
    """Return when a worker says that it has no job, or the time is up."""
    limit = time.monotonic() + wait
    while not _is_empty(_found(cluster, host)) and (left := limit - time.monotonic()) > 0:
        await cluster.roster.news.wait([host], enough=1, timeout=left)


def _is_empty(standing: Standing) -> bool:
    return standing.beat is not None and standing.beat.is_empty
