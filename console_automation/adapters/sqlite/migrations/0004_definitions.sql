-- Job definitions that were registered at run time, and the results of jobs made from definitions.

CREATE TABLE definition (
    name TEXT PRIMARY KEY,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE result (
    job_id TEXT PRIMARY KEY,
    data   TEXT NOT NULL
) STRICT;
