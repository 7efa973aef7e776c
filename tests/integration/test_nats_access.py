"""Whom a NATS server lets in: a machine with its password, its nkey or its certificate, and no other."""

import json
import os
from pathlib import Path
from typing import Any

import nkeys
import pytest
import trustme

from console_automation.errors import Unavailable
from tests.integration.daemons import killable
from tests.integration.fleet import PATIENT, running_fleet
from tests.integration.job_command import Shell

Settings = dict[str, Any]


def written(place: Path, name: str, content: bytes) -> str:
    (place / name).write_bytes(content)
    return str(place / name)


def new_nkey(place: Path, name: str) -> tuple[str, str]:
    """Return a new user's file with the seed, and public key."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    return written(place, name, bytes(seed)), nkeys.from_seed(bytearray(seed)).public_key.decode()


def by_password(place: Path) -> tuple[Settings, Settings, Settings]:
    let_in = {"nats_user": "worker", "nats_password": "secret"}
    users = [{"user": "worker", "password": "secret"}]
    return {"authorization": {"users": users}}, let_in, {**let_in, "nats_password": "guessed"}


def by_nkey(place: Path) -> tuple[Settings, Settings, Settings]:
    seed_file, public = new_nkey(place, "seed")
    other, _ = new_nkey(place, "other")
    security = {"authorization": {"users": [{"nkey": public}]}}
    return security, {"nats_nkey_file": seed_file}, {"nats_nkey_file": other}


def by_certificate(place: Path) -> tuple[Settings, Settings, Settings]:
    """The server shows a certificate and wants one; those of another authority are worth nothing."""
    ours, theirs = trustme.CA(), trustme.CA()
    server, client, stranger = (
        ours.issue_cert("127.0.0.1"),
        ours.issue_cert("w"),
        theirs.issue_cert("w"),
    )

    def pem(name: str, certificate: trustme.LeafCert) -> tuple[str, str]:
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        key = certificate.private_key_pem.bytes()
        return written(place, f"{name}.pem", chain), written(place, f"{name}-key.pem", key)

    authority = written(place, "authority.pem", ours.cert_pem.bytes())
    certificate, key = pem("server", server)
    security = {
        "tls": {"cert_file": certificate, "key_file": key, "ca_file": authority, "verify": True}
    }

    def showing(name: str, leaf: trustme.LeafCert) -> Settings:
        shown, secret = pem(name, leaf)
        return {
            "nats_ca_file": authority,
            "nats_certificate_file": shown,
            "nats_key_file": secret,
        }

    return security, showing("client", client), showing("stranger", stranger)


def what_doctor_says_of_nats(home: Path, directory: Path) -> str:
    found = json.loads(Shell(home, directory).job("doctor", "--json").stdout)["checks"]
    return next(str(each["remark"]) for each in found if each["name"] == "nats")


@pytest.mark.parametrize("way", [by_password, by_nkey, by_certificate])
def test_who_is_let_in_has_jobs_run_and_who_is_not_is_told_so(tmp_path: Path, way: Any) -> None:
    security, let_in, kept_out = way(tmp_path)
    with running_fleet(("w",), security=security, **let_in, **PATIENT) as fleet:
        job = fleet.gateway.submit("exit 42", target="w")
        assert fleet.gateway.over(job)["exitCode"] == 42
        assert "with JetStream" in what_doctor_says_of_nats(fleet.gateway.home, tmp_path)
        with killable(fleet.place / "outside", **{**fleet.settings, **kept_out}) as outside:
            with pytest.raises(Unavailable, match="cannot be reached"):
                outside.submit("exit 42", target="w")
            told = what_doctor_says_of_nats(outside.home, tmp_path)
            assert "cannot be reached" in told
            log = (outside.home / "daemon.log").read_text()
            assert "guessed" not in told + log
