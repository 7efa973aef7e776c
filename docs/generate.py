"""Writes the parts of the documentation that the code knows better: `make docs`.

A page holds marked sections, `<!-- made: name -->` to `<!-- end -->`; what stands between the marks is
replaced by what SECTIONS makes of the code. What the code does not say (what a result's field means,
which errors a tool answers with) is in reference.toml; a name that is missing there stops the
generator.
"""

import json
import re
import sys
import tempfile
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from typing_extensions import is_typeddict

from console_automation import errors
from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster
from console_automation.adapters.memory_host import MemoryHost
from console_automation.adapters.prometheus import Metrics
from console_automation.adapters.state_directory import StateDirectory
from console_automation.app import build_engine
from console_automation.config import PREFIX, Settings
from console_automation.core import job, keys, schedule, session, workflow_run
from console_automation.core.job import STATUS_OF, TERMINAL, Phase
from console_automation.core.lifecycle import TRANSITIONS
from console_automation.engine.cluster import Workload
from console_automation.operations import (
    cluster_views,
    definition_views,
    schedule_views,
    session_views,
    views,
    workflow_views,
)
from console_automation.operations.table import OPERATIONS, Operation
from docs import commands, examples

DOCS = Path(__file__).parent
REFERENCE: Mapping[str, Any] = tomllib.loads((DOCS / "reference.toml").read_text("utf-8"))
_SECTION = re.compile(r"(<!-- made: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_LONGEST_RESULT = 42  # lines of JSON; a longer one would hide the page
_BOUNDS = (
    ("minLength", "maxLength", " characters"),
    ("minimum", "maximum", ""),
    ("minItems", "maxItems", " items"),
    ("minProperties", "maxProperties", " pairs"),
)

Schema = dict[str, Any]


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


def fenced(content: Any, language: str = "json") -> str:
    """Return a code block with text, or with a value as JSON."""
    text = json.dumps(content, indent=2) if language == "json" else content
    return f"```{language}\n{text}\n```\n"


def code(value: object) -> str:
    """Return a value as it would be written in JSON, set as code."""
    return f"`{json.dumps(value)}`"


# -- tools -----------------------------------------------------------------------------------------


def tools(toolset: str) -> str:
    """The operations of a set: what each is for, what it takes, what it returns, and examples."""
    return "\n".join(_tool(each) for each in OPERATIONS.values() if each.toolset == toolset)


def tool_index(toolset: str) -> str:
    """The operations of a set in one table."""
    offered = [each for each in OPERATIONS.values() if each.toolset == toolset]
    return table(
        ("tool", "what it does", "hints"),
        [(f"[`{o.name}`](#{o.name})", o.title, _hints(o)) for o in offered],
    )


def _hints(operation: Operation) -> str:
    names = ("read_only", "destructive", "idempotent", "open_world")
    return ", ".join(name.replace("_", "-") for name in names if getattr(operation, name)) or "none"


def _tool(operation: Operation) -> str:
    schema = operation.request.model_json_schema(by_alias=True)
    parameters = list(_parameters(operation.name, schema))
    codes = REFERENCE["errors"][operation.name]
    parts = [
        f"## {operation.name}\n\n{operation.description}\n",
        table(("parameter", "type", "default", "bounds", "meaning"), parameters)
        if parameters
        else "It takes no parameters.\n",
        f"Result: [{operation.result.__name__}](#{operation.result.__name__.lower()}).\n",
        "Errors: " + ", ".join(f"[`{each}`](errors.md#{each.lower()})" for each in codes) + ".\n",
    ]
    parts += [
        _example(each)
        for each in examples.kept()
        if each["tool"] == operation.name and each["shown"]
    ]
    return "\n".join(parts)


def _parameters(tool: str, schema: Schema, prefix: str = "") -> Iterator[tuple[str, ...]]:
    definitions = schema.get("$defs", {})
    for name, given in schema["properties"].items():
        node = _plain(given, definitions)
        if "properties" in node:
            yield from _parameters(tool, {**node, "$defs": definitions}, f"{prefix}{name}.")
            continue
        path = prefix + name
        default = "required" if name in schema.get("required", ()) else ""
        if not default and given.get("default") is not None:
            default = code(given["default"])
        meanings = REFERENCE["parameters"]
        meaning = given.get("description") or meanings.get(f"{tool}.{path}") or meanings[path]
        yield f"`{path}`", _type(node, definitions), default, _bounds(node), meaning
        element = _plain(node.get("items", {}), definitions)
        if "properties" in element:
            yield from _parameters(tool, {**element, "$defs": definitions}, f"{path}[].")


def _plain(node: Schema, definitions: Schema) -> Schema:
    """Return what a reference or a choice with null stands for."""
    if "anyOf" in node:
        (node,) = [option for option in node["anyOf"] if option != {"type": "null"}]
    return definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _type(node: Schema, definitions: Schema) -> str:
    if "enum" in node:
        return " or ".join(f"`{value}`" for value in node["enum"])
    if node["type"] == "array":
        return "list of " + _type(_plain(node["items"], definitions), definitions)
    if node["type"] == "object":
        of_strings = node.get("additionalProperties") == {"type": "string"}
        return "object of strings" if of_strings else "object"
    return str(node["type"])


def _bounds(node: Schema) -> str:
    for low, high, unit in _BOUNDS:
        if low in node or high in node:
            least, most = node.get(low), node.get(high)
            if least is None:
                return f"at most {most:,}{unit}"
            return f"at least {least:,}{unit}" if most is None else f"{least:,} to {most:,}{unit}"
    return ""


def results(module: ModuleType) -> str:
    """The shapes of the results that a module defines, field by field."""
    shapes = [each for each in vars(module).values() if is_typeddict(each)]
    return "\n".join(_result(each) for each in shapes if each.__module__ == module.__name__)


def _result(shape: type) -> str:
    rows = []
    for name, kind in typing.get_type_hints(shape, include_extras=True).items():
        is_optional = name in shape.__optional_keys__  # type: ignore[attr-defined]
        bare = kind.__args__[0] if is_optional else kind
        meanings = REFERENCE["results"]
        meaning = meanings.get(f"{shape.__name__}.{name}") or meanings[name]
        rows.append(
            (f"`{name}`", _kind(bare), "if it applies" if is_optional else "always", meaning)
        )
    return f"### {shape.__name__}\n\n{shape.__doc__}\n\n" + table(
        ("field", "type", "present", "meaning"), rows
    )


def _kind(kind: Any) -> str:
    if is_typeddict(kind):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    if typing.get_origin(kind) is list:
        return f"list of {_kind(kind.__args__[0])}"
    if typing.get_origin(kind) is dict:
        return "object of strings" if kind.__args__[1] is str else "object"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(f"`{each}`" for each in kind.__args__)
    if hasattr(kind, "__args__"):
        return " or ".join(_kind(each) for each in kind.__args__)
    names = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    names[Any] = "any"
    return names.get(kind) or f"[{kind.__name__.lower()}](#{kind.__name__.lower()})"


def _example(example: Mapping[str, Any]) -> str:
    shown = "Called with\n\n" + fenced(example["arguments"])
    shown += "\nit answers with the text\n\n" + fenced(example["text"].rstrip(), "text")
    result = fenced(example["result"])
    if result.count("\n") <= _LONGEST_RESULT:
        shown += "\nand the structured content\n\n" + result
    return shown


# -- words -----------------------------------------------------------------------------------------


def _sentences(kind: type[StrEnum]) -> dict[str, str]:
    """Return what the source says of each member of an enum, in its comments."""
    source = Path(str(sys.modules[kind.__module__].__file__)).read_text("utf-8")
    body = source.partition(f"class {kind.__name__}(")[2].partition("\nclass ")[0]
    return dict(re.findall(r'= "(\w+)"  #: (.+)', body))


def members(head: str, kind: type[StrEnum]) -> str:
    """The members of an enum and what they mean."""
    said = _sentences(kind)
    return table((head, "meaning"), [(f"`{each}`", said[each] + ".") for each in kind])


def phases() -> str:
    """The phases of a job, finer than its status."""
    said = _sentences(Phase)
    rows = [(f"`{p}`", f"`{STATUS_OF[p]}`", said.get(p, "it is over")) for p in Phase]
    return table(("phase", "status", "meaning"), rows)


def lifecycle() -> str:
    """The state diagram, drawn from the transition table."""
    arrows: dict[tuple[str, str], list[str]] = {
        ("[*]", "ready"): ["Submitted"],
        ("[*]", "blocked"): ["Submitted"],
    }
    for (phase, event), targets in TRANSITIONS.items():
        for target in targets:
            arrows.setdefault((phase.value, target.value), []).append(event.__name__)
    return _diagram(arrows, [phase for phase in Phase if phase in TERMINAL])


def session_lifecycle() -> str:
    """The state diagram of a session, drawn from its transition table."""
    arrows: dict[tuple[str, str], list[str]] = {("[*]", "opening"): ["created"]}
    for (phase, event), target in session.TRANSITIONS.items():
        arrows.setdefault((phase.value, target.value), []).append(event.__name__)
    return _diagram(arrows, [session.CLOSED])


def _diagram(arrows: Mapping[tuple[str, str], list[str]], last: Sequence[StrEnum]) -> str:
    lines = ["stateDiagram-v2"]
    lines += [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    lines += [f"    {phase} --> [*]" for phase in last]
    return fenced("\n".join(lines), "mermaid")


def key_table() -> str:
    """The names of the keys and what they send, with and without application cursor mode."""
    rows = []
    for name in keys.NAMES:
        if not name.startswith("ctrl+"):
            plain, application = (
                keys.encode_key(name, application_cursor=mode) for mode in (False, True)
            )
            sent = [_bytes(plain)] + ([_bytes(application)] if application != plain else [])
            rows.append((f"`{name}`", " or ".join(sent)))
    return table(("key", "sends"), rows)


def _bytes(text: str) -> str:
    shown = "".join("ESC " if c == "\x1b" else c if c > " " else f"0x{ord(c):02x}" for c in text)
    return f"`{shown.replace(chr(0x7F), '0x7f').strip() or ' '}`"


# -- the command line ------------------------------------------------------------------------------


def command_index() -> str:
    """The commands of `job` in one table."""
    return table(("command", "what it does"), commands.index())


def command_reference() -> str:
    """The commands of `job`: what each does, examples, arguments."""
    return "\n".join(
        f"### {name}\n\n{about}\n{fenced(script, 'sh')}\n{table(('argument', 'meaning'), rows)}"
        for name, about, script, rows in commands.sections()
    )


def exit_codes() -> str:
    """The exit codes of `job`."""
    return table(("exit code", "meaning"), commands.exit_codes())


# -- settings, metrics, errors ----------------------------------------------------------------------


def settings() -> str:
    """Every knob."""
    rows = []
    for knob in fields(Settings):
        known = knob.metadata
        names = [PREFIX + knob.name.upper(), *([known["short"]] if known["short"] else [])]
        low, high = known["low"], known["high"]
        bounds = "" if low is None else f"{low:,} to {high:,}"
        default = f"`{json.dumps(knob.default)}`"
        variables = " or ".join(f"`{name}`" for name in names)
        rows.append((f"`{knob.name}`", default, bounds, known["help"], variables))
    return table(("setting", "default", "bounds", "meaning", "environment"), rows)


def metrics() -> str:
    """Every figure that Prometheus can scrape, but for the client library's own."""
    with tempfile.TemporaryDirectory(prefix="ca-", dir="/tmp") as home:
        directory = StateDirectory(Path(home))
        engine = build_engine(
            directory,
            Settings(nats_url="nats://here", cluster_key="known to every reader"),
            store=MemoryStore(),
            host=MemoryHost(),
            bus=MemoryBus(MemoryCluster()),
        )
        assert engine.cluster is not None
        engine.cluster.workload = Workload()
        registry = Metrics(engine).registry
    labels = {
        name: getattr(collector, "_labelnames", ())
        for name, collector in registry._names_to_collectors.items()
    }
    rows = []
    for family in registry.collect():
        if family.name.startswith("console_automation_"):
            found = labels.get(family.name) or {
                key for each in family.samples for key in each.labels
            }
            names = sorted(set(found) - {"le"})
            values = ", ".join(f"`{each}`: {REFERENCE['labels'][each]}" for each in names)
            name = family.name + ("_total" if family.type == "counter" else "")
            rows.append((f"`{name}`", family.type, family.documentation, values))
    return table(("metric", "type", "meaning", "labels"), rows)


def error_tree() -> str:
    """The tree of errors, as the module of the errors draws it."""
    lines = (errors.__doc__ or "").splitlines()
    return (
        "```text\n" + "\n".join(line[4:] for line in lines if line.startswith("    ")) + "\n```\n"
    )


SECTIONS: Mapping[str, Callable[[], str]] = {
    "job-tool-index": partial(tool_index, "jobs"),
    "session-tool-index": partial(tool_index, "sessions"),
    "workflow-tool-index": partial(tool_index, "workflows"),
    "workflow-tools": partial(tools, "workflows"),
    "schedule-tool-index": partial(tool_index, "schedules"),
    "job-tools": partial(tools, "jobs"),
    "session-tools": partial(tools, "sessions"),
    "schedule-tools": partial(tools, "schedules"),
    "job-results": partial(results, views),
    "session-results": partial(results, session_views),
    "schedule-results": partial(results, schedule_views),
    "cluster-tool-index": partial(tool_index, "cluster"),
    "cluster-tools": partial(tools, "cluster"),
    "cluster-results": partial(results, cluster_views),
    "missed": partial(members, "missed", schedule.Missed),
    "overlap": partial(members, "overlap", schedule.Overlap),
    "definition-tool-index": partial(tool_index, "definitions"),
    "definition-tools": partial(tools, "definitions"),
    "definition-results": partial(results, definition_views),
    "workflow-results": partial(results, workflow_views),
    "step-statuses": partial(members, "status", workflow_run.StepStatus),
    "step-reasons": partial(members, "reason", workflow_run.StepReason),
    "run-reasons": partial(members, "reason", workflow_run.RunReason),
    "statuses": partial(members, "status", job.Status),
    "reasons": partial(members, "reason", job.Reason),
    "phases": phases,
    "lifecycle": lifecycle,
    "session-phases": partial(members, "status", session.SessionPhase),
    "closings": partial(members, "closing", session.Closing),
    "command-statuses": partial(members, "status", session.CommandStatus),
    "session-lifecycle": session_lifecycle,
    "keys": key_table,
    "command-index": command_index,
    "commands": command_reference,
    "exit-codes": exit_codes,
    "settings": settings,
    "metrics": metrics,
    "errors": error_tree,
}


def made(page: str) -> str:
    """Return a page with its marked sections as they should be."""
    return _SECTION.sub(lambda m: f"{m[1]}\n{SECTIONS[m[2]]()}\n{m[3]}", page)


def main() -> int:
    """Record the examples anew if need be, and rewrite every marked section."""
    if examples.record():
        sys.stdout.write("examples.json was recorded anew\n")
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text("utf-8")
        if made(text) != text:
            page.write_text(made(text), "utf-8")
            sys.stdout.write(f"{page.relative_to(DOCS)} was rewritten\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
