"""The HTTP API of jobs: the same routes for jobs of this machine and of the cluster, for whom they are, and
what metrics and audit tell of it. Real daemons, and a real NATS server."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from console_automation import errors
from console_automation.adapters.tokens import Tokens
from console_automation.core.job import Status
from console_automation.frontends.http_answers import STATUS_OF_CODE
from tests.integration.clusters import as_worker, settings_of
from tests.integration.conftest import Gate
from tests.integration.nats_server import NatsServer, running_nats_server
from tests.integration.principals import as_principal
from tests.integration.servers import Server, serving
from tests.integration.steps import ok, refused
from tests.waiting import PATIENCE, until_now

EVERYTHING = ("job:read", "job:write")
BOTH = pytest.mark.parametrize("target", [None, "_any"], ids=["here", "in the cluster"])
UNKNOWN = ("job-" + "0" * 26, "cluster-job-" + "0" * 26)
_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Cluster:
    """A gateway with HTTP, one worker, and what is between them."""

    nats: NatsServer
    gateway: Server
    worker: Server


@pytest.fixture(scope="module")
def cluster(module_home: Path) -> Iterator[Cluster]:
    with running_nats_server(module_home / "nats") as nats:
        shared = settings_of(nats, cluster_lease_ms=3000, cluster_max_deliveries=1)
        limits = {"http_max_body_bytes": 4096}
        with (
            serving(module_home / "worker", **shared, **as_worker("build-1")) as worker,
            serving(module_home / "gateway", http=True, **shared, **limits) as gateway,
        ):
            running = Cluster(nats, gateway, worker)
            await_worker(running)
            yield running


def await_worker(cluster: Cluster) -> None:
    """Return when the gateway sees the worker."""

    def is_live() -> bool:
        listed = cluster.gateway.call("console_list_workers")
        return [each["status"] for each in listed.get("workers", ())] == ["live"]

    until_now(is_live, "the worker")


class Api:
    """A client with a token."""

    def __init__(self, server: Server, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx2.Client(base_url=server.url, headers=headers, timeout=3 * PATIENCE)

    def ask(self, way: str, path: str, expected: int = 200, **more: Any) -> Any:
        """Return the body of an answer with that status."""
        answer = self._http.request(way, path, **more)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def status(self, way: str, path: str, **more: Any) -> int:
        return self._http.request(way, path, **more).status_code

    def create(self, command: str, target: str | None, **options: Any) -> str:
        """Create a job and return its id."""
        options = {**options, **({"target": target} if target else {})}
        answer = self._http.post("/job", json={"command": command, "options": options})
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["jobId"]
        assert answer.headers["Location"] == f"/job/{job_id}"
        return job_id

    def over(self, job_id: str) -> dict[str, Any]:
        """Return a job once it is over."""
        job: dict[str, Any] = self.ask("GET", f"/job/{job_id}?waitMs=20000")["job"]
        assert job["status"] not in ("pending", "running"), job
        return job

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def user(cluster: Cluster) -> Iterator[Api]:
    """The user of the machine."""
    api = Api(cluster.gateway, cluster.gateway.token)
    yield api
    api.close()


class Guest(Api):
    """A principal whom nobody else is."""

    def __init__(self, server: Server, *scopes: str) -> None:
        self.name = f"guest-{next(_NUMBERS)}"
        made = Tokens(server.home).add(self.name, roles=[], scopes=scopes, lifetime=None)
        super().__init__(server, made)


@pytest.fixture
def guest(cluster: Cluster) -> Iterator[Guest]:
    """A principal with both scopes."""
    api = Guest(cluster.gateway, *EVERYTHING)
    yield api
    api.close()


def routes_about(job_id: str) -> list[tuple[str, str]]:
    """Return the ways to name a job."""
    return [
        ("GET", f"/job/{job_id}"),
        ("GET", f"/job/{job_id}/output"),
        ("POST", f"/job/{job_id}/retry"),
        ("DELETE", f"/job/{job_id}"),
    ]


def told(server: Server, client: str) -> list[tuple[str, str]]:
    """Return what a client asked and what came of it, as it is on record."""
    with closing(sqlite3.connect(server.home / "jobs.db")) as connection:
        asked = "SELECT operation, outcome FROM audit WHERE client = ?"
        return [tuple(row) for row in connection.execute(asked, (client,))]


# -- what the routes do ----------------------------------------------------------------------------


@BOTH
def test_a_job_is_created_inspected_read_retried_and_removed(user: Api, target: str | None) -> None:
    job_id = user.create("echo one; echo two >&2; exit 3", target, name="steps")
    job = user.over(job_id)
    assert (job["status"], job["exitCode"], job["name"]) == ("failed", 3, "steps")
    assert job.get("worker") == ("build-1" if target else None)
    page = user.ask("GET", f"/job/{job_id}/output?stream=stderr")
    assert [chunk["content"] for chunk in page["output"]] == ["two\n"]
    words = {"name": "steps", "limit": "1", **({"cluster": "jobs"} if target else {})}
    assert [each["id"] for each in user.ask("GET", "/job", params=words)["jobs"]] == [job_id]
    again = user.ask("POST", f"/job/{job_id}/retry", 201)["jobId"]
    assert user.over(again)["retryOf"] == job_id
    assert user.ask("DELETE", f"/job/{job_id}")["forgotten"] is True
    for way, path in routes_about(job_id):
        assert user.ask(way, path, 404)["code"] == "JOB_NOT_FOUND"
    assert user.ask("GET", f"/job/{again}")["job"]["status"] == "failed"


@BOTH
def test_output_is_live_and_paged_without_a_byte_twice(
    user: Api, target: str | None, gate: Gate
) -> None:
    job_id = user.create(f"echo first; {gate.wait}; echo second", target)
    seen, since = "", 0
    while True:
        path = f"/job/{job_id}/output?since={since}&waitMs=20000&limit=1"
        page = user.ask("GET", path)
        seen, since = seen + "".join(each["content"] for each in page["output"]), page["nextSince"]
        if seen == "first\n":
            assert page["status"] == "running"
            gate.open()
        if page["status"] != "running" and not page["hasMore"]:
            break
    assert seen == "first\nsecond\n"


@BOTH
def test_to_delete_a_job_that_is_not_over_ends_it_and_once_more_removes_it(
    user: Api, target: str | None
) -> None:
    job_id = user.create("sleep 600", target)
    assert user.ask("POST", f"/job/{job_id}/retry", 409)["code"] == "CONFLICT"
    ended = user.ask("DELETE", f"/job/{job_id}")
    assert (ended["cancelled"], user.over(job_id)["status"]) == (True, "cancelled")
    assert user.ask("DELETE", f"/job/{job_id}")["forgotten"] is True
    assert user.status("GET", f"/job/{job_id}") == 404


@BOTH
def test_who_removes_what_a_page_lists_comes_to_the_next_page(
    user: Api, target: str | None
) -> None:
    name = f"paged-{next(_NUMBERS)}"
    made = []
    for _ in range(3):
        made.append(user.create("true", target, name=name))
        user.over(made[-1])
    where = {"name": name, "limit": "1"} | ({"cluster": "jobs"} if target else {})

    def listed(left: int, **more: str) -> dict[str, Any]:
        def page() -> dict[str, Any] | None:
            found: dict[str, Any] = user.ask("GET", "/job", params={**where, **more})
            return found if found["total"] == left else None

        return until_now(page, f"{left} jobs in the list")

    assert user.ask("DELETE", f"/job/{made[2]}")["forgotten"]
    first = listed(2)
    assert [each["id"] for each in first["jobs"]] == [made[1]]
    assert user.ask("DELETE", f"/job/{made[1]}")["forgotten"]
    second = listed(1, cursor=first["nextCursor"])
    assert [each["id"] for each in second["jobs"]] == [made[0]]
    assert "nextCursor" not in second


def test_what_is_asked_of_a_list_is_so_of_all_that_it_has(user: Api) -> None:
    name = f"wanted-{next(_NUMBERS)}"
    user.over(user.create("true", "_any", name=name, workingDirectory="/nowhere/at/all"))
    dead = {"cluster": "dead_letters"}

    def total(**asked: str) -> int:
        found: int = user.ask("GET", "/job", params=asked)["total"]
        return found

    until_now(lambda: total(**dead, name=name) == 1, "the dead letter")
    assert total(**dead, name=name, status="failed") == 1
    assert total(**dead, name="nobody") == total(**dead, status="completed") == 0
    assert total(cluster="jobs", sessionId="one") == 0


def test_a_part_of_a_job_for_several_workers_goes_with_it(user: Api) -> None:
    group = user.create("true", "_all")
    [child] = user.over(group)["children"]
    until_now(lambda: user.ask("GET", f"/job/{child['jobId']}")["job"]["status"] == "completed")
    refusal = user.ask("DELETE", f"/job/{child['jobId']}", 409)
    assert group in refusal["error"]
    assert user.ask("DELETE", f"/job/{group}")["forgotten"] is True
    assert user.status("GET", f"/job/{child['jobId']}") == 404


def test_counts_and_workers(user: Api, guest: Guest) -> None:
    for target in (None, "_any"):
        user.over(user.create("true", target))
    counts = user.ask("GET", "/job/status")
    assert counts["jobs"]["completed"] > 0 and set(counts["jobs"]) == set(Status)
    assert counts["cluster"]["connected"] is True and counts["cluster"]["jobs"]["completed"] > 0
    [worker] = user.ask("GET", "/job/workers")["workers"]
    assert (worker["host"], worker["status"]) == ("build-1", "live")
    assert guest.ask("GET", "/job/workers")["workers"][0]["host"] == "build-1"
    theirs = guest.ask("GET", "/job/status")
    assert not any([*theirs["jobs"].values(), *theirs["cluster"]["jobs"].values()])


@pytest.mark.parametrize(
    ("way", "path", "content", "status", "named"),
    [
        ("POST", "/job", "{", 400, "JSON"),
        ("POST", "/job", "[" * 4000, 400, "JSON"),
        ("POST", "/job", "[]", 400, "object"),
        ("POST", "/job", '{"command": 5}', 400, "command"),
        ("POST", "/job", '{"command": "xyz", "args": []}', 400, "xyz"),
        ("POST", "/job", '{"command": "true", "options": {"target": "nobody"}}', 400, "nobody"),
        ("POST", "/job", " " * 5000, 413, "4096"),
        ("GET", "/job?limit=many", "", 400, "limit"),
        ("GET", "/job?colour=red", "", 400, "colour"),
        ("GET", "/job?limit=1&limit=2", "", 400, "limit"),
        ("GET", "/job/status?x=1", "", 400, "x"),
        ("GET", "/job/..%2fmetrics", "", 404, "Not Found"),
        ("PUT", "/job", "{}", 405, "Not Allowed"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_word_on_what_is_wrong(
    user: Api, way: str, path: str, content: str, status: int, named: str
) -> None:
    answer = user._http.request(way, path, content=content)
    assert (answer.status_code, named in answer.text) == (status, True), answer.text


def test_every_error_has_a_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, errors.ConsoleAutomationError)}
    assert codes == set(STATUS_OF_CODE)


# -- for whom they are -----------------------------------------------------------------------------

ROUTES = [
    ("POST", "/job", "job:write"),
    ("GET", "/job", "job:read"),
    ("GET", "/job/status", "job:read"),
    ("GET", "/job/workers", "job:read"),
    ("GET", "/job/{id}", "job:read"),
    ("DELETE", "/job/{id}", "job:write"),
    ("POST", "/job/{id}/retry", "job:write"),
    ("GET", "/job/{id}/output", "job:read"),
]


@pytest.mark.parametrize(("way", "path", "scope"), ROUTES)
def test_a_route_is_for_whom_has_its_scope_and_a_refusal_is_on_record(
    cluster: Cluster, user: Api, way: str, path: str, scope: str
) -> None:
    other = next(each for each in EVERYTHING if each != scope)
    body = {"command": "true", "options": {"target": "_any"}} if path == "/job" else None
    with (
        closing(Guest(cluster.gateway, scope)) as one,
        closing(Guest(cluster.gateway, other)) as no,
    ):
        before = user.ask("GET", "/job/status")
        asked = path.replace("{id}", UNKNOWN[0])
        refusal = no.ask(way, asked, 403, json=body if way == "POST" else None)
        assert (refusal["code"], scope in refusal["error"]) == ("POLICY_DENIED", True)
        assert user.ask("GET", "/job/status") == before
        until_now(lambda: [each[1] for each in told(cluster.gateway, f"http:{no.name}")])
        assert {each[1] for each in told(cluster.gateway, f"http:{no.name}")} == {"POLICY_DENIED"}
        assert one.status(way, asked, json=body if way == "POST" else None) in (200, 201, 404)


def test_a_principal_runs_commands_in_the_cluster_and_none_on_the_machine_of_the_gateway(
    cluster: Cluster, guest: Guest
) -> None:
    before = cluster.gateway.totals()
    assert guest.ask("POST", "/job", 403, json={"command": "true"})["code"] == "POLICY_DENIED"
    assert cluster.gateway.totals() == before
    job = guest.over(guest.create("echo mine", "_any"))
    assert job["status"] == "completed"
    assert guest.over(guest.ask("POST", f"/job/{job['id']}/retry", 201)["jobId"])
    assert guest.ask("GET", "/job/status")["cluster"]["jobs"]["completed"] == 2
    for path in ("/metrics", "/job/../metrics", "/jobs", "/"):
        assert guest.status("GET", path) in (403, 404)


async def test_a_scope_opens_the_same_tools_over_mcp(cluster: Cluster) -> None:
    async with as_principal(cluster.gateway, "writer", scopes=["job:write"]) as writer:
        assert "console_execute_async" in {t.name for t in (await writer.mcp.list_tools()).tools}
        assert (await refused(writer, "console_execute_async", command="true"))[
            "code"
        ] == "POLICY_DENIED"
        made = await ok(writer, "console_execute_async", command="true", options={"target": "_any"})
        assert made["jobId"].startswith("cluster-job-")
    async with as_principal(cluster.gateway, "other") as other:
        assert "console_execute_async" not in {t.name for t in (await other.mcp.list_tools()).tools}


@BOTH
def test_a_foreign_job_is_answered_for_like_an_unknown_one_on_every_route(
    user: Api, guest: Guest, target: str | None
) -> None:
    foreign = user.create("sleep 600", target)
    unknown = UNKNOWN[target is not None]

    def plain(view: Any, job_id: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", str(view).replace(job_id, "ID"))

    ways = zip(routes_about(foreign), routes_about(unknown), strict=True)
    for (way, path), (_, other) in ways:
        refusals = (
            plain(guest.ask(way, path, 404), foreign),
            plain(guest.ask(way, other, 404), unknown),
        )
        assert refusals[0] == refusals[1], path
    for words in ({}, {"cluster": "jobs"}, {"ref": foreign}):
        assert guest.ask("GET", "/job", params=words)["total"] == 0
    assert user.ask("GET", f"/job/{foreign}")["job"]["status"] in ("pending", "running")
    user.ask("DELETE", f"/job/{foreign}")


def test_a_worker_puts_on_record_on_whose_behalf_it_does_something(
    cluster: Cluster, guest: Guest
) -> None:
    job_id = guest.create("cat", "_any", keepStdin=True)
    until_now(lambda: guest.ask("GET", f"/job/{job_id}")["job"]["status"] == "running")
    guest.ask("DELETE", f"/job/{job_id}")
    mine = [("console_execute_async", "ok"), ("console_cancel_job", "ok")]
    until_now(lambda: told(cluster.gateway, f"http:{guest.name}") == mine, "the audit here")
    behalf = f"cluster:http:{guest.name}"
    until_now(lambda: told(cluster.worker, behalf)[:2] == mine, "the audit there")


# -- figures ---------------------------------------------------------------------------------------

LABELS = {
    "cluster_connected": {},
    "cluster_workers": {"standing": {"live", "cordoned", "unreachable"}},
    "cluster_jobs": {"status": set(Status)},
    "cluster_dead_letters": {},
    "worker_held": {},
    "worker_untold": {},
    "worker_claims_total": {},
    "worker_refusals_total": {},
}


def figures(server: Server) -> dict[str, float]:
    """Return the figures about the cluster, by name and label."""
    found = {}
    for family in text_string_to_metric_families(server.ask("metrics")["text"]):
        for each in family.samples:
            name = each.name.removeprefix("console_automation_")
            if name.startswith(("cluster_", "worker_")) and not name.endswith("_created"):
                for label, value in each.labels.items():
                    assert value in LABELS[name][label], each
                found[" ".join((name, *each.labels.values()))] = each.value
    return found


def test_figures_tell_of_jobs_workers_and_dead_letters(cluster: Cluster, user: Api) -> None:
    here, there = figures(cluster.gateway), figures(cluster.worker)
    assert {name.split()[0] for name in {**here, **there}} == set(LABELS)
    user.over(user.create("true", "_any"))
    lost = user.over(user.create("/no/such/program", "_any", shell=False))
    assert lost["reason"] == "undelivered"
    live = user.create("sleep 600", "build-1")
    until_now(lambda: figures(cluster.worker)["worker_held"] == there["worker_held"] + 1)
    until_now(
        lambda: figures(cluster.gateway)["cluster_jobs running"] == here["cluster_jobs running"] + 1
    )
    after, served = figures(cluster.gateway), figures(cluster.worker)
    assert after["cluster_jobs completed"] == here["cluster_jobs completed"] + 1
    assert after["cluster_dead_letters"] == here["cluster_dead_letters"] + 1
    assert (after["cluster_connected"], after["cluster_workers live"]) == (1, 1)
    assert served["worker_claims_total"] == there["worker_claims_total"] + 3
    assert served["worker_refusals_total"] == there["worker_refusals_total"] + 1
    user.ask("DELETE", f"/job/{live}")
    until_now(lambda: figures(cluster.worker)["worker_held"] == there["worker_held"])


def test_while_nats_is_away_that_is_said_and_ends_wait_to_be_told(
    cluster: Cluster, user: Api, gate: Gate
) -> None:
    held = figures(cluster.worker)["worker_held"]
    job_id = user.create(f"{gate.wait}; echo done", "_any")
    until_now(lambda: figures(cluster.worker)["worker_held"] == held + 1)
    cluster.nats.kill()
    try:
        until_now(lambda: not user.ask("GET", "/job/status")["cluster"]["connected"])
        assert figures(cluster.gateway)["cluster_connected"] == 0
        body = {"command": "true", "options": {"target": "_any"}}
        assert user.ask("POST", "/job", 503, json=body)["code"] == "UNAVAILABLE"
        assert user.ask("GET", f"/job/{job_id}", 503)["code"] == "UNAVAILABLE"
        assert user.over(user.create("true", None))["status"] == "completed"
        gate.open()
        until_now(lambda: figures(cluster.worker)["worker_untold"] == 1)
    finally:
        cluster.nats.start()
    until_now(lambda: user.ask("GET", "/job/status")["cluster"]["connected"])
    assert user.over(job_id)["status"] == "completed"
    until_now(lambda: figures(cluster.worker)["worker_untold"] == 0)
