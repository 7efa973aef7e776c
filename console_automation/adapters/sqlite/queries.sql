-- Every statement the store runs, by name. Times are epoch seconds.

-- insert_job --
-- Add a new job.
INSERT INTO job (id, status, phase, name, project, session_id, tags, idempotency_key,
                 created_at, started_at, completed_at, spec, state)
VALUES (:id, :status, :phase, :name, :project, :session_id, :tags, :idempotency_key,
        :created_at, :started_at, :completed_at, :spec, :state)

-- update_job --
-- Replace a job's state. A finished job is final, whatever is asked.
UPDATE job
   SET status = :status, phase = :phase, started_at = :started_at,
       completed_at = :completed_at, state = :state
 WHERE id = :id AND completed_at IS NULL

-- insert_journal --
-- Append one event to a job's journal.
INSERT INTO journal (job_id, seq, at, event, data) VALUES (:job_id, :seq, :at, :event, :data)

-- insert_audit --
-- Append one request and its outcome to the audit.
INSERT INTO audit (at, client, operation, job_id, outcome, detail)
VALUES (:at, :client, :operation, :job_id, :outcome, :detail)

-- job_by_id --
-- Return one job.
SELECT * FROM job WHERE id = :id

-- job_by_key --
-- Return the job submitted under an idempotency key.
SELECT * FROM job WHERE idempotency_key = :key

-- jobs_named --
-- Return, of every project that has jobs of this name, the active one, or the newest; newest first.
SELECT * FROM job
 WHERE id IN (SELECT coalesce(max(id) FILTER (WHERE completed_at IS NULL), max(id))
                FROM job
               WHERE name = :name
               GROUP BY project)
 ORDER BY id DESC

-- jobs_begun_with --
-- Return the jobs whose id lies between two texts, newest first; those of an owner if one is given.
SELECT * FROM job
 WHERE id >= :low AND id < :high
   AND (:owner IS NULL OR json_extract(spec, '$.owner') = :owner)
 ORDER BY id DESC
 LIMIT :limit

-- count_begun_with --
-- Return how many these are.
SELECT count(*) FROM job
 WHERE id >= :low AND id < :high
   AND (:owner IS NULL OR json_extract(spec, '$.owner') = :owner)

-- unfinished --
-- Return the jobs without a terminal status, oldest first.
SELECT * FROM job WHERE status IN ('pending', 'running') ORDER BY id

-- counts --
-- Return how many jobs have each status.
SELECT status, count(*) AS jobs FROM job GROUP BY status

-- timings --
-- Return the moments of the latest finished jobs.
SELECT created_at, started_at, completed_at
  FROM job
 WHERE completed_at IS NOT NULL
 ORDER BY completed_at DESC
 LIMIT :limit

-- expired --
-- Return finished jobs of one status that ended before a time, oldest first.
SELECT * FROM job
 WHERE status = :status AND completed_at < :ended_before
   AND (:project IS NULL OR project = :project)
   AND (:keys IS NULL OR (substr(coalesce(idempotency_key, ''), 1, length(:keys)) = :keys) = :with_keys)
 ORDER BY completed_at
 LIMIT :limit

-- nth_newest_end --
-- Return when the job ended that is number `keep` from the newest.
SELECT completed_at FROM job
 WHERE completed_at IS NOT NULL AND (:project IS NULL OR project = :project)
 ORDER BY completed_at DESC
 LIMIT 1 OFFSET :keep

-- delete_journal --
-- Forget the journal of a finished job.
DELETE FROM journal
 WHERE job_id = :id AND EXISTS (SELECT 1 FROM job WHERE id = :id AND completed_at IS NOT NULL)

-- insert_result --
-- Keep what a finished job came to.
INSERT OR IGNORE INTO result (job_id, data) VALUES (:job_id, :data)

-- result_of --
-- Return what a finished job came to.
SELECT data FROM result WHERE job_id = :job_id

-- delete_result --
-- Forget what a finished job came to.
DELETE FROM result
 WHERE job_id = :id AND EXISTS (SELECT 1 FROM job WHERE id = :id AND completed_at IS NOT NULL)

-- delete_job --
-- Forget a finished job.
DELETE FROM job WHERE id = :id AND completed_at IS NOT NULL

-- journal_of --
-- Return a job's journal, oldest first.
SELECT job_id, at, event, data FROM journal WHERE job_id = :id ORDER BY seq

-- latest_audit --
-- Return the newest audit records, newest first.
SELECT at, client, operation, job_id, outcome, detail FROM audit ORDER BY seq DESC LIMIT :limit

-- trim_audit --
-- Forget audit records older than a time.
DELETE FROM audit WHERE at < :before

-- save_session --
-- Add a session, or replace its state. A closed session is final, whatever is asked.
INSERT INTO session (id, phase, created_at, closed_at, spec, state)
VALUES (:id, :phase, :created_at, :closed_at, :spec, :state)
    ON CONFLICT (id) DO UPDATE
   SET phase = excluded.phase, closed_at = excluded.closed_at, state = excluded.state
 WHERE session.phase != 'closed'

-- session_by_id --
-- Return one session.
SELECT * FROM session WHERE id = :id

-- live_sessions --
-- Return the sessions that are not closed, oldest first.
SELECT * FROM session WHERE phase != 'closed' ORDER BY id

-- latest_sessions --
-- Return sessions, newest first.
SELECT * FROM session ORDER BY id DESC LIMIT :limit

-- closed_sessions --
-- Return the sessions that were closed before a time, oldest first.
SELECT * FROM session WHERE phase = 'closed' AND closed_at < :closed_before
 ORDER BY closed_at LIMIT :limit

-- delete_session --
-- Forget a closed session.
DELETE FROM session WHERE id = :id AND phase = 'closed'

-- delete_commands --
-- Forget what was typed into a session that is gone.
DELETE FROM session_command
 WHERE session_id = :id AND NOT EXISTS (SELECT 1 FROM session WHERE id = :id)

-- save_command --
-- Add a command, or replace its state.
INSERT INTO session_command (id, session_id, typed_at, status, line, state)
VALUES (:id, :session_id, :typed_at, :status, :line, :state)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, state = excluded.state

-- latest_commands --
-- Return the commands of a session, newest first.
SELECT * FROM session_command WHERE session_id = :id ORDER BY typed_at DESC LIMIT :limit

-- running_commands --
-- Return the commands whose end has not been seen, oldest first.
SELECT * FROM session_command WHERE status = 'running' ORDER BY typed_at

-- save_schedule --
-- Add a schedule, or replace its state.
INSERT INTO schedule (id, project, owner, name, version, due_at, state)
VALUES (:id, :project, :owner, :name, :version, :due_at, :state)
    ON CONFLICT (id) DO UPDATE
   SET name = excluded.name, version = excluded.version, due_at = excluded.due_at,
       state = excluded.state

-- add_version --
-- Add a version of a schedule, unless it is there.
INSERT INTO schedule_version (schedule_id, number, created_at, trigger, spec, caller)
VALUES (:schedule_id, :number, :created_at, :trigger, :spec, :caller)
    ON CONFLICT (schedule_id, number) DO NOTHING

-- trim_versions --
-- Forget all but the newest versions, and the active one.
DELETE FROM schedule_version
 WHERE schedule_id = :id AND number != :version
   AND number <= (SELECT max(number) FROM schedule_version WHERE schedule_id = :id) - :keep

-- add_execution --
-- Add what became of a fire, unless that is on record.
INSERT INTO schedule_execution (schedule_id, key, at, until, version, job_id, passed, error, status,
                                ended_at)
VALUES (:schedule_id, :key, :at, :until, :version, :job_id, :passed, :error, :status, :ended_at)
    ON CONFLICT (schedule_id, key) DO NOTHING

