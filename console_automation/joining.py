"""Joining a cluster: from the settings to this machine's part in it. NATS is imported only then."""

import platform
from collections.abc import Callable

from console_automation.adapters.nats.access import Access
from console_automation.config import Settings
from console_automation.core.cluster_names import JOB_IDS
from console_automation.core.seal import SHORTEST_KEY
from console_automation.core.target import checked_host, parse_labels
from console_automation.engine.cluster import Cluster
from console_automation.engine.cluster_book import ClusterBook
from console_automation.engine.gateway import Gateway
from console_automation.engine.roster import Roster
from console_automation.errors import BadRequest
from console_automation.ports.cluster import ClusterBus
from console_automation.ports.machine import Clock

_CLUSTER_NAME = "cluster_name"


def cluster_of(
    settings: Settings, clock: Clock, *, new_ulid: Callable[[], str], bus: ClusterBus | None = None
) -> Cluster | None:
    """Return this machine's part in the cluster, None when it is alone. Raises BadRequest."""
    if not settings.nats_url:
        return None
    key = _key(settings)
    bus = bus or _bus(settings)
    lease = settings.cluster_lease_ms / 1000
    book = ClusterBook(bus.jobs, key, retain=settings.cluster_retain_ms / 1000)
    roster = Roster(bus, key, lease=lease)
    gateway = None
    if settings.cluster_gateway:
        gateway = Gateway(
            bus=bus,
            book=book,
            roster=roster,
            clock=clock,
            key=key,
            lost_after=max(lease, settings.cluster_lost_ms / 1000),
            new_id=lambda: JOB_IDS + new_ulid(),
        )
    return Cluster(bus=bus, book=book, roster=roster, gateway=gateway, key=key)


def _key(settings: Settings) -> bytes:
    if len(settings.cluster_key) < SHORTEST_KEY:
        raise BadRequest(
            f"setting cluster_key: a cluster (nats_url) needs a secret of at least {SHORTEST_KEY}"
            " characters, the same on all its machines, as from `openssl rand -hex 32`.",
            field="cluster_key",
        )
    return settings.cluster_key.encode()


def _bus(settings: Settings) -> ClusterBus:
    try:
        from console_automation.adapters.nats.bus import NatsBus
    except ImportError:
        raise _no_library() from None
    return NatsBus(
        _name(settings),
        _access(settings),
        lease=settings.cluster_lease_ms / 1000,
        max_bytes=settings.cluster_max_bytes,
    )


def _no_library() -> BadRequest:
    return BadRequest(
        "setting nats_url: the cluster needs the library nats-py: pip install"
        " 'console-automation[cluster]'.",
        field="nats_url",
    )


def _access(settings: Settings) -> Access:
    return Access(
        servers=tuple(settings.nats_url.split()),
        user=settings.nats_user or None,
        password=settings.nats_password or None,
        nkey_seed_file=settings.nats_nkey_file or None,
        tls_ca=settings.nats_ca_file or None,
        tls_certificate=settings.nats_certificate_file or None,
        tls_key=settings.nats_key_file or None,
    )


def examine_cluster(settings: Settings) -> list[tuple[str, bool, str]]:
    """Return what the doctor says of the cluster: what was looked at, whether it is in order, what was
    seen."""
    try:
        _key(settings)
        found = [("cluster key", True, "set, and long enough")]
    except BadRequest as error:
        found = [("cluster key", False, error.message)]
    try:
        from console_automation.adapters.nats import examination
    except ImportError:
        return [*found, ("nats", False, _no_library().message)]
    return [
        *found,
        ("nats", *examination.server(_access(settings))),
        ("nats disk", *examination.disk(settings.nats_monitor_url)),
    ]


def _name(settings: Settings) -> str:
    try:
        name = checked_host(settings.cluster_name)
    except ValueError as error:
        raise BadRequest(f"setting cluster_name: {error}", field=_CLUSTER_NAME) from None
    if "." in name:
        raise BadRequest("setting cluster_name: must not have a dot", field=_CLUSTER_NAME)
    return name


def worker_host(settings: Settings) -> str:
    """Return this worker's host name. Raises BadRequest."""
    try:
        return checked_host(settings.worker_host or platform.node())
    except ValueError as error:
        raise BadRequest(f"setting worker_host: {error}", field="worker_host") from None


def worker_labels(settings: Settings) -> dict[str, str]:
    """Return this worker's labels. Raises BadRequest."""
    try:
        return parse_labels(settings.worker_labels)
    except ValueError as error:
        raise BadRequest(f"setting worker_labels: {error}", field="worker_labels") from None
