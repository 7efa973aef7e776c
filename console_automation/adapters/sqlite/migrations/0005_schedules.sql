-- Schedules, what each runs and when, and what became of their fires.

-- `due_at` is when the next fire is to start its job; null when there is none.
CREATE TABLE schedule (
    id      TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    owner   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    due_at  REAL,
    state   TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX schedule_by_name ON schedule (name, project, owner);

CREATE TABLE schedule_version (
    schedule_id TEXT NOT NULL,
    number      INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    trigger     TEXT NOT NULL,
    spec        TEXT NOT NULL,
    caller      TEXT,
    PRIMARY KEY (schedule_id, number)
) STRICT;

CREATE TABLE schedule_execution (
    seq         INTEGER PRIMARY KEY,
    schedule_id TEXT NOT NULL,
    key         TEXT NOT NULL,
    at          REAL NOT NULL,
    until       REAL,
    version     INTEGER NOT NULL,
    job_id      TEXT,
    passed      TEXT,
    error       TEXT,
    status      TEXT,
    ended_at    REAL
) STRICT;

CREATE UNIQUE INDEX execution_by_key ON schedule_execution (schedule_id, key);
CREATE INDEX execution_by_schedule ON schedule_execution (schedule_id, seq);
CREATE INDEX execution_by_job ON schedule_execution (job_id)
 WHERE job_id IS NOT NULL AND ended_at IS NULL;
