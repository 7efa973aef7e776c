-- The project that each job belongs to; how jobs are found by project and by name.

ALTER TABLE job ADD COLUMN project TEXT;

CREATE INDEX job_by_project ON job (project, id) WHERE project IS NOT NULL;
CREATE INDEX job_by_name ON job (name, id) WHERE name IS NOT NULL;
