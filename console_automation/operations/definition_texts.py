"""What a model reads of definitions and results beside the structured answer."""

from __future__ import annotations

import json

from console_automation.core.text import counted, one_line, sanitize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from console_automation.operations.definition_views import (
        DefinitionsResult,
        DefinitionView,
        RegisterResult,
        RemoveResult,
        ResultResult,
    )

_LONGEST_RESULT = 1_500


def listed(result: DefinitionsResult) -> str:
    """Tell of a page of definitions: each with what it takes."""
    more = f" More with after={result['nextAfter']!r}." if "nextAfter" in result else ""
    head = f"{counted(result['total'], 'job definition')}.{more}"
    return "\n".join([head, *map(_line, result["definitions"])])


def _line(definition: DefinitionView) -> str:
    about = one_line(definition["description"], 80)
    return f"{definition['name']}({takes(definition)}){': ' if about else ''}{about}"


def takes(definition: DefinitionView) -> str:
    """Say what a definition takes, as `text: string, language?: string`."""
    schema = definition["inputSchema"]
    required = schema.get("required", [])
    fields = schema.get("properties", {})
    return one_line(
        ", ".join(
            f"{name}{'' if name in required else '?'}: {_kind(field)}"
            for name, field in fields.items()
        ),
        200,
    )


def _kind(field: object) -> str:
    kind = field.get("type", "any") if isinstance(field, dict) else "any"
    return "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def registered(result: RegisterResult) -> str:
    """Tell of a kept definition."""
    what = "replaced; jobs made from the old one are not touched" if result["replaced"] else "kept"
    return f"{result['name']} is {what}. Run it with console_execute_job."


def removed(result: RemoveResult) -> str:
    """Tell that a definition is gone."""
    return f"{result['name']} is gone. Its jobs and their results stay."


def came_to(result: ResultResult) -> str:
    """Tell what a job came to."""
    job_id, status = result["jobId"], result["status"]
    if status in ("pending", "running"):
        return (
            f"{job_id} is {status}. It goes on by itself; console_get_job_result with waitMs waits for"
            " its result, console_get_job_status shows its progress."
        )
    if status != "completed":
        why = result.get("error") or result.get("reason", "")
        code = f" (exit code {result['exitCode']})" if result["exitCode"] is not None else ""
        return (
            f"{job_id} {status}: {why}{code}, attempt {result['attempt']}. Its output:"
            " console_get_job_output."
        )
    if "error" in result:
        return f"{job_id} completed. {result['error']}"
    if "result" not in result:
        return f"{job_id} completed; it has no result, see console_get_job_output."
    text = sanitize(json.dumps(result["result"], ensure_ascii=False))
    if len(text) > _LONGEST_RESULT:
        text = f"{text[:_LONGEST_RESULT]}… (the rest is in the structured result)"
    return f"{job_id} completed: {text}"
