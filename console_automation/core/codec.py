"""The plain-data form of the records, for the database and for the shims. JSON types only."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from console_automation.core.access import Action, Rule
from console_automation.core.definition import JobDefinition
from console_automation.core.job import (
    Cause,
    Command,
    Contract,
    Exit,
    JobSpec,
    Leftover,
    Leftovers,
    OnOutputLimit,
    OutputCounts,
    TerminalSize,
    Usage,
)
from console_automation.core.notify import Channel, Notify
from console_automation.core.retry import RetryPolicy

Plain = dict[str, Any]

# A look-up takes a fifth of what calling an enum does, and a restart decodes every pending job.
_ON_OUTPUT_LIMIT = {each.value: each for each in OnOutputLimit}
_LEFTOVERS = {each.value: each for each in Leftovers}


def command_to_plain(command: Command) -> Plain:
    """Return the command as plain data."""
    size = command.terminal
    return {
        "line": command.line,
        "args": None if command.args is None else list(command.args),
        "shell": command.shell,
        "executable": command.executable,
        "argv": list(command.argv),
        "cwd": command.cwd,
        "environment": dict(command.environment),
        "stdin": command.stdin,
        "keep_stdin": command.keep_stdin,
        "merge_stderr": command.merge_stderr,
        "timeout": command.timeout,
        "idle_timeout": command.idle_timeout,
        "grace": command.grace,
        "output_limit": command.output_limit,
        "on_output_limit": command.on_output_limit.value,
        "leftovers": command.leftovers.value,
        "terminal": size and {"cols": size.cols, "rows": size.rows},
        "hang_up": command.hang_up,
        "reports": command.reports,
    }


def command_from_plain(plain: Plain) -> Command:
    """Return the command that `command_to_plain` was given."""
    size = plain.get("terminal")  # rows of version 1 have none
    return Command(
        **{
            **plain,
            "args": None if plain["args"] is None else tuple(plain["args"]),
            "argv": tuple(plain["argv"]),
            "on_output_limit": _ON_OUTPUT_LIMIT[plain["on_output_limit"]],
            "leftovers": _LEFTOVERS[plain["leftovers"]],
            "terminal": size and TerminalSize(**size),
            "hang_up": plain.get("hang_up", bool(size)),  # terminals were those of sessions
        }
    )


def spec_to_plain(spec: JobSpec) -> Plain:
    """Return what a client asked for as plain data."""
    return {
        "command": command_to_plain(spec.command),
        "created_at": spec.created_at,
        "client": spec.client,
        "name": spec.name,
        "project": spec.project,
        "session_id": spec.session_id,
        "priority": spec.priority,
        "tags": dict(spec.tags),
        "retry": retry_to_plain(spec.retry),
        "depends_on": list(spec.depends_on),
        "even_if_failed": spec.even_if_failed,
        "notify": [notify_to_plain(each) for each in spec.notify],
        "idempotency_key": spec.idempotency_key,
        "fingerprint": spec.fingerprint,
        "retry_of": spec.retry_of,
        "owner": spec.owner,
        "contract": spec.contract and contract_to_plain(spec.contract),
    }


def spec_from_plain(plain: Plain) -> JobSpec:
    """Return the spec that `spec_to_plain` was given."""
    contract = {**plain}.get("contract")  # what is no mapping raises TypeError
    return JobSpec(
        **{
            **plain,
            "command": command_from_plain(plain["command"]),
            "retry": retry_from_plain(plain["retry"]),
            "depends_on": tuple(plain["depends_on"]),
            "contract": contract and Contract(**contract),
            "notify": tuple(
                map(notify_from_plain, plain.get("notify", ()))
            ),  # older rows have none
        }
    )


def retry_to_plain(retry: RetryPolicy) -> Plain:
    """Return the policy as plain data."""
    return {
        "max_attempts": retry.max_attempts,
        "backoff": retry.backoff,
        "multiplier": retry.multiplier,
        "max_backoff": retry.max_backoff,
        "jitter": retry.jitter,
        "on": sorted(retry.on),
    }


def retry_from_plain(plain: Plain) -> RetryPolicy:
    """Return the policy that `retry_to_plain` was given."""
    return RetryPolicy(**{**plain, "on": frozenset(plain["on"])})


def definition_to_plain(definition: JobDefinition) -> Plain:
    """Return a registered definition as plain data."""
    plain = {each.name: getattr(definition, each.name) for each in fields(definition)}
    del plain["source"]
    args = definition.args
    return {
        **plain,
        "args": None if args is None else list(args),
        "tags": list(definition.tags),
        "retry": retry_to_plain(definition.retry),
        "permissions": rules_to_plain(definition.permissions),
    }


def definition_from_plain(plain: Plain) -> JobDefinition:
    """Return the definition that `definition_to_plain` was given."""
    args = plain["args"]
    return JobDefinition(
        **{
            **plain,
            "args": None if args is None else tuple(args),
            "tags": tuple(plain["tags"]),
            "retry": retry_from_plain(plain["retry"]),
            "permissions": rules_from_plain(plain["permissions"]),
        }
    )


def rules_to_plain(rules: Iterable[Rule]) -> list[Plain]:
    """Return rules as plain data."""
    return [
        {
            "action": rule.action.value,
            "roles": list(rule.roles),
            "scopes": list(rule.scopes),
            "guard": rule.guard,
        }
        for rule in rules
    ]


def rules_from_plain(plain: Iterable[Plain]) -> tuple[Rule, ...]:
    """Return the rules that `rules_to_plain` was given."""
    return tuple(
        Rule(
            action=Action(each["action"]),
            roles=tuple(each["roles"]),
            scopes=tuple(each["scopes"]),
            guard=each["guard"],
        )
        for each in plain
    )


def contract_to_plain(contract: Contract) -> Plain:
    """Return the contract as plain data."""
    schema = contract.output_schema
    return {
        "definition": contract.definition,
        "input": dict(contract.input),
        "output_schema": None if schema is None else dict(schema),
        "earlier": contract.earlier,
    }


def notify_to_plain(notify: Notify) -> Plain:
    """Return a receiver as plain data."""
    return {"channel": notify.channel.value, "target": notify.target, "on": sorted(notify.on)}


def notify_from_plain(plain: Plain) -> Notify:
    """Return the receiver that `notify_to_plain` was given."""
    return Notify(
        channel=Channel(plain["channel"]), target=plain["target"], on=frozenset(plain["on"])
    )


def exit_to_plain(exit: Exit) -> Plain:
    """Return the exit as plain data, in the words of the shim's exit record."""
    usage = exit.usage
    return {
        "cause": exit.cause.value,
        "code": exit.code,
        "signal": exit.signal,
        "error": exit.error,
        "started_at": exit.started_at,
        "ended_at": exit.ended_at,
        "output": {
            "bytes": exit.output.bytes,
            "dropped_bytes": exit.output.dropped_bytes,
            "last_sequence": exit.output.last_sequence,
        },
        "usage": usage and {"cpu_seconds": usage.cpu_seconds, "max_rss_bytes": usage.max_rss_bytes},
        "leftovers": [
            {"pid": left.pid, "command": left.command, "ended": left.ended}
            for left in exit.leftovers
        ],
    }


def exit_from_plain(plain: Plain) -> Exit:
    """Return the exit that a shim's exit record or `exit_to_plain` describes."""
    return Exit(
        cause=Cause(plain["cause"]),
        code=plain["code"],
        signal=plain["signal"],
        error=plain["error"],
        started_at=plain["started_at"],
        ended_at=plain["ended_at"],
        output=OutputCounts(**plain["output"]),
        usage=Usage(**plain["usage"]) if plain["usage"] else None,
        leftovers=tuple(Leftover(**left) for left in plain["leftovers"]),
    )
