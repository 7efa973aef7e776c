-- What is new in version 4: job definitions and results, and the outbox of notifications.

CREATE TABLE definition (
    name TEXT PRIMARY KEY,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE result (
    job_id TEXT PRIMARY KEY,
    data   TEXT NOT NULL
) STRICT;

-- What is to be told of ends, until it is delivered. `receiver` is who has to be there for it.

CREATE TABLE outbox (
    id       TEXT PRIMARY KEY,
    receiver TEXT NOT NULL,
    due_at   REAL NOT NULL,
    attempts INTEGER NOT NULL,
    message  TEXT NOT NULL
) STRICT;

CREATE INDEX outbox_by_receiver ON outbox (receiver, due_at, id);
CREATE INDEX outbox_by_time ON outbox (due_at);

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
