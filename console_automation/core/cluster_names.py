"""What jobs of the cluster, their queues and their keys are called."""

import hashlib
import re

from console_automation.core.target import host_key

JOB_IDS = "cluster-job-"  #: how their ids begin
ANY_QUEUE = "any"
#: How the idempotency keys begin under which workers run epochs of such jobs.
CLUSTER_KEYS = "cluster:"
#: How those begin under which runs of a machine are carried into the cluster.
CARRIED_KEYS = "carried:"
_CARRIED = re.compile(re.escape(CARRIED_KEYS) + r".+\.([0-9]{1,9})")


def id_for(key: str, owner: str) -> str:
    """Return the id of the one job that there is for an owner's idempotency key, whichever gateway is
    asked."""
    return JOB_IDS + hashlib.sha256(f"{owner}\0{key}".encode()).hexdigest()[:26]


def queue_of(host: str) -> str:
    """Return the queue of what is for one worker alone."""
    return f"host.{host_key(host)}"


def key_of(job_id: str, epoch: int) -> str:
    """Return the idempotency key under which an epoch is a job of its worker's machine."""
    return f"{CLUSTER_KEYS}{job_id}:{epoch}"


def attempt_in(key: str | None) -> int | None:
    """Return the number, from 1, of the attempt that is carried under a key; None if that is none such."""
    found = _CARRIED.fullmatch(key or "")
    return found and int(found[1])
