"""Print the daemon's figures: in Prometheus's text format, or with --json as the tool gives them.

Examples:
  job metrics | grep pending
  job metrics --json | jq .metrics.queueWaitMs
"""

from console_automation.frontends.cli import arguments, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `metrics` takes."""
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Print them."""
    if streams.json:
        streams.result(client.call("console_get_job_metrics", {}))
    else:
        streams.text(client.ask({"ask": "metrics"})["text"])
    return outcome.DONE
