"""The operations about the cluster's workers, and what only those who have one need of jobs."""

from console_automation.core.access import JOB_READ, JOB_WRITE
from console_automation.operations import cluster_jobs, cluster_workers, job_counts, jobs
from console_automation.operations import cluster_requests as requests
from console_automation.operations import cluster_texts as texts
from console_automation.operations import cluster_views as views
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
        scope=JOB_READ,
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
    Operation(
        toolset="cluster",
        name="console_get_job_counts",
        scope=JOB_READ,
        title="Count jobs",
        description=(
            "Count jobs by status, here and in the cluster, and its dead letters; say whether the"
            " cluster can be reached."
        ),
        request=requests.GetJobCounts,
        result=views.CountsResult,
        run=job_counts.get_job_counts,
        text=texts.counts,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="cluster",
        name="console_forget_job",
        scope=JOB_WRITE,
        title="Remove a finished job",
        description="Remove one finished job, of this machine or of the cluster, with its output.",
        request=requests.ForgetJob,
        result=views.ForgetResult,
        run=jobs.forget_job,
        in_cluster=cluster_jobs.forget_job,
        text=texts.forgotten,
        destructive=True,
        idempotent=True,
    ),
)
