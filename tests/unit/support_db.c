#include "unit/support_db.h"

shale_error db_err;

/* ---------------------------------------------------------------- a bench for one database */

/* Nothing happens by itself: no timer, no early PUT, no compaction. */
void bench_init(struct bench *b)
{
    *b = (struct bench){0};
    db_err.text[0] = '\0';
    OK(shl_store_memory_new(&b->store, &db_err));
    shl_lsm_settings_default(&b->settings);
    b->settings.flush_interval_ns = SHL_DURATION_NONE;
    b->settings.wal_flush = SHL_WAL_FLUSH_INTERVAL;
    b->settings.compactor_enabled = false;
    b->settings.min_compaction_sources = 2;
    b->settings.sst_block_size_bytes = 1024;
    b->settings.min_filter_keys = 1;
    b->settings.block_cache_bytes = 1 << 20;
}

struct shl_lsm_open bench_options(struct bench *b)
{
    return (struct shl_lsm_open){.store = b->store,
                                 .wal_store = b->wal_store,
                                 .path = "dir/db",
                                 .settings = &b->settings,
                                 .merge = b->has_merge ? &b->merge : NULL,
                                 .transformer = b->has_transformer ? &b->transformer : NULL};
}

shale_code try_open(struct bench *b, struct shl_lsm **out)
{
    struct shl_lsm_open o = bench_options(b);
    return shl_lsm_open_writer(&o, out, &db_err);
}

shale_code try_reader(struct bench *b, const struct shl_lsm_reader *how, struct shl_lsm **out)
{
    struct shl_lsm_open o = bench_options(b);
    return shl_lsm_open_reader(&o, how, out, &db_err);
}

void bench_open(struct bench *b)
{
    OK(try_open(b, &b->db));
}

void bench_close(struct bench *b)
{
    OK(shl_lsm_close(b->db, &db_err));
    b->db = NULL;
}

void bench_reopen(struct bench *b)
{
    bench_close(b);
    bench_open(b);
}

/* A writer that never came to close: a newer one takes over, and the old handle only goes (FENCED or not, as far as it came to notice). */
void bench_crash(struct bench *b)
{
    struct shl_lsm *old = b->db;
    bench_open(b);
    shl_ignore(shl_lsm_close(old, &db_err));
}

void bench_end(struct bench *b)
{
    if (b->db != NULL)
        bench_close(b);
    shl_store_unref(b->store);
    shl_store_unref(b->wal_store);
}

void compact(struct bench *b)
{
    b->settings.compactor_enabled = true;
    bench_reopen(b);
    OK(shl_lsm_settle(b->db, &db_err));
    b->settings.compactor_enabled = false;
    bench_reopen(b);
}

struct shl_lsm_status status_of(struct shl_lsm *db)
{
    struct shl_lsm_status s;
    shl_lsm_status(db, &s);
    return s;
}

/* ---------------------------------------------------------------- shorthands */

const struct shl_lsm_write no_wait = {0};
const struct shl_ttl default_ttl = {0};

shale_code write_kind(struct bench *b, uint8_t kind, const char *key, const char *value,
                      struct shl_ttl ttl)
{
    return shl_lsm_write_one(b->db, kind, shl_slice_str(key), shl_slice_str(value), ttl, &no_wait,
                             NULL, &db_err);
}

void put(struct bench *b, const char *key, const char *value)
{
    OK(write_kind(b, 0, key, value, default_ttl));
}

void del(struct bench *b, const char *key)
{
    OK(write_kind(b, SHL_ROW_TOMBSTONE, key, "", default_ttl));
}

void merge(struct bench *b, const char *key, const char *value)
{
    OK(write_kind(b, SHL_ROW_MERGE, key, value, default_ttl));
}

void use_operator(struct bench *b, const char *name)
{
    assert_true(shl_merge_operator_builtin(name, &b->merge));
    b->has_merge = true;
}

/* The value, "-" if there is none, or "!CODE". */
const char *got(struct shl_lsm *db, const char *key, bool remote)
{
    static char text[512];
    size_t len = 0;
    struct shl_lsm_read how = {.remote_only = remote};
    shale_code rc =
        shl_lsm_get_into(db, shl_slice_str(key), &how, text, sizeof text - 1, &len, &db_err);
    if (rc == SHALE_NOT_FOUND)
        return "-";
    if (rc != SHALE_OK)
        snprintf(text, sizeof text, "!%s", shale_code_name(rc));
    else
        text[len] = '\0';
    return text;
}

