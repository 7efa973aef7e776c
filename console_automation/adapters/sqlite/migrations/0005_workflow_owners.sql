-- What is new in version 5: workflows and their runs have owners, who may have the same names.

CREATE TABLE owned_workflow (
    project       TEXT NOT NULL,
    name          TEXT NOT NULL,
    owner         TEXT NOT NULL,
    registered_at REAL NOT NULL,
    definition    TEXT NOT NULL,
    caller        TEXT NOT NULL,
    secrets       TEXT NOT NULL,
    PRIMARY KEY (project, name, owner)
) STRICT;

INSERT INTO owned_workflow
SELECT project, name, json_extract(caller, '$.principal'), registered_at, definition, caller, secrets
  FROM workflow;

DROP TABLE workflow;
ALTER TABLE owned_workflow RENAME TO workflow;

ALTER TABLE workflow_run ADD COLUMN owner TEXT NOT NULL DEFAULT '';

-- The key of a run that the end of a job has started names the owner, too.
UPDATE workflow_run
   SET owner = json_extract(spec, '$.caller.principal'),
       key = CASE WHEN key LIKE 'completion:%'
                  THEN 'completion:' || json_extract(spec, '$.caller.principal') || substr(key, 11)
                  ELSE key END;

CREATE INDEX workflow_run_by_owner ON workflow_run (owner, id);
