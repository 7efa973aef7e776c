-- The jobs, what happened to them, and what was asked of us.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- `spec` never changes after the insert; `state` holds what the queries below do not need.
CREATE TABLE job (
    id              TEXT PRIMARY KEY,
    status          TEXT NOT NULL,
    phase           TEXT NOT NULL,
    name            TEXT,
    session_id      TEXT,
    tags            TEXT NOT NULL,
    idempotency_key TEXT,
    created_at      REAL NOT NULL,
    started_at      REAL,
    completed_at    REAL,
    spec            TEXT NOT NULL,
    state           TEXT NOT NULL
) STRICT;

CREATE INDEX job_by_status ON job (status, completed_at);
CREATE INDEX job_by_end ON job (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX job_by_session ON job (session_id) WHERE session_id IS NOT NULL;
CREATE UNIQUE INDEX job_by_key ON job (idempotency_key) WHERE idempotency_key IS NOT NULL;

-- `seq` is the time of the write in microseconds, made unique: it orders the events of all jobs.
-- Clustered by job, because that is how the journal is read and deleted.
CREATE TABLE journal (
    job_id TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    at     REAL NOT NULL,
    event  TEXT NOT NULL,
    data   TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    at        REAL NOT NULL,
    client    TEXT NOT NULL,
    operation TEXT NOT NULL,
    job_id    TEXT,
    outcome   TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
