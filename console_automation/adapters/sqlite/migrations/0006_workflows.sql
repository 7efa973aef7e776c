-- Workflows, their runs, and how the steps of these ended.

CREATE TABLE workflow (
    project       TEXT NOT NULL,
    name          TEXT NOT NULL,
    registered_at REAL NOT NULL,
    definition    TEXT NOT NULL,
    caller        TEXT NOT NULL,
    secrets       TEXT NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;

-- `spec` holds the workflow as it was when the run began, and never changes.
CREATE TABLE workflow_run (
    id         TEXT PRIMARY KEY,
    project    TEXT NOT NULL,
    name       TEXT NOT NULL,
    key        TEXT,
    cause      TEXT NOT NULL,
    rerun_of   TEXT,
    created_at REAL NOT NULL,
    spec       TEXT NOT NULL,
    status     TEXT NOT NULL,
    stop       TEXT,
    reason     TEXT,
    error      TEXT,
    ended_at   REAL
) STRICT;

CREATE UNIQUE INDEX workflow_run_by_key ON workflow_run (key) WHERE key IS NOT NULL;
CREATE INDEX workflow_run_by_workflow ON workflow_run (project, name, id);
CREATE INDEX workflow_run_by_end ON workflow_run (ended_at);

-- Only of steps that are over: which job a step has is known by the job's key.
CREATE TABLE workflow_step (
    run_id TEXT NOT NULL,
    step   TEXT NOT NULL,
    state  TEXT NOT NULL,
    result TEXT,
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;
