#include "cli/table.h"

#include "base/assert.h"
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/table_parts.h"

#include <limits.h>
#include <string.h>

#define ROWS  "Which rows"
#define PRINT "What to print"
#define WHAT  "What to do"
#define DB    "How the database is opened"
#define EVERY "Everywhere"

static const struct cli_option options[OPT_IDS] = {
    [OPT_PREFIX] = {"prefix", 0, CLI_TEXT, false, "P", "keys that begin with P", NULL, ROWS},
    [OPT_FROM] = {"from", 0, CLI_TEXT, false, "A", "A <= key; may be left out", NULL, ROWS},
    [OPT_TO] = {"to", 0, CLI_TEXT, false, "B", "key < B; may be left out", NULL, ROWS},
    [OPT_REVERSE] = {"reverse", 0, CLI_FLAG, false, NULL, "highest key first", NULL, ROWS},
    [OPT_LIMIT] = {"limit", 'L', CLI_NUMBER, false, "N",
                   "stop after N rows [terminal: 1000, then says so]", NULL, ROWS},
    [OPT_CHECKPOINT] = {"checkpoint", 0, CLI_TEXT, false, "C",
                        "as it was at a checkpoint, by id or name", NULL, ROWS},
    [OPT_DURABILITY] = {"durability", 0, CLI_CHOICE, false, "LEVEL",
                        "memory or remote: only what is durable [memory]",
                        "memory|remote|uncommitted|committed", ROWS},
    [OPT_VALUE_FILE] = {"value-file", 0, CLI_TEXT, false, "F",
                        "the value is the content of F (-: stdin)", NULL, WHAT},
    [OPT_KEYS_ONLY] = {"keys-only", 0, CLI_FLAG, false, NULL, "no values", NULL, PRINT},
    [OPT_COUNT] = {"count", 0, CLI_FLAG, false, NULL, "only \"N rows, M bytes\"", NULL, PRINT},
    [OPT_FORMAT] = {"format", 0, CLI_CHOICE, false, "F",
                    "text, json, csv, tsv, raw0 (NUL-separated) [text]", "text|json|csv|tsv|raw0",
                    PRINT},
    [OPT_HEX] = {"hex", 0, CLI_FLAG, false, NULL, "keys and values in hex, given and printed", NULL,
                 PRINT},
    [OPT_WIDTH] = {"width", 0, CLI_NUMBER, false, "N",
                   "cut rows to N columns [terminal: what fits; a pipe: never]", NULL, PRINT},
    [OPT_EXISTS] = {"exists", 0, CLI_FLAG, false, NULL,
                    "print nothing; exit 0 if there is such a row, else 1", NULL, PRINT},
    [OPT_ID] = {"id", 0, CLI_NUMBER, false, "N", "the version with this number [the newest]", NULL,
                PRINT},
    [OPT_ROWS] = {"rows", 0, CLI_FLAG, false, NULL, "every row too", NULL, PRINT},
    [OPT_SINCE_ID] = {"since-id", 0, CLI_NUMBER, false, "ID",
                      "begin with WAL object ID [the first that is in no SSTable]", NULL, ROWS},
    [OPT_NO_FOLLOW] = {"no-follow", 0, CLI_FLAG, false, NULL,
                       "end behind what is there now; do not wait for more", NULL, ROWS},
    [OPT_DRY_RUN] = {"dry-run", 'n', CLI_FLAG, false, NULL, "say what would happen, change nothing",
                     NULL, WHAT},
    [OPT_YES] = {"yes", 'y', CLI_FLAG, false, NULL, "do not ask", NULL, WHAT},
    [OPT_RECURSIVE] = {"recursive", 'r', CLI_FLAG, false, NULL,
                       "everything below URL: a folder, a database, what is in a bucket", NULL,
                       WHAT},
    [OPT_WORKLOAD] = {"workload", 0, CLI_TEXT, false, "W[,W..]",
                      "fillseq fillrandom settle readcold readhot multiget readmissing scan "
                      "shortscan overwrite filldurable",
                      NULL, WHAT},
    [OPT_NUM] = {"num", 0, CLI_NUMBER, false, "N", "records [1000000]", NULL, WHAT},
    [OPT_VALUE_SIZE] = {"value-size", 0, CLI_SIZE, false, "SIZE", "bytes of a value [100]", NULL,
                        WHAT},
    [OPT_CLIENTS] = {"clients", 0, CLI_NUMBER, false, "T",
                     "reading clients at once, at most 64 [1]", NULL, WHAT},
    [OPT_READS] = {"reads", 0, CLI_NUMBER, false, "N",
                   "gets of a read workload [200000; readcold 20000, readmissing 100000]", NULL,
                   WHAT},
    [OPT_SCANS] = {"scans", 0, CLI_NUMBER, false, "N", "scans of shortscan [5000]", NULL, WHAT},
    [OPT_DURABLE_OPS] = {"durable-ops", 0, CLI_NUMBER, false, "N", "puts of filldurable [50]", NULL,
                         WHAT},
    [OPT_LATENCY_MS] = {"latency-ms", 0, CLI_NUMBER, false, "L",
                        "wait so long before each GET, PUT and part [0]", NULL, WHAT},
    [OPT_KEEP_GOING] = {"keep-going", 0, CLI_FLAG, false, NULL,
                        "commands from a file or pipe: go on after an error", NULL, WHAT},
    [OPT_FULL] = {"full", 0, CLI_FLAG, false, NULL, "all sorted runs of each tree into one", NULL,
                  WHAT},
    [OPT_SEGMENT] = {"segment", 0, CLI_TEXT, false, "P",
                     "all sorted runs of the segment with prefix P into one", NULL, WHAT},
    [OPT_SPEC] = {"spec", 0, CLI_TEXT, false, "JSON", "exactly this, as SlateDB writes it", NULL,
                  WHAT},
    [OPT_NO_WAIT] = {"no-wait", 0, CLI_FLAG, false, NULL,
                     "only submit it, for the compactor that the database has", NULL, WHAT},
    [OPT_NO_WORKER] = {"no-worker", 0, CLI_FLAG, false, NULL, "only plan and commit: others merge",
                       NULL, WHAT},
    [OPT_ONCE] = {"once", 0, CLI_FLAG, false, NULL, "do what is due, then end", NULL, WHAT},
    [OPT_ROOT] = {"root", 0, CLI_TEXT, false, "URL",
                  "the bucket [the parent folder of the database]", NULL, DB},
    [OPT_WAL_URL] = {"wal-url", 0, CLI_TEXT, false, "URL", "another bucket for wal/", NULL, DB},
    [OPT_MERGE] =
        {"merge", 0, CLI_CHOICE, false, "OP",
         "merge operator: concat, {sum,max,min}-{u64,i64}, {max,min}-bytes, none",
         "concat|sum-u64|sum-i64|max-u64|min-u64|max-i64|min-i64|max-bytes|min-bytes|none", DB},
    [OPT_SEGMENTS] = {"segments", 0, CLI_TEXT, false, "X",
                      "segment extractor: N (first bytes), slash, none", NULL, DB},
    [OPT_BLOOM_PREFIX] = {"bloom-prefix", 0, CLI_TEXT, false, "X",
                          "prefix in the filters: N (first bytes), slash, none", NULL, DB},
    [OPT_TRANSFORMER] =
        {"transformer", 0, CLI_TEXT, false, "T",
         "how blocks are transformed: aes-256-gcm:file:PATH, aes-256-gcm:env:NAME, xor:HH, none",
         NULL, DB},
    [OPT_SET] = {"set", 0, CLI_TEXT, true, "NAME=V",
                 "a setting, e.g. compression_codec=zstd (all: shale help settings)", NULL, DB},
    [OPT_STORE_OPTION] = {"store-option", 0, CLI_TEXT, true, "K=V",
                          "an option of the bucket, e.g. local_fsync=off", NULL, DB},
    [OPT_SETTINGS] = {"settings", 0, CLI_TEXT, true, "FILE",
                      "settings of a .toml, .json or .yaml file", NULL, DB},
    [OPT_PROFILE] = {"profile", 0, CLI_TEXT, false, "NAME",
                     "group [profile.NAME] of the settings files, or an AWS profile", NULL, DB},
    [OPT_REGION] = {"region", 0, CLI_TEXT, false, "R", "region of the bucket (aws_region)", NULL,
                    DB},
    [OPT_ENDPOINT] = {"endpoint", 0, CLI_TEXT, false, "URL",
                      "a service that speaks S3 (aws_endpoint); http:// for this machine only, "
                      "else with aws_allow_http",
                      NULL, DB},
    [OPT_CHANGED] = {"changed", 0, CLI_FLAG, false, NULL, "only what is not the default", NULL,
                     PRINT},
    [OPT_BUNDLE] = {"bundle", 0, CLI_TEXT, false, "FILE",
                    "a report for an issue too, without secrets", NULL, PRINT},
    [OPT_FORCE] = {"force", 0, CLI_FLAG, false, NULL, "although checkpoints never expire", NULL,
                   WHAT},
    [OPT_NAME] = {"name", 0, CLI_TEXT, false, "TEXT", "name of the checkpoint", NULL, WHAT},
    [OPT_LIFETIME] = {"lifetime", 0, CLI_DURATION, false, "DUR",
                      "it expires so long from now, e.g. 7d [never]", NULL, WHAT},
    [OPT_SOURCE] = {"source", 0, CLI_TEXT, false, "C",
                    "the state of another checkpoint, by id or name [the newest state]", NULL,
                    WHAT},
    [OPT_RESOURCE] = {"resource", 0, CLI_TEXT, true, "R[,R..]",
                      "manifest, wal, wal-fence, compacted, compactions, detach [all]", NULL, WHAT},
    [OPT_MIN_AGE] = {"min-age", 0, CLI_DURATION, false, "DUR",
                     "younger objects stay [as the settings say: 5m]", NULL, WHAT},
    [OPT_INTERVAL] = {"interval", 0, CLI_DURATION, false, "DUR",
                      "pause between passes [as the settings say: 10m]", NULL, WHAT},
    [OPT_AND] = {"and", 0, CLI_TEXT, true, "SRC[,..]",
                 "another source: its URL, then ,checkpoint=C ,from=A ,to=B ,only=P as wanted",
                 NULL, WHAT},
    [OPT_ONLY] = {"only", 0, CLI_TEXT, true, "P",
                  "of SRC's segments only the one with prefix P; may be repeated", NULL, WHAT},
    [OPT_VERSIONS] = {"versions", 0, CLI_TEXT, false, "[A]..[B]",
                      "a JSON array of all versions from A on and below B", NULL, PRINT},
    [OPT_UNDO] = {"undo", 0, CLI_DURATION, false, "DUR",
                  "how long the state before is kept as checkpoint before-restore [7d]", NULL,
                  WHAT},
    [OPT_ROUND] = {"round", 0, CLI_CHOICE, false, "HOW",
                   "down or up: to the earlier or later one that is on record [down]", "down|up",
                   WHAT},
    [OPT_AS_OF] = {"as-of", 0, CLI_TEXT, false, "WHEN",
                   "the newest checkpoint at or before a time, e.g. -2h, or seq:N", NULL, ROWS},
    [OPT_OUTPUT] = {"output", 'o', CLI_TEXT, false, "FILE", "where it goes", NULL, PRINT},
    [OPT_AT] = {"at", 0, CLI_TEXT, false, "WHEN", "as of a commit: its seq, a time, or -2h", NULL,
                ROWS},
    [OPT_SEQ] = {"seq", 0, CLI_NUMBER, false, "N",
                 "the seq that the database must be at [FILE.seq, which a pull has written]", NULL,
                 WHAT},
    [OPT_AFTER] = {"after", 0, CLI_NUMBER, false, "SEQ",
                   "only what was committed behind it [all that the log has]", NULL, ROWS},
    [OPT_CHANGES] = {"changes", 0, CLI_FLAG, false, NULL, "the rows that each commit changed", NULL,
                     PRINT},
    [OPT_FOLLOW] = {"follow", 0, CLI_FLAG, false, NULL, "go on with what is committed from now on",
                    NULL, ROWS},
    [OPT_GRACE] = {"grace", 0, CLI_DURATION, false, "DUR", "what is younger stays [5m]", NULL,
                   WHAT},
    [OPT_LOCAL_PATH] = {"local-path", 0, CLI_TEXT, false, "FILE",
                        "keep the local copy there, for the next time [a temporary file]", NULL,
                        DB},
    [OPT_AUTO_COMPACT] = {"auto-compact", 0, CLI_NUMBER, false, "N",
                          "compact after a commit once the log has N entries [never]", NULL, DB},
    [OPT_MAX_RETRIES] = {"max-retries", 0, CLI_NUMBER, false, "N",
                         "tries of a commit or compaction that others get ahead of [50]", NULL, DB},
    [OPT_BY_COLUMN] = {"by-column", 0, CLI_FLAG, false, NULL,
                       "s3db's way: merge with what others changed meanwhile, instead of running "
                       "again",
                       NULL, DB},
    [OPT_ALLOW_TRIGGERS] = {"allow-triggers", 0, CLI_FLAG, false, NULL,
                            "triggers that write may fire", NULL, DB},
    [OPT_IGNORE_TRIGGERS] = {"ignore-triggers", 0, CLI_FLAG, false, NULL,
                             "apply the log without firing triggers: reads what one has broken",
                             NULL, ROWS},
    [OPT_ROWS_AS] = {"mode", 0, CLI_CHOICE, false, "F",
                     "list, column, csv, tsv, json [column on a terminal, else list]",
                     "list|column|csv|tsv|json", PRINT},
    [OPT_HEADERS] = {"headers", 0, CLI_FLAG, false, NULL, "names of the columns, in lists too",
                     NULL, PRINT},
    [OPT_COMPRESS] = {"compress", 0, CLI_FLAG, false, NULL,
                      "store the snapshot compressed; s3db cannot read it", NULL, WHAT},
    [OPT_WATCH] = {"watch", 0, CLI_DURATION, false, "DUR", "again and again, e.g. every 2s", NULL,
                   PRINT},
    [OPT_LOCAL_DIR] =
        {"local-dir", 0, CLI_TEXT, false, "DIR",
         "the local folder: data files are kept and looked for there [a temporary one]", NULL, DB},
    [OPT_OBJECT_PREFIX] = {"object-prefix", 0, CLI_TEXT, false, "P",
                           "names of objects begin with P, e.g. team-index.idx", NULL, DB},
    [OPT_MAX_FILE_SIZE] = {"max-file-size", 0, CLI_SIZE, false, "SIZE",
                           "at which a data file is full [64MiB]", NULL, DB},
    [OPT_GENERATION] = {"format", 0, CLI_CHOICE, false, "N",
                        "2: files as s4db 0.10 writes them; 1: as 0.8, for one writer [2]", "1|2",
                        DB},
    [OPT_BYTES] = {"bytes", 0, CLI_FLAG, false, NULL,
                   "the value is bytes, not text [only if it is not UTF-8]", NULL, WHAT},
    [OPT_LOCAL] = {"local", 0, CLI_FLAG, false, NULL, "from the files of the local folder only",
                   NULL, WHAT},
    [OPT_NO_UPLOAD] = {"no-upload", 0, CLI_FLAG, false, NULL,
                       "keep it in the local folder, safe on disk, for shale s4 upload", NULL,
                       WHAT},
    [OPT_SQL_FORCE] = {"force", 0, CLI_FLAG, false, NULL,
                       "whatever was committed or pushed since: it is dropped", NULL, WHAT},
    [OPT_S4_FORCE] = {"force", 0, CLI_FLAG, false, NULL, "drop what was not uploaded", NULL, WHAT},
    [OPT_S4_MIN_AGE] = {"min-age", 0, CLI_DURATION, false, "DUR",
                        "younger data files of others stay [1d]", NULL, WHAT},
    [OPT_TIMEOUT] = {"timeout", 0, CLI_DURATION, false, "DUR",
                     "give up after so long, e.g. 30s [wait for ever]", NULL, EVERY},
    [OPT_TRACE] = {"trace", 0, CLI_TEXT, false, "FILE",
                   "every HTTP request into FILE, a line each, without secrets", NULL, EVERY},
    [OPT_PRICE_TABLE] = {"price-table", 0, CLI_TEXT, false, "FILE",
                         "prices to reckon with [the installed prices.toml]", NULL, EVERY},
    [OPT_JSON] = {"json", 'j', CLI_FLAG, false, NULL,
                  "one JSON document, or a line a row, on stdout; errors as JSON too", NULL, EVERY},
    [OPT_QUIET] = {"quiet", 'q', CLI_FLAG, false, NULL, "no notes, no progress", NULL, EVERY},
    [OPT_VERBOSE] = {"verbose", 'v', CLI_FLAG, false, NULL,
                     "the log of the library on stderr; -vv each request", NULL, EVERY},
    [OPT_COLOR] = {"color", 0, CLI_CHOICE, false, "WHEN", "auto, always, never [auto]",
                   "auto|always|never", EVERY},
    [OPT_NO_COLOR] = {"no-color", 0, CLI_FLAG, false, NULL, "as --color never", NULL, EVERY},
    [OPT_PROGRESS] = {"progress", 0, CLI_CHOICE, false, "HOW", "auto, plain, json, off [auto]",
                      "auto|plain|json|off", EVERY},
    [OPT_HELP] = {"help", 'h', CLI_FLAG, false, NULL, "this text", NULL, EVERY},
    [OPT_VERSION] = {"version", 0, CLI_FLAG, false, NULL, "the version", NULL, EVERY},
};

