"""The operations about job definitions."""

from console_automation.operations import cluster_jobs, definitions
from console_automation.operations import definition_requests as requests
from console_automation.operations import definition_texts as texts
from console_automation.operations import definition_views as views
from console_automation.operations.operation import Operation

DEFINITION_OPERATIONS = (
    Operation(
        toolset="definitions",
        name="console_list_job_definitions",
        guarded=True,
        title="List job definitions",
        description=(
            "List the typed jobs that can be run by name: what each does, the JSON Schema of its input"
            " and of its result. Filter by text, any of tags, all of labels."
        ),
        request=requests.ListJobDefinitions,
        result=views.DefinitionsResult,
        run=definitions.list_job_definitions,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="definitions",
        name="console_execute_job",
        guarded=True,
        title="Run a defined job",
        description=(
            "Run a defined job with an input that matches its schema, and return its result. If it is"
            " not done in 45 s, or with background=true, it goes on and you get its jobId for"
            " console_get_job_result. A wrong input is refused before anything runs."
        ),
        request=requests.ExecuteJob,
        result=views.ResultResult,
        run=definitions.execute_job,
        text=texts.came_to,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="definitions",
        name="console_get_job_result",
        guarded=True,
        title="Job result",
        description=(
            "Return the result of a job that was made from a definition, or why it has none. With"
            " waitMs it waits for the job's end."
        ),
        request=requests.GetJobResult,
        result=views.ResultResult,
        run=definitions.get_job_result,
        in_cluster=cluster_jobs.get_job_result,
        text=texts.came_to,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="definitions",
        name="console_register_job",
        guarded=True,
        title="Define a job",
        description=(
            "Keep a typed job under a name, in place of the one of that name. Inputs become whole"
            " arguments or variables, never parts of a shell line: command='convert',"
            " args=['{from}', '{to}'], or command='pg_dump \"$DB\" > dump.sql', environment={DB:"
            " '{db}'}. The whole input is in $CONSOLE_AUTOMATION_INPUT as JSON."
        ),
        request=requests.RegisterJob,
        result=views.RegisterResult,
        run=definitions.register_job,
        text=texts.registered,
        idempotent=True,
    ),
    Operation(
        toolset="definitions",
        name="console_remove_job",
        guarded=True,
        title="Remove a job definition",
        description="Forget a registered job definition. Jobs that were made from it stay.",
        request=requests.RemoveJob,
        result=views.RemoveResult,
        run=definitions.remove_job,
        text=texts.removed,
        destructive=True,
        idempotent=True,
    ),
)