-- trim_executions --
-- Forget all but the newest executions.
DELETE FROM schedule_execution
 WHERE schedule_id = :id
   AND seq <= (SELECT seq FROM schedule_execution
                WHERE schedule_id = :id ORDER BY seq DESC LIMIT 1 OFFSET :keep)

-- end_execution --
-- Put the end of an execution's job on record.
UPDATE schedule_execution SET status = :status, ended_at = :at
 WHERE job_id = :job_id AND ended_at IS NULL

-- schedule_by_id --
-- Return one schedule, with its active version.
SELECT schedule.*, created_at, trigger, spec, caller
  FROM schedule JOIN schedule_version ON schedule_id = id AND number = version
 WHERE id = :id

-- schedules_named --
-- Return the schedules of a name, oldest first.
SELECT schedule.*, created_at, trigger, spec, caller
  FROM schedule JOIN schedule_version ON schedule_id = id AND number = version
 WHERE name = :name
 ORDER BY id

-- schedules --
-- Return a page of schedules, oldest first.
SELECT schedule.*, created_at, trigger, spec, caller
  FROM schedule JOIN schedule_version ON schedule_id = id AND number = version
 WHERE id > :after AND (:project IS NULL OR project = :project)
   AND (:owner IS NULL OR owner = :owner)
 ORDER BY id
 LIMIT :limit

-- count_schedules --
-- Return how many there are.
SELECT count(*) FROM schedule
 WHERE (:project IS NULL OR project = :project) AND (:owner IS NULL OR owner = :owner)

-- upcoming --
-- Return when the active schedules are due.
SELECT id, due_at FROM schedule WHERE due_at IS NOT NULL

-- versions_of --
-- Return the versions of a schedule, newest first.
SELECT number, created_at, trigger, spec, caller
  FROM schedule_version WHERE schedule_id = :id ORDER BY number DESC

-- executions_of --
-- Return what became of a schedule's fires, newest first.
SELECT * FROM schedule_execution WHERE schedule_id = :id ORDER BY seq DESC LIMIT :limit

-- unended_executions --
-- Return the executions whose job's end is not on record.
SELECT * FROM schedule_execution WHERE job_id IS NOT NULL AND ended_at IS NULL

-- delete_schedule --
-- Forget a schedule.
DELETE FROM schedule WHERE id = :id

-- delete_versions --
-- Forget what it ran.
DELETE FROM schedule_version WHERE schedule_id = :id

-- delete_executions --
-- Forget what became of its fires.
DELETE FROM schedule_execution WHERE schedule_id = :id

-- save_definition --
-- Add a job definition, or replace the one of its name.
INSERT INTO definition (name, data) VALUES (:name, :data)
    ON CONFLICT (name) DO UPDATE SET data = excluded.data

-- all_definitions --
-- Return the job definitions by name.
SELECT data FROM definition ORDER BY name

-- delete_definition --
-- Forget a job definition.
DELETE FROM definition WHERE name = :name

-- save_workflow --
-- Add a workflow, or replace the one of its name and owner.
INSERT INTO workflow (project, name, owner, registered_at, definition, caller, secrets)
VALUES (:project, :name, :owner, :registered_at, :definition, :caller, :secrets)
    ON CONFLICT (project, name, owner) DO UPDATE
   SET registered_at = excluded.registered_at, definition = excluded.definition,
       caller = excluded.caller, secrets = excluded.secrets

-- all_workflows --
-- Return the workflows by project, name and owner.
SELECT * FROM workflow ORDER BY project, name, owner

-- delete_workflow --
-- Forget a workflow.
DELETE FROM workflow WHERE project = :project AND name = :name AND owner = :owner

-- insert_workflow_run --
-- Add a run.
INSERT INTO workflow_run (id, project, name, owner, key, cause, rerun_of, created_at, spec,
                          status, stop, reason, error, ended_at)
