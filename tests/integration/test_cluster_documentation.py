"""The configuration of NATS that docs/cluster.md shows is one under which gateway and worker can do what
they have to, with the rights that it gives them."""

import json
import re
from pathlib import Path

from tests.integration.clusters import as_worker, settings_of
from tests.integration.daemons import killable
from tests.integration.nats_server import NatsServer
from tests.waiting import until_now

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


class Documented(NatsServer):
    """A server with the configuration of the page, on a port and a disk of its own."""

    def configuration(self, port: int) -> str:
        found = re.search(r"```text\n# nats.conf\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        assert found
        text = found[1].replace("port: 4222", f"host: {self.host}\nport: {port}")
        text = text.replace("http: 127.0.0.1:8222\n", "")
        text = text.replace("/var/lib/nats", json.dumps(str(self.place / "store")))
        return text.replace('"$GATEWAY"', "one").replace('"$WORKER"', "two")


def test_gateway_and_worker_can_do_what_they_have_to_with_the_documented_rights(
    home: Path,
) -> None:
    server = Documented(home / "nats")
    try:
        server.start()
        shared = settings_of(server)
        gateway = {"nats_user": "gateway", "nats_password": "one"}
        worker = as_worker("w", nats_user="worker", nats_password="two")
        with (
            killable(home / "worker", **shared, **worker),
            killable(home / "gateway", **shared, **gateway) as daemon,
        ):
            until_now(lambda: daemon.call("console_list_workers")["workers"], "the worker")
            options = {"target": "w", "keepStdin": True}
            begun = daemon.call("console_execute_async", command="cat", options=options)
            daemon.running(begun["jobId"])
            daemon.call("console_send_job_input", jobId=begun["jobId"], input="hello\n", eof=True)
            assert daemon.over(begun["jobId"])["status"] == "completed"
            assert daemon.output(begun["jobId"]) == "hello\n"
            some = daemon.call(
                "console_execute_async", command="sleep 99", options={"target": "_any"}
            )
            daemon.running(some["jobId"])
            daemon.cancel(some["jobId"])
            assert daemon.over(some["jobId"])["status"] == "cancelled"
        assert "authorization" in server.configuration(1)
        assert "Violation" not in server.log.read_text()
    finally:
        server.kill()
