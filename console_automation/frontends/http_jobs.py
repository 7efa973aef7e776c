"""The HTTP API of jobs, those of this machine and those of the cluster.

Each route is a call of an operation. What is asked are its arguments: a JSON body, or the words of the
query; what is answered is its result or its error result. Who is not the user needs the scope of the
route, and sees their own jobs alone.
"""

import json
import os
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console_automation.core.access import JOB_READ, JOB_WRITE, Principal
from console_automation.core.job import Status
from console_automation.core.text import one_line
from console_automation.engine.commands import inherited
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest
from console_automation.frontends.http_answers import answered, bounded_body, too_long
from console_automation.operations.checking import from_words
from console_automation.operations.operation import Answer
from console_automation.operations.submission import Call
from console_automation.operations.table import OPERATIONS, invoke, refusal

_ROOT = "/job"
_LIVE = (Status.PENDING, Status.RUNNING)


def is_about_jobs(path: str) -> bool:
    """Whether a path is one of this API, which principals with a scope may use."""
    return path == _ROOT or path.startswith(f"{_ROOT}/")


class JobRoutes:
    """The routes; HTTP clients have no environment and no directory here: they get the daemon's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._most = engine.settings.http_max_body_bytes
        self._environment = inherited(os.environ, engine.settings.environment)

    def all(self) -> list[Route]:
        """Return every route. Names come before ids, which begin otherwise."""
        one = f"{_ROOT}/{{job_id}}"
        return [
            Route(_ROOT, self._create, methods=["POST"]),
            Route(_ROOT, self._list, methods=["GET"]),
            Route(f"{_ROOT}/status", self._count, methods=["GET"]),
            Route(f"{_ROOT}/workers", self._list_workers, methods=["GET"]),
            Route(one, self._inspect, methods=["GET"]),
            Route(one, self._delete, methods=["DELETE"]),
            Route(f"{one}/retry", self._retry, methods=["POST"]),
            Route(f"{one}/output", self._output, methods=["GET"]),
        ]

    async def _create(self, request: Request) -> Response:
        body = await bounded_body(request, self._most)
        if body is None:
            return too_long(self._most)
        try:
            arguments = json.loads(body)
        except (ValueError, RecursionError) as error:
            wrong = BadRequest(f"The body is not JSON: {error}.", field="body")
            return answered(refusal(self._engine, wrong))
        return _made(await self._invoke(request, JOB_WRITE, "console_execute_async", arguments))

    async def _list(self, request: Request) -> Response:
        return await self._read(request, "console_list_jobs", under="options")

    async def _count(self, request: Request) -> Response:
        return await self._read(request, "console_get_job_counts")

    async def _list_workers(self, request: Request) -> Response:
        return await self._read(request, "console_list_workers")

    async def _inspect(self, request: Request) -> Response:
        return await self._read(request, "console_get_job_status", **_named(request))

    async def _output(self, request: Request) -> Response:
        named = _named(request)
        return await self._read(request, "console_get_job_output", under="options", **named)

    async def _retry(self, request: Request) -> Response:
        return _made(await self._invoke(request, JOB_WRITE, "console_retry_job", _named(request)))

    async def _delete(self, request: Request) -> Response:
        """End a job that is not over; remove one that is."""
        named = _named(request)
        seen = await self._invoke(request, JOB_WRITE, "console_get_job_status", named)
        if seen.is_error:
            return answered(seen)
        is_live = seen.view["job"]["status"] in _LIVE
        name = "console_cancel_job" if is_live else "console_forget_job"
        return answered(await self._invoke(request, JOB_WRITE, name, named))

    async def _read(
        self, request: Request, name: str, *, under: str | None = None, **named: str
    ) -> Response:
        """Carry out what reads. The query's words are arguments, or the fields of the one that they go
        under."""
        try:
            words = _words(request)
            asked = words if under is None else {under: words}
            arguments = from_words(OPERATIONS[name].request, {**asked, **named})
        except BadRequest as error:
            return answered(refusal(self._engine, error))
        return answered(await self._invoke(request, JOB_READ, name, arguments))

    async def _invoke(self, request: Request, scope: str, name: str, arguments: Any) -> Answer:
        principal: Principal = request.scope["principal"]
        call = Call(
            client="http" if principal.is_admin else f"http:{principal.name}",
            environment=self._environment,
            cwd=os.path.expanduser("~"),
            principal=principal,
            scope=scope,
        )
        return await invoke(self._engine, name, arguments, call)


def _words(request: Request) -> dict[str, Any]:
    """Return what the query says. Raises BadRequest when it says something more than once."""
    said = request.query_params
    for word in said:
        if len(said.getlist(word)) > 1:
            raise BadRequest(f"{one_line(word)}: the query has it more than once.", field=word)
    return dict(said)


def _named(request: Request) -> dict[str, str]:
    return {"jobId": request.path_params["job_id"]}


def _made(answer: Answer) -> Response:
    """Return the answer about a job that is new, with where it is."""
    if answer.is_error:
        return answered(answer)
    return answered(answer, 201, {"Location": f"{_ROOT}/{answer.view['jobId']}"})
