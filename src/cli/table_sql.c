/* The rows of the table for SQLite on a bucket. */
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/table_parts.h"

#define ROOT  CLI_BIT(OPT_ROOT)
#define COPY  (ROOT | CLI_BIT(OPT_LOCAL_PATH))
#define SHOWS (CLI_BIT(OPT_ROWS_AS) | CLI_BIT(OPT_HEADERS))
#define MIXES                                                                                      \
    (CLI_BIT(OPT_BY_COLUMN) | CLI_BIT(OPT_ALLOW_TRIGGERS) | CLI_BIT(OPT_AUTO_COMPACT) |            \
     CLI_BIT(OPT_MAX_RETRIES))
#define PAST (CLI_BIT(OPT_AT) | CLI_BIT(OPT_IGNORE_TRIGGERS))

const struct cli_command cli_sql_commands[] = {
    {.name = "sql",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "run SQL on a SQLite database in a bucket (s3db's format)",
     .usage = "DB SQL...",
     .args_min = 2,
     .args_max = ANY,
     .args = {"DB", "SQL"},
     .options = COPY | SHOWS | MIXES | PAST,
     .examples = {{"shale sql ./shop 'SELECT * FROM items'", "look"},
                  {"shale sql ./shop \"UPDATE items SET qty = qty - 1 WHERE id = 7\"", "a commit"},
                  {"shale sql ./shop 'BEGIN; UPDATE items SET qty = 0; DELETE FROM items; COMMIT'",
                   "all or nothing"},
                  {"shale sql ./shop 'SELECT count(*) AS n FROM items' --json | jq .n",
                   "for programs"},
                  {"shale sql s3://acme-prod/shop/ 'SELECT * FROM items' --at -1h", "an hour ago"}},
     .notes = "Each statement, or BEGIN .. COMMIT (SAVEPOINT .. RELEASE) with all between, is one "
              "commit, which runs "
              "again if others get ahead of it. What a block prints comes at its "
              "COMMIT, and temporary tables live no longer than it. Tables need a PRIMARY KEY; the "
              "schema is changed by shale sql migrate. DB "
              "is made by shale sql init. In a folder the bucket is the "
              "folder above DB, unless --root says otherwise.",
     .exits = "0 done, 3 SQLite or the store said no. Cost: 2 GETs and one per entry of the log to "
              "open, 1 GET a query, 2 PUTs a commit.",
     .run = cmd_sql},
    {.name = "sql shell",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "a shell like sqlite3's on a database in a bucket",
     .usage = "DB",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = COPY | SHOWS | MIXES | PAST | CLI_BIT(OPT_KEEP_GOING),
     .examples = {{"shale sql shell ./shop", "with history; .help explains"},
                  {"shale sql shell ./shop < changes.sql", "a script; stops at the first failure"},
                  {"shale sql shell ./shop --local-path /var/tmp/shop.sqlite",
                   "starts warm the next time"}},
     .notes =
         "SQL ends with ';'. Each statement, or BEGIN .. COMMIT (SAVEPOINT .. RELEASE) with all "
         "between, is one commit, and temporary tables live no longer than it. .tables, .schema, "
         ".mode, .import and others drive the shell.",
     .exits = "0 done, 3 a statement failed. Cost: that of shale sql.",
     .run = cmd_sql_shell},
    {.name = "sql init",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "make a database, empty or of a SQLite file",
     .usage = "DB [FILE]",
     .args_min = 1,
     .args_max = 2,
     .args = {"DB", "FILE"},
     .options = ROOT,
     .examples = {{"shale sql init ./new", "an empty one"},
                  {"shale sql init s3://acme-prod/shop/ shop.sqlite", "with what is in a file"}},
     .notes = "The file is checked (PRAGMA quick_check) and stored as it is. What is still in its "
              "-wal file would be lost: that is refused.",
     .exits = "0 made, 1 there is one already. Cost: 1 GET, 1 LIST, 2 PUTs.",
     .run = cmd_sql_init},
    {.name = "sql pull",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_READS,
     .summary = "the database as a SQLite file",
     .usage = "DB -o FILE",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = ROOT | PAST | CLI_BIT(OPT_OUTPUT),
     .examples = {{"shale sql pull ./shop -o shop.sqlite", "for any program that reads SQLite"},
                  {"shale sql pull ./shop -o then.sqlite --at 17", "as of commit 17"}},
     .notes = "Writes FILE.seq beside it, as s3db does, and FILE.snapshot: shale sql push then "
              "sees whether somebody committed or pushed meanwhile.",
     .exits =
         "0 written. Cost: 1 GET, 1 for the snapshot (one per 4 MiB), one per entry of the log.",
     .run = cmd_sql_pull},
    {.name = "sql push",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "make a SQLite file the database, in the place of all that is there",
     .usage = "DB FILE [--seq N | --force]",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "FILE"},
     .options = ROOT | CLI_BIT(OPT_SEQ) | CLI_BIT(OPT_SQL_FORCE),
     .examples = {{"shale sql push ./shop shop.sqlite", "after a pull and an edit"},
                  {"shale sql push ./shop shop.sqlite --seq 17",
                   "if the database is still at commit 17"},
                  {"shale sql push ./shop shop.sqlite --force", "whatever was committed since"}},
     .notes = "What the pull wrote beside FILE says what must be there still. The schema's version "
              "stays as it is.",
     .exits = "0 pushed, 1 the database has moved on. Cost: 1 GET, 2 PUTs (one per 8 MiB of a "
              "large file).",
     .run = cmd_sql_push},
    {.name = "sql status",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_READS,
     .summary = "seq, schema, snapshot and log of a database",
     .usage = "DB",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = ROOT,
     .examples = {{"shale sql status ./shop", "a line each"},
                  {"shale sql status ./shop --json", "for programs"}},
     .exits = "0 printed. Cost: that of opening, which replays the log.",
     .run = cmd_sql_status},
    {.name = "sql log",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_READS,
     .summary = "the commits since the last compaction, and what they changed",
     .usage = "DB [--changes] [--after SEQ] [--follow]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = ROOT | CLI_BIT(OPT_AFTER) | CLI_BIT(OPT_CHANGES) | CLI_BIT(OPT_FOLLOW),
     .examples = {{"shale sql log ./shop", "seq, time, size, object"},
                  {"shale sql log ./shop --changes", "each row that changed"},
                  {"shale sql log ./shop --changes --json --follow --after 17",
                   "a feed of changes"}},
     .notes = "The time is that at which the changeset was stored. What was compacted is in no log "
              "any more.",
     .exits = "0 printed, 1 what follows --after is compacted already. Cost: that of opening, 1 "
              "LIST; with --changes 1 GET a commit; with --follow 1 GET a second.",
     .run = cmd_sql_log},
    {.name = "sql compact",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "fold the log into a new snapshot",
     .usage = "DB [--compress]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = ROOT | CLI_BIT(OPT_COMPRESS) | CLI_BIT(OPT_MAX_RETRIES),
     .examples = {{"shale sql compact ./shop", "opening is quick again"},
                  {"shale sql compact ./shop --compress", "and smaller, for Shale only"}},
     .notes = "Writers are not held up. The old objects stay until shale sql gc.",
     .exits = "0 done, also for an empty log. Cost: that of opening, 1 GET, 2 PUTs (one per 8 MiB "
              "of a large snapshot).",
     .run = cmd_sql_compact},
    {.name = "sql gc",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "delete snapshots and changesets that were replaced",
     .usage = "DB [--grace DUR] [--dry-run]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = ROOT | CLI_BIT(OPT_GRACE) | CLI_BIT(OPT_DRY_RUN),
     .examples = {{"shale sql gc ./shop", "what is out of use for 5 minutes"},
                  {"shale sql gc ./shop -n", "how much that would be"},
                  {"shale sql gc ./shop --grace 1d", "keep a day"}},
     .notes = "Safe beside readers and writers that take less than the grace for one step; 0s is "
              "none. In a folder, also what killed writers left an hour ago or more.",
     .exits = "0 done. Cost: that of opening, 1 GET, 2 LISTs and one per 1,000 objects, a DELETE "
              "per 1,000.",
     .run = cmd_sql_gc},
    {.name = "sql migrate",
     .group = CLI_GROUP_ENGINES,
     .effect = CLI_WRITES,
     .summary = "bring the schema up to the numbered .sql files of a folder",
     .usage = "DB DIR",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "DIR"},
     .options = ROOT | CLI_BIT(OPT_LOCAL_PATH),
     .examples = {{"shale sql migrate ./shop migrations", "001_items.sql, 002_orders.sql, .."}},
     .notes = "A file's number is its version; those above the database's version run in order, "
              "each as a new snapshot. Makes the database if there is none.",
     .exits = "0 up to date. Cost: that of opening, and 2 GETs and 2 PUTs a file.",
     .run = cmd_sql_migrate},
};
const size_t cli_sql_command_count = SHL_COUNT_OF(cli_sql_commands);
