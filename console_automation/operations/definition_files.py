"""The job definitions of a project: the file `console-automation.toml` in its root.

    [jobs.greet]
    command = "echo"
    args = ["Hello", "{name}"]
    inputSchema = {required = ["name"], properties = {name = {type = "string"}}}

A table has the fields of the tool console_register_job, but for its name. Paths are taken from the
project's root, which is also where its jobs run unless they say otherwise.
"""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from console_automation.core.definition import JobDefinition, Source
from console_automation.core.text import one_line
from console_automation.engine.definitions import check
from console_automation.errors import BadRequest
from console_automation.operations.checking import checked
from console_automation.operations.definition_requests import RegisterJob
from console_automation.operations.definitions import definition_of

FILE = "console-automation.toml"
_LARGEST = 1 << 20
_REMEMBERED = 100

Stamp = tuple[int, int, int]


class ProjectFiles:
    """Reads the files of projects, each again when it has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Stamp, Mapping[str, JobDefinition]]] = {}

    def __call__(self, project: str) -> Mapping[str, JobDefinition]:
        """Return a project's definitions by name. Raises BadRequest, naming the file and the field."""
        path = Path(project, FILE)
        try:
            status = path.stat()
        except OSError:
            return {}
        if not stat.S_ISREG(status.st_mode):  # a pipe would never answer
            return {}
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(project)
        if known is None or known[0] != stamp:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            known = self._read[project] = (stamp, _definitions(path))
        return known[1]


def _definitions(path: Path) -> Mapping[str, JobDefinition]:
    content = _content(path)
    tables = content.pop("jobs", {})
    for name in content:
        where = one_line(name, 60)
        why = "has no meaning here; what defines a job begins with [jobs.NAME]."
        raise BadRequest(f"{path}: {where} {why}", field=where)
    if not isinstance(tables, dict):
        raise BadRequest(f"{path}: jobs is no table of jobs.", field="jobs")
    return {name: _definition(path, name, table) for name, table in tables.items()}


def _content(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise BadRequest(f"{path} has more than {_LARGEST} bytes.")
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from None


def _definition(path: Path, name: str, table: object) -> JobDefinition:
    where = f"{path}: jobs.{one_line(name, 60)}"
    if not isinstance(table, dict):
        raise BadRequest(f"{where} is no table.", field=f"jobs.{one_line(name, 60)}")
    try:
        request = checked(RegisterJob, {**table, "name": name})
        definition = definition_of(request, source=Source.PROJECT)
        directory = os.path.normpath(path.parent / (definition.working_directory or ""))
        definition = replace(definition, working_directory=directory)
        check(definition)
    except BadRequest as error:
        raise BadRequest(f"{where}: {error.message}", **error.details) from None
    return definition