/* Rows as "k=v k=v"; ends with "!CODE" if the scan fails. */
const char *rows_of(struct shl_lsm_iter *it)
{
    static char text[4096];
    size_t n = 0;
    struct shl_row row;
    shale_code rc;
    text[0] = '\0';
    while ((rc = shl_lsm_iter_next(it, &row, &db_err)) == SHALE_OK)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s=%.*s", n > 0 ? " " : "",
                              (int)row.key.len, (const char *)row.key.data, (int)row.value.len,
                              row.value.len > 0 ? (const char *)row.value.data : "");
    if (rc != SHALE_DONE)
        snprintf(text + n, sizeof text - n, "!%s", shale_code_name(rc));
    return text;
}

const char *scanned(struct shl_lsm *db, const struct shl_lsm_range *range,
                    const struct shl_lsm_scan *how)
{
    struct shl_lsm_iter *it;
    OK(shl_lsm_scan_open(db, range, how, &it, &db_err));
    const char *text = rows_of(it);
    shl_lsm_iter_close(it);
    return text;
}

const struct shl_lsm_range all_keys = {0};

size_t objects_below(struct shl_store *s, const char *prefix)
{
    struct shl_list list = {0};
    OK(shl_store_list(s, &(struct shl_list_options){.prefix = prefix}, &list, &db_err));
    size_t n = list.count;
    shl_list_free(&list);
    return n;
}

struct shl_manifest *newest_manifest(struct bench *b, uint64_t *id)
{
    struct shl_list list = {0};
    struct shl_buf body = {0};
    struct shl_manifest *m;
    OK(shl_store_list(b->store, &(struct shl_list_options){.prefix = "dir/db/manifest"}, &list,
                      &db_err));
    assert_true(list.count > 0);
    OK(shl_store_get(b->store, list.items[list.count - 1].key, NULL, &body, NULL, &db_err));
    OK(shl_manifest_decode(shl_buf_view(&body), &m, &db_err));
    assert_true(shl_name_parse_id(list.items[list.count - 1].key, "manifest", id));
    shl_buf_free(&body);
    shl_list_free(&list);
    return m;
}

void write_manifest(struct bench *b, const struct shl_manifest *m, uint64_t id)
{
    struct shl_db_paths paths;
    struct shl_buf body = {0};
    OK(shl_db_paths_init(&paths, "dir/db", &db_err));
    char *key = shl_name_manifest(&paths, id);
    OK(shl_manifest_encode(m, &body, &db_err));
    struct shl_slice part = shl_buf_view(&body);
    OK(shl_store_put(b->store, key, &part, 1, &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL,
                     &db_err));
    env_free(key);
    shl_buf_free(&body);
    shl_db_paths_deinit(&paths);
}

void fill_levels(struct bench *b)
{
    /* A run, two L0s, a frozen WAL part and the memtable, with the same keys in several. */
    put(b, "a", "run");
    put(b, "b", "run");
    put(b, "c", "run");
    put(b, "d", "run");
    OK(shl_lsm_flush(b->db, true, &db_err));
    put(b, "e", "run");
    compact(b);
    put(b, "b", "l0");
    del(b, "c");
    OK(shl_lsm_flush(b->db, true, &db_err));
    put(b, "f", "l0");
    OK(shl_lsm_flush(b->db, true, &db_err));
    put(b, "a", "wal");
    OK(shl_lsm_flush(b->db, false, &db_err));
    bench_crash(b);
    put(b, "c", "mem");
    del(b, "d");
    put(b, "g", "");
}

struct shl_lsm_range range_of(const char *from, enum shl_lsm_bound from_kind, const char *to,
                              enum shl_lsm_bound to_kind)
{
    return (struct shl_lsm_range){.from = shl_slice_str(from),
                                  .to = shl_slice_str(to),
                                  .from_kind = from_kind,
                                  .to_kind = to_kind};
}

void batch_add(struct shl_batch *batch, uint8_t kind, const char *key, const char *value)
{
    shl_batch_add(batch, kind, shl_slice_str(key), shl_slice_str(value), default_ttl);
}
