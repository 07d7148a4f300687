/* What the manual says beyond the tables: longer examples, the library. Every example is run by tests/cli. */
#include "base/num.h"
#include "cli/doc.h"

static const struct doc_example examples[] = {
    {"put", "A value from a file, and one from another command.",
     "shale put ./pkgs logo --value-file logo.png\n"
     "date | shale put ./pkgs today -\n"},
    {"get", "Something else to do where there is no such key: exit code 1.",
     "shale get ./pkgs zlib > version || echo 'no zlib here'\n"},
    {"del", "Every key with a prefix.",
     "shale scan ./pkgs --prefix tmp/ --keys-only --format raw0 |\n"
     "    xargs -0 --no-run-if-empty shale del ./pkgs\n"},
    {"scan", "Whether there is any row of a customer.",
     "if shale scan ./pkgs --prefix lib --exists; then echo 'has libraries'; fi\n"},
    {"scan", "Keys and values for other programs, whatever bytes are in them.",
     "shale scan ./pkgs --format csv > pkgs.csv\n"
     "shale scan ./pkgs lib --format raw0 | xargs -0 -n 2 echo\n"},
    {"load", "Rows from a program, compressed with zstd in the database.",
     "printf '{\"key\":\"a\",\"value\":\"1\"}\\n{\"key\":\"b\",\"value\":\"2\"}\\n' |\n"
     "    shale load ./new --set compression_codec=zstd\n"},
    {"dump", "A copy that keeps the times of expiry, and a check that both hold the same rows.",
     "shale dump ./pkgs --hex | shale load ./copy - --hex\n"
     "shale scan ./pkgs --count; shale scan ./copy --count\n"},
    {"stat", "One number for a script: rows that are not in SSTables yet.",
     "shale stat ./pkgs --json | jq .wal_count\n"},
    {"manifest", "Which checkpoints hold on to old objects.",
     "shale manifest ./pkgs | jq '.checkpoints[] | {id, name, expire_time}'\n"},
    {"sst", "The largest SSTables.",
     "shale sst ./pkgs --json | jq -r 'sort_by(-.bytes)[:3][] | [.sst, .bytes] | @tsv'\n"},
    {"wal", "How many objects wait.", "shale wal ./pkgs --json | jq '.objects | length'\n"},
    {"checkpoint create", "One that a script gives up again.",
     "id=$(shale checkpoint create ./pkgs --name job --lifetime 1h)\n"
     "shale dump ./pkgs --checkpoint $id > pkgs.jsonl\n"
     "shale checkpoint delete ./pkgs $id\n"},
    {"clone", "A trial on yesterday's rows, and away with it.",
     "shale clone ./pkgs ./trial --checkpoint nightly\n"
     "shale put ./trial zlib 9.9 && shale delete ./trial --yes\n"},
    {"restore",
     "Rows that somebody deleted, back from a checkpoint, without taking all of it back.",
     "shale dump ./pkgs --checkpoint nightly | grep '\"zlib\"' | shale load ./pkgs\n"},
    {"gc", "Every object that would go, by name.",
     "shale gc ./pkgs --dry-run --min-age 1ms -v 2>&1 | grep 'would delete '\n"},
    {"s4 put", "Many small writes from a script, sent at its end.",
     "for i in 1 2 3; do shale s4 put ./words day/$i ok --local-dir ./mirror --no-upload; done\n"
     "shale s4 upload ./words --local-dir ./mirror\n"},
    {"s4 dump", "The largest values.",
     "shale s4 dump ./words | jq -r 'select(.value) | [(.value | length), .key] | @tsv' | sort -rn "
     "|"
     " head -n 3\n"},
    {"s4 load", "From a database of rows into a string store.",
     "shale dump ./pkgs | shale s4 load ./copy\n"},
    {"sql", "A counter that many processes count up at the same time: none is lost.",
     "shale sql ./shop 'UPDATE items SET qty = qty + 1 WHERE id = 7 RETURNING qty'\n"},
    {"sql shell", "A script, all of it or nothing.",
     "shale sql shell ./shop <<'END'\n"
     "BEGIN;\n"
     "DELETE FROM items WHERE id = 1;\n"
     "UPDATE items SET qty = qty + 1 WHERE id = 2;\n"
     "COMMIT;\n"
     "END\n"},
    {"sql pull", "A copy for a program that knows SQLite only.",
     "shale sql pull ./shop -o copy.sqlite && sqlite3 copy.sqlite .dump\n"},
    {"sql push", "An edit that nobody overtakes: a push of what is out of date is refused.",
     "shale sql pull ./shop -o copy.sqlite\n"
     "sqlite3 copy.sqlite 'DELETE FROM items WHERE id = 1'\n"
     "shale sql push ./shop copy.sqlite\n"},
    {"sql log", "Which tables the last commits changed.",
     "shale sql log ./shop --changes --json | jq -r .table | sort | uniq -c\n"},
    {"store ls", "The bytes of each folder of a database.",
     "shale store ls ./pkgs --json |\n"
     "    jq -s 'group_by(.key | split(\"/\")[0]) | map({(.[0].key | split(\"/\")[0]): "
     "map(.size_bytes) | add}) | add'\n"},
    {"compactions", "Whether anything is at work.",
     "shale compactions ./packed --json |\n"
     "    jq '[.recent_compactions[] | select(.status == \"Running\")] | length'\n"},
    {"compact", "What one sorted run costs and saves.",
     "shale stat ./packed; shale compact ./packed --full; shale stat ./packed\n"},
    {"bench", "The same twice, to see how far figures differ on this machine.",
     "for i in 1 2; do shale bench memory: --workload fillrandom,readhot --num 20000; done\n"},
    {"shell", "A script that writes: stops at the first error with FILE:LINE.",
     "shale shell ./pkgs <<'END'\n"
     ".write on\n"
     ".begin\n"
     "put fruit/lime green\n"
     "del fruit/kiwi\n"
     ".commit\n"
     "END\n"},
    {"wal tail", "Follow the changes of one kind of key.",
     "shale wal tail ./pkgs --no-follow --json | jq -r 'select(.kind == \"put\") | .key' | head -n "
     "3\n"},
    {"completion", "For this session of bash.", "source <(shale completion bash)\n"},
};

