"""The operations about jobs."""

from console_automation.core.access import JOB_WRITE
from console_automation.operations import cluster_jobs, jobs, requests, session_texts, texts, views
from console_automation.operations.operation import Operation

JOB_OPERATIONS = (
    Operation(
        toolset="jobs",
        also_in="sessions",
        name="console_execute_command",
        title="Run a command",
        description=(
            "Run a shell command and return its exit code and output. If it is not done in time"
            " (45 s) it keeps running as a background job and you get its jobId: nothing is lost,"
            " nothing is killed. For what you know to take long, use console_execute_async. With"
            " sessionId it is typed into that session's shell, where cwd and variables are kept."
        ),
        request=requests.ExecuteCommand,
        result=views.CommandResult,
        run=jobs.execute_command,
        text=lambda result: (
            session_texts.executed(result) if "sessionId" in result else texts.command(result)
        ),
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="jobs",
        name="console_execute_async",
        scope=JOB_WRITE,
        title="Start a background job",
        description=(
            "Start a command as a background job and return its jobId at once. The job survives"
            " this client, the server and their crashes; its output and exit code are kept (24 h)."
            " Example: command='make -j4 test', options={timeout: 3600000, name: 'tests'}."
            " Then console_wait_for_jobs; read with console_get_job_output. Do not append '&' or"
            " nohup: processes left behind are ended with the job."
        ),
        request=requests.ExecuteAsync,
        result=views.ExecuteResult,
        run=jobs.execute_async,
        text=texts.executed,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="jobs",
        also_in="definitions",
        name="console_get_job_status",
        guarded=True,
        title="Job status",
        description=(
            "Return a job: status, exit code or signal, who ended it and why, timing, usage; why"
            " it is still pending. With waitMs it returns as soon as the job is over."
        ),
        request=requests.GetJobStatus,
        result=views.JobResult,
        run=jobs.get_job_status,
        in_cluster=cluster_jobs.get_job_status,
        text=texts.status,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="jobs",
        name="console_get_job_output",
        guarded=True,
        title="Job output",
        description=(
            "Read a job's output, live or afterwards. Page with since=nextSince; never the same"
            " bytes twice. tail=20 for the last lines, grep='error' to search on the server,"
            " waitMs to wait for new output. Terminal control sequences are stripped."
        ),
        request=requests.GetJobOutput,
        result=views.OutputResult,
        run=jobs.get_job_output,
        in_cluster=cluster_jobs.get_job_output,
        text=texts.output,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="jobs",
        name="console_wait_for_jobs",
        guarded=True,
        title="Wait for jobs",
        description=(
            "Wait until all the jobs (or, with mode=any, one) are over, 45 s at most; return"
            " them. Call again while some are `unfinished`."
        ),
        request=requests.WaitForJobs,
        result=views.WaitResult,
        run=jobs.wait_for_jobs,
        in_cluster=cluster_jobs.wait_for_jobs,
        text=texts.waited,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="jobs",
        name="console_cancel_job",
        guarded=True,
        title="Cancel a job",
        description=(
            "End a job and every process it started: SIGTERM, then after graceMs SIGKILL for"
            " whatever is left. Returns when they are gone. A finished job is left alone."
        ),
        request=requests.CancelJob,
        result=views.CancelResult,
        run=jobs.cancel_job,
        in_cluster=cluster_jobs.cancel_job,
        text=texts.cancelled,
        destructive=True,
        idempotent=True,
    ),
    Operation(
        toolset="jobs",
        name="console_list_jobs",
        guarded=True,
        title="List jobs",
        description=("List jobs, newest first, of earlier clients too."),
        request=requests.ListJobs,
        result=views.ListResult,
        run=jobs.list_jobs,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="jobs",
        name="console_send_job_input",
        title="Feed a job",
        description=(
            "Write to the stdin of a running job that was started with options.keepStdin."
        ),
        request=requests.SendJobInput,
        result=views.InputResult,
        run=jobs.send_job_input,
        in_cluster=cluster_jobs.send_job_input,
        text=texts.fed,
        open_world=True,
    ),
    Operation(
        toolset="jobs",
        name="console_retry_job",
        scope=JOB_WRITE,
        title="Run a job again",
        description="Run a finished job again, as a new one.",
        request=requests.RetryJob,
        result=views.ExecuteResult,
        run=jobs.retry_job,
        in_cluster=cluster_jobs.retry_job,
        text=texts.executed,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="jobs",
        name="console_get_job_metrics",
        title="Job figures",
        description="Return counts by status, slots in use, queue wait and run times, system load.",
        request=requests.GetJobMetrics,
        result=views.MetricsResult,
        run=jobs.get_job_metrics,
        text=texts.metrics,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="jobs",
        name="console_cleanup_jobs",
        title="Remove finished jobs",
        description=(
            "Remove finished jobs and their output, older than maxAge (default 24 h, which also"
            " happens by itself)."
        ),
        request=requests.CleanupJobs,
        result=views.CleanupResult,
        run=jobs.cleanup_jobs,
        text=texts.cleaned,
        destructive=True,
        idempotent=True,
    ),
)
