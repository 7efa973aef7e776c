"""The worked example of the page on the HTTP API prints what the page says, in a real cluster."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.clusters import as_worker, settings_of
from tests.integration.nats_server import running_nats_server
from tests.integration.servers import environment, serving
from tests.waiting import PATIENCE, until_now

PAGE = Path(__file__).parents[2] / "docs/http-api.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$(?:\n\nprints\n\n```text\n(.*?)^```$)?", re.M | re.S)


def test_the_example_prints_what_the_page_says(
    tmp_path_factory: pytest.TempPathFactory, home: Path
) -> None:
    blocks = BLOCK.findall(PAGE.read_text("utf-8"))
    assert len(blocks) == 5
    worker_home = tmp_path_factory.mktemp("worker")
    with running_nats_server(tmp_path_factory.mktemp("bus") / "nats") as nats:
        shared = settings_of(nats)
        worker = as_worker("build-1", worker_labels="group=build.linux")
        with (
            serving(worker_home, **shared, **worker),
            serving(home, http=True, **shared) as gateway,
        ):
            until_now(lambda: gateway.call("console_list_workers").get("workers"), "the worker")
            script = "".join(shown for shown, _ in blocks)
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                [
                    "bash",
                    "-euo",
                    "pipefail",
                    "-c",
                    script.replace("http://127.0.0.1:8471", gateway.url),
                ],
                env={**environment(home), "PATH": path},
                capture_output=True,
                text=True,
                timeout=3 * PATIENCE,
                check=False,
            )
    printed = "".join(printed for _, printed in blocks)
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr
