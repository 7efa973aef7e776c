"""Pulling from a consumer over a connection that ends meanwhile."""

from pathlib import Path

from console_automation.adapters.nats.live import Live, OnlyClient
from console_automation.adapters.nats.pull import Pull
from tests.integration.nats_server import running_nats_server


async def test_to_cease_while_the_connection_ends_is_no_error_of_the_library(
    tmp_path: Path,
) -> None:
    with running_nats_server(tmp_path / "nats") as server:
        client = OnlyClient(wants_tls=False)
        await client.connect(servers=[server.url], allow_reconnect=False)
        live = Live(client)
        async with Pull(live, "stream", "consumer"):
            await client.close()  # and nobody has told so yet
        assert not live.closed.is_set()
