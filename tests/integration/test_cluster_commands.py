"""`job` in a cluster: targets, jobs that run elsewhere, workers, dead letters, and what the doctor says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.clusters import Cluster, running_cluster
from tests.integration.job_command import Shell
from tests.integration.nats_server import free_port, running_nats_server
from tests.integration.servers import configure
from tests.integration.windows import Window
from tests.waiting import until_now

WORKERS = {"web-1": "group=web.dev", "web-2": "group=web.dev.us", "db-1": "group=db"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), WORKERS) as running:
        yield running


@pytest.fixture
def shell(cluster: Cluster) -> Shell:
    return cluster.shell


def columns(printed: str) -> list[list[str]]:
    """The rows of a table."""
    return [re.split(r" {2,}", line) for line in printed.splitlines()]


def test_a_job_for_a_host_runs_there_in_the_home_of_its_worker(shell: Shell) -> None:
    done = shell.job("run", "--target", "web-2", "-f", 'echo "$PWD"; exit 7')
    assert done.returncode == 7
    assert Path(done.stdout.strip()) == Path.home()


def test_a_job_for_any_worker_is_found_by_its_id_and_by_the_beginning_of_that(
    shell: Shell,
) -> None:
    shell.run("--target", "_any", "true")
    job_id = shell.run("--target", "_any", "echo hello; exit 3")
    for reference in (job_id, job_id[:-2], job_id.removeprefix("cluster-job-")[:-2]):
        assert shell.job("wait", reference).returncode == 3
        assert shell.json("status", reference)["job"]["worker"] in WORKERS
        assert shell.logs(reference) == "hello\n"
    assert shell.job("wait", "cluster-job-").returncode == 2, "it may be any of several"


def test_a_gateway_that_has_just_been_started_finds_every_job(shell: Shell) -> None:
    job_id = shell.run("--target", "web-1", "exit 6")
    assert shell.job("wait", job_id).returncode == 6
    assert shell.job("daemon", "restart").returncode == 0
    assert shell.job("wait", job_id[:-1]).returncode == 6
    assert job_id in shell.job("list", "--cluster").stdout


def test_a_job_for_a_label_tells_of_each_worker_and_fails_when_one_has_failed(
    shell: Shell, tmp_path: Path
) -> None:
    line = f"mkdir {tmp_path}/first 2>&- || exit 4; echo the first"
    done = shell.job("run", "--target", "group:web.dev", "-w", line)
    assert done.returncode == 4
    [group] = [each for each in shell.json("list", "--cluster")["jobs"] if each["command"] == line]
    children = {child["host"]: child["exitCode"] for child in group["children"]}
    assert sorted(children) == ["web-1", "web-2"] and sorted(children.values()) == [0, 4]
    rows = columns(shell.job("status", group["id"]).stdout)
    assert [row[:2] for row in rows[-2:]] == [
        [host, "failed" if code else "completed"] for host, code in children.items()
    ]
    first = next(host for host, code in children.items() if code == 0)
    assert shell.logs(group["id"]) == f"{first} | the first\n"


def test_the_output_of_several_workers_is_followed_in_whole_lines(shell: Shell) -> None:
    line = "printf 'one '; sleep 0.1; echo line; echo and; printf another"
    done = shell.job("run", "--target", "_all", "-f", line)
    assert done.returncode == 0
    for host in WORKERS:
        own = [each for each in done.stdout.splitlines() if each.startswith(host)]
        assert [each.partition(" | ")[2] for each in own] == ["one line", "and", "another"]


def test_the_output_of_each_attempt_is_followed(shell: Shell, tmp_path: Path) -> None:
    line = f"echo an attempt; mkdir {tmp_path}/first 2>&- && exit 4; echo the end"
    done = shell.job("run", "--target", "_any", "--retry", "2", "-f", line)
    assert done.returncode == 0
    assert done.stdout == "an attempt\nan attempt\nthe end\n"


def test_bytes_of_several_workers_are_to_be_asked_for_one_by_one(shell: Shell) -> None:
    group = shell.run("--target", "_all", "true")
    shell.job("wait", group)
    refused = shell.job("logs", "--raw", group)
    assert refused.returncode == 1 and f"{group}-1 (db-1)" in refused.stderr
    assert shell.job("logs", "--raw", f"{group}-1").returncode == 0
    assert f"{group}-1 (db-1)" in shell.job("send", group, "x").stderr


def test_a_remote_job_is_fed_and_stopped_and_run_again(shell: Shell) -> None:
    fed = shell.run("--target", "db-1", "--stdin", "cat")
    until_now(lambda: shell.job("send", fed, "a line").returncode == 0, "the job to be begun")
    shell.job("send", "--eof", fed)
    assert shell.job("logs", "-f", "--tail", "1", fed).stdout == "a line\n"
    lasting = shell.run("--target", "_all", "--retry", "2", "sleep 1000")
    assert "attempt" not in shell.job("status", lasting).stdout, "each part has its own"
    stopped = shell.job("stop", lasting)
    assert stopped.returncode == 0 and "cancelled" in stopped.stdout
    assert shell.job("wait", lasting).returncode == 1
    ended = shell.run("--target", "_any", "exit 8")
    shell.job("wait", ended)
    assert shell.job("retry", "-w", ended).returncode == 8


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--target", "nowhere"), 2, "Known: db-1, web-1, web-2"),
        (("--target", "group:mail"), 2, "Known: db-1, web-1, web-2"),
        (("--target", "_some"), 2, "options.target: must be _any, _all"),
        (("--target", "_any", "-s", "tests"), 2, "options.sessionId is for jobs of this machine"),
        (("--target", "_any", "--notify", "true"), 2, "options.notify is for jobs of this machine"),
    ],
)
def test_what_cannot_be_aimed_is_refused_at_once(
    shell: Shell, words: tuple[str, ...], code: int, said: str
) -> None:
    done = shell.job("run", *words, "true")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_nobody_can_attach_to_a_job_of_the_cluster(shell: Shell) -> None:
    remote = shell.run("--target", "_any", "--tty", "sleep 1000")
    with Window(shell, "attach", remote, cols=200) as window:
        window.until("it is on another machine")
        assert window.ended() == 1
    assert shell.job("stop", remote).returncode == 0


def test_a_job_of_this_machine_cannot_wait_for_one_of_the_cluster(shell: Shell) -> None:
    remote = shell.run("--target", "_any", "true")
    done = shell.job("run", "--after", remote, "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{remote} is a job of the cluster" in done.stderr and "workflow" in done.stderr


def test_workers_are_listed_with_labels_and_slots(shell: Shell) -> None:
    head, *rows = columns(shell.job("workers").stdout)
    assert head == ["HOST", "STATUS", "SLOTS", "WAITING", "LAST HEARD", "VERSION", "LABELS"]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("db-1", "live", "group=db"),
        ("web-1", "live", "group=web.dev"),
        ("web-2", "live", "group=web.dev.us"),
    ]
    assert all(row[2].endswith(" of 2") for row in rows)


def test_a_worker_is_drained_when_it_has_nothing_and_knows_that_nothing_comes(
    shell: Shell, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = shell.run("--target", "db-1", f"until [ -e {gate} ]; do sleep 0.05; done")
    late = shell.job("workers", "drain", "-t", "0", "db-1")
    assert late.returncode == 124, "it has a job, or is about to have it"
    waiting = shell.run("--target", "db-1", "true")
    gate.touch()
    assert shell.job("workers", "drain", "db-1").returncode == 0
    assert shell.status(running)["status"] == "completed"
    assert "cordoned" in shell.status(waiting)["waitingFor"]
    assert "is alive" in shell.job("workers", "forget", "db-1").stderr
    assert shell.job("workers", "uncordon", "db-1").returncode == 0
    assert shell.job("wait", waiting).returncode == 0
    assert "Known: db-1" in shell.job("workers", "cordon", "nobody").stderr


def test_what_no_worker_can_begin_is_a_dead_letter_with_each_refusal(
    shell: Shell, tmp_path: Path
) -> None:
    directory = tmp_path / "not yet"
    words = ("--target", "web-1", "-d", str(directory), "-n", "unbegun", "true")
    job_id = shell.run(*words)
    assert shell.job("wait", job_id).returncode == 1
    listed = columns(shell.job("dlq").stdout)
    assert [row[:3] for row in listed if row[0] == job_id] == [[job_id, "unbegun", "undelivered"]]
    shown = shell.job("dlq", "show", job_id).stdout
    assert re.search(r"^why +undelivered$", shown, re.MULTILINE)
    for number in (1, 2):
        assert f"given back {number}: web-1: " in shown and str(directory) in shown
    directory.mkdir()
    assert shell.job("dlq", "retry", "-w", job_id).returncode == 0
    assert job_id not in shell.job("dlq").stdout


def test_tab_knows_workers_as_targets_and_dead_letters(shell: Shell) -> None:
    def offered(*words: str) -> list[str]:
        lines = shell.job("complete", "fish", "--", "job", *words, "").stdout.splitlines()[1:]
        return [line.partition("\t")[0] for line in lines]

    hosts, labels = ["db-1", "web-1", "web-2"], ["group:db", "group:web.dev", "group:web.dev.us"]
    assert offered("run", "--target") == ["_any", "_all", *hosts, *labels]
    assert offered("workers", "cordon") == hosts
    job_id = shell.run("--target", "web-2", "--retry", "2", "exit 9")
    shell.job("wait", job_id)
    assert job_id in offered("dlq", "show")


def test_a_job_goes_on_without_its_worker_and_the_next_one_tells_its_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    gate, shell = tmp_path / "gate", cluster.shell
    line = f"echo begun; until [ -e {gate} ]; do sleep 0.05; done; exit 5"
    job_id = shell.run("--target", "web-1", line)
    until_now(lambda: shell.logs(job_id) == "begun\n", "the job to run")
    cluster.workers["web-1"].kill()
    cluster.await_status("web-1", "unreachable")
    assert "has not been heard of" in shell.status(job_id)["waitingFor"]
    everybody = shell.run("--target", "_all", "echo here")
    assert shell.job("logs", job_id).returncode == 4
    gate.touch()
    cluster.workers["web-1"].start()
    assert shell.job("wait", job_id).returncode == 5
    assert shell.job("wait", everybody).returncode == 0


# -- the doctor ------------------------------------------------------------------------------------


def findings(shell: Shell) -> dict[str, tuple[bool, str]]:
    checks = shell.json("doctor")["checks"]
    return {each["name"]: (each["ok"], each["remark"]) for each in checks}


@pytest.fixture
def alone(home: Path, tmp_path: Path) -> Shell:
    """A machine whose settings a test writes."""
    return Shell(home, tmp_path)


def test_the_doctor_says_nothing_of_a_cluster_where_there_is_none(alone: Shell) -> None:
    configure(alone.home)
    assert not {"cluster key", "nats", "nats disk"} & set(findings(alone))


def test_the_doctor_says_what_is_wrong_with_the_key_and_the_address(alone: Shell) -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    configure(alone.home, nats_url=url, cluster_key="short", nats_monitor_url="localhost")
    found = findings(alone)
    assert not any(found[name][0] for name in ("cluster key", "nats", "nats disk"))
    assert "at least 16 characters" in found["cluster key"][1]
    assert f"{url} cannot be reached" in found["nats"][1]
    assert "'localhost' does not begin with http://" in found["nats disk"][1]
    assert alone.job("doctor").returncode == 1


@pytest.mark.parametrize(
    ("jetstream", "nats", "disk"),
    [
        ({"sync_interval": "always"}, "with JetStream", "ok every write is forced to it"),
        ({"sync_interval": "2m"}, "with JetStream", "BAD set sync_interval: always"),
        (None, "no JetStream", "BAD tells of no JetStream"),
    ],
)
def test_the_doctor_looks_whether_what_is_acknowledged_is_on_the_disk(
    alone: Shell, jetstream: dict[str, str] | None, nats: str, disk: str
) -> None:
    directory = alone.directory / "nats"
    with running_nats_server(directory, jetstream=jetstream, monitored=True) as server:
        configure(
            alone.home,
            nats_url=server.url,
            cluster_key="0123456789abcdef",
            nats_monitor_url=server.monitor_url,
        )
        found = findings(alone)
    good, remark = found["nats"]
    assert good is (jetstream is not None) and nats in remark
    mark, _, words = disk.partition(" ")
    good, remark = found["nats disk"]
    assert good is (mark == "ok") and words in remark


def test_the_doctor_finds_the_cluster_in_order(shell: Shell) -> None:
    found = findings(shell)
    assert found["cluster key"] == (True, "set, and long enough")
    good, remark = found["nats"]
    assert good and re.fullmatch(r"version [\d.]+, with JetStream", remark)
    assert found["nats disk"][0] and "set nats_monitor_url" in found["nats disk"][1]
