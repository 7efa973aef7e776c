"""Run the daemon in the foreground, with HTTP: MCP, /metrics and /healthz on the loopback address.

The address is that of the settings http_host and http_port; the bearer token is in the file that is
named at the start.

Examples:
  console-automation serve --http --port 8471
"""

from pathlib import Path

from console_automation import paths
from console_automation.frontends.cli import outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `serve` takes."""
    parser.add_argument("--http", action="store_true", help="serve MCP and figures over HTTP")
    parser.add_argument(
        "--port", type=int, metavar="N", help="port to listen on; 0 takes a free one"
    )


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Serve until it is told to end."""
    if not given.http:
        raise Failure(
            "say --http; without it, `console-automation daemon run` is what you want",
            outcome.USAGE,
        )
    from console_automation.frontends import daemon

    overrides: dict[str, object] = {"http": True}
    if given.port is not None:
        overrides["http_port"] = given.port
    streams.remark(f"token: {paths.home()}/http-token")
    daemon.main(Path(paths.home()), overrides, ready=None)
