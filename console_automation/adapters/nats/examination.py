"""What the doctor wants to know of the NATS servers: are they there, and do they keep what they say?"""

import asyncio
import json
from urllib.request import urlopen

from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.connection import TROUBLE, report
from console_automation.adapters.nats.live import Live, OnlyClient

OLDEST = (2, 11)  #: that forgets each record after a time of its own
_SECONDS = 5


def server(access: Access) -> tuple[bool, str]:
    """Whether a server can be reached that has what the cluster needs, and what was seen."""
    return asyncio.run(_server(access))


async def _server(access: Access) -> tuple[bool, str]:
    client = OnlyClient(wants_tls=access.wants_tls)
    try:
        await client.connect(
            **access.options(),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            connect_timeout=_SECONDS,
            error_cb=report,
        )
        version = client.connected_server_version
        about = f"version {version.major}.{version.minor}.{version.patch}"
        if (version.major, version.minor) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            return False, f"{about}: the cluster needs {oldest} or later; upgrade the server"
        await Live(client).api("INFO")
    except TROUBLE as error:
        if client.is_connected:
            return False, f"{about}: no JetStream for us: {error} Have jetstream in its settings"
        return False, f"{', '.join(access.servers)} cannot be reached: {error}"
    finally:
        await client.close()
    return True, f"{about}, with JetStream"


def disk(monitor: str) -> tuple[bool, str]:
    """Whether what a server acknowledges is on its disk, by its monitoring port, and what was seen."""
    if not monitor:
        return True, "not known whether writes are forced to it: set nats_monitor_url"
    if not monitor.startswith(("http://", "https://")):
        return (
            False,
            f"setting nats_monitor_url: {monitor!r} does not begin with http:// or https://",
        )
    try:
        with urlopen(f"{monitor.rstrip('/')}/varz", timeout=_SECONDS) as answer:
            settings = json.load(answer)["jetstream"]["config"]
    except (OSError, ValueError) as error:
        return False, f"{monitor} does not tell (setting nats_monitor_url): {error}"
    except (LookupError, TypeError):
        return False, f"{monitor} tells of no JetStream (setting nats_monitor_url)"
    if settings.get("sync_always"):
        return True, "every write is forced to it before it is acknowledged"
    return False, (
        f"a crash of the server's machine loses what was acknowledged in the last"
        f" {settings.get('sync_interval', 0) / 1e9:.0f} s: set sync_interval: always in jetstream {{}}"
        " of its settings, and restart it"
    )
