"""Answers over HTTP: results and refusals of operations, and what is refused before there is one."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console_automation.operations.operation import Answer

#: The status for each code of an error result.
STATUS_OF_CODE = {
    "INVALID_ARGUMENT": 400,
    "COMMAND_NOT_FOUND": 400,
    "PERMISSION_DENIED": 400,
    "WORKING_DIRECTORY_NOT_FOUND": 400,
    "POLICY_DENIED": 403,
    "JOB_NOT_FOUND": 404,
    "WORKFLOW_NOT_FOUND": 404,
    "SESSION_NOT_FOUND": 404,
    "SCHEDULE_NOT_FOUND": 404,
    "DEFINITION_NOT_FOUND": 404,
    "CONFLICT": 409,
    "SESSION_CLOSED": 409,
    "LIMIT_REACHED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "TIMEOUT": 504,
}


def answered(
    answer: Answer, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return what an operation has come to; status and headers are for when it was carried out."""
    if answer.is_error:
        return JSONResponse(answer.view, status_code=STATUS_OF_CODE[answer.view["code"]])
    return JSONResponse(answer.view, status_code=status, headers=headers)


def refused(status: int, why: str) -> Response:
    """Return the answer to what does not come as far as to an operation."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": why}, status_code=status, headers=headers)


def too_long(most: int) -> Response:
    """Return the answer to a body of more bytes than that."""
    return refused(413, f"a request may have {most} bytes")


async def bounded_body(request: Request, most: int) -> bytes | None:
    """Return a body, None when it is longer than it may be, whatever its header says."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            return None
    return bytes(body)
