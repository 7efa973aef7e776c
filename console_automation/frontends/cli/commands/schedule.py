"""Schedules: commands that run once at a time, at intervals, or as cron says, each time as a job.

Without a command it lists those of this project. SCHEDULE is a name, or an id. A run can change or stop
its own schedule, whose id it has in $CONSOLE_AUTOMATION_SCHEDULE.

Examples:
  job schedule create -n nightly --cron '30 2 * * *' --tz Europe/Berlin ./report.sh
  job schedule create -n poll --every 5m './poll.sh'       every five minutes, never two at once
  job schedule create -n party --at 2030-12-24T18:00 --tz Europe/Berlin 'notify-send party'
  job schedule create -n sync --every 1h --job import --input '{"source": "orders"}'
  job schedule show nightly                                versions, history, next run
  job schedule trigger -f nightly                          run it now and watch
  job schedule update nightly --metadata recipients=3      for its runs to read
  job schedule deactivate "$CONSOLE_AUTOMATION_SCHEDULE"   a run has seen enough
"""

import json
import os

from console_automation.frontends.cli import arguments, following, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Mapping
    from typing import Any

    from console_automation.frontends.cli.streams import Streams
    from console_automation.frontends.client import Client

_MISSED = ("skip", "once", "all")
_OVERLAP = ("skip", "queue", "allow")


def configure(parser: "ArgumentParser") -> None:
    """Say which commands there are."""
    parser.set_defaults(run=_list, all=False)
    arguments.take_commands(
        parser,
        ("create", _create, _take_create, "make one", "-n poll --every 5m ./poll.sh"),
        ("list", _list, _take_list, "list them, oldest first", "--all"),
        ("show", _show, _take_show, "show one with its history", "nightly"),
        ("update", _update, _take_update, "change one", "poll --every 10m --timeout 1m"),
        ("activate", _activate, _take_schedule, "have it fire again", "poll"),
        ("deactivate", _deactivate, _take_schedule, "have it fire no more", "poll"),
        ("trigger", _trigger, _take_trigger, "run it now", "-w nightly"),
        ("delete", _delete, _take_schedule, "forget one; its jobs go on", "poll"),
        about=_ABOUT,
    )


#: What there is to say of a command beside its one line.
_ABOUT = {
    "create": "Make a schedule and print its id. Its jobs run here (or in --dir) with this shell's"
    "\nenvironment. One word is a line for the shell; several words, or what comes after --, are a"
    "\nprogram and its arguments.",
    "update": "Change what is given, and nothing else. Another trigger, command, timeout or retry makes a"
    "\nnew version; --version goes back to an earlier one. Running jobs go on.",
    "trigger": "Run a schedule's command now, whether it is active or not, and print the job's id. Its next"
    "\nfire stays as it is.",
    "activate": "Have a schedule fire from now on. What it would have fired meanwhile is not made up for.",
}


def _take_schedule(parser: "ArgumentParser") -> None:
    parser.add_argument("schedule", metavar="SCHEDULE", help="name in this project, or id")


def metadata(text: str) -> "tuple[str, Any]":
    """Return `NAME=VALUE` as a pair; the value is JSON, or else text. Raises ArgumentTypeError."""
    name, value = arguments.pair(text)
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _object(text: str) -> "dict[str, Any]":
    """Return a JSON object. Raises ArgumentTypeError."""
    from argparse import ArgumentTypeError

    try:
        value = json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"{text!r} is no JSON object")
    return value


def _take_what(parser: "ArgumentParser", *, is_new: bool) -> None:
    """Have a command take when a schedule fires, and what its runs may do."""
    add, duration = parser.add_argument, arguments.duration
    when = parser.add_mutually_exclusive_group(required=is_new)
    when.add_argument("--cron", metavar="FIELDS", help="five fields, as in '30 2 * * MON-FRI'")
    when.add_argument("--every", type=duration, metavar="TIME", help="at intervals: 30s, 5m, 1h")
    when.add_argument("--at", metavar="WHEN", help="once, at an ISO 8601 time")
    add("--tz", metavar="ZONE", help="of --cron and --at, as in Europe/Berlin; default UTC")
    add("-t", "--timeout", type=duration, metavar="TIME", help="end a run after 30s, 5m; 0: never")
    add("--retry", type=int, metavar="N", help="try up to N times if it fails, with growing pauses")
    add("--missed", choices=_MISSED, help="make up for missed fires: none, with one run, for all")
    add("--overlap", choices=_OVERLAP, help="while its last job runs: skip, queue, or run beside")
    add("--jitter", type=duration, metavar="TIME", help="start up to this much later")
    add(
        "--metadata",
        type=metadata,
        action="append",
        metavar="NAME=VALUE",
        default=[],
        help="for its runs to read; JSON, or else text; may be repeated",
    )


def _trigger_of(given: "Namespace") -> "dict[str, Any] | None":
    wanted = {"cron": given.cron, "everyMs": given.every, "at": given.at}
    trigger = arguments.present(wanted)
    return arguments.present({**trigger, "timezone": given.tz}) if trigger or given.tz else None


def _policies_of(given: "Namespace") -> "dict[str, Any]":
    return {
        "missed": given.missed,
        "overlap": given.overlap,
        "jitterMs": given.jitter,
        "metadata": dict(given.metadata),
    }


# -- making and changing -----------------------------------------------------------------------


