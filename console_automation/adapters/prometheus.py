"""The figures that Prometheus scrapes, fed by the stream of changes. Names are stable; labels are
bounded: a status, a reason, an outcome, never anything a client wrote."""

from collections import Counter as Counts
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from console_automation.core import lifecycle
from console_automation.core.census import by_status, dead_letters
from console_automation.core.job import Exit, Job, Status
from console_automation.core.messages import Message
from console_automation.core.session import Session, SessionCommand, SessionPhase
from console_automation.core.worker import WorkerStatus
from console_automation.engine.cluster import Cluster, Workload
from console_automation.engine.engine import Engine
from console_automation.engine.feed import Change
from console_automation.engine.gateway import Gateway
from console_automation.engine.notifications import Outcome

_PREFIX = "console_automation"
_WAIT_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3600)
_RUN_BUCKETS = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
_COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2)


class Metrics:
    """One registry for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.registry = CollectorRegistry()
        self._submitted = self._counter("jobs_submitted", "Jobs accepted.")
        self._ended = self._counter(
            "jobs_ended", "Jobs that reached a terminal status.", "status", "reason"
        )
        self._starts = self._counter("runs_started", "Runs handed to a shim.")
        self._recovered = self._counter(
            "runs_recovered", "Runs whose fate was found out after a crash.", "outcome"
        )
        self._printed = self._counter("output_bytes", "Bytes printed by runs that have ended.")
        self._dropped = self._counter("output_dropped_bytes", "Bytes of these not retained.")
        self._leftovers = self._counter(
            "leftover_processes", "Processes that outlived their command.", "fate"
        )
        self._wait = self._histogram(
            "queue_wait_seconds", "From acceptance to the first start.", _WAIT_BUCKETS
        )
        self._run = self._histogram(
            "run_seconds", "From start to end of the last run.", _RUN_BUCKETS
        )
        self._commit = self._histogram(
            "store_commit_seconds", "Duration of a commit of the store.", _COMMIT_BUCKETS
        )
        self._opened = self._counter("sessions_opened", "Sessions opened.")
        self._closed = self._counter(
            "sessions_closed", "Sessions that were closed, by why.", "closing"
        )
        self._commands = self._counter(
            "session_commands", "Commands in sessions that have ended.", "status"
        )
        self._notified = self._counter(
            "notification_attempts", "Attempts to deliver a notification.", "channel", "outcome"
        )
        self.registry.register(_Now(engine))
        if engine.cluster is not None:
            self.registry.register(_InCluster(engine.cluster))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        engine.jobs.ledger.feed.listen(self._changed)
        engine.consoles.feed.listen(self._session_changed)
        engine.consoles.executions.listen(self._command_ended)
        engine.notifications.listen(self._attempted)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def committed(self, seconds: float) -> None:
        """The store has committed."""
        self._commit.observe(seconds)

    def _changed(self, change: Change) -> None:
        job = change.after
        if change.before is None:
            self._submitted.inc()
        for event in change.events:
            if isinstance(event, lifecycle.Picked):
                self._picked(job, event)
            elif isinstance(event, lifecycle.Exited):
                self._exited(event.exit)
            elif isinstance(event, lifecycle.Lost):
                self._recovered.labels(event.reason.value).inc()
            elif isinstance(event, lifecycle.NotStarted):
                self._recovered.labels("not_started").inc()
        if job.is_terminal:
            self._ended.labels(job.status.value, job.reason.value if job.reason else "").inc()
            if job.duration is not None:
                self._run.observe(job.duration)

    def _picked(self, job: Job, event: lifecycle.Picked) -> None:
        self._starts.inc()
        if job.dispatches == 1:
            self._wait.observe(max(0.0, event.at - job.spec.created_at))

    def _exited(self, exit: Exit) -> None:
        self._printed.inc(exit.output.bytes)
        self._dropped.inc(exit.output.dropped_bytes)
        for left in exit.leftovers:
            self._leftovers.labels("ended" if left.ended else "alive").inc()

    def _session_changed(self, session: Session) -> None:
        if session.closing is not None:
            self._closed.labels(session.closing.value).inc()
        elif session.phase is SessionPhase.OPENING and len(session.sizes) == 1:
            self._opened.inc()

    def _command_ended(self, command: SessionCommand) -> None:
        self._commands.labels(command.status.value).inc()

    def _attempted(self, message: Message, outcome: Outcome) -> None:
        self._notified.labels(message.channel.value, outcome.value).inc()

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"{_PREFIX}_{name}", help, labels, registry=self.registry)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{_PREFIX}_{name}", help, buckets=buckets, registry=self.registry)


class _Now(Collector):
    """What is the case at the moment of the scrape."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        jobs = self._engine.jobs
        by_status = GaugeMetricFamily(
            f"{_PREFIX}_jobs", "Jobs on record, by status.", labels=["status"]
        )
        for status in Status:
            by_status.add_metric([status.value], jobs.ledger.counts[status])
        yield by_status
        queue = jobs.dispatcher.queue
        gauges = {
            "running": ("Slots taken by live runs.", queue.live),
            "queued": ("Jobs ready and waiting for a slot.", len(queue)),
            "slots": ("Runs that may be live at once.", queue.total),
            "shim_failures": (
                "Breakdowns of the launcher since the start.",
                jobs.observer.failures,
            ),
            "sessions_open": ("Sessions that are not closed.", len(self._engine.consoles.live)),
        }
        for name, (help, value) in gauges.items():
            yield _gauge(name, help, value)
        shims = GaugeMetricFamily(f"{_PREFIX}_shims", "Shims, by what they do.", labels=["state"])
        for state, count in jobs.host.capacity.items():
            shims.add_metric([state], count)
        yield shims


