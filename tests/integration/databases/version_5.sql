-- A database as version 5 of the schema wrote it: that of version 4, with what is new in version 5.
PRAGMA application_id = 1128352305;
PRAGMA user_version = 5;
BEGIN TRANSACTION;
CREATE TABLE audit (
    seq       INTEGER PRIMARY KEY,
    at        REAL NOT NULL,
    client    TEXT NOT NULL,
    operation TEXT NOT NULL,
    job_id    TEXT,
    outcome   TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;
INSERT INTO "audit" VALUES(1,1760000000.0,'stdio:1','console_cancel_job','job-cancelled','ok','exit 0');
CREATE TABLE definition (
    name TEXT PRIMARY KEY,
    data TEXT NOT NULL
) STRICT;
INSERT INTO "definition" VALUES('count','{"name":"count","command":"wc","args":["-l","{file}"],"environment":{},"working_directory":null,"description":"","input_schema":{"properties":{"file":{"type":"string"}}},"output_schema":{"type":"integer"},"timeout":null,"retry":{"max_attempts":3,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"jitter":0.5,"on":["exit_code","idle_timeout","signal","timeout"]},"tags":[],"labels":{},"permissions":[{"action":"execute","roles":["r"],"scopes":[],"guard":null}],"hidden":false}');
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
, project TEXT) STRICT;
INSERT INTO "job" VALUES('job-completed','completed','completed','näme','s','{"k":"v"}','key',1760000000.0,1760000001.0,1760000002.0,'{"command":{"line":"/bin/sh","args":["-c","make test"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","make test"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":"in","keep_stdin":false,"merge_stderr":false,"timeout":null,"idle_timeout":9.5,"grace":2.0,"output_limit":16777216,"on_output_limit":"kill","leftovers":"leave"},"created_at":1760000000.0,"client":"test","name":"n\u00e4me","session_id":"s","priority":9,"tags":{"k":"v"},"retry":{"max_attempts":3,"backoff":0.5,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":"key","fingerprint":"f00","retry_of":null,"project":"/srv/app"}','{"attempt":1,"dispatches":1,"run_id":"job-completed.1","boot_id":"b","pid":null,"not_before":null,"reason":null,"error":null,"output":[10,0,1],"exit":{"cause":"exit","code":0,"signal":null,"error":null,"started_at":1760000001.0,"ended_at":1760000002.0,"output":{"bytes":10,"dropped_bytes":0,"last_sequence":1},"usage":{"cpu_seconds":0.5,"max_rss_bytes":4096},"leftovers":[{"pid":7,"command":"sleep","ended":false}]}}','/srv/app');
INSERT INTO "job" VALUES('job-failed','failed','failed',NULL,NULL,'{}',NULL,1760000000.0,1760000001.0,1760000002.0,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":1,"dispatches":1,"run_id":"job-failed.1","boot_id":"b","pid":null,"not_before":null,"reason":"signal","error":null,"output":[0,0,0],"exit":{"cause":"exit","code":null,"signal":11,"error":null,"started_at":1760000001.0,"ended_at":1760000002.0,"output":{"bytes":10,"dropped_bytes":0,"last_sequence":1},"usage":null,"leftovers":[]}}',NULL);
INSERT INTO "job" VALUES('job-cancelled','cancelled','cancelled',NULL,NULL,'{}',NULL,1760000000.0,NULL,1760000003.0,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":0,"dispatches":0,"run_id":null,"boot_id":null,"pid":null,"not_before":null,"reason":"cancelled","error":null,"output":[0,0,0],"exit":null}',NULL);
INSERT INTO "job" VALUES('job-interrupted','interrupted','interrupted',NULL,NULL,'{}',NULL,1760000000.0,1760000001.0,1760000004.0,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":1,"dispatches":1,"run_id":"job-interrupted.1","boot_id":"b","pid":null,"not_before":null,"reason":"lost","error":"its supervisor was killed","output":[0,0,0],"exit":null}',NULL);
INSERT INTO "job" VALUES('job-blocked','pending','blocked',NULL,NULL,'{}',NULL,1760000000.0,NULL,NULL,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":["job-ready"],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":0,"dispatches":0,"run_id":null,"boot_id":null,"pid":null,"not_before":null,"reason":null,"error":null,"output":[0,0,0],"exit":null}',NULL);
INSERT INTO "job" VALUES('job-delayed','pending','delayed',NULL,NULL,'{}',NULL,1760000000.0,NULL,NULL,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":2,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":1,"dispatches":1,"run_id":"job-delayed.1","boot_id":"b","pid":null,"not_before":1760000060.0,"reason":"exit_code","error":null,"output":[0,0,0],"exit":null}',NULL);
INSERT INTO "job" VALUES('job-ready','pending','ready',NULL,NULL,'{}',NULL,1760000000.0,NULL,NULL,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":1,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":0,"dispatches":0,"run_id":null,"boot_id":null,"pid":null,"not_before":null,"reason":null,"error":null,"output":[0,0,0],"exit":null}',NULL);
INSERT INTO "job" VALUES('job-starting','running','starting',NULL,NULL,'{}',NULL,1760000000.0,NULL,NULL,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":1,"dispatches":1,"run_id":"job-starting.1","boot_id":"b","pid":null,"not_before":null,"reason":null,"error":null,"output":[0,0,0],"exit":null}',NULL);
INSERT INTO "job" VALUES('job-running','running','running',NULL,NULL,'{}',NULL,1760000000.0,1760000001.0,NULL,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null,"project":"/srv/app"}','{"attempt":1,"dispatches":1,"run_id":"job-running.1","boot_id":"b","pid":4711,"not_before":null,"reason":null,"error":null,"output":[0,0,0],"exit":null}','/srv/app');
INSERT INTO "job" VALUES('job-stopping','running','stopping',NULL,NULL,'{}',NULL,1760000000.0,1760000001.0,NULL,'{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end"},"created_at":1760000000.0,"client":"test","name":null,"session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"idempotency_key":null,"fingerprint":"","retry_of":null}','{"attempt":1,"dispatches":1,"run_id":"job-stopping.1","boot_id":"b","pid":4712,"not_before":null,"reason":null,"error":null,"output":[0,0,0],"exit":null}',NULL);
CREATE TABLE journal (
    job_id TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    at     REAL NOT NULL,
    event  TEXT NOT NULL,
    data   TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;
INSERT INTO "journal" VALUES('job-blocked',1760000000000014,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-cancelled',1760000000000008,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-cancelled',1760000000000009,1760000000.0,'CancelRequested','{}');
INSERT INTO "journal" VALUES('job-completed',1760000000000000,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-completed',1760000000000001,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-completed',1760000000000002,1760000000.0,'Started','{}');
INSERT INTO "journal" VALUES('job-completed',1760000000000003,1760000000.0,'Exited','{}');
INSERT INTO "journal" VALUES('job-delayed',1760000000000015,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-delayed',1760000000000016,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-delayed',1760000000000017,1760000000.0,'Exited','{}');
INSERT INTO "journal" VALUES('job-failed',1760000000000004,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-failed',1760000000000005,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-failed',1760000000000006,1760000000.0,'Started','{}');
INSERT INTO "journal" VALUES('job-failed',1760000000000007,1760000000.0,'Exited','{}');
INSERT INTO "journal" VALUES('job-interrupted',1760000000000010,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-interrupted',1760000000000011,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-interrupted',1760000000000012,1760000000.0,'Started','{}');
INSERT INTO "journal" VALUES('job-interrupted',1760000000000013,1760000000.0,'Lost','{}');
INSERT INTO "journal" VALUES('job-ready',1760000000000018,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-running',1760000000000021,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-running',1760000000000022,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-running',1760000000000023,1760000000.0,'Started','{}');
INSERT INTO "journal" VALUES('job-starting',1760000000000019,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-starting',1760000000000020,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-stopping',1760000000000024,1760000000.0,'Submitted','{}');
INSERT INTO "journal" VALUES('job-stopping',1760000000000025,1760000000.0,'Picked','{}');
INSERT INTO "journal" VALUES('job-stopping',1760000000000026,1760000000.0,'Started','{}');
INSERT INTO "journal" VALUES('job-stopping',1760000000000027,1760000000.0,'CancelRequested','{}');
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
INSERT INTO "meta" VALUES('instance','0123456789abcdef0123456789abcdef');
CREATE TABLE outbox (
    id       TEXT PRIMARY KEY,
    receiver TEXT NOT NULL,
    due_at   REAL NOT NULL,
    attempts INTEGER NOT NULL,
    message  TEXT NOT NULL
) STRICT;
INSERT INTO "outbox" VALUES('notification-job-failed.1','http://example.org:80',1760000002.0,2,'{"channel":"webhook","target":"http://example.org/hooks?token=1","subject":"job n\u00e4me failed","body":"{\"id\": \"notification-job-failed.1\"}","job_id":"job-failed","cwd":"/","environment":{}}');
CREATE TABLE result (
    job_id TEXT PRIMARY KEY,
    data   TEXT NOT NULL
) STRICT;
INSERT INTO "result" VALUES('job-completed','{"n":5}');
CREATE TABLE schedule (
    id      TEXT PRIMARY KEY,
    project TEXT NOT NULL,
    owner   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    due_at  REAL,
    state   TEXT NOT NULL
) STRICT;
INSERT INTO "schedule" VALUES('schedule-1','/srv/app','local','nightly',1,1760056200.0,'{"client":"test","created_at":1760000000.0,"is_active":true,"missed":"once","overlap":"skip","jitter":0.0,"metadata":{"n":1},"next_fire":1760056200.0,"last_fire":1760000000.0,"last_job_id":"job-completed"}');
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
INSERT INTO "schedule_execution" VALUES(1,'schedule-1','1760000000.000',1760000000.0,NULL,1,'job-completed',NULL,NULL,'completed',1760000002.0);
INSERT INTO "schedule_execution" VALUES(2,'schedule-1','1760000060.000',1760000060.0,NULL,1,NULL,'overlap',NULL,NULL,NULL);
CREATE TABLE schedule_version (
    schedule_id TEXT NOT NULL,
    number      INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    trigger     TEXT NOT NULL,
    spec        TEXT NOT NULL,
    caller      TEXT,
    PRIMARY KEY (schedule_id, number)
) STRICT;
INSERT INTO "schedule_version" VALUES('schedule-1',1,1760000000.0,'{"kind":"cron","expression":"30 2 * * *","timezone":"Europe/Berlin"}','{"command":{"line":"/bin/sh","args":["-c","exit 0"],"shell":false,"executable":"/bin/sh","argv":["/bin/sh","-c","exit 0"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end","terminal":null,"hang_up":false,"reports":false},"created_at":0.0,"client":"test","name":null,"project":"/srv/app","session_id":null,"priority":5,"tags":{},"retry":{"max_attempts":1,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"jitter":0.0,"on":["exit_code","idle_timeout","signal","timeout"]},"depends_on":[],"even_if_failed":false,"idempotency_key":null,"fingerprint":"","retry_of":null,"owner":"","contract":null}',NULL);
CREATE TABLE session (
    id         TEXT PRIMARY KEY,
    phase      TEXT NOT NULL,
    created_at REAL NOT NULL,
    closed_at  REAL,
    spec       TEXT NOT NULL,
    state      TEXT NOT NULL
) STRICT;
INSERT INTO "session" VALUES('session-opening','opening',1760000000.0,NULL,'{"command":{"line":"/bin/bash","args":["-i"],"shell":false,"executable":"/bin/bash","argv":["/bin/bash","-i"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end","terminal":{"cols":80,"rows":24}},"client":"test","name":"n\u00e4me","shell":"bash","host":null}','{"boot_id":"a-boot","sizes":[[1760000000.0,80,24],[1760000001.5,132,43]],"pid":null,"opened_at":null,"output":[0,0,0],"exit":null,"closing":null,"error":null}');
INSERT INTO "session" VALUES('session-open','open',1760000000.0,NULL,'{"command":{"line":"/bin/bash","args":["-i"],"shell":false,"executable":"/bin/bash","argv":["/bin/bash","-i"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end","terminal":{"cols":80,"rows":24}},"client":"test","name":"n\u00e4me","shell":"bash","host":null}','{"boot_id":"a-boot","sizes":[[1760000000.0,80,24],[1760000001.5,132,43]],"pid":4711,"opened_at":1760000001.0,"output":[0,0,0],"exit":null,"closing":null,"error":null}');
INSERT INTO "session" VALUES('session-closing','closing',1760000000.0,NULL,'{"command":{"line":"/bin/bash","args":["-i"],"shell":false,"executable":"/bin/bash","argv":["/bin/bash","-i"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end","terminal":{"cols":80,"rows":24}},"client":"test","name":"n\u00e4me","shell":"bash","host":null}','{"boot_id":"a-boot","sizes":[[1760000000.0,80,24],[1760000001.5,132,43]],"pid":4711,"opened_at":1760000001.0,"output":[0,0,0],"exit":null,"closing":null,"error":null}');
INSERT INTO "session" VALUES('session-closed','closed',1760000000.0,1760000002.0,'{"command":{"line":"/bin/bash","args":["-i"],"shell":false,"executable":"/bin/bash","argv":["/bin/bash","-i"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end","terminal":{"cols":80,"rows":24}},"client":"test","name":"n\u00e4me","shell":"bash","host":null}','{"boot_id":"a-boot","sizes":[[1760000000.0,80,24],[1760000001.5,132,43]],"pid":4711,"opened_at":1760000001.0,"output":[0,0,0],"exit":{"cause":"exit","code":3,"signal":null,"error":null,"started_at":1760000001.0,"ended_at":1760000002.0,"output":{"bytes":10,"dropped_bytes":0,"last_sequence":1},"usage":null,"leftovers":[]},"closing":"exited","error":null}');
INSERT INTO "session" VALUES('session-remote','closed',1760000000.0,1760000003.0,'{"command":{"line":"/bin/bash","args":["-i"],"shell":false,"executable":"/bin/bash","argv":["/bin/bash","-i"],"cwd":"/","environment":{"PATH":"/usr/bin:/bin"},"stdin":null,"keep_stdin":false,"merge_stderr":false,"timeout":60.0,"idle_timeout":null,"grace":2.0,"output_limit":16777216,"on_output_limit":"drop_oldest","leftovers":"end","terminal":{"cols":80,"rows":24}},"client":"test","name":"n\u00e4me","shell":null,"host":"example.org"}','{"boot_id":"a-boot","sizes":[[1760000000.0,80,24],[1760000001.5,132,43]],"pid":4711,"opened_at":1760000001.0,"output":[0,0,0],"exit":{"cause":"exit","code":255,"signal":null,"error":null,"started_at":1760000001.0,"ended_at":1760000003.0,"output":{"bytes":10,"dropped_bytes":0,"last_sequence":1},"usage":null,"leftovers":[]},"closing":"disconnected","error":"ssh: refused"}');
CREATE TABLE session_command (
    id         TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    typed_at   REAL NOT NULL,
    status     TEXT NOT NULL,
    line       TEXT NOT NULL,
    state      TEXT NOT NULL
) STRICT;
INSERT INTO "session_command" VALUES('0000000000000001','session-open',1760000001.125,'completed','make part1 && echo ''häß''','{"since":1,"until":2,"began_at":1760000001.5,"ended_at":1760000002.0,"exit_code":0}');
INSERT INTO "session_command" VALUES('0000000000000002','session-open',1760000001.25,'running','make part2 && echo ''häß''','{"since":2,"until":null,"began_at":1760000002.5,"ended_at":null,"exit_code":null}');
INSERT INTO "session_command" VALUES('0000000000000003','session-closed',1760000001.375,'failed','make part3 && echo ''häß''','{"since":3,"until":4,"began_at":null,"ended_at":1760000002.0,"exit_code":3}');
INSERT INTO "session_command" VALUES('0000000000000004','session-closing',1760000001.5,'unknown','make part4 && echo ''häß''','{"since":4,"until":4,"began_at":null,"ended_at":1760000002.0,"exit_code":null}');
CREATE TABLE "workflow" (
    project       TEXT NOT NULL,
    name          TEXT NOT NULL,
    owner         TEXT NOT NULL,
    registered_at REAL NOT NULL,
    definition    TEXT NOT NULL,
    caller        TEXT NOT NULL,
    secrets       TEXT NOT NULL,
    PRIMARY KEY (project, name, owner)
) STRICT;
INSERT INTO "workflow" VALUES('/p','w','local',5.0,'{"name":"w","description":"all that there is","input_schema":{"type":"object"},"max_concurrency":3,"timeout":12.5,"steps":[{"id":"a","job":"x","depends_on":[],"input":{},"condition":null,"continue_on_error":false,"timeout":null,"retry":null},{"id":"b","job":"y","depends_on":["a"],"input":{"n":[{"$from":"steps.a.result"}]},"condition":"input.ok","continue_on_error":true,"timeout":3.0,"retry":{"max_attempts":4,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"jitter":0.0,"on":["signal"]}}],"triggers":[{"kind":"webhook","path":"in","definition":null,"job_name":null,"statuses":["completed"]},{"kind":"completion","path":null,"definition":"d","job_name":null,"statuses":["failed","completed"]}],"notify":[]}','{"client":"test","principal":"local","environment":{"A":"\u00e4"},"cwd":"/p"}','{}');
INSERT INTO "workflow" VALUES('/p','w','ci',5.0,'{"name":"w","description":"all that there is","input_schema":{"type":"object"},"max_concurrency":3,"timeout":12.5,"steps":[{"id":"a","job":"x","depends_on":[],"input":{},"condition":null,"continue_on_error":false,"timeout":null,"retry":null},{"id":"b","job":"y","depends_on":["a"],"input":{"n":[{"$from":"steps.a.result"}]},"condition":"input.ok","continue_on_error":true,"timeout":3.0,"retry":{"max_attempts":4,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"jitter":0.0,"on":["signal"]}}],"triggers":[{"kind":"webhook","path":"in","definition":null,"job_name":null,"statuses":["completed"]},{"kind":"completion","path":null,"definition":"d","job_name":null,"statuses":["failed","completed"]}],"notify":[],"permissions":[{"action":"execute","roles":["r"],"scopes":["s"],"guard":null}]}','{"client":"test","principal":"ci","environment":{"A":"\u00e4"},"cwd":"/p"}','{}');
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
, owner TEXT NOT NULL DEFAULT '') STRICT;
INSERT INTO "workflow_run" VALUES('workflow-0001','/p','w',NULL,'manual',NULL,1.0,'{"workflow":{"name":"w","description":"all that there is","input_schema":{"type":"object"},"max_concurrency":3,"timeout":12.5,"steps":[{"id":"a","job":"x","depends_on":[],"input":{},"condition":null,"continue_on_error":false,"timeout":null,"retry":null},{"id":"b","job":"y","depends_on":["a"],"input":{"n":[{"$from":"steps.a.result"}]},"condition":"input.ok","continue_on_error":true,"timeout":3.0,"retry":{"max_attempts":4,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"jitter":0.0,"on":["signal"]}}],"triggers":[{"kind":"webhook","path":"in","definition":null,"job_name":null,"statuses":["completed"]},{"kind":"completion","path":null,"definition":"d","job_name":null,"statuses":["failed","completed"]}],"notify":[]},"project":"/p","caller":{"client":"test","principal":"local","environment":{"A":"\u00e4"},"cwd":"/p"},"input":{"ok":true},"created_at":1.0,"trigger":"manual","key":null,"rerun_of":null}','pending',NULL,NULL,NULL,NULL,'local');
INSERT INTO "workflow_run" VALUES('workflow-0002','/p','w','completion:ci:/p:w:job-completed','job-completed',NULL,2.0,'{"workflow":{"name":"w","description":"all that there is","input_schema":{"type":"object"},"max_concurrency":3,"timeout":12.5,"steps":[{"id":"a","job":"x","depends_on":[],"input":{},"condition":null,"continue_on_error":false,"timeout":null,"retry":null},{"id":"b","job":"y","depends_on":["a"],"input":{"n":[{"$from":"steps.a.result"}]},"condition":"input.ok","continue_on_error":true,"timeout":3.0,"retry":{"max_attempts":4,"backoff":1.0,"multiplier":2.0,"max_backoff":60.0,"jitter":0.0,"on":["signal"]}}],"triggers":[{"kind":"webhook","path":"in","definition":null,"job_name":null,"statuses":["completed"]},{"kind":"completion","path":null,"definition":"d","job_name":null,"statuses":["failed","completed"]}],"notify":[],"permissions":[{"action":"execute","roles":["r"],"scopes":["s"],"guard":null}]},"project":"/p","caller":{"client":"test","principal":"ci","environment":{"A":"\u00e4"},"cwd":"/p"},"input":{"ok":true},"created_at":2.0,"trigger":"job-completed","key":"completion:ci:/p:w:job-completed","rerun_of":null,"workflow_owner":"ci"}','pending',NULL,NULL,NULL,NULL,'ci');
CREATE TABLE workflow_step (
    run_id TEXT NOT NULL,
    step   TEXT NOT NULL,
    state  TEXT NOT NULL,
    result TEXT,
    PRIMARY KEY (run_id, step)
) STRICT, WITHOUT ROWID;
INSERT INTO "workflow_step" VALUES('workflow-0001','a','{"status":"completed","reason":null,"error":null,"job_id":"job-1","attempts":2,"started_at":1.0,"ended_at":2.0,"taken_from":null}','{"deep":[null,"\u00fc"]}');
CREATE INDEX job_by_status ON job (status, completed_at);
CREATE INDEX job_by_end ON job (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX job_by_session ON job (session_id) WHERE session_id IS NOT NULL;
CREATE UNIQUE INDEX job_by_key ON job (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX session_by_phase ON session (phase);
CREATE INDEX command_by_session ON session_command (session_id, typed_at);
CREATE INDEX command_by_status ON session_command (status) WHERE status = 'running';
CREATE INDEX job_by_project ON job (project, id) WHERE project IS NOT NULL;
CREATE INDEX job_by_name ON job (name, id) WHERE name IS NOT NULL;
CREATE INDEX outbox_by_receiver ON outbox (receiver, due_at, id);
CREATE INDEX outbox_by_time ON outbox (due_at);
CREATE UNIQUE INDEX schedule_by_name ON schedule (name, project, owner);
CREATE UNIQUE INDEX execution_by_key ON schedule_execution (schedule_id, key);
CREATE INDEX execution_by_schedule ON schedule_execution (schedule_id, seq);
CREATE INDEX execution_by_job ON schedule_execution (job_id)
 WHERE job_id IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX workflow_run_by_key ON workflow_run (key) WHERE key IS NOT NULL;
CREATE INDEX workflow_run_by_workflow ON workflow_run (project, name, id);
CREATE INDEX workflow_run_by_end ON workflow_run (ended_at);
CREATE INDEX workflow_run_by_owner ON workflow_run (owner, id);
COMMIT;