def _take_create(parser: "ArgumentParser") -> None:
    add = parser.add_argument
    add("-n", "--name", required=True, help="a name for it, unique in the project")
    _take_what(parser, is_new=True)
    add("-d", "--dir", metavar="DIR", help="run it there; default: here")
    add("-p", "--priority", type=int, metavar="1-10", help="10 runs first; default 5")
    for names, help in ((("-e", "--env"), "set a variable"), (("--tag",), "tag its jobs")):
        arguments.take_pairs(parser, *names, help=f"{help}; may be repeated")
    add("--job", metavar="DEFINITION", help="run a job definition instead of a command")
    add("--input", type=_object, metavar="JSON", help="what that is given")
    add("--inactive", action="store_true", help="do not fire before it is activated")
    add("command", nargs="...", metavar="COMMAND", help="a shell line, or a program and arguments")


def _create(given: "Namespace", client: "Client", streams: "Streams") -> int:
    options = {
        "timeout": given.timeout or (None if given.job else 0),
        "workingDirectory": given.dir and os.path.abspath(given.dir),
        "environment": dict(given.env),
        "priority": given.priority,
        "tags": dict(given.tag),
        "retry": None if given.retry is None else {"maxAttempts": given.retry},
    }
    wanted = {
        "name": given.name,
        **arguments.command_of(given.command),
        "job": given.job,
        "input": given.input,
        "trigger": _trigger_of(given),
        "options": arguments.present(options),
        **_policies_of(given),
    }
    asked = {**arguments.present(wanted), "active": not given.inactive}
    view = client.call("console_create_schedule", asked, once=True)
    if streams.json:
        streams.result(view)
    else:
        streams.line(view["schedule"]["scheduleId"])
        _remark(streams, view["schedule"])
    return outcome.DONE


def _take_update(parser: "ArgumentParser") -> None:
    _take_schedule(parser)
    parser.add_argument("-n", "--name", help="another name")
    parser.add_argument("-c", "--command", metavar="LINE", help="run this shell line from now on")
    parser.add_argument("--version", type=int, metavar="N", help="go back to version N")
    _take_what(parser, is_new=False)


def _update(given: "Namespace", client: "Client", streams: "Streams") -> int:
    wanted = {
        "name": given.name,
        "command": given.command,
        "version": given.version,
        "trigger": _trigger_of(given),
        "timeout": given.timeout,
        "retry": None if given.retry is None else {"maxAttempts": given.retry},
        **_policies_of(given),
    }
    return _changed(given, client, streams, arguments.present(wanted))


def _activate(given: "Namespace", client: "Client", streams: "Streams") -> int:
    return _changed(given, client, streams, {"active": True})


def _deactivate(given: "Namespace", client: "Client", streams: "Streams") -> int:
    return _changed(given, client, streams, {"active": False})


def _changed(
    given: "Namespace", client: "Client", streams: "Streams", changes: "Mapping[str, Any]"
) -> int:
    asked = {"scheduleId": given.schedule, **changes}
    view = client.call("console_update_schedule", asked)
    if streams.json:
        streams.result(view)
    else:
        _remark(streams, view["schedule"])
    return outcome.DONE


def _remark(streams: "Streams", schedule: "Any") -> None:
    from console_automation.operations.schedule_texts import standing, when

    streams.remark(
        f"{schedule['name']}, version {schedule['version']}: {when(schedule['trigger'])};"
        f" {standing(schedule)}"
    )


# -- looking -----------------------------------------------------------------------------------


def _take_list(parser: "ArgumentParser") -> None:
    parser.add_argument("-a", "--all", action="store_true", help="of every project")


def _list(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import schedule_tables

    project = {} if given.all else {"project": arguments.here()}
    listed = client.call("console_list_schedules", {**project, "limit": 1000})
    if streams.json:
        streams.result(listed)
    elif listed["schedules"]:
        schedule_tables.schedules(streams, listed["schedules"], projects=given.all)
    else:
        streams.remark("no schedules here; `job schedule list --all` shows those of every project")
    return outcome.DONE


def _take_show(parser: "ArgumentParser") -> None:
    _take_schedule(parser)
    add = parser.add_argument
    add("-l", "--limit", type=int, default=20, metavar="N", help="fires at most; default 20")


def _show(given: "Namespace", client: "Client", streams: "Streams") -> int:
    from console_automation.frontends.cli import schedule_tables

    asked = {"scheduleId": given.schedule, "limit": given.limit}
    view = client.call("console_get_schedule", asked)
    if streams.json:
        streams.result(view)
    else:
        schedule_tables.schedule(streams, view)
    return outcome.DONE


# -- running and forgetting --------------------------------------------------------------------


def _take_trigger(parser: "ArgumentParser") -> None:
    _take_schedule(parser)
    following.configure(parser)


def _trigger(given: "Namespace", client: "Client", streams: "Streams") -> int:
    # Asked again after the daemon's death, the next daemon knows the job by its key.
    key = f"cli:{os.getpid()}:{os.urandom(12).hex()}"
    asked = {"scheduleId": given.schedule, "idempotencyKey": key}
    view = client.call("console_trigger_schedule", asked)
    if streams.json and not (given.wait or given.follow):
        streams.result(view)
        return outcome.DONE
    job = client.call("console_get_job_status", {"jobId": view["jobId"]})["job"]
    return following.started(given, client, streams, job)


def _delete(given: "Namespace", client: "Client", streams: "Streams") -> int:
    view = client.call("console_delete_schedule", {"scheduleId": given.schedule}, once=True)
    if streams.json:
        streams.result(view)
    else:
        streams.line(view["message"])
    return outcome.DONE
