"""What the settings sign and log in with, and the token in the URL of a webhook, is nowhere to be read."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.daemons import killable
from tests.integration.job_command import Shell
from tests.integration.receivers import mailbox, trusted, webhooks
from tests.waiting import until_now

CANARY = "canary-9f3a"


def rows(home: Path) -> str:
    """Return the audit and the journals."""
    with closing(sqlite3.connect(home / "jobs.db")) as connection:
        return str(
            [connection.execute(f"SELECT * FROM {t}").fetchall() for t in ("audit", "journal")]
        )


def test_no_secret_is_in_the_doctor_s_words_the_log_the_records_or_the_figures(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "webhook_secret": CANARY,
        "webhook_allow_private": True,
        "smtp_host": "localhost",
        "smtp_user": "me",
        "smtp_password": CANARY,  # which is not the right one, and is said back by the server
        "smtp_from": "jobs@example.org",
        "notify_attempts": 2,
        "notify_backoff_ms": 1,
        "log_level": "debug",
    }
    with mailbox(trusted(tmp_path, monkeypatch)) as box, webhooks() as hooks:
        hooks.statuses += [500, 500]
        with killable(home, **settings, smtp_port=box.port) as daemon:
            receivers = [{"webhook": hooks.url(f"/{CANARY}")}, {"email": "me@example.org"}]
            job_id = daemon.submit("true", notify=receivers)
            until_now(lambda: rows(home).count("NotificationFailed") == 2, "both notes")
            shell = Shell(home, tmp_path)
            said = {
                "doctor": shell.job("doctor").stdout + shell.job("doctor", "--json").stdout,
                "status": str(daemon.job(job_id)) + str(daemon.ask({"ask": "status"})),
                "metrics": daemon.ask({"ask": "metrics"})["text"],
                "log": (home / "daemon.log").read_text(),
                "records": rows(home),
            }
            assert "is given up" in said["log"] and 'outcome="given_up"' in said["metrics"]
            assert {name for name, text in said.items() if CANARY in text} == set()


@pytest.mark.parametrize("name", ["webhook_secret", "smtp_password"])
def test_a_secret_that_is_no_text_is_refused_without_being_shown(
    home: Path, tmp_path: Path, name: str
) -> None:
    (home / "config.toml").write_text(f"{name} = 31415926\n")
    done = Shell(home, tmp_path).job("doctor")
    assert f"setting {name}: its value is not text" in done.stdout
    assert "31415926" not in done.stdout + done.stderr