const struct doc_example *doc_example_at(size_t index)
{
    return index < SHL_COUNT_OF(examples) ? &examples[index] : NULL;
}

static const struct doc_function functions[] = {
    {"Open and close", "shale_db_open", "opens as the writer; makes the database if there is none"},
    {NULL, "shale_db_open_reader", "opens for reading: writes nothing, fences nobody"},
    {NULL, "shale_reader_options_init", "fills in the defaults of a reader"},
    {NULL, "shale_db_close", "flushes a writer, and frees the handle whatever it returns"},
    {NULL, "shale_db_refresh", "lets a reader look for newer data"},
    {NULL, "shale_db_status_get", "epoch, sequence numbers, sizes, and what closed a handle"},
    {NULL, "shale_db_status_wait", "waits until something of that has changed"},
    {NULL, "shale_db_segments_each", "the segments of the manifest in use"},
    {NULL, "shale_db_manifest", "that manifest, as JSON"},
    {"Write", "shale_db_put", "writes a row; durable on return unless asked otherwise"},
    {NULL, "shale_db_delete", "deletes a key"},
    {NULL, "shale_db_merge", "adds an operand; needs a merge operator"},
    {NULL, "shale_write_options_init", "fills in the defaults of a write"},
    {NULL, "shale_db_write", "writes a batch: all or nothing"},
    {NULL, "shale_batch_new", "an empty batch"},
    {NULL, "shale_batch_put", "adds a row"},
    {NULL, "shale_batch_put_ttl", "adds a row with a time to live"},
    {NULL, "shale_batch_delete", "adds a deletion"},
    {NULL, "shale_batch_merge", "adds an operand"},
    {NULL, "shale_batch_merge_ttl", "the same with a time to live"},
    {NULL, "shale_batch_count", "how many operations were added"},
    {NULL, "shale_batch_clear", "takes them all out"},
    {NULL, "shale_batch_free", "frees a batch"},
    {NULL, "shale_db_await_durable", "waits until a sequence number is durable"},
    {NULL, "shale_db_flush", "writes out the WAL, or the memtable too"},
    {NULL, "shale_db_settle", "flushes, and waits until no compaction is due"},
    {"Read", "shale_db_get", "a value without a copy; NOT_FOUND if there is no such key"},
    {NULL, "shale_pinned_release", "gives such a value back"},
    {NULL, "shale_db_get_many", "several keys at once, in one view: cheaper than as many gets"},
    {NULL, "shale_db_get_into", "copies a value into memory of the caller"},
    {NULL, "shale_read_options_init", "fills in the defaults of a read"},
    {NULL, "shale_db_scan", "rows of a range in either direction, from one consistent view"},
    {NULL, "shale_scan_options_init", "fills in the defaults of a scan"},
    {NULL, "shale_db_scan_by_recency",
     "versions of keys with a prefix, what was written last first"},
    {NULL, "shale_recency_next", "the next of them"},
    {NULL, "shale_recency_close", "ends it"},
    {NULL, "shale_iter_next", "the next row; DONE behind the last"},
    {NULL, "shale_iter_seek", "skips ahead to a key"},
    {NULL, "shale_iter_close", "ends a scan"},
    {NULL, "shale_db_warm_sst", "fetches parts of an SSTable into the caches"},
    {NULL, "shale_db_evict_cached_sst", "takes one out of them"},
    {NULL, "shale_db_range_bytes", "about how large a range of keys is"},
    {"Snapshots and transactions", "shale_db_snapshot",
     "what is committed now, to be read again and again"},
    {NULL, "shale_snapshot_get", "a value of a snapshot"},
    {NULL, "shale_snapshot_get_many", "several of them"},
    {NULL, "shale_snapshot_get_into", "copies one into memory of the caller"},
    {NULL, "shale_snapshot_scan", "rows of a range of a snapshot"},
    {NULL, "shale_snapshot_seq", "the newest sequence number that it sees"},
    {NULL, "shale_snapshot_close", "lets go of what it holds"},
    {NULL, "shale_db_begin", "begins a transaction"},
    {NULL, "shale_txn_options_init", "fills in the defaults of a transaction"},
    {NULL, "shale_txn_get", "a value, own writes on top; counts as read"},
    {NULL, "shale_txn_get_many", "several of them"},
    {NULL, "shale_txn_scan", "rows of a range, own writes on top; the range counts as read"},
    {NULL, "shale_txn_put", "writes a row at the commit"},
    {NULL, "shale_txn_put_ttl", "the same with a time to live"},
    {NULL, "shale_txn_delete", "deletes a key at the commit"},
    {NULL, "shale_txn_merge", "adds an operand at the commit"},
    {NULL, "shale_txn_merge_ttl", "the same with a time to live"},
    {NULL, "shale_txn_mark_read", "lets a key count as read"},
    {NULL, "shale_txn_unmark_write", "keeps a written key out of conflicts"},
    {NULL, "shale_txn_commit", "writes all or nothing; CONFLICT if somebody was faster"},
    {NULL, "shale_txn_rollback", "ends it without a write"},
    {NULL, "shale_txn_seq", "the sequence number at which it began"},
    {NULL, "shale_txn_id", "a UUID for it"},
    {NULL, "shale_txn_close", "frees it; drops what was not committed"},
    {"Keep", "shale_db_checkpoint", "a checkpoint of all that the open writer wrote"},
    {NULL, "shale_checkpoint_options_init", "fills in the defaults of a checkpoint"},
    {NULL, "shale_db_begin_checkpoint", "the same without waiting; its id is known at once"},
    {NULL, "shale_checkpoint_id", "that id"},
    {NULL, "shale_checkpoint_wait", "waits until it is there"},
    {NULL, "shale_checkpoint_free", "lets go of what begin gave"},
    {NULL, "shale_admin_checkpoint_create",
     "a checkpoint of the newest manifest, without a writer"},
    {NULL, "shale_admin_checkpoint_refresh", "lets one live longer"},
    {NULL, "shale_admin_checkpoint_delete", "gives one up"},
    {NULL, "shale_admin_checkpoints", "lists them, as JSON"},
    {NULL, "shale_admin_checkpoint_as_of", "the newest one at or before a moment"},
    {NULL, "shale_admin_seq_to_time", "when a sequence number was written"},
    {NULL, "shale_admin_time_to_seq", "the newest sequence number at a time"},
    {NULL, "shale_clone", "a new database over the SSTables of others"},
    {NULL, "shale_restore", "makes the state of a checkpoint the newest one"},
    {NULL, "shale_delete", "deletes a database, and what it holds in others"},
    {"Garbage", "shale_gc_open", "a collector for a database, beside whoever has it open"},
    {NULL, "shale_gc_options_init", "fills in the defaults of a collector"},
    {NULL, "shale_gc_run", "one pass, and what it deleted"},
    {NULL, "shale_gc_step", "a pass over what is due, and when the next is"},
    {NULL, "shale_gc_resource_name", "the name of a kind of objects"},
    {NULL, "shale_gc_store_counts", "requests of a collector"},
    {NULL, "shale_gc_metrics_each", "hands each of its metrics to a function of yours"},
    {NULL, "shale_gc_metrics_json", "the same as JSON"},
    {NULL, "shale_gc_metrics_prometheus", "the same as Prometheus text"},
    {NULL, "shale_gc_close", "lets go of a collector"},
    {"Options", "shale_options_new", "all defaults"},
    {NULL, "shale_options_set", "sets one by name and text"},
    {NULL, "shale_options_set_bool", "the same with a truth value"},
    {NULL, "shale_options_set_u64", "the same with a number"},
    {NULL, "shale_options_set_duration_ms", "the same with milliseconds"},
    {NULL, "shale_options_set_store", "an option of the object store"},
    {NULL, "shale_options_set_origin", "where settings are said to come from"},
    {NULL, "shale_options_use_profile", "takes the group [profile.NAME] of files too"},
    {NULL, "shale_options_profile_found", "whether a file had that group"},
    {NULL, "shale_options_load_file", "takes a .json, .toml or .yaml file"},
    {NULL, "shale_options_load_env", "takes SLATEDB_ and SHALE_ variables"},
    {NULL, "shale_options_load_env_prefix", "takes variables with a prefix of yours"},
    {NULL, "shale_options_load", "the files where SlateDB looks, then the environment"},
    {NULL, "shale_options_to_json", "all settings as JSON, in SlateDB's shape"},
    {NULL, "shale_options_load_json", "takes such a text"},
    {NULL, "shale_options_set_merge_operator", "a merge operator of your own"},
    {NULL, "shale_options_set_transformer", "a block transformer of your own"},
    {NULL, "shale_options_set_prefix_extractor",
     "segments or filter prefixes by a function of yours"},
    {NULL, "shale_options_set_scheduler", "decides which compactions are made"},
    {NULL, "shale_compaction_spec_init", "fills in the defaults of one of them"},
    {NULL, "shale_options_set_compaction_filter", "decides which rows compactions keep"},
    {NULL, "shale_compaction_filter_init", "fills in the defaults of one"},
    {NULL, "shale_options_set_gc_filter", "keeps some of the garbage"},
    {NULL, "shale_options_add_filter_policy", "filters of your own in SSTables"},
    {NULL, "shale_filter_policy_init", "fills in the defaults of one"},
    {NULL, "shale_options_set_expected_epoch", "lets a writer take over from one epoch only"},
    {NULL, "shale_options_set_clock", "tells the time"},
    {NULL, "shale_options_set_trace", "hears of the steps of reads"},
    {NULL, "shale_options_set_store_callbacks", "a store of your own, for all or for the WAL"},
    {NULL, "shale_store_callbacks_init", "fills in the defaults of one"},
    {NULL, "shale_options_set_log", "a function that gets log lines"},
    {NULL, "shale_options_set_cancel", "a function that says when to give up requests"},
    {NULL, "shale_options_set_origin", "what the next settings are said to come from"},
    {NULL, "shale_options_use_profile", "takes the group [profile.NAME] of files that follow"},
    {NULL, "shale_options_profile_found", "whether a file had that group"},
    {NULL, "shale_options_each", "lists names, types, defaults, values and origins"},
    {NULL, "shale_options_each_store", "the same of the options of a store"},
    {NULL, "shale_options_free", "frees options; handles made with them live on"},
    {"Compact", "shale_compact", "compacts now, and waits until it is done"},
    {NULL, "shale_compact_options_init", "fills in its defaults"},
    {NULL, "shale_compactor_open", "prepares a compactor or worker outside of the writer"},
    {NULL, "shale_compactor_options_init", "fills in its defaults"},
    {NULL, "shale_compactor_run", "works until it is stopped"},
    {NULL, "shale_compactor_stop", "stops it, from any thread or signal handler"},
    {NULL, "shale_compactor_store_counts", "its requests so far"},
    {NULL, "shale_compactor_metrics_each", "hands each of its metrics to a function of yours"},
    {NULL, "shale_compactor_metrics_json", "the same as JSON"},
    {NULL, "shale_compactor_metrics_prometheus", "the same as Prometheus text"},
    {NULL, "shale_compactor_close", "frees it"},
    {"Look inside", "shale_admin_stat", "shape, sizes, checkpoints and cost, as JSON"},
    {NULL, "shale_admin_manifest", "a manifest in SlateDB's JSON shape"},
    {NULL, "shale_admin_manifest_range", "several of them"},
    {NULL, "shale_admin_manifests", "the stored manifests"},
    {NULL, "shale_admin_sst", "all SSTables, or the parts of one"},
    {NULL, "shale_admin_wal", "WAL objects, or the rows of one"},
    {NULL, "shale_sst_open", "an SSTable, to be read block by block"},
    {NULL, "shale_sst_info_get", "where its parts are, and its figures"},
    {NULL, "shale_sst_block_get", "place and first key of a block"},
    {NULL, "shale_sst_read_block", "the rows of a block"},
    {NULL, "shale_sst_close", "ends it"},
    {NULL, "shale_admin_compactions_range", "several compactions files"},
    {NULL, "shale_admin_compactions",
     "the jobs of compactors and workers, in SlateDB's JSON shape"},
    {NULL, "shale_admin_compaction", "one of them"},
    {NULL, "shale_wal_open", "the WAL as a stream of changes"},
    {NULL, "shale_wal_list", "its objects"},
    {NULL, "shale_wal_read", "the changes of one object"},
    {NULL, "shale_wal_seek", "where to follow from"},
    {NULL, "shale_wal_next", "the next object's changes; waits for them"},
    {NULL, "shale_wal_close", "ends it"},
    {NULL, "shale_db_explain", "what a get of a key asks, and which place answers"},
    {NULL, "shale_db_store_counts", "requests, bytes and price since open"},
    {NULL, "shale_db_close_with", "to L0, into the WAL only, or dropping what is not durable"},
    {NULL, "shale_db_close_counted", "closes, and tells the requests of all, the close's too"},
    {NULL, "shale_store_counts_get", "the same of a raw store"},
    {NULL, "shale_db_metrics_json", "all metrics as JSON"},
    {NULL, "shale_db_metrics_prometheus", "the same as Prometheus text"},
    {NULL, "shale_db_metrics_each", "hands each metric to a function of yours"},
    {NULL, "shale_text_free", "frees a text that a call gave"},
    {"Raw objects", "shale_store_open", "a bucket or folder"},
    {NULL, "shale_store_make_bucket", "makes a bucket or folder"},
    {NULL, "shale_store_doctor", "tries what a database needs of it"},
    {NULL, "shale_store_list", "its objects in order"},
    {NULL, "shale_store_head", "size, time and ETag"},
    {NULL, "shale_store_get", "an object's bytes"},
    {NULL, "shale_store_body_free", "frees them"},
    {NULL, "shale_store_put", "writes an object, or only makes a new one"},
    {NULL, "shale_store_copy", "copies an object"},
    {NULL, "shale_store_delete", "deletes an object"},
    {NULL, "shale_store_close", "lets go of the bucket"},
    {"SQLite on a bucket", "shale_sql_open", "opens a database in the format of s3db"},
    {NULL, "shale_sql_options_init", "fills in its defaults"},
    {NULL, "shale_sql_view", "runs a function on the newest state"},
    {NULL, "shale_sql_update", "commits what a function changed, serializable"},
    {NULL, "shale_sql_compact", "folds the log into a new snapshot"},
    {NULL, "shale_sql_gc", "deletes what was replaced"},
    {NULL, "shale_sql_status_get", "seq, schema, snapshot and log"},
    {NULL, "shale_sql_store_counts", "its requests"},
    {NULL, "shale_sql_log", "the commits since the last compaction"},
    {NULL, "shale_sql_changes_each", "the rows that a changeset changes"},
    {NULL, "shale_sql_close", "closes it"},
    {NULL, "shale_sql_create", "makes a database, of a SQLite file or empty"},
    {NULL, "shale_sql_pull", "the database as a SQLite file"},
    {NULL, "shale_sql_push", "a SQLite file as the database"},
    {"String stores", "shale_s4_open", "opens a store with the files of s4db"},
    {NULL, "shale_s4_options_init", "fills in its defaults"},
    {NULL, "shale_s4_put", "writes keys, into the local folder"},
    {NULL, "shale_s4_delete", "deletes keys, there too"},
    {NULL, "shale_s4_get", "the value of a key"},
    {NULL, "shale_s4_value_release", "frees it"},
    {NULL, "shale_s4_get_many", "the values of many keys, with few requests"},
    {NULL, "shale_s4_has", "whether there is a key, by the index alone"},
    {NULL, "shale_s4_scan", "all keys, with or without values"},
    {NULL, "shale_s4_scan_options_init", "fills in its defaults"},
    {NULL, "shale_s4_next", "the next of them"},
    {NULL, "shale_s4_iter_close", "ends it"},
    {NULL, "shale_s4_flush", "makes writes safe in the local folder"},
    {NULL, "shale_s4_upload", "data files, then the index, which commits"},
    {NULL, "shale_s4_download", "all data files into the local folder"},
    {NULL, "shale_s4_refresh", "takes over what others committed"},
    {NULL, "shale_s4_compact", "living records into new files"},
    {NULL, "shale_s4_rebuild", "a lost index from the data files"},
    {NULL, "shale_s4_gc", "deletes files that no index names"},
    {NULL, "shale_s4_stat_get", "keys, files, garbage"},
    {NULL, "shale_s4_store_counts", "requests since open"},
    {NULL, "shale_s4_close", "closes; uploads nothing"},
    {"Others", "shale_code_name", "the name of an error code"},
    {NULL, "shale_libraries_each", "the libraries that it was linked with"},
    {NULL, "shale_version", "the version of the library that is linked"},
};

