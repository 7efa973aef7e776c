"""Run a worker of the cluster in the foreground: a daemon that takes jobs from NATS and runs them here.

It is this machine's ordinary daemon: `job` and MCP clients on it see its jobs too. It needs the settings
nats_url and cluster_key, in config.toml or the environment. When it is stopped, running jobs go on, and the
next start takes them up; drain it first (`job workers drain HOST`) to have it empty.

Examples:
  console-automation worker
  console-automation worker --label group=web.dev.us-east --label zone=a
  console-automation worker --host build-1 --slots 8
"""

from pathlib import Path

from console_automation import paths
from console_automation.frontends.cli import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `console-automation worker` takes."""
    parser.add_argument(
        "--host", metavar="NAME", help="name in the cluster; default: the machine's"
    )
    arguments.take_pairs(parser, "--label", help="for targets, as group=web.dev; may be repeated")
    parser.add_argument("--slots", type=int, metavar="N", help="jobs that run at once; default 10")


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Run it until it is told to end."""
    from console_automation.frontends import daemon

    wanted: dict[str, Any] = {"cluster_worker": True}
    if given.host is not None:
        wanted["worker_host"] = given.host
    if given.label:
        wanted["worker_labels"] = " ".join(f"{name}={value}" for name, value in given.label)
    if given.slots is not None:
        wanted["max_concurrent_jobs"] = given.slots
    daemon.main(Path(paths.home()), wanted, ready=None)
