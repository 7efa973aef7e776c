"""The operations about console sessions."""

from console_automation.operations import session_requests as requests
from console_automation.operations import session_texts as texts
from console_automation.operations import session_views as views
from console_automation.operations import sessions
from console_automation.operations.operation import Operation

SESSION_OPERATIONS = (
    Operation(
        toolset="sessions",
        name="console_create_session",
        title="Open a session",
        description=(
            "Open a terminal with a shell (default), a REPL, an editor or ssh on it. It survives this"
            " client and the server. Run commands in its shell with console_execute_command"
            " sessionId; drive other programs with console_send_input, console_wait_for_output and"
            " console_get_screen."
        ),
        request=requests.CreateSession,
        result=views.CreateResult,
        run=sessions.create_session,
        text=texts.created,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="sessions",
        name="console_send_input",
        title="Type text",
        description="Type text into a session; enter=true submits it. Several lines are pasted.",
        request=requests.SendInput,
        result=views.TypedResult,
        run=sessions.send_input,
        text=texts.typed,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="sessions",
        name="console_send_key",
        title="Press a key",
        description="Press a key in a session: ctrl+c interrupts, ctrl+d ends input.",
        request=requests.SendKey,
        result=views.TypedResult,
        run=sessions.send_key,
        text=texts.typed,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="sessions",
        name="console_wait_for_output",
        title="Wait for output",
        description=(
            "Wait until a session prints what a pattern matches (45 s at most), e.g. the prompt of a"
            " REPL: '^>>> $'. An error at once when the session ends."
        ),
        request=requests.WaitForOutput,
        result=views.MatchResult,
        run=sessions.wait_for,
        text=texts.matched,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_get_screen",
        title="Look at the screen",
        description=(
            "Return a session's screen as a person sees it, for full-screen programs (vim,"
            " less, top) and progress bars."
        ),
        request=requests.OfSession,
        result=views.ScreenResult,
        run=sessions.get_screen,
        text=texts.screen,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_get_output",
        title="Session output",
        description=(
            "Read what a session printed, in pages, like a job's output. Of full-screen programs"
            " console_get_screen shows more."
        ),
        request=requests.GetSessionOutput,
        result=views.SessionOutputResult,
        run=sessions.get_output,
        text=texts.output,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_get_session_state",
        title="Session state",
        description=(
            "Tell whether a session is idle, executing or waiting_for_input, its directory, the"
            " command that runs and the latest ones. With waitMs it waits for that command's end."
        ),
        request=requests.GetSessionState,
        result=views.StateResult,
        run=sessions.get_session_state,
        text=texts.state,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_get_command_history",
        title="Commands of a session",
        description=(
            "List what console_execute_command ran in a session: exit code, duration, and `since`"
            " to read its output with console_get_output."
        ),
        request=requests.GetCommandHistory,
        result=views.HistoryResult,
        run=sessions.get_command_history,
        text=texts.history,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_list_sessions",
        title="List sessions",
        description="List sessions, newest first, of earlier clients too.",
        request=requests.ListSessions,
        result=views.SessionListResult,
        run=sessions.list_sessions,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_resize_session",
        title="Resize a session",
        description="Change the size of a session's terminal.",
        request=requests.ResizeSession,
        result=views.SizeResult,
        run=sessions.resize_session,
        text=texts.resized,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_stop_session",
        title="Close a session",
        description=(
            "Close a session and end every process in it: its terminal hangs up, and what is left"
            " after 5 s is killed. Output stays readable (24 h)."
        ),
        request=requests.StopSession,
        result=views.StopResult,
        run=sessions.stop_session,
        text=texts.stopped,
        destructive=True,
        idempotent=True,
    ),
    Operation(
        toolset="sessions",
        name="console_cleanup_sessions",
        title="Remove closed sessions",
        description=(
            "Remove the records and output of closed sessions, with their finished jobs; with"
            " `inactive` also close open sessions that nobody uses."
        ),
        request=requests.CleanupSessions,
        result=views.SessionCleanupResult,
        run=sessions.cleanup_sessions,
        text=texts.cleaned,
        destructive=True,
        idempotent=True,
    ),
)