#define COMMON                                                                                     \
    (CLI_BIT(OPT_JSON) | CLI_BIT(OPT_QUIET) | CLI_BIT(OPT_VERBOSE) | CLI_BIT(OPT_COLOR) |          \
     CLI_BIT(OPT_NO_COLOR) | CLI_BIT(OPT_PROGRESS) | CLI_BIT(OPT_HELP) | CLI_BIT(OPT_VERSION) |    \
     CLI_BIT(OPT_SET) | CLI_BIT(OPT_STORE_OPTION) | CLI_BIT(OPT_SETTINGS) | CLI_BIT(OPT_PROFILE) | \
     CLI_BIT(OPT_REGION) | CLI_BIT(OPT_ENDPOINT) | CLI_BIT(OPT_TIMEOUT) | CLI_BIT(OPT_TRACE) |     \
     CLI_BIT(OPT_PRICE_TABLE))

static const struct cli_command commands[] = {
    {.name = "put",
     .group = CLI_GROUP_ROWS,
     .effect = CLI_WRITES,
     .summary = "write one row, durable on return",
     .usage = "DB KEY VALUE|- [--value-file F] [--hex]",
     .args_min = 2,
     .args_max = 3,
     .args = {"DB", "KEY", "VALUE"},
     .options = OPENS | CLI_BIT(OPT_HEX) | CLI_BIT(OPT_VALUE_FILE),
     .examples = {{"shale put ./pkgs zlib 1.2.13", "one row"},
                  {"shale put ./pkgs logo - < logo.png", "the value is what stdin holds"},
                  {"shale put s3://acme-prod/orders 1001 paid", "into a bucket"},
                  {"shale put ./pkgs 00ff 01 --hex", "bytes that cannot be typed"}},
     .notes = "Opens the database as its writer (makes it if there is none): another writer is "
              "fenced. A "
              "KEY or VALUE that begins "
              "with a dash stands behind --. VALUE - is stdin.",
     .exits =
         "0 written. Cost: 15 requests, 6 of them PUTs (a new database: 17 and 9) to open, write "
         "the row, flush and close. For many rows: shale load.",
     .run = cmd_put},
    {.name = "get",
     .group = CLI_GROUP_ROWS,
     .effect = CLI_READS,
     .summary = "print the value of a key, without disturbing the writer",
     .usage = "DB KEY [--hex] [--json]",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "KEY"},
     .options = READS | CLI_BIT(OPT_HEX),
     .examples = {{"shale get ./pkgs zlib", "the value, as it is"},
                  {"shale get ./pkgs logo > logo.png", "raw bytes, nothing added"},
                  {"shale get s3://acme-prod/orders 1001", "from a bucket"},
                  {"shale get ./pkgs zlib --json", "with sequence number and times"}},
     .exits =
         "0 found, 1 no such key. Cost: 2 LISTs and a few GETs to open, 1 or 2 GETs for a block.",
     .run = cmd_get},
    {.name = "del",
     .group = CLI_GROUP_ROWS,
     .effect = CLI_WRITES,
     .summary = "delete keys, durable on return",
     .usage = "DB KEY...",
     .args_min = 2,
     .args_max = ANY,
     .args = {"DB", "KEY"},
     .options = OPENS | CLI_BIT(OPT_HEX),
     .examples = {{"shale del ./pkgs zlib", "one key"},
                  {"shale del ./pkgs zlib lz4 zstd", "all or none of three"}},
     .notes =
         "All keys go in one batch. A key that is not there is deleted as well. Opens as writer: "
         "another writer is fenced.",
     .exits = "0 done. Cost: 19 requests, 6 of them PUTs: those of a put, and 4 to see whether "
              "there is a database.",
     .run = cmd_del},
    {.name = "scan",
     .group = CLI_GROUP_ROWS,
     .effect = CLI_READS,
     .summary = "print rows in key order, without disturbing the writer",
     .usage = "DB [PREFIX | --from A --to B] [--reverse] [--limit N] [...]",
     .args_min = 1,
     .args_max = 2,
     .args = {"DB", "PREFIX"},
     .options = READS | RANGE | CLI_BIT(OPT_REVERSE) | CLI_BIT(OPT_LIMIT) | CLI_BIT(OPT_KEYS_ONLY) |
                CLI_BIT(OPT_COUNT) | CLI_BIT(OPT_FORMAT) | CLI_BIT(OPT_HEX) | CLI_BIT(OPT_WIDTH) |
                CLI_BIT(OPT_EXISTS),
     .examples = {{"shale scan ./pkgs --prefix lib --limit 3", "three keys that start with lib"},
                  {"shale scan ./pkgs --from a --to b --keys-only",
                   "a range (b itself is not included)"},
                  {"shale scan ./pkgs --json | jq .key", "a line of JSON a row"},
                  {"shale scan s3://acme-prod/orders --limit 10", "of a bucket"},
                  {"shale scan ./pkgs --count", "how many rows, how many bytes"}},
     .exits = "0 also when no row matches (with --exists: 1). Cost: 2 LISTs and a few GETs to "
              "open, a GET per read-ahead window plus one per SSTable opened.",
     .run = cmd_scan},
    {.name = "load",
     .group = CLI_GROUP_ROWS,
     .effect = CLI_WRITES,
     .summary = "write rows from JSON lines",
     .usage = "DB [FILE|-] [--hex]",
     .args_min = 1,
     .args_max = 2,
     .args = {"DB", "FILE"},
     .options = OPENS | CLI_BIT(OPT_HEX),
     .examples = {{"shale load ./pkgs packages.jsonl", "fill a database in a folder"},
                  {"shale load s3://acme-prod/pkgs packages.jsonl", "in a bucket"},
                  {"shale dump ./a | shale load ./b", "copy the rows of a to b"},
                  {"shale dump ./a --hex | shale load ./b - --hex",
                   "with all bytes and the times of expiry"}},
     .notes = "A line is {\"key\":\"..\",\"value\":\"..\"}; bytes that are no text stand in "
              "\"key_base64\" "
              "and \"value_base64\". With --hex a "
              "line is {\"k\":hex,\"v\":hex}, \"expire_ts\" is kept, \"seq\" and \"create_ts\" are "
              "passed "
              "over. A value of null deletes "
              "the key. Exit 0 means that every row is durable. May be repeated: the same rows are "
              "written "
              "again.",
     .exits =
         "0 all written, 3 stopped (the message says at which line, and how many rows are "
         "durable). Ctrl-C: what was read is made durable, exit 130. Cost: that of a put, and 1 "
         "PUT per WAL object and SSTable (64 MiB, or flush_interval); the last line says what it "
         "was.",
     .run = cmd_load},
    {.name = "dump",
     .group = CLI_GROUP_ROWS,
     .effect = CLI_READS,
     .summary = "print every live row as JSON lines, in key order",
     .usage = "DB [--hex]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = READS | CLI_BIT(OPT_HEX),
     .examples = {{"shale dump ./pkgs > pkgs.jsonl", "what shale load reads"},
                  {"shale dump s3://acme-prod/orders > orders.jsonl", "of a bucket"},
                  {"shale dump ./pkgs --hex | zstd > pkgs.zst", "with sequence numbers and times"},
                  {"shale dump ./pkgs --checkpoint nightly", "as it was"}},
     .exits = "0 done, 3 also for damage (the rows before it were printed). Cost: that of a scan "
              "of all rows.",
     .run = cmd_dump},
    {.name = "stat",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "shape, sizes, checkpoints and cost",
     .usage = "DB [--json] [--watch DUR]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_WATCH),
     .examples = {{"shale stat ./pkgs", "one screen"},
                  {"shale stat s3://acme-prod/orders", "of a bucket"},
                  {"shale stat ./pkgs --json | jq .l0_count", "every number"}},
     .exits = "0 done, with --watch also by Ctrl-C or SIGTERM. Cost: 4 LISTs, 2 GETs (the "
              "manifest, and whether there is a newer one), 2 "
              "more if it was ever compacted, 1 or 2 GETs per SSTable for its stats.",
     .run = cmd_stat},
    {.name = "manifest",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "print a manifest, for programs in SlateDB's JSON shape",
     .usage = "DB [--id N | --versions [A]..[B]]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_ID) | CLI_BIT(OPT_VERSIONS),
     .examples = {{"shale manifest ./pkgs", "the newest"},
                  {"shale manifest ./pkgs --id 3", "an older one"},
                  {"shale manifest ./pkgs --versions 3.. | jq length", "all from there on"},
                  {"shale manifest ./pkgs | jq .checkpoints", "one part of it"}},
     .notes =
         "On a terminal a line a member, with keys as text; in a pipe or with --json SlateDB's "
         "JSON, in which keys are arrays of bytes.",
     .exits = "0 done. Cost: 1 LIST, 2 GETs (the second asks for a newer one); with --id 1 GET; "
              "with --versions 1 LIST and a GET each.",
     .run = cmd_manifest},
    {.name = "sst",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "look into an SSTable",
     .usage = "DB [ULID] [--rows]",
     .args_min = 1,
     .args_max = 2,
     .args = {"DB", "ULID"},
     .options = OPENS | CLI_BIT(OPT_ROWS),
     .examples = {{"shale sst ./pkgs", "all SSTables of the newest manifest"},
                  {"shale sst ./pkgs 01J79B0000000000000000C0Q2", "its parts and blocks"},
                  {"shale sst ./pkgs 01J79B0000000000000000C0Q2 --rows", "its rows too"}},
     .exits = "0 done. Cost: 1 LIST, 2 GETs; with ULID 1 GET of the whole object more.",
     .run = cmd_sst},
    {.name = "wal",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "look into the write-ahead log",
     .usage = "DB [ID]",
     .args_min = 1,
     .args_max = 2,
     .args = {"DB", "ID"},
     .options = OPENS,
     .examples = {{"shale wal ./pkgs", "the objects that are not in SSTables yet"},
                  {"shale wal ./pkgs 17", "the rows of one"}},
     .exits = "0 done. Cost: 2 LISTs, 2 GETs; with ID 1 GET of that object and no more.",
     .run = cmd_wal},
    {.name = "wal tail",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "print changes as they become durable",
     .usage = "DB [--since-id ID] [--no-follow] [-L N] [--hex]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_SINCE_ID) | CLI_BIT(OPT_NO_FOLLOW) | CLI_BIT(OPT_LIMIT) |
                CLI_BIT(OPT_HEX),
     .examples = {{"shale wal tail ./pkgs --no-follow", "what is not in SSTables yet"},
                  {"shale wal tail ./pkgs --since-id 3 --no-follow --json",
                   "from WAL object 3 on, a line a change"},
                  {"shale wal tail s3://acme-prod/orders --json",
                   "every change from now on, until Ctrl-C"}},
     .notes = "A line: WAL object, sequence number, put, delete or merge, key, value. Rows of a "
              "batch share "
              "a sequence number. The writer does not notice. \"WAL truncated\": the garbage "
              "collector was faster; read the rows with scan, and follow from there.",
     .exits = "0 done, also by Ctrl-C or SIGTERM. Cost: 1 LIST and 2 GETs to begin, then 1 GET per "
              "WAL object, 1 LIST when all are read for the first time, and "
              "2 GETs a second while there is none.",
     .run = cmd_tail},
    {.name = "explain",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "show what a get of a key asks, and what that costs",
     .usage = "DB KEY [--hex]",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "KEY"},
     .options = OPENS | CLI_BIT(OPT_CHECKPOINT) | CLI_BIT(OPT_HEX),
     .examples = {{"shale explain ./pkgs zlib", "memtables, SSTables, filters and blocks, in turn"},
                  {"shale explain ./pkgs zlib --json | jq .requests", "for programs"}},
     .notes = "A step a line, in the order of a get: memtables, then L0, then one SSTable of each "
              "sorted "
              "run. A filter that says no spares the blocks of its SSTable.",
     .exits = "0 there is a row, 1 there is none. Cost: that of the get.",
     .run = cmd_explain},
    {.name = "compactions",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "jobs of compactors and workers",
     .usage = "DB [JOB] [--id N | --versions [A]..[B]]",
     .args_min = 1,
     .args_max = 2,
     .args = {"DB", "JOB"},
     .options = OPENS | CLI_BIT(OPT_ID) | CLI_BIT(OPT_VERSIONS),
     .examples = {{"shale compactions ./packed", "those at work, and the last that ended"},
                  {"shale compactions ./packed --json | jq .compactor_epoch",
                   "in SlateDB's JSON shape"},
                  {"shale compactions s3://acme-prod/orders", "of a bucket"}},
     .exits = "0 done, 1 nothing was ever compacted, or no such job. Cost: 1 LIST, 2 GETs; with "
              "--id 1 GET; with --versions 1 LIST and a GET each.",
     .run = cmd_compactions},
    {.name = "compact",
     .group = CLI_GROUP_WORK,
     .effect = CLI_WRITES,
     .summary = "compact now, and wait until it is done",
     .usage = "DB [--full | --segment P | --spec JSON] [--no-wait] [-n]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_FULL) | CLI_BIT(OPT_SEGMENT) | CLI_BIT(OPT_SPEC) |
                CLI_BIT(OPT_NO_WAIT) | CLI_BIT(OPT_DRY_RUN),
     .examples = {{"shale compact ./pkgs", "what is due by the settings"},
                  {"shale compact ./pkgs -n", "what that would begin with, and its price"},
                  {"shale compact ./pkgs --full", "all sorted runs into one"},
                  {"shale compact s3://acme-prod/orders --full --no-wait",
                   "let the compactor that runs there do it"}},
     .notes =
         "Asks the compactor that the database has: that of an open writer, or a shale "
         "compactor. If none moves for some seconds, or there is none (there never was, or "
         "it was another shale compact), this one does the work, and takes the place of the "
         "other: a Shale writer stands back then, a "
         "writer of SlateDB with a compactor inside is closed. L0 SSTables are merged when "
         "enough are there; --full leaves them alone. Outputs are compressed as their largest "
         "input, unless compression_codec is set. May be stopped: what is "
         "not done stays submitted, and shale compact without --full, or any compactor, goes on "
         "with it.",
     .exits = "0 done, or nothing to do; 3 also if the sources are those of another job. Ctrl-C: "
              "130, and the jobs stay submitted. Cost: 2 GETs every half a second while it waits; "
              "about 20 requests a job, and a GET per bytes_to_fetch of its inputs and a PUT per "
              "8 MiB of its outputs (in a folder per MiB). With -n 2 LISTs and 4 GETs.",
     .run = cmd_compact},
    {.name = "compactor",
     .group = CLI_GROUP_WORK,
     .effect = CLI_WRITES,
     .summary = "run the compactor of a database outside of its writer",
     .usage = "DB [--no-worker] [--once]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_NO_WORKER) | CLI_BIT(OPT_ONCE),
     .examples = {{"shale compactor s3://acme-prod/orders", "until Ctrl-C"},
                  {"shale compactor ./pkgs --once", "until nothing is due"},
                  {"shale compactor s3://acme-prod/orders --no-worker",
                   "workers elsewhere do the merging"}},
     .notes = "Takes the place of any other compactor, so open the writer with --set "
              "compactor_options=none (compactor_options = null in SlateDB, whose writer is "
              "closed otherwise). Plans by compactor_options, and merges beside that: outputs are "
              "compressed as their largest input, unless compression_codec is set. Goes on where "
              "another one stopped or died.",
     .exits = "0 stopped by Ctrl-C or SIGTERM, or with --once nothing is due any more; 3 also when "
              "another compactor took over. Cost: 4 GETs each poll_interval while nothing "
              "happens; about 20 requests a job, as shale compact.",
     .run = cmd_compactor},
    {.name = "compactor-worker",
     .group = CLI_GROUP_WORK,
     .effect = CLI_WRITES,
     .summary = "merge for the compactor of a database",
     .usage = "DB [--once]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_ONCE),
     .examples = {{"shale compactor-worker s3://acme-prod/orders", "until Ctrl-C"},
                  {"shale compactor-worker ./pkgs --once", "until there is no job to take"}},
     .notes = "Any number of them, on any machine, for Shale's compactors and SlateDB's. Takes "
              "jobs, gives a sign of life each heartbeat_interval, and gives back what it has not "
              "done when it is stopped. Merge operator, transformer, block size and filters should "
              "be the writer's; the codec is that of the largest input, unless compression_codec "
              "is set.",
     .exits = "0 stopped by Ctrl-C or SIGTERM, or with --once no job is there to be taken. Cost: 2 "
              "GETs each compactions_poll_interval while nothing happens; 8 requests a job, and "
              "its inputs and outputs.",
     .run = cmd_compactor_worker},
    {.name = "store ls",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_READS,
     .summary = "list objects",
     .usage = "URL",
     .args_min = 1,
     .args_max = 1,
     .args = {"URL"},
     .examples = {{"shale store ls ./pkgs", "every object below the folder"},
                  {"shale store ls ./pkgs --json", "a line a object"}},
     .exits = "0 done, also for none (then a note says so). Cost: 1 LIST per 1,000 objects.",
     .run = cmd_store_ls},
    {.name = "store cat",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_READS,
     .summary = "print an object",
     .usage = "URL",
     .args_min = 1,
     .args_max = 1,
     .args = {"URL"},
     .examples = {{"shale store cat ./pkgs/manifest/00000000000000000001.manifest | xxd",
                   "raw bytes"}},
     .exits = "0 done, 1 no such object (a pipe gets no word, as from get). Cost: 1 GET.",
     .run = cmd_store_cat},
    {.name = "store cp",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_WRITES,
     .summary = "copy an object",
     .usage = "FROM TO",
     .args_min = 2,
     .args_max = 2,
     .args = {"FROM", "TO"},
     .options = CLI_BIT(OPT_DRY_RUN),
     .examples = {{"shale store cp ./pkgs/wal/00000000000000000001.sst ./saved.sst", "to a file"},
                  {"shale store cp -n ./pkgs/wal/00000000000000000001.sst ./saved.sst",
                   "only how much that would be"}},
     .notes = "FROM and TO may lie in different buckets or folders. An object at TO is replaced.",
     .exits = "0 done, 1 no such object. Cost: 1 GET and 1 PUT; with -n 1 HEAD.",
     .run = cmd_store_cp},
    {.name = "store rm",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_WRITES,
     .summary = "delete objects",
     .usage = "URL...",
     .args_min = 1,
     .args_max = ANY,
     .args = {"URL"},
     .options = CLI_BIT(OPT_DRY_RUN) | CLI_BIT(OPT_YES) | CLI_BIT(OPT_RECURSIVE),
     .examples = {{"shale store rm -n ./saved.sst", "what would go"},
                  {"shale store rm -y ./saved.sst", "without a question"},
                  {"shale store rm -r -n ./pkgs", "how much a whole database is"}},
     .notes = "Asks on a terminal, with -r for the name; elsewhere it needs --yes. Every URL is "
              "looked at before anything is deleted. What is deleted is gone: there is no way "
              "back but a copy.",
     .exits =
         "0 deleted, 1 no such object, a folder without -r, or the answer was no. Cost: 1 HEAD "
         "and 1 DELETE an object; with -r 1 LIST per 1,000 instead of HEADs.",
     .run = cmd_store_rm},
    {.name = "store stat",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_READS,
     .summary = "size, time and ETag of an object",
     .usage = "URL",
     .args_min = 1,
     .args_max = 1,
     .args = {"URL"},
     .examples = {{"shale store stat ./pkgs/manifest/00000000000000000001.manifest", "one object"}},
     .exits = "0 found, 1 no such object (a pipe gets no word, as from get). Cost: 1 HEAD.",
     .run = cmd_store_stat},
    {.name = "store mb",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_WRITES,
     .summary = "make a bucket or folder",
     .usage = "URL",
     .args_min = 1,
     .args_max = 1,
     .args = {"URL"},
     .examples = {{"shale store mb ./shop", "a folder"},
                  {"shale store mb s3://my-bucket --region eu-west-1", "a bucket"}},
     .notes = "A path behind the bucket is passed over.",
     .exits = "0 made, 1 it is there already. Cost: 1 HEAD, 1 PUT.",
     .run = cmd_store_mb},
    {.name = "store doctor",
     .group = CLI_GROUP_BUCKET,
     .effect = CLI_WRITES,
     .summary = "try whether it can hold a database, and say what to fix",
     .usage = "URL [...]",
     .args_min = 1,
     .args_max = 1,
     .args = {"URL"},
     .options = CLI_BIT(OPT_BUNDLE),
     .examples = {{"shale store doctor ./pkgs", "a folder"},
                  {"shale store doctor s3://my-bucket", "rights, conditional writes, ranges"},
                  {"shale store doctor ./pkgs --bundle report.txt", "a report for an issue too"}},
     .notes = "Tries what a database needs: create-only and if-match writes that race, ranges, "
              "multipart, lists, deletes, the clock. Writes temporary objects under one fresh "
              "prefix and removes them; Ctrl-C removes them too.",
     .exits = "0 all is well (warnings too), 1 something FAILs, 3 it cannot be reached. Cost: some "
              "200 requests and 5 MiB sent; the last line says what it was.",
     .run = cmd_store_doctor},
    {.name = "bench",
     .group = CLI_GROUP_WORK,
     .effect = CLI_WRITES,
     .summary = "run workloads and measure",
     .usage = "DB --workload W[,W..] [...]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_WORKLOAD) | CLI_BIT(OPT_NUM) | CLI_BIT(OPT_VALUE_SIZE) |
                CLI_BIT(OPT_CLIENTS) | CLI_BIT(OPT_READS) | CLI_BIT(OPT_SCANS) |
                CLI_BIT(OPT_DURABLE_OPS) | CLI_BIT(OPT_LATENCY_MS) | CLI_BIT(OPT_YES),
     .examples = {{"shale bench /tmp/b --workload fillrandom,settle --num 200000",
                   "fill, then compact"},
                  {"shale bench /tmp/b --workload fillrandom,readhot --clients 4",
                   "reads by four clients"},
                  {"shale bench memory: --workload fillrandom,readcold --latency-ms 15",
                   "a slow bucket in memory"}},
     .notes =
         "Writes to DB: where rows lie that no bench wrote, fills and overwrite need --yes. Each "
         "workload opens the database anew, in the order given. W+settle: the clock runs on until "
         "nothing is left to flush or compact.",
     .exits =
         "0 done. Cost: what the columns puts and gets say. A line a workload; --json: w n vlen "
         "threads ops s ops_s cpu_s cpu_per_mop p50us p99us rss_mb puts put_mb gets get_mb.",
     .run = cmd_bench},
    {.name = "shell",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_READS,
     .summary = "explore a database, with completion and history",
     .usage = "DB [--keep-going]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_CHECKPOINT) | CLI_BIT(OPT_KEEP_GOING),
     .examples = {{"shale shell ./pkgs", "get zlib, scan lib, stat, .help, Tab, Ctrl-D"},
                  {"echo 'scan lib --limit 3' | shale shell ./pkgs", "commands from a pipe"},
                  {"shale shell ./pkgs < commands.txt",
                   "or from a file; stops at the first error"}},
     .notes = "The commands are those of the program without shale and without DB; .help lists "
              "what drives the "
              "shell itself. Read only until .write on, which takes over as writer. What scan "
              "prints can be "
              "typed: \\n \\t \\xNN, a backslash before a blank, or quotes. Ctrl-C stops a "
              "command, Ctrl-D leaves.",
     .exits = "0 left, else that of the command that failed (commands from a file or pipe). Cost: "
              "2 LISTs and a few GETs to open, one LIST or two before a command to see what is "
              "new; .timer on shows it.",
     .run = cmd_shell},
    {.name = "completion",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_LOCAL,
     .summary = "print the script that completes shale's words in your shell",
     .usage = "bash|zsh|fish",
     .args_min = 1,
     .args_max = 1,
     .args = {"SHELL"},
     .examples = {{"shale completion bash > shale.bash", "then: . ./shale.bash"},
                  {"shale completion zsh > _shale", "into a folder of $fpath"},
                  {"shale completion fish > shale.fish", "into ~/.config/fish/completions"}},
     .notes = "make install puts the three where the shells look for them. The scripts ask the "
              "program: commands, "
              "options, settings, checkpoints, and the keys of a database in a folder.",
     .exits = "0 printed.",
     .run = cmd_completion},
    {.name = "config show",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_LOCAL,
     .summary = "settings and store options in force, where they come from, what they beat",
     .usage = "[DB] [--changed] [--json]",
     .args_min = 0,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_CHANGED),
     .examples = {{"shale config show --changed", "what is not the default"},
                  {"shale config show ./pkgs --set flush_interval=50ms", "as for this database"},
                  {"shale config show --json | jq .settings", "for programs"}},
     .notes = "Without DB the options are those of S3. A secret is shown as its length. Nothing is "
              "opened or sent.",
     .exits = "0 done.",
     .run = cmd_config_show},
    {.name = "config path",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_LOCAL,
     .summary = "the files that settings are read from, the strongest first",
     .usage = "[--json]",
     .args_min = 0,
     .args_max = 0,
     .examples = {{"shale config path", "and which of them are there"}},
     .exits = "0 done.",
     .run = cmd_config_path},
    {.name = "doctor",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_WRITES,
     .summary = "check this machine and, if one is named, a database's bucket",
     .usage = "[DB] [--json] [--bundle FILE]",
     .args_min = 0,
     .args_max = 1,
     .args = {"DB"},
     .options = CLI_BIT(OPT_BUNDLE),
     .examples = {{"shale doctor", "this machine: version, files, variables, credentials"},
                  {"shale doctor ./pkgs", "and what its bucket can do"},
                  {"shale doctor --bundle report.txt", "a report for an issue, without secrets"}},
     .notes =
         "Opens no database and fences nobody. With a DB its bucket is tried as by shale store "
         "doctor.",
     .exits = "0 all is well (warnings too), 1 something FAILs, 3 the DB cannot be reached. Cost: "
              "without "
              "a DB nothing is sent, with one that of shale store doctor.",
     .run = cmd_doctor},
    {.name = "help",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_LOCAL,
     .summary = "explain a command or a topic",
     .usage = "[COMMAND | TOPIC]",
     .args_min = 0,
     .args_max = 2,
     .args = {"TOPIC"},
     .examples = {{"shale help scan", "as shale scan --help"},
                  {"shale help urls", "how a database is named"},
                  {"shale help common", "the options that every command takes"}},
     .notes = "Topics: urls, settings, credentials, units, exit-codes, environment, costs, "
              "formats, common.",
     .exits = "0 printed, 2 no such topic.",
     .run = cmd_help},
    {.name = "version",
     .group = CLI_GROUP_PROGRAM,
     .effect = CLI_LOCAL,
     .summary = "print the version",
     .usage = "",
     .args_min = 0,
     .args_max = 0,
     .examples = {{"shale version", "as shale --version"}},
     .exits = "0 printed.",
     .run = cmd_version},
};

