"""What a model reads beside the structured results of the session tools."""

from console_automation.core.text import counted, human_bytes, human_seconds, one_line
from console_automation.operations.session_views import (
    CommandView,
    CreateResult,
    HistoryResult,
    MatchResult,
    ScreenResult,
    SessionCleanupResult,
    SessionListResult,
    SessionOutputResult,
    SessionView,
    SizeResult,
    StateResult,
    StopResult,
    TypedResult,
)
from console_automation.operations.texts import excerpt, joined
from console_automation.operations.views import CommandResult

_TITLE = 60
_AROUND = 200


def session_line(session: SessionView) -> str:
    """Say in one line what a session is and how it stands."""
    title = session.get("name") or session["command"]
    where = f" on {session['host']}" if "host" in session else ""
    line = f"{session['sessionId']} `{one_line(title, _TITLE)}`{where}: {session['status']}"
    if "closing" in session:
        line += f" ({_how(session)})"
    return line


def _how(session: SessionView) -> str:
    how = session["closing"]
    if "error" in session:
        return f"{how}, {session['error']}"
    if "signal" in session:
        return f"{how}, {session['signal']}"
    return f"{how}, exit code {session['exitCode']}" if "exitCode" in session else how


def command_line(command: CommandView) -> str:
    """Say in one line what a command was and how it ended."""
    title = one_line(command["command"], _TITLE)
    if command["status"] == "running":
        return f"{command['commandId']} `{title}`: running"
    took = human_seconds(command.get("durationMs", 0) / 1000)
    code = command["exitCode"]
    end = "its end is not known" if code is None else f"exit code {code}, after {took}"
    return f"{command['commandId']} `{title}`: {end}"


def created(result: CreateResult) -> str:
    """Tell of a new session."""
    if result["status"] == "closed":
        code = result.get("exitCode")
        end = f" with exit code {code}" if code is not None else ""
        return f"{result['sessionId']} has ended already{end}" + excerpt(result["output"])
    head = f"{result['sessionId']} is open"
    if not result["ready"]:
        head += "; it is not at a prompt yet: look at console_get_screen, it may want an answer"
    return head + excerpt(result["output"])


def executed(result: CommandResult) -> str:
    """Tell what became of a command in a session."""
    took = human_seconds(result["durationMs"] / 1000)
    if result.get("fullScreen"):
        return (
            f"A full-screen program is running (commandId {result['commandId']}). Look at"
            " console_get_screen, drive it with console_send_key and console_send_input."
        )
    if result["status"] == "running":
        head = (
            f"Still running after {took} (commandId {result['commandId']}). Wait with"
            " console_get_session_state waitMs, answer it with console_send_input, interrupt it"
            " with console_send_key ctrl+c."
        )
    elif result["exitCode"] is None:
        head = f"its end is not known, after {took}"
    else:
        head = f"exit code {result['exitCode']} after {took}"
    if result.get("sessionClosed"):
        head += "; the session is closed with it"
    if result["omittedBytes"]:
        head += (
            f"; the first {human_bytes(result['omittedBytes'])} of the output are not shown"
            " (console_get_output with since)"
        )
    return head + excerpt(result["output"])


def typed(result: TypedResult) -> str:
    """Tell that input was taken."""
    return (
        f"{counted(result['accepted'], 'byte')} typed. Next: console_wait_for_output, or"
        f" console_get_screen, or console_get_output since={result['since']}"
    )


def output(result: SessionOutputResult) -> str:
    """Tell what a page holds."""
    chunks = result["output"]
    more = "more is there" if result["hasMore"] else f"all so far, it is {result['status']}"
    head = f"{counted(len(chunks), 'chunk')}; {more}; go on with since={result['nextSince']}"
    if result["droppedBytes"]:
        first = result["firstAvailableSequence"]
        head += f". {human_bytes(result['droppedBytes'])} were dropped; oldest kept: {first}"
    return head + (excerpt(joined(chunks)) if chunks else "")


def matched(result: MatchResult) -> str:
    """Tell of a match."""
    head = f"matched {one_line(result['match'], 200)!r}; go on with since={result['nextSince']}"
    around = f"{result['before'][-_AROUND:]}{result['match']}{result['after'][:_AROUND]}"
    return head + excerpt(around)


def screen(result: ScreenResult) -> str:
    """Show the screen."""
    cursor = result["cursor"]
    title = f", title {result['title']!r}" if result["title"] else ""
    kind = ", alternate screen" if result["alternateScreen"] else ""
    head = (
        f"{result['cols']}x{result['rows']}, cursor at row {cursor['row']}, column"
        f" {cursor['column']}{title}{kind}, {result['status']}"
    )
    return f"{head}\n{result['screen']}"


def resized(result: SizeResult) -> str:
    """Tell the size."""
    return f"{result['sessionId']} is {result['cols']} columns by {result['rows']} rows now"


def listed(result: SessionListResult) -> str:
    """Tell of the sessions."""
    head = f"{result['open']} of at most {result['maximum']} sessions are open."
    return "\n".join([head, *map(session_line, result["sessions"])])


def state(result: StateResult) -> str:
    """Tell how a session stands."""
    if result["state"] == "closed":
        return "\n".join([session_line(result["session"]), *map(command_line, result["history"])])
    head = f"{result['sessionId']}: {result['state']}"
    if "workingDirectory" in result:
        head += f" in {result['workingDirectory']}"
    if result["state"] != "idle" and "foreground" in result:
        head += f", `{one_line(result['foreground'], _TITLE)}` is in the foreground"
    if "currentCommand" in result:
        head += f"\n{command_line(result['currentCommand'])}"
    return "\n".join([head, *map(command_line, result["history"])])


def history(result: HistoryResult) -> str:
    """Tell what was executed."""
    return "\n".join(map(command_line, result["commands"])) or "No command was executed in it."


def stopped(result: StopResult) -> str:
    """Tell how it ended."""
    return result["message"]


def cleaned(result: SessionCleanupResult) -> str:
    """Tell what went."""
    stopped = counted(len(result["stopped"]), "session")
    removed = counted(len(result["removed"]), "record")
    return f"{stopped} closed, {removed} of closed sessions removed"
