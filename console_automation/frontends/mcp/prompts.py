"""Recipes for what clients do most often, offered as prompts."""

from collections.abc import Container, Mapping

import mcp_types as types
from mcp import MCPError

PROMPTS: Mapping[str, types.Prompt] = {
    each.name: each
    for each in (
        types.Prompt(
            name="run_and_report",
            title="Run a long command and report",
            description="Start a command in the background, wait for it, and sum up how it went.",
            arguments=[
                types.PromptArgument(name="command", description="The shell line.", required=True)
            ],
        ),
        types.Prompt(
            name="diagnose",
            title="Find out why a job failed",
            description="Read a job's verdict and the telling part of its output.",
            arguments=[types.PromptArgument(name="jobId", description="The job.", required=True)],
        ),
        types.Prompt(
            name="catch_up",
            title="See what is going on",
            description="List what runs and what has ended since the last look.",
            arguments=[],
        ),
        types.Prompt(
            name="drive_console",
            title="Drive an interactive program",
            description="Open a program on a terminal, work in it step by step, and close it.",
            arguments=[
                types.PromptArgument(
                    name="program", description="A shell, REPL, editor or ssh.", required=True
                ),
                types.PromptArgument(
                    name="task", description="What is to be done in it.", required=True
                ),
            ],
        ),
    )
}
_OF_SESSIONS = ("drive_console",)

_TEXTS = {
    "run_and_report": (
        "Run this command as a background job: {command}\n"
        "Start it with console_execute_async (with a timeout that suits it and a name). Call"
        " console_wait_for_jobs until `unfinished` is empty. Then read the end of its output with"
        " console_get_job_output and tail=50; if it failed, search with grep for the first error."
        " Report the exit code, how long it took, and what matters in the output."
    ),
    "diagnose": (
        "Find out why job {jobId} ended as it did. Call console_get_job_status for status, reason,"
        " exit code, signal and leftovers. Then console_get_job_output with tail=80, and with"
        " grep='(?i)error|fail|fatal|exception' and context=3. Name the first cause, not the last"
        " symptom, and what to try next. `interrupted` means that its end is not known."
    ),
    "catch_up": (
        "Call console_list_jobs with status=running, then without a filter and limit=20. Say in a"
        " line each what is running and for how long, and what has ended and how. For every failed"
        " job read the last lines of its output with tail=20."
    ),
    "drive_console": (
        "Do this in {program}: {task}\n"
        "Open it with console_create_session and look at its output; if `ready` is false, wait with"
        " console_wait_for_output for what it shows when it takes input. In a shell run each command"
        " with console_execute_command and the sessionId, and check exitCode. In any other program"
        " type one step with console_send_input (keys with console_send_key), then call"
        " console_wait_for_output with a pattern for what that step must bring about, and on a"
        " full-screen program look at console_get_screen before the next step. When nothing comes,"
        " look at the screen instead of typing again; ctrl+c interrupts. At the end leave the program"
        " its own way, call console_stop_session, and report what was done and what it showed."
    ),
}


def offered_prompts(toolsets: Container[str]) -> Mapping[str, types.Prompt]:
    """Return the prompts whose tools are offered."""
    return {
        name: prompt
        for name, prompt in PROMPTS.items()
        if ("sessions" if name in _OF_SESSIONS else "jobs") in toolsets
    }


def render(
    offered: Mapping[str, types.Prompt], name: str, arguments: Mapping[str, str]
) -> types.GetPromptResult:
    """Return a prompt, filled in. Raises MCPError for an unknown one or a missing argument."""
    prompt = offered.get(name)
    if prompt is None:
        raise MCPError(types.INVALID_PARAMS, f"no prompt {name!r}; there are {', '.join(offered)}")
    wanted = [argument.name for argument in prompt.arguments or []]
    missing = [each for each in wanted if each not in arguments]
    if missing:
        raise MCPError(types.INVALID_PARAMS, f"prompt {name} needs {', '.join(missing)}")
    text = _TEXTS[name].format(**{each: arguments[each] for each in wanted})
    return types.GetPromptResult(
        description=prompt.description,
        messages=[
            types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        ],
    )
