/* The topics of `shale help`: texts of 100 columns at most. Man pages and documents print them too. */
#include "base/num.h"
#include "cli/cmd.h"

static const struct cli_topic topics[] = {
    {"urls", "how a database is named",
     "memory:, memory://, memory     a database in memory; gone at the end of the process\n"
     "s3://bucket/path               a bucket of S3 or what speaks it (--endpoint URL)\n"
     "memory://?name=x               the same for all who name x in this process\n"
     "file:///srv/db, ./db, /srv/db  a folder; its parent is the bucket (--root: another folder\n"
     "                               above it)\n"
     "\n"
     "A bare path means file://. One database is one folder; several may stand in one bucket.\n"},
    {"settings", "every setting of a database, with its default", NULL},
    {"credentials", "which keys are used, and where they come from",
     "A database in a folder is guarded by the permissions of its files: whoever may write there "
     "may write\n"
     "rows. A database in memory has no keys. For s3:// the first of these that has keys counts, "
     "whole:\n"
     "\n"
     "  store options        aws_access_key_id and aws_secret_access_key, in [storage] of a "
     "settings file\n"
     "  environment          AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN\n"
     "  profile files        ~/.aws/credentials and ~/.aws/config; the section of --profile NAME, "
     "else of\n"
     "                       AWS_PROFILE, else \"default\". Keys of SSO, roles and programs are "
     "not fetched:\n"
     "                       aws sso login, then aws configure export-credentials --format env\n"
     "\n"
     "aws_skip_signature=true asks without keys. Which ones are used: shale config show "
     "s3://bucket, or\n"
     "shale doctor s3://bucket, which also says what they may do. Region: --region, AWS_REGION, "
     "the\n"
     "profile; a wrong one is corrected and told. Another service: --endpoint URL, AWS_ENDPOINT.\n"
     "\n"
     "Secrets belong into files that only you may read (chmod 600) or into the environment. They "
     "are never\n"
     "printed: not in errors, logs, --trace, config show or doctor --bundle; given with "
     "--store-option they\n"
     "vanish from what ps shows. A line of shale shell that names a secret is not kept in its "
     "history.\n"},
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
     "SHALE_<NAME>, SLATEDB_<NAME>    a setting: SHALE_FLUSH_INTERVAL=50ms (_ for dots), or an "
     "option of\n"
     "                                the store: SHALE_AWS_REGION=eu-west-1\n"
     "AWS_<NAME>                      an option of S3: AWS_REGION, AWS_ENDPOINT, AWS_ALLOW_HTTP "
     "..; keys:\n"
     "                                shale help credentials\n"
     "HTTPS_PROXY, NO_PROXY ..        as with curl\n"
     "NO_COLOR                        not empty: no colour, no bold\n"
     "CLICOLOR_FORCE                  not 0: colour in pipes too\n"
     "TERM                            dumb: no colour, no line editing in shale shell\n"
     "COLUMNS                         width, where there is no terminal to ask\n"
     "PAGER                           shows help texts longer than the terminal [less -FIRX]\n"
     "XDG_CONFIG_HOME                 shale/config.toml is read there [~/.config]\n"
     "XDG_STATE_HOME                  shale/history is kept there by shale shell [~/.local/state]\n"
     "\n"
     "Variables with these names that are no setting are ignored; shale doctor names them. Order "
     "of settings: shale help "
     "settings.\n"},
    {"costs", "what requests cost, and how to ask for fewer",
     "A bucket is paid by the request, the stored byte and the byte that leaves the region. "
     "Amounts are\n"
     "estimates, marked with ~, by a dated table: share/shale/prices.toml, or --price-table FILE. "
     "It has\n"
     "S3 Standard, S3 Express, Google Cloud Storage, Azure, R2 and B2; the endpoint chooses. The "
     "first:\n"
     "\n"
     "  PUT, COPY, LIST, parts of uploads   $0.005 per 1,000\n"
     "  GET, HEAD                           $0.0004 per 1,000\n"
     "  DELETE                              free\n"
     "  storage                             $0.023 per GB and month\n"
     "\n"
     "A folder, memory or a server of your own: \"on S3 this would cost ~$..\".\n"
     "\n"
     "  one durable put      1 PUT of a WAL object. A batch, or puts at the same time, share it.\n"
     "  flush_interval       how long puts wait for each other: 1s instead of 100ms is up to ten "
     "times\n"
     "                       fewer PUTs, and acknowledgements that much later\n"
     "  a get                0 requests where its blocks are cached, else 1 or 2 GETs\n"
     "  a scan               a GET per read-ahead window (scan_window_bytes) and one per SSTable "
     "opened\n"
     "  opening              a LIST and a few GETs to read, about 5 requests more to write\n"
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
