-- Console sessions, and the commands that were typed into them.

CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    phase      TEXT NOT NULL,
    created_at REAL NOT NULL,
    closed_at  REAL,
    spec       TEXT NOT NULL,
    state      TEXT NOT NULL
) STRICT;

CREATE INDEX session_by_phase ON session (phase);

CREATE TABLE session_command (
    id         TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    typed_at   REAL NOT NULL,
    status     TEXT NOT NULL,
    line       TEXT NOT NULL,
    state      TEXT NOT NULL
) STRICT;

CREATE INDEX command_by_session ON session_command (session_id, typed_at);
CREATE INDEX command_by_status ON session_command (status) WHERE status = 'running';
