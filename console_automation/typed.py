"""Jobs written in Python: functions and classes become job definitions.

    from console_automation.typed import JobContext, job

    @job(description="Greet somebody.", retry={"maxAttempts": 3})
    def greet(name: str, context: JobContext, formal: bool = False) -> dict[str, str]:
        context.log(f"greeting {name}")
        return {"message": f"{'Dear' if formal else 'Hello'} {name}!"}

`job define FILE.py` registers what a file defines, `App.register` what a program has. The schemas come
from the type hints, pydantic models among them. Each job runs in a process of its own: the file is
imported there, never by the daemon.

    python -m console_automation.typed describe FILE         prints the definitions as JSON
    python -m console_automation.typed run FILE NAME         carries one out, as the daemon does
"""

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import json
import os
import sys
import traceback
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, Self, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

_MARK = "__console_automation_job__"
_FILES = ("CONSOLE_AUTOMATION_PROGRESS", "CONSOLE_AUTOMATION_RESULT")
T = TypeVar("T", bound=Callable[..., Any])


class JobFailed(Exception):
    """The job fails, and this is why."""


class _Responded(BaseException):
    """The job has its result and ends here."""


class JobContext:
    """What a job knows of its run, and how it tells of itself. Base class of jobs that are classes."""

    _log: list[str]

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make one that can log, also of a class with an `__init__` of its own."""
        context = super().__new__(cls)
        context._log = []
        return context

    @property
    def job_id(self) -> str:
        """Return the job's id; empty when it is run by hand."""
        return os.environ.get("CONSOLE_AUTOMATION_RUN", "").rpartition(".")[0]

    @property
    def attempt(self) -> int:
        """Return which attempt this is, from 1."""
        return int(os.environ.get("CONSOLE_AUTOMATION_ATTEMPT", "1"))

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the metadata of the schedule that started the job; empty if none did."""
        found: dict[str, Any] = json.loads(os.environ.get("CONSOLE_AUTOMATION_METADATA") or "{}")
        return found

    def log(self, message: str) -> None:
        """Add a line to the job's log, which its status shows."""
        self._log.append(message)
        _tell({"log": message})

    def get_logs(self) -> Sequence[str]:
        """Return what this attempt has logged so far."""
        return tuple(self._log)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far the job is, in units of its own."""
        _tell({"progress": done, "total": total, "message": message})

    def fail(self, message: str) -> NoReturn:
        """End the attempt as failed; the retry policy says whether there is another."""
        raise JobFailed(message)

    def respond(self, result: Any) -> NoReturn:
        """End the job with a result."""
        raise _Responded(result)


def _tell(said: Mapping[str, Any]) -> None:
    path = os.environ.get(_FILES[0])
    line = json.dumps(said) + "\n"
    if path is None:
        sys.stderr.write(line)  # run by hand
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


# -- defining --------------------------------------------------------------------------------------


def job(target: Any = None, /, *, name: str | None = None, **fields: Any) -> Any:
    """Make a function, or a subclass of JobContext with a method `execute`, a job.

    `fields` are those of the tool console_register_job: description, timeout, retry, tags, labels,
    permissions, hideFromDiscovery; inputSchema and outputSchema where the hints do not say it all. The
    name is that of the function or class, with dashes, unless one is given. A permission's `custom` may
    be a function that is given what is asked and returns whether it agrees.
    """

    def mark(each: T) -> T:
        if inspect.isclass(each) and not issubclass(each, JobContext):
            raise TypeError(f"{each.__name__} has to be a subclass of JobContext")
        setattr(each, _MARK, {"name": name or _dashed(each.__name__), **fields})
        return each

    return mark if target is None else mark(target)


def _dashed(name: str) -> str:
    """Return `BatchImport` and `batch_import` as `batch-import`."""
    spread = "".join(f"-{each.lower()}" if each.isupper() else each for each in name)
    return spread.strip("-_").replace("_", "-")


def describe(target: Callable[..., Any]) -> dict[str, Any]:
    """Return a job as the arguments of console_register_job.

    Raises TypeError for what is no job, or cannot be found again in its file.
    """
    marked = getattr(target, _MARK, None)
    file = inspect.getsourcefile(target)
    if marked is None or file is None:
        raise TypeError(f"{target!r} is no job: decorate it with @job, in a file")
    path = os.path.abspath(file)
    call = _call_of(target)
    rules = [_rule(each) for each in marked.get("permissions", [])]
    schemas = {"inputSchema": _input_model(call).model_json_schema()}
    result = typing.get_type_hints(call, include_extras=True).get("return", Any)
    if result not in (Any, None, type(None)):
        schemas["outputSchema"] = TypeAdapter(result).json_schema(mode="serialization")
    return {
        "description": inspect.cleandoc(target.__doc__ or "").partition("\n\n")[0],
        **schemas,
        **marked,
        **({"permissions": rules} if rules else {}),
        "command": sys.executable,
        "args": ["-m", "console_automation.typed", "run", path, marked["name"]],
        "workingDirectory": os.path.dirname(path),
    }


def _rule(permission: Mapping[str, Any]) -> dict[str, Any]:
    """Return a permission with its guard, which may be a function, as it is registered."""
    guard = permission.get("custom")
    if not callable(guard):
        return dict(permission)
    file = inspect.getsourcefile(guard)
    return {**permission, "custom": f"{os.path.abspath(file or '')}:{guard.__name__}"}


def _call_of(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is called with the input."""
    if not inspect.isclass(target):
        return target
    execute: Callable[..., Any] | None = getattr(target, "execute", None)
    if execute is None:
        raise TypeError(f"{target.__name__} has no method execute")
    return execute


