"""Start a background job and print its id.

One word is a line for the shell; several words, or what comes after --, are a program and its
arguments, which no shell sees. The job runs here (or in --dir) with this shell's environment, and
without a time limit unless -t sets one. It goes on when this terminal is closed.

Examples:
  job run 'make -j4 test 2>&1 | tee log'       a shell line
  job run -n train -t 12h -- python train.py   a program, named, ended after 12 hours
  job run -w pytest -q                         wait; exit with pytest's exit code
  job run --after build 'make install'         once the job named build has completed
  job run -k nightly-2026-11-26 ./backup.sh    the same key again returns the same job
  dump | job run --input - psql                feed it up to 1 MiB, then the end of its stdin
  job run --target _any -- make release        in the cluster, on the worker that has room
  job run --target group:web.dev -w 'df -h'    on every worker with that label
"""

import os
import sys

from console_automation.frontends.cli import arguments, following, outcome
from console_automation.frontends.cli.outcome import Failure
from console_automation.frontends.cli.streams import fitting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_MOST_INPUT = 1 << 20  #: bytes


def configure(parser: "ArgumentParser") -> None:
    """Say what `job run` takes."""
    add, duration = parser.add_argument, arguments.duration
    add("-n", "--name", help="a name for it, unique in the project while it is active")
    add("-t", "--timeout", type=duration, metavar="TIME", help="end it after 30s, 5m, 1h, 7d")
    add("-d", "--dir", metavar="DIR", help="run it there; default: here")
    add("-k", "--key", help="start it once: the same key and command again return the first job")
    add("-p", "--priority", type=int, metavar="1-10", help="10 runs first; default 5")
    add(
        "-s", "--session", metavar="SESSION", help="group with a cap of its own, or an open session"
    )
    arguments.take_pairs(parser, "-e", "--env", help="set a variable; may be repeated")
    add(
        "--target",
        metavar="TARGET",
        help="run it in the cluster: _any worker, _all, a host, or group:web.dev for a label. It runs in"
        " the worker's home unless --dir says otherwise, with the worker's environment and --env",
    )
    add("--after", action="append", metavar="JOB", default=[], help="start when JOB has completed")
    add("--retry", type=int, metavar="N", help="try up to N times if it fails, with growing pauses")
    add("--stdin", action="store_true", help="keep its stdin open for `job send`")
    add("--input", metavar="FILE", help="feed it this file as stdin; - is our own stdin")
    add("--tty", action="store_true", help="run it on a terminal; see `job attach`")
    arguments.take_pairs(parser, "--tag", help="to find it by; may be repeated")
    add(
        "--notify",
        type=_receiver,
        action="append",
        metavar="LINE",
        default=[],
        help="shell line to run at its end (sees $JOB_ID, $JOB_STATUS), URL to post to, or"
        " mailto:ADDRESS; may be repeated",
    )
    following.configure(parser)
    arguments.take_json(parser)
    add("command", nargs="...", metavar="COMMAND", help="a shell line, or a program and arguments")


def parse(parser: "ArgumentParser", words: list[str]) -> "Namespace":
    """Parse a command line. Options may also stand behind a quoted shell line."""
    given = parser.parse_args(words)
    rest: list[str] = given.command
    if rest[:1] != ["--"] and len(rest) > 1 and any(map(str.isspace, rest[0])):
        given = parser.parse_args([*words[: len(words) - len(rest)], *rest[1:], rest[0]])
        if len(given.command) > 1:
            parser.error(
                "behind a quoted line there can only be options; a program that has a space in its"
                " name comes after --"
            )
    if given.command in ([], ["--"]):
        parser.error("say what to run, as in: job run 'make test'")
    return given


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Submit the job; wait for it or follow it if asked to."""
    request = request_of(given, client)
    started = client.call("console_execute_async", request)
    job: dict[str, Any] = started["job"]
    if streams.json and not (given.wait or given.follow):
        streams.result(started)
        return outcome.DONE
    return following.started(given, client, streams, job)


def request_of(given: "Namespace", client: "Client") -> "dict[str, Any]":
    """Return the arguments of the tool that starts the job."""
    wanted = {
        "name": given.name,
        "target": given.target,
        "timeout": given.timeout or 0,
        "workingDirectory": given.dir and os.path.abspath(given.dir),
        "priority": given.priority,
        "sessionId": given.session,
        "environment": dict(given.env),
        "tags": dict(given.tag),
        "dependsOn": [arguments.job_of(client, need)["id"] for need in given.after],
        "retry": None if given.retry is None else {"maxAttempts": given.retry},
        "notify": given.notify,
        "keepStdin": given.stdin or None,
        "stdin": None if given.input is None else _content(given.input),
        "terminal": _terminal() if given.tty else None,
        # Without a key of the caller's, one of our own: asked again after the daemon's death, the
        # next daemon knows the job.
        "idempotencyKey": f"cli:{os.getpid()}:{os.urandom(12).hex()}"
        if given.key is None
        else given.key,
    }
    return {**arguments.command_of(given.command), "options": arguments.present(wanted)}


def _receiver(text: str) -> dict[str, str]:
    """Return who is told of the job's end."""
    if text.startswith(("https://", "http://")):
        return {"webhook": text}
    if text.startswith("mailto:"):
        return {"email": text.removeprefix("mailto:")}
    return {"command": text}


def _terminal() -> dict[str, int]:
    """Return the size of our own terminal, or of a usual one."""
    import shutil

    cols, rows = fitting(*shutil.get_terminal_size((120, 32)))
    return {"cols": cols, "rows": rows}


def _content(path: str) -> str:
    if path == "-":
        data = sys.stdin.buffer.read(_MOST_INPUT + 1)
    else:
        with open(path, "rb") as file:
            data = file.read(_MOST_INPUT + 1)
    if len(data) > _MOST_INPUT:
        raise Failure(
            f"--input {path}: it has more than 1 MiB; pass its path instead, or start the job with"
            " --stdin and feed it with `job send`",
            outcome.USAGE,
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Failure(
            f"--input {path}: it is no UTF-8 text; pass its path instead", outcome.USAGE
        ) from None
