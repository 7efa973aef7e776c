"""Sessions: terminals with a program on them, which outlive this one. A shell keeps its directory and
variables from one command to the next.

Without a command it lists those that are open. SESSION is an id, the beginning of one, or a name.

Examples:
  job session new -n build                    the shell, here; prints its id
  job session exec build 'cd src && make'     its output; exits with its exit code
  job session new -n py python3
  job session send py 'print(6 * 7)'
  job session screen py
  job attach build                            sit down at it
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

_POLICIES = ("accept_new", "ask", "strict", "off")


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    parser.set_defaults(run=_ls, all=False)
    arguments.take_commands(
        parser,
        ("new", _new, _take_new, "open one", "-n db --attach psql"),
        ("ls", _ls, _take_ls, "list them, newest first", "--all"),
        ("exec", _exec, _take_exec, "execute a command in its shell", "build make -j4"),
        ("send", _send, _take_send, "type text and press enter", "py 'print(6 * 7)'"),
        ("key", _key, _take_key, "press keys", "build ctrl+c"),
        ("screen", _screen, take_session, "show what is on its screen", "build"),
        ("logs", _logs, _take_logs, "show what it has printed, or follow it", "-f build"),
        ("resize", _resize, _take_resize, "give its terminal another size", "build 120 40"),
        ("stop", _stop, _take_stop, "close them, and end every process in them", "build"),
        about=_ABOUT,
    )


#: What there is to say of a command beside its one line.
_ABOUT = {
    "new": "Open a session and print its id. Without COMMAND it is your shell; one word is a line for the"
    "\nshell; several words, or what comes after --, are a program and its arguments. It starts here (or in"
    "\n--dir) with this shell's environment and this terminal's size.",
    "exec": "Execute a command in a session's shell, print its output, and exit with its exit code. What it"
    "\nchanges in the shell stays: directory, variables, functions. Ctrl-C leaves it running. Without"
    "\nCOMMAND it is the latest one: its output from the beginning, and its exit code.",
    "send": "Type text into a session and press enter. Without TEXT it is what comes on stdin. Several"
    "\nlines go as one paste.",
    "key": "Press keys in a session, one after the other: enter, tab, up, f5, ctrl+c, alt+x, ...",
    "logs": "Show what a session has printed, without control sequences. Of full-screen programs `screen`"
    "\nshows more.",
    "stop": "Close sessions: each terminal hangs up, and what is left after a grace is killed. The output"
    "\nstays readable for a day.",
}


def take_session(parser: "ArgumentParser") -> None:
    """Have a command take the session that it is about."""
    parser.add_argument("session", metavar="SESSION", help=arguments.REFERENCE)


def _id(given: "Namespace", client: "Client") -> str:
    session_id: str = arguments.session_of(client, given.session)["sessionId"]
    return session_id


# -- opening -----------------------------------------------------------------------------------


def _take_new(parser: "ArgumentParser") -> None:
    from console_automation.frontends.cli.commands.attach import take_detach_key

    add = parser.add_argument
    add("-n", "--name", help="a name to find it by")
    add("-d", "--dir", metavar="DIR", help="start there; default: here")
    arguments.take_pairs(parser, "-e", "--env", help=None)
    add(
        "--shell", metavar="KIND", help="bash, zsh, sh, fish; when the program's name does not tell"
    )
    add("-A", "--attach", action="store_true", help="attach this terminal to it at once")
    take_detach_key(parser)
    add("--ssh", metavar="MACHINE", help="open it on another machine, as ssh knows it")
    add("--user", help="there")
    add("--port", type=int, metavar="N", help="there")
    add("--identity", metavar="FILE", help="the key to offer")
    add("--jump", metavar="HOSTS", help="go through these: [user@]host[:port],...")
    add(
        "--known-hosts", choices=_POLICIES, help="what to do about unknown keys; default accept_new"
    )
    add("command", nargs="...", metavar="COMMAND", help="a shell line, or a program and arguments")


def _new(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli.commands import attach

    if given.attach:
        attach.check_terminal()
    created = client.call("console_create_session", _request_of(given), once=True)
    session_id: str = created["sessionId"]
    if given.attach:
        session = client.call("console_get_session_state", {"sessionId": session_id})["session"]
        return attach.attached(client, streams, session, given.detach_key)
    if streams.json:
        streams.result(created)
        return outcome.DONE
    streams.line(session_id)
    if created["status"] == "closed":
        streams.remark(f"it has ended already; its output: job session logs {session_id}")
    elif not created["ready"]:
        streams.remark(f"it is not at a prompt yet; look: job session screen {session_id}")
    else:
        handle = following.handle({"id": session_id, "name": given.name or ""})
        streams.remark(f"open; job session exec {handle} LINE   job attach {handle}")
    return outcome.DONE


def _request_of(given: "Namespace") -> "dict[str, Any]":
    """Return the arguments of the tool that opens the session."""
    ssh = {
        "host": given.ssh,
        "user": given.user,
        "port": given.port,
        "identityFile": given.identity and os.path.abspath(os.path.expanduser(given.identity)),
        "jumpHost": given.jump,
        "knownHostsPolicy": given.known_hosts,
    }
    if given.ssh is None and arguments.present(ssh):
        raise Failure("--user, --port and the like are about the host of --ssh", outcome.USAGE)
    options = {
        "name": given.name,
        "cwd": given.dir and os.path.abspath(given.dir),
        "environment": dict(given.env),
        "shell": given.shell,
        "ssh": arguments.present(ssh),
        **_own_size(),
    }
    return {**arguments.command_of(given.command), "options": arguments.present(options)}


def _own_size() -> "dict[str, int]":
    """Return the size of our terminal, if we have one and a session can have it."""
    for stream in (sys.stdout, sys.stdin, sys.stderr):
        if stream.isatty():
            cols, rows = fitting(*os.get_terminal_size(stream.fileno()))
            return {"cols": cols, "rows": rows}
    return {}


# -- executing ---------------------------------------------------------------------------------


def _take_exec(parser: "ArgumentParser") -> None:
    add = parser.add_argument
    add("-t", "--timeout", type=arguments.duration, metavar="TIME", help="wait 30s, 5m, 1h at most")
    take_session(parser)
    add("command", nargs="...", metavar="COMMAND", help="a shell line, or a program and arguments")


def _exec(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import executing

    asked = {"sessionId": _id(given, client), **arguments.command_of(given.command)}
    if streams.json:
        return executing.once(client, streams, asked, given.timeout)
    return executing.watched(client, streams, asked, given.timeout)


# -- typing ------------------------------------------------------------------------------------


def _take_send(parser: "ArgumentParser") -> None:
    take_session(parser)
    parser.add_argument("text", nargs="?", metavar="TEXT", help="default: what comes on stdin")
    parser.add_argument("--no-enter", action="store_true", help="type it and leave it there")


def _send(given: "Namespace", client: "Client", streams: "Streams") -> int:
    session_id = _id(given, client)
    text: str = sys.stdin.read().removesuffix("\n") if given.text is None else given.text
    asked = {"sessionId": session_id, "input": text, "enter": not given.no_enter}
    view = client.call("console_send_input", asked, once=True)
    if streams.json:
        streams.result(view)
    if view["accepted"] < len(text.encode()):
        raise Failure(
            f"only {view['accepted']} bytes were taken: the program does not read its input"
        )
    return outcome.DONE


def _take_key(parser: "ArgumentParser") -> None:
    take_session(parser)
    parser.add_argument("keys", nargs="+", metavar="KEY", help="enter, up, f5, ctrl+c, alt+x, ...")


def _key(given: "Namespace", client: "Client", streams: "Streams") -> int:
    session_id = _id(given, client)
    for key in given.keys:
        asked = {"sessionId": session_id, "key": key}
        view = client.call("console_send_key", asked, once=True)
        if streams.json:
            streams.result(view)
    return outcome.DONE


def _take_resize(parser: "ArgumentParser") -> None:
    take_session(parser)
    parser.add_argument("cols", type=int, metavar="COLUMNS", help="2 to 500")
    parser.add_argument("rows", type=int, metavar="ROWS", help="2 to 300")


def _resize(given: "Namespace", client: "Client", streams: "Streams") -> int:
    asked = {"sessionId": _id(given, client), "cols": given.cols, "rows": given.rows}
    view = client.call("console_resize_session", asked)
    if streams.json:
        streams.result(view)
    return outcome.DONE


# -- looking -----------------------------------------------------------------------------------


def _take_ls(parser: "ArgumentParser") -> None:
    parser.add_argument("-a", "--all", action="store_true", help="also those that are closed")


def _ls(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import tables

    listed = client.call("console_list_sessions", {"closed": given.all})
    if streams.json:
        streams.result(listed)
    elif listed["sessions"]:
        tables.sessions(streams, listed["sessions"])
    elif given.all:
        streams.remark("no sessions; open one with `job session new`")
    else:
        streams.remark("no session is open; `job session ls --all` shows those that were")
    return outcome.DONE


def _screen(given: "Namespace", client: "Client", streams: "Streams") -> int:
    view = client.call("console_get_screen", {"sessionId": _id(given, client)})
    if streams.json:
        streams.result(view)
    else:
        streams.line(view["screen"])
    return outcome.DONE


def _take_logs(parser: "ArgumentParser") -> None:
    add = parser.add_argument
    take_session(parser)
    add("-f", "--follow", action="store_true", help="go on until it is closed")
    add("--tail", type=int, metavar="N", help="begin with the last N lines")
    add("--grep", metavar="PATTERN", help="only lines that match (RE2)")
    add("-i", "--ignore-case", action="store_true")
    add("--timestamps", action="store_true", help="put before each line when it came")
    add("--raw", action="store_true", help="bytes as they are, control sequences included")


def _logs(given: "Namespace", client: "Client", streams: "Streams") -> int:
    session_id = _id(given, client)
    wanted = {
        "tail": given.tail,
        "grep": given.grep,
        "ignoreCase": given.ignore_case or None,
        "raw": given.raw or None,
    }
    display = following.Display(streams, raw=given.raw, timestamps=given.timestamps)
    try:
        for page in following.pages(
            client, session_id, arguments.present(wanted), follow=given.follow
        ):
            display.show(page)
    except KeyboardInterrupt:
        if given.follow:
            streams.remark(f"\nit goes on. Come back: job session logs -f {session_id}")
        raise
    return outcome.DONE


# -- ending ------------------------------------------------------------------------------------


def _take_stop(parser: "ArgumentParser") -> None:
    add = parser.add_argument
    add("sessions", nargs="+", metavar="SESSION", help=arguments.REFERENCE)
    add("--force", action="store_true", help="kill at once, without a hang-up")


def _stop(given: "Namespace", client: "Client", streams: "Streams") -> int:
    found = [arguments.session_of(client, reference)["sessionId"] for reference in given.sessions]
    for session_id in found:
        view = client.call("console_stop_session", {"sessionId": session_id, "force": given.force})
        if streams.json:
            streams.result(view)
        else:
            streams.line(view["message"])
    return outcome.DONE
