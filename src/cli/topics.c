/* The topics of `shale help`: texts of 100 columns at most. Man pages and documents print them too. */
#include "base/num.h"
#include "cli/cmd.h"

static const struct cli_topic topics[] = {
    {"urls", "how a database is named",
     "s3://bucket/path               in a bucket of Amazon S3, or of a service that speaks S3 "
     "(--endpoint)\n"
     "https://bucket.s3.R.amazonaws.com/path, https://s3.R.amazonaws.com/bucket/path\n"
     "                               the same, with the region R\n"
     "https://ACCOUNT.r2.cloudflarestorage.com/bucket/path\n"
     "                               in a bucket of Cloudflare R2\n"
     "file:///srv/db, ./db, /srv/db  a folder; its parent is the bucket (--root: another folder\n"
     "                               above it)\n"
     "memory:, memory://, memory     a database in memory; gone at the end of the process\n"
     "memory://?name=x               the same for all who name x in this process\n"
     "\n"
     "A bare path means file://. Several databases may stand in one bucket. Which bucket can hold "
     "a\n"
     "database: shale store doctor URL.\n"},
    {"settings", "every setting of a database, with its default", NULL},
    {"credentials", "which keys are used, and where they come from",
     "A bucket of S3 is asked with the first keys that are found:\n"
     "\n"
     "  1  store options               --store-option aws_access_key_id=.. and "
     "aws_secret_access_key=..,\n"
     "                                 or the same in a settings file\n"
     "  2  the environment             AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
     "AWS_SESSION_TOKEN\n"
     "  3  a profile                   --profile NAME, AWS_PROFILE, else default, of "
     "~/.aws/credentials\n"
     "                                 and ~/.aws/config\n"
     "\n"
     "--store-option aws_skip_signature=true asks without keys (a bucket that everybody may read). "
     "Keys of\n"
     "instance metadata and web identities are not built yet.\n"
     "\n"
     "Which are used: shale config show s3://bucket/path --changed. Whether they may do what a "
     "database\n"
     "needs: shale store doctor s3://bucket.\n"
     "\n"
     "A file or the environment is the place for a secret: others on this machine see command "
     "lines\n"
     "(shale covers its own up at once), and shells keep them in their history. Secrets are "
     "printed\n"
     "nowhere, and a line of shale shell may not hold one.\n"
     "\n"
     "A database in a folder is guarded by the permissions of its files.\n"},
    {"units", "sizes, durations, yes and no",
     "Sizes      4096, 10MiB (1024), 10MB (1000), 10M = MiB\n"
     "Durations  100ms, 30s, 5m, 1h30m, 7d; a bare number is refused here, in files it is seconds\n"
     "Yes or no  true on yes 1, false off no 0\n"
     "Nothing    none, null\n"
     "Printed    64.0 MiB for people; in JSON whole numbers with the unit in the name: size_bytes, "
     "wait_ms\n"},
    {"exit-codes", "what a script may rely on",
     "0    yes, done, nothing to do\n"
     "1    the answer is no: no such key, no such object\n"
     "2    the command line or a setting is wrong; nothing was opened\n"
     "3    database or store error, damage met while reading; its kind: --json, .error.code\n"
     "130  stopped by Ctrl-C (SIGINT), 143 by SIGTERM\n"},
    {"environment", "variables that are looked at",
     "SHALE_<NAME>, SLATEDB_<NAME>    a setting: SHALE_FLUSH_INTERVAL=50ms (_ for dots)\n"
     "AWS_ACCESS_KEY_ID and others    keys and region of S3: shale help credentials\n"
     "AWS_REGION, AWS_ENDPOINT        where the bucket is\n"
     "NO_COLOR                        not empty: no colour, no bold\n"
     "CLICOLOR_FORCE                  not 0: colour in pipes too\n"
     "TERM                            dumb: no colour, no line editing in shale shell\n"
     "COLUMNS                         width, where there is no terminal to ask\n"
     "PAGER                           shows help texts longer than the terminal [less -FIRX]\n"
     "XDG_CONFIG_HOME                 shale/config.toml is read there [~/.config]\n"
     "XDG_STATE_HOME                  shale/history is kept there by shale shell [~/.local/state]\n"
     "\n"
     "Variables with these names that are no setting are ignored. Order of settings: shale help "
     "settings.\n"},
    {"costs", "what requests cost, and how to ask for fewer",
     "A bucket is paid by the request, the stored byte and the byte that leaves the region. "
     "Amounts are\n"
     "estimates, marked with ~, by the prices of S3 Standard us-east-1 of 2026-11:\n"
     "\n"
     "  PUT, COPY, LIST, parts of uploads   $0.005 per 1,000\n"
     "  GET, HEAD                           $0.0004 per 1,000\n"
     "  DELETE                              free\n"
     "  storage                             $0.023 per GB and month\n"
     "\n"
     "A folder or memory costs nothing: there the amount says what a bucket would have cost.\n"
     "\n"
     "  one durable put      1 PUT of a WAL object. A batch, or puts at the same time, share it.\n"
     "  flush_interval       how long puts wait for each other: 1s instead of 100ms is up to ten "
     "times\n"
     "                       fewer PUTs, and acknowledgements that much later\n"
     "  a get                0 requests where its blocks are cached, else 1 or 2 GETs\n"
     "  a scan               a GET per read-ahead window (scan_window_bytes) and one per SSTable "
     "opened\n"
     "  opening              4 requests to read, 7 to write, more where WAL objects wait\n"
     "\n"
     "Where it stands: shale stat (storage, and what the command itself asked), shale load (its "
     "requests\n"
     "and their price), .timer on in shale shell.\n"},
    {"formats", "what lies in the bucket, and who else can read it",
     "Shale reads and writes SlateDB's format. Below the folder of a database:\n"
     "\n"
     "  manifest/ID.manifest        which SSTables make up the database; the newest id counts\n"
     "  wal/ID.sst                  the write-ahead log: rows that are durable, not yet in "
     "SSTables\n"
     "  compacted/ULID.sst          SSTables: sorted rows in blocks with checksums, filter, index\n"
     "  compactions/ID.compactions  the state of compaction\n"
     "\n"
     "Databases of SlateDB 0.7 to 0.18 are read, and can be taken over as writer; what is written "
     "then is\n"
     "for SlateDB 0.17 and 0.18. Nothing has to be converted. A newer format than these is "
     "refused, and\n"
     "nothing is changed.\n"
     "\n"
     "Codecs of SSTables: none, snappy, zlib, lz4, zstd (--set compression_codec=zstd). To look "
     "inside:\n"
     "shale manifest, shale sst, shale wal. Byte by byte: docs/format; by release: "
     "docs/compat.md.\n"},
    {"common", "the options that every command takes", NULL},
};

const struct cli_topic *cli_topic_at(size_t index)
{
    return index < SHL_COUNT_OF(topics) ? &topics[index] : NULL;
}
