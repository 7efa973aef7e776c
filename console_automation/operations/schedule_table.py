"""The operations about schedules."""

from console_automation.operations import schedule_requests as requests
from console_automation.operations import schedule_texts as texts
from console_automation.operations import schedule_views as views
from console_automation.operations import schedules
from console_automation.operations.operation import Operation

SCHEDULE_OPERATIONS = (
    Operation(
        toolset="schedules",
        guarded=True,
        name="console_create_schedule",
        title="Make a schedule",
        description=(
            "Run a command once at a time, at intervals, or as cron says, each time as a background"
            " job, in this directory and environment. It outlives this client and restarts. Example:"
            " name='nightly', command='./report.sh', trigger={cron: '30 2 * * *', timezone:"
            " 'Europe/Berlin'}, options={timeout: 3600000, retry: {maxAttempts: 3}}. A run can change or"
            " stop its own schedule: its id is in CONSOLE_AUTOMATION_SCHEDULE."
        ),
        request=requests.CreateSchedule,
        result=views.ScheduleResult,
        run=schedules.create_schedule,
        text=texts.scheduled,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="schedules",
        guarded=True,
        name="console_list_schedules",
        title="List schedules",
        description="List schedules, oldest first: when each fires next, and its latest job.",
        request=requests.ListSchedules,
        result=views.ScheduleList,
        run=schedules.list_schedules,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="schedules",
        guarded=True,
        name="console_get_schedule",
        title="Look at a schedule",
        description=(
            "Return a schedule with its versions and its history: the job of each fire and how it"
            " ended, or why it was skipped."
        ),
        request=requests.GetSchedule,
        result=views.ScheduleDetails,
        run=schedules.get_schedule,
        text=texts.detailed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="schedules",
        guarded=True,
        name="console_update_schedule",
        title="Change a schedule",
        description=(
            "Change what is given and nothing else: deactivate it, set metadata, or give it another"
            " trigger, command, timeout or retry, which makes a new version. Running jobs go on."
        ),
        request=requests.UpdateSchedule,
        result=views.ScheduleResult,
        run=schedules.update_schedule,
        text=texts.scheduled,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="schedules",
        guarded=True,
        name="console_trigger_schedule",
        title="Run a schedule now",
        description="Run a schedule's command now, active or not. Its next fire stays as it is.",
        request=requests.TriggerSchedule,
        result=views.ScheduleRun,
        run=schedules.trigger_schedule,
        text=texts.triggered,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="schedules",
        guarded=True,
        name="console_delete_schedule",
        title="Forget a schedule",
        description="Forget a schedule with its versions and history. Jobs it has started go on.",
        request=requests.DeleteSchedule,
        result=views.ScheduleDeletion,
        run=schedules.delete_schedule,
        text=texts.deleted,
        destructive=True,
    ),
)
