"""Jobs of this machine that are carried out in the cluster: steps of workflows, fires of schedules.

Such a job is an ordinary one: it waits, is retried, cancelled and notified of as any other. What it runs
is the carrier (`frontends/carrier.py`), which has one job of the cluster made under a key of the run's
own, and passes on its output, its result and its end.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from console_automation.core.job import Command
from console_automation.errors import BadRequest, Unavailable

_MODULE = "console_automation.frontends.carrier"
_LARGEST = 1 << 20


class Carrying:
    """Makes the command of the carrier. `home` is the state directory whose daemon it talks to."""

    def __init__(self, home: str, *, is_gateway: bool) -> None:
        self._home = home
        self._is_gateway = is_gateway

    def command(
        self, command: Command, operation: str, arguments: Mapping[str, Any], *, cwd: str = "/"
    ) -> Command:
        """Return the command that has an operation carried out in the cluster in place of `command`.
        It is asked for in the directory `cwd` of this machine: definitions are those of a project.

        Raises Unavailable where there is no gateway, BadRequest when the request is too large.
        """
        if not self._is_gateway:
            raise Unavailable(
                "target: this machine is no gateway to a cluster. Set nats_url and cluster_key, then"
                " restart the daemon."
            )
        return replace(
            asking(command, operation, arguments),
            shell=False,
            executable=sys.executable,
            argv=(sys.executable, "-m", _MODULE),
            cwd=cwd,
            environment={**command.environment, "CONSOLE_AUTOMATION_HOME": self._home},
            keep_stdin=False,
            terminal=None,
        )


def asking(command: Command, operation: str, arguments: Mapping[str, Any]) -> Command:
    """Return a carrier's command that has this operation carried out. Raises BadRequest when the request
    is too large."""
    request = json.dumps({"operation": operation, "arguments": arguments})
    if len(request) > _LARGEST:
        raise BadRequest(f"target: the request has more than {_LARGEST} bytes.", field="target")
    return replace(command, stdin=request)


def is_carrier(command: Command) -> bool:
    """Whether a command is that of a carrier."""
    return command.argv[1:] == ("-m", _MODULE)


def asked_by(command: Command) -> dict[str, Any] | None:
    """Return with what arguments a carrier's command asks; None for any other command."""
    if not is_carrier(command) or command.stdin is None:
        return None
    arguments: dict[str, Any] = json.loads(command.stdin)["arguments"]
    return arguments
