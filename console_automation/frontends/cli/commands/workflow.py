"""Workflows: typed jobs that wait for each other, and go on whoever dies.

Without a command it lists them and their latest runs. RUN is the id of a run, the beginning of one, or
the name of a workflow, which means its latest run.

Examples:
  job workflow register pipeline.toml
  job workflow run nightly --input '{"day": "2026-11-26"}' --wait
  job workflow status nightly
  job workflow rerun nightly --wait           only what did not complete
  job workflow cancel workflow-01m8
"""

import json
import os
import sys

from console_automation.frontends.cli import arguments, outcome
from console_automation.frontends.cli.outcome import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_WAIT_MS = 10_000
_MOST_RUNS = 1_000
_OPEN = ("pending", "running")


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    parser.set_defaults(run=_list, all=False)
    arguments.take_commands(
        parser,
        ("register", _register, _take_file, "keep the workflow in a file", "pipeline.toml"),
        ("list", _list, _take_all, "list workflows and their latest runs", "--all"),
        ("run", _run, _take_run, "begin a run", "nightly --input @day.json --wait"),
        ("status", _status, _take_status, "show a run and its steps", "nightly"),
        ("cancel", _cancel, _take_reference, "end a run and its live steps", "nightly"),
        ("rerun", _rerun, _take_status, "do again what did not complete in a run", "nightly"),
        ("remove", _remove, _take_name, "forget a workflow; its runs stay", "nightly"),
        about=_ABOUT,
    )


#: What there is to say of a command beside its one line.
_ABOUT = {
    "register": "Keep a workflow, in place of the one of that name in this project. FILE is TOML or JSON"
    "\nwith the fields of the tool console_register_workflow; - is our own stdin, as JSON.",
    "run": "Begin a run and print its id. With --wait it ends with 0 if the run completed, else with 1.",
    "rerun": "Begin a run that takes over the completed steps of another, and print its id.",
}


def _take_file(parser: "ArgumentParser") -> None:
    parser.add_argument("file", metavar="FILE", help="TOML or JSON; - is our stdin")


def _take_all(parser: "ArgumentParser") -> None:
    parser.add_argument("-a", "--all", action="store_true", help="of all projects")


def _take_name(parser: "ArgumentParser") -> None:
    parser.add_argument("name", metavar="WORKFLOW", help="its name")
    parser.add_argument("--owner", help="whose, if several have one of this name")


def _take_reference(parser: "ArgumentParser") -> None:
    parser.add_argument("reference", metavar="RUN", help="id, beginning of one, or a workflow")


def _take_wait(parser: "ArgumentParser") -> None:
    parser.add_argument("-w", "--wait", action="store_true", help="wait until the run is over")


def _take_status(parser: "ArgumentParser") -> None:
    _take_reference(parser)
    _take_wait(parser)


def _take_run(parser: "ArgumentParser") -> None:
    add = parser.add_argument
    _take_name(parser)
    add("-i", "--input", metavar="JSON", help="the input, or @FILE that has it; default {}")
    add("-k", "--key", help="begin it once: the same key and input again return the first run")
    _take_wait(parser)


# -- what they do ------------------------------------------------------------------------------


def _register(given: "Namespace", client: "Client", streams: "Streams") -> int:
    kept = client.call("console_register_workflow", _content(given.file))
    if streams.json:
        streams.result(kept)
    else:
        streams.line(kept["workflow"]["name"])
        streams.remark("replaced" if kept["replaced"] else "kept")
    return outcome.DONE


def _content(file: str) -> "dict[str, Any]":
    try:
        if file == "-":
            content = json.load(sys.stdin)
        else:
            with open(file, "rb") as opened:
                text = opened.read()
            content = arguments.from_toml(text) if file.endswith(".toml") else json.loads(text)
    except ValueError as error:
        raise Failure(f"{file}: {error}", outcome.USAGE) from None
    if not isinstance(content, dict):
        raise Failure(f"{file}: it is no object", outcome.USAGE)
    return content


def _list(given: "Namespace", client: "Client", streams: "Streams") -> int:
    listed = client.call(
        "console_list_workflows", {} if given.all else {"project": arguments.here()}
    )
    if streams.json:
        streams.result(listed)
        return outcome.DONE
    from console_automation.operations.workflow_texts import run_line, workflow_line

    for each in listed["workflows"]:
        streams.line(workflow_line(each))
    for each in listed["runs"]:
        streams.line(run_line(each))
    if not listed["workflows"]:
        streams.remark("no workflows; keep one with `job workflow register FILE`")
    return outcome.DONE


