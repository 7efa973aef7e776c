"""The house rules: who may import whom, where each foreign library lives, how long things may get."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from console_automation.frontends.cli import program
from console_automation.frontends.cli.program import JOB, SERVER

#: What is too slow to import for a program that is to be there at once.
HEAVY = {
    "mcp",
    "mcp_types",
    "pydantic",
    "uvicorn",
    "rich",
    "asyncio",
    "sqlite3",
    "dataclasses",
    "shutil",
    "subprocess",
    "typing",
}
PACKAGE = Path(__file__).parents[2] / "console_automation"
FILES = sorted(PACKAGE.rglob("*.py"))

#: Which layers a layer may import besides itself; `errors` is everybody's.
ALLOWED = {
    "errors": set(),
    "paths": set(),
    "core": set(),
    "ports": {"core"},
    "config": set(),
    "shim": set(),
    "engine": {"core", "ports", "config"},
    "operations": {"core", "ports", "engine", "config"},
    "adapters": {"core", "ports", "engine", "shim", "paths"},
    "joining": {"core", "ports", "engine", "operations", "adapters", "config"},
    "app": {
        *("core", "ports", "engine", "operations", "adapters", "config", "paths", "typed"),
        "joining",
    },
    "frontends": {
        *("core", "ports", "engine", "operations", "adapters", "config", "paths", "app"),
        "joining",
    },
    "typed": set(),
    "__main__": {"frontends", "paths"},
    "__init__": set(),
}
HOMES = {
    "mcp": ("frontends/mcp/", "frontends/http.py"),
    "mcp_types": ("frontends/mcp/",),
    "sqlite3": ("adapters/sqlite/", "frontends/cli/commands/doctor.py"),
    "prometheus_client": ("adapters/prometheus.py",),
    "psutil": ("adapters/machine.py", "adapters/windows_terminal.py"),
    "pyte": ("adapters/grid.py",),
    "re2": ("engine/patterns.py",),
    "pydantic_core": ("adapters/sqlite/rows.py",),
    "pydantic": ("operations/", "frontends/mcp/", "app.py", "typed.py"),
    "jsonschema": ("engine/json_schemas.py",),
    "starlette": ("frontends/http.py", "frontends/http_answers.py", "frontends/http_jobs.py"),
    "uvicorn": ("frontends/http.py",),
    "rich": ("frontends/cli/",),
    "ulid": ("app.py",),
    "winpty": ("adapters/windows_terminal.py",),
    "sortedcontainers": ("core/queue.py",),
    "asyncio": ("adapters/", "engine/", "operations/", "frontends/", "ports/", "typed.py"),
    "nats": ("adapters/nats/",),
}


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.startswith("console_automation"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_layers(path: Path) -> set[str]:
    found = set()
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "console_automation" and len(parts) > 1:
            found.add(parts[1])
    return {name for name in found if name in ALLOWED}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_layer_imports_only_what_is_below_it(path: Path) -> None:
    layer = layer_of(path)
    allowed = ALLOWED[layer] | {layer, "errors"}
    assert own_layers(path) <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_foreign_library_has_its_home(path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    for name in imports_of(path):
        root = name.partition(".")[0]
        if root in HOMES:
            assert place.startswith(HOMES[root]) if HOMES[root] else False, f"{place}: {name}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "shim").glob("*.py")), ids=lambda p: p.name)
def test_the_shim_needs_the_standard_library_alone(path: Path) -> None:
    for name in imports_of(path):
        root = name.partition(".")[0]
        assert root == "console_automation" or root in sys.stdlib_module_names, name


@pytest.mark.parametrize("path", sorted((PACKAGE / "core").glob("*.py")), ids=lambda p: p.name)
def test_the_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef | ast.Await)]
    banned = {"time", "os", "io", "pathlib", "socket", "threading", "subprocess", "random"}
    assert not banned & {name.partition(".")[0] for name in imports_of(path)}


def test_no_module_imports_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    names = {module_of(path) for path in FILES}
    for path in FILES:
        top = [n for n in ast.parse(path.read_text("utf-8")).body]
        found = set()
        for node in top:
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        graph[module_of(path)] = (found & names) - {module_of(path)}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert state.get(name) != 1, " -> ".join((*trail, name))
        if name not in state:
            state[name] = 1
            for each in graph[name]:
                visit(each, (*trail, name))
            state[name] = 2

    for name in graph:
        visit(name, ())


def module_of(path: Path) -> str:
    parts = ["console_automation", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_everything_public_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    if path.name != "__init__.py":
        assert ast.get_docstring(tree), "the module"
    for node in tree.body:
        definition = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if definition and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("entry", ["console_automation.frontends.bridge", "console_automation"])
def test_the_bridge_starts_without_anything_heavy(entry: str) -> None:
    script = f"import sys, {entry}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert not (HEAVY | {"argparse"}) & set(done.stdout.split())


@pytest.mark.parametrize("command", sorted({*JOB.commands, *SERVER.commands}))
def test_a_command_loads_only_what_it_needs(command: str) -> None:
    """What `job run` and the like import as they go is seen in tests/integration/test_command_line.py."""
    script = f"import sys; from {program.__name__} import load; load({command!r})"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; print(' '.join(sys.modules))"],
        capture_output=True,
        check=True,
        text=True,
    )
    needed = {"doctor": {"sqlite3", "dataclasses", "shutil", "typing"}}.get(command, set())
    assert not (HEAVY - needed) & set(done.stdout.split())
