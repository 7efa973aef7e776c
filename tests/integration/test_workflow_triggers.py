"""Webhooks over HTTP: who has the secret starts a run, and nobody else learns anything."""

import hashlib
import hmac
import http.client
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.integration.servers import Server, serving
from tests.waiting import PATIENCE, until_now

SECRET = "the secret of this webhook"
MOST = 2048


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A daemon with a workflow that a webhook starts."""
    home = tmp_path_factory.mktemp("hooked")
    with serving(home, http=True, http_max_body_bytes=MOST) as server:
        server.call("console_register_job", name="say", command="cat")
        kept = server.call(
            "console_register_workflow",
            name="deploy",
            steps=[{"id": "say", "job": "say", "condition": "input.ref == 'main'"}],
            triggers=[{"type": "webhook", "path": "git/push", "secret": SECRET}],
        )
        assert kept["workflow"]["triggers"] == [{"type": "webhook", "path": "git/push"}]
        yield server


def post(
    server: Server, path: str, body: bytes, *, method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    host, port = server.url.removeprefix("http://").split(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=PATIENCE)) as connection:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text.startswith(b"{") else {}


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def runs(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.call("console_list_workflows")["runs"]
    return found


def test_a_signed_request_starts_a_run_without_any_token(hooked: Server) -> None:
    body = json.dumps({"ref": "main"}).encode()
    status, said = post(hooked, "/hooks/git/push", body, X_Hub_Signature_256=signature(body))
    assert status == 202 and said["run"]["trigger"] == "webhook"

    def over() -> dict[str, Any] | None:
        asked = {"runId": said["run"]["runId"], "waitMs": 1000}
        view = hooked.call("console_get_workflow_status", **asked)
        return view if view["run"]["status"] == "completed" else None

    found = until_now(over, "the end of the run")
    assert found and found["steps"][0]["status"] == "completed"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/hooks/git/push", {}),
        ("/hooks/git/push", {"X_Hub_Signature_256": signature(b"{}", "some other secret")}),
        ("/hooks/git/push", {"X_Hub_Signature_256": "sha256=" + "\u00e4" * 64}),
        ("/hooks/git/pull", {"X_Hub_Signature_256": signature(b"{}")}),
        ("/hooks/", {"X_Hub_Signature_256": signature(b"{}", "")}),
    ],
)
def test_nobody_else_starts_anything_or_learns_which_hooks_there_are(
    hooked: Server, path: str, headers: dict[str, str]
) -> None:
    before = len(runs(hooked))
    status, said = post(hooked, path, b"{}", **headers)
    assert (status, said["code"]) == (404, "WORKFLOW_NOT_FOUND")
    assert said["error"] == "There is no such webhook, or the signature is not right."
    assert len(runs(hooked)) == before


def test_a_body_is_bounded_whatever_its_header_says(hooked: Server) -> None:
    body = b'"' + b"x" * MOST + b'"'
    for headers in ({}, {"Transfer-Encoding": "chunked"}):
        host, port = hooked.url.removeprefix("http://").split(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=PATIENCE)) as connection:
            signed = {"X-Hub-Signature-256": signature(body), **headers}
            pieces = iter([body]) if headers else body
            connection.request(
                "POST", "/hooks/git/push", body=pieces, headers=signed, encode_chunked=bool(headers)
            )
            assert connection.getresponse().status == 413


def test_a_signed_body_that_is_no_json_and_other_methods_are_refused(hooked: Server) -> None:
    status, said = post(hooked, "/hooks/git/push", b"no", X_Hub_Signature_256=signature(b"no"))
    assert (status, said["code"]) == (400, "INVALID_ARGUMENT")
    assert post(hooked, "/hooks/git/push", b"", method="GET")[0] == 405
    assert post(hooked, "/hooks/git/push", b"{}", Origin="http://evil.example")[0] == 403
    assert post(hooked, "/hooks/git/push", b"{}", Host="evil.example")[0] == 421
    assert post(hooked, "/hooks/../metrics", b"", method="GET")[0] in (404, 405)


def test_the_secret_is_in_no_record_and_no_log(hooked: Server) -> None:
    body = json.dumps({"ref": "other"}).encode()
    post(hooked, "/hooks/git/push", body, X_Hub_Signature_256=signature(body))

    def recorded() -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(hooked.home / "jobs.db")) as database:
            return database.execute(
                "SELECT * FROM audit WHERE operation = 'webhook' AND outcome = 'ok'"
            ).fetchall()

    assert until_now(recorded, "the record")
    with closing(sqlite3.connect(hooked.home / "jobs.db")) as database:
        kept = {
            table: str(database.execute(f"SELECT * FROM {table}").fetchall())
            for table in ("audit", "journal", "job", "workflow_run", "workflow_step")
        }
    assert not [table for table, rows in kept.items() if SECRET in rows]
    assert SECRET not in (hooked.home / "daemon.log").read_text()
    assert SECRET not in json.dumps(hooked.call("console_list_workflows"))