def _run(given: "Namespace", client: "Client", streams: "Streams") -> int:
    # With a key of its own it may be put to the next daemon, should this one die over it.
    key = given.key or os.urandom(16).hex()
    asked = {
        "name": given.name,
        "input": _input(given.input),
        "idempotencyKey": key,
        **_owner(given),
    }
    return _begun(client.call("console_execute_workflow", asked), given, client, streams)


def _owner(given: "Namespace") -> dict[str, str]:
    return {} if given.owner is None else {"owner": given.owner}


def _input(text: "str | None") -> "Any":
    if text is None:
        return {}
    try:
        if text.startswith("@"):
            with open(text[1:], encoding="utf-8") as file:
                return json.load(file)
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"--input: {error}", outcome.USAGE) from None


def _rerun(given: "Namespace", client: "Client", streams: "Streams") -> int:
    asked = {"rerunOf": _meant(client, given.reference)}
    begun = client.call("console_execute_workflow", asked, once=True)
    return _begun(begun, given, client, streams)


def _begun(
    result: "dict[str, Any]", given: "Namespace", client: "Client", streams: "Streams"
) -> int:
    run_id = result["run"]["runId"]
    if given.wait:
        streams.remark(run_id)
        return _shown(_over(client, run_id, streams), streams, judged=True)
    if streams.json:
        streams.result(result)
    else:
        streams.line(run_id)
    return outcome.DONE


def _status(given: "Namespace", client: "Client", streams: "Streams") -> int:
    run_id = _meant(client, given.reference)
    if given.wait:
        return _shown(_over(client, run_id, streams), streams, judged=True)
    result = client.call("console_get_workflow_status", {"runId": run_id})
    return _shown(result, streams, judged=False)


def _over(client: "Client", run_id: str, streams: "Streams") -> "dict[str, Any]":
    while True:
        asked = {"runId": run_id, "waitMs": _WAIT_MS}
        result = client.call("console_get_workflow_status", asked)
        if result["run"]["status"] not in _OPEN:
            streams.progress("")
            return result
        counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
        streams.progress(f"{run_id}: {counts}")


def _shown(result: "dict[str, Any]", streams: "Streams", *, judged: bool) -> int:
    if streams.json:
        streams.result(result)
    else:
        from console_automation.operations.workflow_texts import run_line, step_line

        streams.line(run_line(result["run"]))
        for step in result["steps"]:
            streams.line(step_line(step))
    is_well = result["run"]["status"] == "completed" or not judged
    return outcome.DONE if is_well else outcome.REFUSED


def _cancel(given: "Namespace", client: "Client", streams: "Streams") -> int:
    result = client.call("console_cancel_workflow", {"runId": _meant(client, given.reference)})
    if streams.json:
        streams.result(result)
    else:
        from console_automation.operations.workflow_texts import cancelled

        streams.line(cancelled(result))  # type: ignore[arg-type]
    return outcome.DONE


def _remove(given: "Namespace", client: "Client", streams: "Streams") -> int:
    result = client.call("console_remove_workflow", {"name": given.name, **_owner(given)})
    if streams.json:
        streams.result(result)
    else:
        streams.remark(f"{result['name']} is gone; its runs stay")
    return outcome.DONE


def _meant(client: "Client", reference: str) -> str:
    """Return the id of the run that is meant."""
    runs = client.call("console_list_workflows", {"limit": _MOST_RUNS})["runs"]
    ids = [each["runId"] for each in runs]
    if reference in ids:
        return reference
    named = [each for each in runs if each["workflow"] == reference]
    if named:
        project = client.call(
            "console_list_workflows", {"project": arguments.here(), "name": reference}
        )
        return str((project["runs"] or named)[0]["runId"])
    begun = [each for each in ids if each.startswith(reference)]
    if len(begun) > 1:
        shown = "".join(f"\n  {each}" for each in begun[:10])
        raise Failure(f"{reference!r} could be any of these; say more:{shown}", outcome.USAGE)
    return begun[0] if begun else reference
