r"""Attach this terminal to a session, or to a job that was started with --tty: what it shows is shown
here, what you type goes there. Ctrl-\ detaches, and it goes on; so does closing this terminal.

Several terminals may be attached at once: all see the same, and all can type. Of a job without a terminal
`job logs -f` shows the output. Exit code: the program's own when it ends, 0 after detaching.

Examples:
  job attach                       the session that is open, if there is only one
  job attach build
  job attach --detach-key ctrl+] vim
"""

import os
import sys
from argparse import ArgumentTypeError

from console_automation.frontends.cli import arguments, following, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_DETACH_KEY = "ctrl+\\"
#: What other keys send too: enter, tab, the beginning of every special key.
_TAKEN = "[ijm"


def configure(parser: "ArgumentParser") -> None:
    """Say what `job attach` takes."""
    parser.add_argument(
        "session", nargs="?", metavar="SESSION", help=f"session or job: {arguments.REFERENCE}"
    )
    take_detach_key(parser)


def take_detach_key(parser: "ArgumentParser") -> None:
    """Have a command take the key that detaches."""
    parser.add_argument(
        "--detach-key",
        type=control_key,
        default=_DETACH_KEY,
        metavar="KEY",
        help=r"detach with this key; default ctrl+\ ",
    )


def control_key(name: str) -> tuple[str, bytes]:
    r"""Return a key such as `ctrl+]` with what a terminal sends for it. Raises ArgumentTypeError."""
    ctrl, _, key = name.lower().partition("+")
    is_one = len(key) == 1 and "@" <= key.upper() <= "_"
    if ctrl != "ctrl" or not is_one or key in _TAKEN:
        raise ArgumentTypeError(rf"{name!r} cannot be used; take one like ctrl+\, ctrl+] or ctrl+a")
    return f"ctrl+{key}", bytes([ord(key.upper()) & 0x1F])


def run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    """Attach."""
    check_terminal()
    reference = given.session
    subject = _the_open_one(client) if reference is None else _meant(client, reference)
    return attached(client, streams, subject, given.detach_key)


def check_terminal() -> None:
    """Raise Failure when this is no terminal to attach."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure(
            "stdin and stdout must be a terminal for this; without one there are `job logs -f`,"
            " `job session logs -f` and `job session screen`",
            outcome.USAGE,
        )


def attached(
    client: "Client", streams: "Streams", subject: "dict[str, Any]", key: "tuple[str, bytes]"
) -> int:
    """Attach to a session or a job until it is over or left; returns the exit code."""
    _check(subject)
    from console_automation.frontends.cli.attachment import Attachment

    is_job = "id" in subject
    subject_id = subject["id"] if is_job else subject["sessionId"]
    if not Attachment(client.home, subject_id, key[1]).run():
        streams.remark(f"detached; it goes on. Come back: job attach {subject_id}")
        return outcome.DONE
    if is_job:
        over = client.call("console_get_job_status", {"jobId": subject_id})["job"]
        streams.remark(following.line_of(over))
        return outcome.of_job(over)
    state = client.call("console_get_session_state", {"sessionId": subject_id})
    streams.remark(arguments.line_of(state["session"]))
    return outcome.of_session(state["session"])


def _check(subject: "dict[str, Any]") -> None:
    """Raise Failure when nobody can attach to it."""
    is_job = "id" in subject
    name = subject["id"] if is_job else subject["sessionId"]
    if os.environ.get("CONSOLE_AUTOMATION_RUN", "").rpartition(".")[0] == name:
        raise Failure("this terminal is the one that it would be attached to")
    if following.is_over(subject):
        logs = "job logs" if is_job else "job session logs"
        raise Failure(f"{arguments.line_of(subject)}; `{logs} {name}` shows what it has printed")
    if is_job and ("terminal" not in subject or "target" in subject):
        why = "is on another machine" if "target" in subject else "was started without --tty"
        raise Failure(
            f"{name} has no terminal here: it {why}. `job logs -f {name}` shows its output, `job send"
            f" {name} TEXT` writes to it if it was started with --stdin or --tty"
        )


def _the_open_one(client: "Client") -> "dict[str, Any]":
    """Return the only session that is open. Raises Failure."""
    found: list[dict[str, Any]] = client.call("console_list_sessions", {"closed": False})[
        "sessions"
    ]
    if not found:
        raise Failure("no session is open; `job session new` opens one", outcome.NOT_FOUND)
    if len(found) > 1:
        shown = "".join(f"\n  {arguments.line_of(each)}" for each in found)
        raise Failure(f"several sessions are open; say which:{shown}", outcome.USAGE)
    return found[0]


def _meant(client: "Client", reference: str) -> "dict[str, Any]":
    """Return the session or job that is meant. Raises Failure."""
    found, failures = [], []
    for find in (arguments.session_of, arguments.job_of):
        try:
            found.append(find(client, reference))
        except Failure as failure:
            failures.append(failure)
    exact = [each for each in found if _is_exact(each, reference)]
    several = [failure for failure in failures if failure.code != outcome.NOT_FOUND]
    if several and not exact:
        raise several[0]
    if not found:
        raise Failure(
            f"there is no session or job {reference!r}; see `job session ls --all` and `job list --all`",
            outcome.NOT_FOUND,
        )
    found = exact or found
    found = [each for each in found if not following.is_over(each)] or found
    if len(found) > 1:
        raise arguments.ambiguous(reference, found)
    return found[0]


def _is_exact(subject: "dict[str, Any]", reference: str) -> bool:
    subject_id: str = subject.get("id") or subject["sessionId"]
    return reference in (subject_id, subject_id.partition("-")[2], subject.get("name"))
