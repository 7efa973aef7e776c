"""Write to the stdin of a running job that was started with --stdin or --tty.

Without TEXT, what comes on our own stdin is passed on, and at its end the job's stdin is closed
unless --open says otherwise.

Examples:
  job send repl 'print(6 * 7)'      a line; the newline is added
  job send --eof repl               close its stdin
  cat rows.csv | job send import
"""

import codecs
import os
import sys

from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_PIECE = 65_536  # bytes


def configure(parser: "ArgumentParser") -> None:
    """Say what `job send` takes."""
    add = parser.add_argument
    add("job", metavar="JOB", help=arguments.REFERENCE)
    add("text", nargs="?", metavar="TEXT", help="a line; default: what comes on stdin")
    add("--no-newline", action="store_true", help="send TEXT without a newline")
    add("--eof", action="store_true", help="close its stdin afterwards")
    add("--open", action="store_true", help="leave its stdin open when ours ends")
    arguments.take_json(parser)


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Write it."""
    job_id = arguments.job_of(client, given.job)["id"]
    if given.text is not None or given.eof:
        line = "" if given.text is None else given.text + "\n" * (not given.no_newline)
        _send(client, streams, job_id, line, eof=given.eof)
        return outcome.DONE
    for piece in _typed():
        _send(client, streams, job_id, piece, eof=False)
    if not given.open:
        _send(client, streams, job_id, "", eof=True)
    return outcome.DONE


def _typed() -> "Iterator[str]":
    """Yield what comes on stdin, as soon as it comes. Raises Failure when it is no text."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while data := os.read(sys.stdin.fileno(), _PIECE):
            yield decoder.decode(data)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise Failure("what comes on stdin is no UTF-8 text", outcome.USAGE) from None


def _send(client: "Client", streams: "Streams", job_id: str, text: str, *, eof: bool) -> None:
    asked = {"jobId": job_id, "input": text, "eof": eof}
    view = client.call("console_send_job_input", asked, once=True)
    if streams.json:
        streams.result(view)
    size = len(text.encode())
    if view["bytesAccepted"] < size:
        raise Failure(
            f"only {view['bytesAccepted']} of {size} bytes were taken: the job does not read its stdin"
        )