class _InCluster(Collector):
    """How the cluster stands as far as this machine has heard, and what this machine does in it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def collect(self) -> Iterator[Metric]:
        """Yield what is known as a gateway, and as a worker."""
        cluster = self._cluster
        yield _gauge(
            "cluster_connected",
            "Whether the cluster could be reached a moment ago.",
            cluster.bus.is_connected,
        )
        if cluster.gateway is not None:
            yield from self._as_gateway(cluster.gateway)
        if cluster.workload is not None:
            yield from self._as_worker(cluster.workload)

    def _as_gateway(self, gateway: Gateway) -> Iterator[Metric]:
        workers = GaugeMetricFamily(
            f"{_PREFIX}_cluster_workers", "Workers, by how they stand.", labels=["standing"]
        )
        found = Counts(each.status for each in gateway.roster.standings())
        for standing in WorkerStatus:
            workers.add_metric([standing.value], found[standing])
        yield workers
        jobs = GaugeMetricFamily(
            f"{_PREFIX}_cluster_jobs",
            "Jobs of the cluster, by status; one for several workers is one.",
            labels=["status"],
        )
        counts = by_status(gateway.jobs)
        for status in Status:
            jobs.add_metric([status.value], counts[status])
        yield jobs
        yield _gauge(
            "cluster_dead_letters",
            "Jobs of the cluster that were given up and not run again.",
            len(dead_letters(gateway.jobs)),
        )

    def _as_worker(self, workload: Workload) -> Iterator[Metric]:
        yield _gauge("worker_held", "Jobs of the cluster that this worker has.", workload.held)
        yield _gauge(
            "worker_untold", "Of these, over and not yet so in their records.", workload.untold
        )
        for name, help, value in (
            ("claims", "Jobs of the cluster that this worker has taken.", workload.claims),
            ("refusals", "Of these, given back before they began.", workload.refusals),
        ):
            yield CounterMetricFamily(f"{_PREFIX}_worker_{name}", help, value=value)


def _gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", help, value=value)
