"""The operations about the cluster's workers."""

from console_automation.operations import cluster_requests as requests
from console_automation.operations import cluster_texts as texts
from console_automation.operations import cluster_views as views
from console_automation.operations import cluster_workers
from console_automation.operations.operation import Operation

CLUSTER_OPERATIONS = (
    Operation(
        toolset="cluster",
        name="console_list_workers",
        title="List workers",
        description=(
            "List the machines that take jobs of the cluster: labels, slots, and whether each is live,"
            " cordoned or unreachable. Use a host or a label as options.target of console_execute_async."
        ),
        request=requests.ListWorkers,
        result=views.WorkerList,
        run=cluster_workers.list_workers,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="cluster",
        name="console_drain_worker",
        title="Drain a worker",
        description=(
            "Have a worker take no more jobs of the cluster and wait until those it has are over; or"
            " cordon it without waiting, take it back (uncordon), or forget one that is gone."
        ),
        request=requests.DrainWorker,
        result=views.WorkerResult,
        run=cluster_workers.drain_worker,
        text=texts.drained,
        idempotent=True,
    ),
)
