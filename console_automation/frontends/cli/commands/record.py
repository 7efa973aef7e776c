"""Write what a session has printed so far as an asciicast, which asciinema plays.

Examples:
  console-automation record session-01kb… demo.cast
  asciinema play -i 2 demo.cast
"""

import sys

from console_automation.frontends.cli import outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client


def configure(parser: "ArgumentParser") -> None:
    """Say what `record` takes."""
    parser.add_argument("session", metavar="SESSION", help="its id")
    parser.add_argument("file", nargs="?", metavar="FILE", help="default: the output")


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Write it."""
    answers = client.stream({"ask": "recording", "sessionId": given.session})
    answer = next(answers)
    if "error" in answer:  # there is nothing to make a file for
        raise Failure(answer["error"], outcome.OF_REFUSAL.get(answer["code"], outcome.REFUSED))
    file = open(given.file, "w", encoding="ascii") if given.file else sys.stdout  # noqa: SIM115
    try:
        file.write(answer.get("line", ""))
        for answer in answers:
            file.write(answer.get("line", ""))
    finally:
        if given.file:
            file.close()
    return outcome.DONE