def _parameters(call: Callable[..., Any]) -> Iterable[tuple[inspect.Parameter, Any]]:
    """Yield the parameters that the input has to fill, with their types.

    Raises TypeError for one that is not given by its name.
    """
    hints = typing.get_type_hints(call, include_extras=True)
    for parameter in inspect.signature(call).parameters.values():
        kind = hints.get(parameter.name, Any)
        if parameter.name == "self" or kind is JobContext:
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"an input has to have a name, which {parameter} has not")
        yield parameter, kind


def _input_model(call: Callable[..., Any]) -> type[BaseModel]:
    """Return the model of the input: that of the only parameter, or one of all parameters."""
    parameters = list(_parameters(call))
    if len(parameters) == 1 and _is_model(parameters[0][1]):
        model: type[BaseModel] = parameters[0][1]
        return model
    fields: dict[str, Any] = {
        each.name: (kind, ... if each.default is each.empty else each.default)
        for each, kind in parameters
    }
    return create_model("Input", __config__=ConfigDict(extra="forbid"), **fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


# -- running ---------------------------------------------------------------------------------------


def jobs_of(path: str) -> dict[str, Callable[..., Any]]:
    """Import a file and return its jobs by name. What it raises comes through.

    Raises TypeError for two of one name.
    """
    module = _import(path)
    found: dict[str, Callable[..., Any]] = {}
    for each in vars(module).values():
        marked = getattr(each, "__dict__", {}).get(_MARK)  # not what a class has from its base
        if marked is None or each.__module__ != module.__name__:
            continue
        if found.setdefault(marked["name"], each) is not each:
            raise TypeError(f"{path} has two jobs named {marked['name']!r}")
    return found


def _import(path: str) -> ModuleType:
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def carry_out(target: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call a job with an input and return its result as JSON types."""
    context: Any = target() if inspect.isclass(target) else JobContext()
    call = context.execute if inspect.isclass(target) else target
    model = _input_model(_call_of(target))
    checked = model.model_validate(dict(given))
    hints = typing.get_type_hints(call, include_extras=True)
    arguments: dict[str, Any] = {
        name: context for name, kind in hints.items() if kind is JobContext and name != "return"
    }
    for parameter, kind in _parameters(call):
        arguments[parameter.name] = checked if kind is model else getattr(checked, parameter.name)
    try:
        result = call(**arguments)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except _Responded as early:
        result = early.args[0]
    return TypeAdapter(Any).dump_python(result, mode="json", by_alias=True)  # as in the schema


def _run(path: str, name: str) -> int:
    given = json.loads(os.environ.get("CONSOLE_AUTOMATION_INPUT") or "{}")
    try:
        target = jobs_of(path).get(name)
        if target is None:
            raise JobFailed(f"{path} defines no job {name!r} any more")
        result = carry_out(target, given)
    except JobFailed as failure:
        _tell({"error": str(failure)})
        sys.stderr.write(f"{failure}\n")
        return 1
    except SystemExit as leave:
        if isinstance(leave.code, str):
            _tell({"error": leave.code})
        raise
    except (Exception, ValidationError) as error:
        traceback.print_exc()
        _tell({"error": f"{type(error).__name__}: {error}"})
        return 1
    text = json.dumps(result, allow_nan=False)
    path_of_result = os.environ.get(_FILES[1])
    if path_of_result is None:
        print(text)  # noqa: T201 - run by hand
    else:
        Path(path_of_result).write_text(text, encoding="utf-8")
    return 0


def main(words: Sequence[str]) -> int:
    """Describe a file's jobs, or run one; returns the exit code."""
    match words:
        case ["describe", path]:
            with contextlib.redirect_stdout(sys.stderr):  # what the file prints is no answer
                found = [describe(each) for each in jobs_of(path).values()]
            print(json.dumps(found))  # noqa: T201
            return 0
        case ["run", path, name]:
            return _run(path, name)
        case ["guard", path, name]:
            with contextlib.redirect_stdout(sys.stderr):
                agrees = getattr(_import(path), name)(json.load(sys.stdin))
            print("true" if agrees is True else "false")  # noqa: T201
            return 0
    sys.stderr.write("usage: python -m console_automation.typed describe FILE | run FILE NAME\n")
    return 2


if __name__ == "__main__":
    # Under its own name, by which the jobs' file imports it, too.
    sys.exit(importlib.import_module("console_automation.typed").main(sys.argv[1:]))