const struct cli_option *cli_option_at(enum cli_option_id id)
{
    SHL_ASSERT(id < OPT_IDS);
    return &options[id];
}

enum cli_option_id cli_option_find(const char *name, size_t len)
{
    for (unsigned i = 0; i < OPT_IDS; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return (enum cli_option_id)i;
    return OPT_IDS;
}

enum cli_option_id cli_option_find_for(const struct cli_command *command, const char *name,
                                       size_t len)
{
    for (unsigned i = 0; command != NULL && i < OPT_IDS; i++)
        if ((cli_command_options(command) & CLI_BIT(i)) != 0 && strlen(options[i].name) == len &&
            memcmp(options[i].name, name, len) == 0)
            return (enum cli_option_id)i;
    return cli_option_find(name, len);
}

enum cli_option_id cli_option_letter(char letter)
{
    for (unsigned i = 0; i < OPT_IDS; i++)
        if (letter != 0 && options[i].letter == letter)
            return (enum cli_option_id)i;
    return OPT_IDS;
}

cli_option_set cli_command_options(const struct cli_command *command)
{
    return command->options | COMMON;
}

cli_option_set cli_common_options(void)
{
    return COMMON;
}

cli_option_set cli_open_options(void)
{
    return OPENS;
}

const char *cli_heading_at(size_t index)
{
    static const char *const headings[] = {ROWS, PRINT, WHAT, DB, EVERY};
    return index < SHL_COUNT_OF(headings) ? headings[index] : NULL;
}

const char *cli_group_name(enum cli_group group)
{
    static const char *const names[CLI_GROUPS] = {"Rows",   "See inside", "Keep",   "Work",
                                                  "Bucket", "Engines",    "Program"};
    SHL_ASSERT(group < CLI_GROUPS);
    return names[group];
}

bool cli_command_takes_db(const struct cli_command *command)
{
    return command->args[0] != NULL && strcmp(command->args[0], "DB") == 0;
}

size_t cli_command_count(void)
{
    return SHL_COUNT_OF(commands) + cli_keep_command_count + cli_sql_command_count +
           cli_s4_command_count;
}

const struct cli_command *cli_command_at(size_t index)
{
    const struct {
        const struct cli_command *commands;
        size_t count;
    } tables[] = {{commands, SHL_COUNT_OF(commands)},
                  {cli_keep_commands, cli_keep_command_count},
                  {cli_sql_commands, cli_sql_command_count},
                  {cli_s4_commands, cli_s4_command_count}};
    SHL_ASSERT(index < cli_command_count());
    size_t t = 0;
    for (; index >= tables[t].count; t++)
        index -= tables[t].count;
    return &tables[t].commands[index];
}

const struct cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < cli_command_count(); i++)
        if (strcmp(cli_command_at(i)->name, name) == 0)
            return cli_command_at(i);
    return NULL;
}

bool cli_command_is_group(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < cli_command_count(); i++) {
        const char *name = cli_command_at(i)->name;
        if (strncmp(name, word, len) == 0 && name[len] == ' ')
            return true;
    }
    return false;
}