const struct doc_function *doc_function_at(size_t index)
{
    return index < SHL_COUNT_OF(functions) ? &functions[index] : NULL;
}

const char *doc_library_text(void)
{
    return "A database is one folder of objects, named by a URL: s3://bucket/prefix, "
           "memory:, file:///dir or a path. "
           "There is no "
           "call to begin with; options may be NULL for the safe defaults.\n"
           "Every function may be called from any thread at once, except that closing must be the "
           "last call "
           "on a handle, and an iterator, batch, transaction or pinned value belongs to one thread "
           "at a time. A "
           "call on a "
           "fenced or failed handle returns a code, it never crashes.\n"
           "Keys and values are bytes. A key has at least one. The header shale/db.h states the "
           "contract of "
           "each function in full.\n";
}

const char *doc_library_example(void)
{
    return "#include <shale/shale.h>\n"
           "#include <stdio.h>\n"
           "\n"
           "int main(void)\n"
           "{\n"
           "    shale_error err = {SHALE_OK, \"\"};\n"
           "    shale_db *db = NULL;\n"
           "    shale_code rc = shale_db_open(&db, \"memory:\", NULL, &err);\n"
           "    if (rc == SHALE_OK)\n"
           "        rc = shale_db_put(db, SHALE_STR(\"fruit/apple\"), SHALE_STR(\"red\"),\n"
           "                          NULL, &err);\n"
           "    if (rc == SHALE_OK)\n"
           "        rc = shale_db_close(db, &err);\n"
           "    else\n"
           "        (void)shale_db_close(db, NULL);\n"
           "    if (rc != SHALE_OK)\n"
           "        fprintf(stderr, \"%s: %s\\n\", shale_code_name(rc), err.text);\n"
           "    return rc == SHALE_OK ? 0 : 1;\n"
           "}\n";
}