VALUES (:id, :project, :name, :owner, :key, :cause, :rerun_of, :created_at, :spec,
        :status, :stop, :reason, :error, :ended_at)

-- update_workflow_run --
-- Replace a run's state. One that is over is final, whatever is asked.
UPDATE workflow_run
   SET status = :status, stop = :stop, reason = :reason, error = :error, ended_at = :ended_at
 WHERE id = :id AND ended_at IS NULL

-- save_workflow_step --
-- Keep how a step ended; that is final.
INSERT OR IGNORE INTO workflow_step (run_id, step, state, result)
VALUES (:run_id, :step, :state, :result)

-- workflow_run_by_id --
-- Return one run.
SELECT * FROM workflow_run WHERE id = :id

-- workflow_run_by_key --
-- Return the run that has a key.
SELECT * FROM workflow_run WHERE key = :key

-- unfinished_workflow_runs --
-- Return the runs that are not over, oldest first.
SELECT * FROM workflow_run WHERE ended_at IS NULL ORDER BY id

-- workflow_steps --
-- Return how the steps of a run ended.
SELECT step, state, result FROM workflow_step WHERE run_id = :id

-- latest_workflow_runs --
-- Return runs without what was asked for, newest first.
SELECT id, project, name, cause, rerun_of, created_at, status, reason, error, ended_at
  FROM workflow_run
 WHERE (:project IS NULL OR project = :project) AND (:name IS NULL OR name = :name)
   AND (:owner IS NULL OR owner = :owner)
 ORDER BY id DESC
 LIMIT :limit

-- unanswered_jobs --
-- Return jobs of a project, and of an owner if one is given, that ended since a time and are the cause of
-- no run of a workflow.
SELECT job.* FROM job
 WHERE completed_at >= :since AND project = :project
   AND (:owner IS NULL OR json_extract(spec, '$.owner') = :owner)
   AND (:job_name IS NULL OR job.name = :job_name)
   AND (:definition IS NULL OR json_extract(tags, '$.definition') = :definition)
   AND status IN (SELECT value FROM json_each(:statuses))
   AND NOT EXISTS (SELECT 1 FROM workflow_run WHERE key = :key || job.id)
 ORDER BY completed_at
 LIMIT :limit

-- prune_workflow_steps --
-- Forget the steps of runs that are about to go.
DELETE FROM workflow_step
 WHERE run_id IN (SELECT id FROM workflow_run
                   WHERE ended_at < :before
                     AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = workflow_run.cause))

-- prune_workflow_runs --
-- Forget runs that ended before a time, unless the job is kept that was their cause.
DELETE FROM workflow_run
 WHERE ended_at < :before AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = workflow_run.cause)
-- post_message --
-- Add a message; one whose id is known is left as it is.
INSERT INTO outbox (id, receiver, due_at, attempts, message)
VALUES (:id, :receiver, :due_at, :attempts, :message)
    ON CONFLICT (id) DO NOTHING

-- postpone_message --
-- Note a failed attempt, and when the next one is due.
UPDATE outbox SET due_at = :due_at, attempts = :attempts WHERE id = :id

-- remove_message --
-- Forget a message.
DELETE FROM outbox WHERE id = :id

-- due_messages --
-- Return the messages due at a time, at most so many to one receiver: the first of each receiver, the
-- second of each, and so on, longest due first.
SELECT outbox.*
  FROM (SELECT id, place
          FROM (SELECT id, due_at,
                       row_number() OVER (PARTITION BY receiver ORDER BY due_at, id) AS place
                  FROM outbox
                 WHERE due_at <= :at)
         WHERE place <= :each
         ORDER BY place, due_at, id
         LIMIT :limit)
  JOIN outbox USING (id)
 ORDER BY place, due_at, id

-- next_message --
-- Return when the next message is due that is not due yet.
SELECT min(due_at) AS due_at FROM outbox WHERE due_at > :after
