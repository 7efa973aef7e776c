"""Serve MCP on stdin and stdout, through the daemon. This is what an AI client starts.

Examples:
  claude mcp add --scope user console -- console-automation mcp
"""

from console_automation import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """It takes nothing."""


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Carry lines until the client closes its end."""
    from console_automation.frontends import bridge

    return bridge.main(paths.home())
