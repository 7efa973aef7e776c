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
