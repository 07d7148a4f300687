/* SST handles: opening without I/O, fetching index and filter, fetching single blocks. */
#include "lsm/sst/sst_internal.h"

#include "base/assert.h"
#include "lsm/sst/meta_cache.h"
#include "lsm/sst/side_table.h"
#include "lsm/trace.h"

#include <inttypes.h>

#define META_BYTES_MAX                                                                             \
    ((uint64_t)1 << 30) /* an index or filter larger than this is taken for damage */
#define KEPT_AT_MISS 3  /* on a near store */
#define PASSED_INDEX_BYTES                                                                         \
    ((uint64_t)1 << 20) /* that of a table of some 100 MiB, which one or two parts of a job read */
#define SIZE_CHECK_MIN                                                                             \
    ((uint64_t)64 << 20) /* from here on the object's size is asked for before memory is taken */

/* ---------------------------------------------------------------- opening */

shale_code shl_sst_open(const struct shl_sst_context *cx, struct shl_store *store, const char *key,
                        struct shl_sst_desc *desc, struct shl_sst **out, shale_error *err)
{
    SHL_ASSERT(cx->epoch != NULL);
    SHL_ASSERT(desc->format_version == 1 || desc->format_version == 2);
    struct shl_sst *t = env_calloc(1, sizeof *t);
    char *own_key = env_strdup(key);
    if (t == NULL || own_key == NULL) {
        env_free(t);
        env_free(own_key);
        return shl_nomem(err);
    }
    atomic_init(&t->meta, NULL);
    atomic_init(&t->refs, 1);
    t->cx = *cx;
    t->loading = cx->cache == NULL ? NULL : shl_cache_loading(cx->cache);
    t->codec = (struct shl_blob_codec){.compression = desc->info.compression,
                                       .transformer = cx->transformer};
    t->version = desc->format_version;
    t->seed = desc->id.hi * UINT64_C(0x9e3779b97f4a7c15) ^ desc->id.lo;
    t->store = store;
    t->desc = shl_sst_desc_ref(desc);
    t->key = own_key;
    env_mutex_init(&t->mu);
    env_cond_init(&t->loaded);
    *out = t;
    return SHALE_OK;
}

struct shl_sst *shl_sst_ref(struct shl_sst *t)
{
    uint32_t before = env_fetch_add(&t->refs, 1);
    SHL_ASSERT(before > 0 && before < UINT32_MAX);
    return t;
}

static void free_retired(struct shl_retired *r)
{
    struct shl_sst *t = (void *)((char *)r - offsetof(struct shl_sst, retired));
    shl_sst_desc_unref(t->desc);
    env_cond_deinit(&t->loaded);
    env_mutex_deinit(&t->mu);
    env_free(t->key);
    env_free(t);
}

/* Takes the meta out of the handle's pointer. */
static void drop_meta(struct shl_sst *t)
{
    if (t->cx.metas != NULL)
        shl_meta_cache_drop(t->cx.metas, &t->meta);
    else
        shl_sst_release_meta(env_exchange(&t->meta, NULL));
}

void shl_sst_unref(struct shl_sst *t)
{
    if (t == NULL)
        return;
    uint32_t before = env_fetch_sub_acq_rel(&t->refs, 1);
    SHL_ASSERT(before > 0);
    if (before > 1)
        return;
    drop_meta(t);
    shl_epoch_retire(t->cx.epoch, &t->retired, free_retired);
}

const struct shl_sst_desc *shl_sst_describe(const struct shl_sst *t)
{
    return t->desc;
}

const char *shl_sst_key(const struct shl_sst *t)
{
    return t->key;
}

bool shl_sst_has_meta(const struct shl_sst *t)
{
    uint32_t token = shl_epoch_enter(t->cx.epoch);
    const struct shl_sst_meta *m = env_load_seq(&t->meta);
    bool has = m != NULL && env_load_acquire(&m->bare) == 0;
    shl_epoch_leave(t->cx.epoch, token);
    return has;
}

size_t shl_sst_block_count(struct shl_sst *t)
{
    uint32_t token = shl_epoch_enter(t->cx.epoch);
    const struct shl_sst_meta *m = env_load_seq(&t->meta);
    size_t count = m == NULL ? 0 : m->block_count;
    shl_epoch_leave(t->cx.epoch, token);
    return count;
}

/* ---------------------------------------------------------------- fetching bytes */

/* Names the object; what is not there though the manifest says so is damage. */
static shale_code fetch_failed(const struct shl_sst *t, uint64_t offset, uint64_t len,
                               shale_code rc, shale_error *err)
{
    if (rc == SHALE_NOT_FOUND)
        return shl_fail(err, SHALE_CORRUPTION, "sst %s is missing", t->key);
    if (rc == SHALE_INVALID_RANGE)
        return shl_fail(err, SHALE_CORRUPTION,
                        "sst %s: ends before %" PRIu64 " (%" PRIu64 " bytes from %" PRIu64 ")",
                        t->key, offset + len, len, offset);
    shl_err_prefix(err, "sst %s", t->key);
    return rc;
}

shale_code shl_sst_check_size(struct shl_sst *t, uint64_t offset, uint64_t len, shale_error *err)
{
    struct shl_object object;
    if (len < SIZE_CHECK_MIN)
        return SHALE_OK;
    shale_code rc = shl_store_head(t->store, t->key, &object, err);
    if (rc == SHALE_OK && (offset > object.size || len > object.size - offset))
        rc = SHALE_INVALID_RANGE;
    return rc == SHALE_OK ? SHALE_OK : fetch_failed(t, offset, len, rc, err);
}

shale_code shl_sst_fetch(struct shl_sst *t, uint64_t offset, size_t len, uint8_t *dst,
                         shale_error *err)
{
    struct shl_get_range range = {.offset = offset, .len = len, .dst = dst};
    shale_code rc = shl_store_get_ranges(t->store, t->key, &range, 1, err);
    return rc == SHALE_OK ? SHALE_OK : fetch_failed(t, offset, len, rc, err);
}

/* ---------------------------------------------------------------- index and filter */

/* As stored, and as they are behind codec and transformer, where there are any. */
struct meta_bytes {
    struct shl_buf index, filter; /* empty: not wanted */
    struct shl_buf scratch, raw_index, raw_filter;
};

static void meta_bytes_free(struct meta_bytes *b)
{
    shl_buf_free(&b->index);
    shl_buf_free(&b->filter);
    shl_buf_free(&b->scratch);
    shl_buf_free(&b->raw_index);
    shl_buf_free(&b->raw_filter);
}

static shale_code check_section(const struct shl_sst *t, const char *what, uint64_t offset,
                                uint64_t len, shale_error *err)
{
    uint64_t end;
    if (len <= SHL_CRC_BYTES || len > META_BYTES_MAX || !shl_add_u64(offset, len, &end))
        return shl_fail(err, SHALE_CORRUPTION, "sst %s: %s has %" PRIu64 " bytes at %" PRIu64,
                        t->key, what, len, offset);
    return SHALE_OK;
}

/* Makes room for the section in `to`, and the range that fills it. */
static shale_code plan_section(struct shl_sst *t, const char *what, uint64_t offset, uint64_t len,
                               struct shl_buf *to, struct shl_get_range *out, shale_error *err)
{
    shale_code rc;
    to->len = 0;
    SHL_TRY(check_section(t, what, offset, len, err));
    SHL_TRY(shl_sst_check_size(t, offset, len, err));
    SHL_TRY(shl_buf_reserve(to, (size_t)len, err));
    to->len = (size_t)len;
    *out = (struct shl_get_range){.offset = offset, .len = (size_t)len, .dst = to->data};
out:
    return rc;
}

static bool has_filter(const struct shl_sst *t)
{
    return t->desc->info.filter_len > 0 && t->cx.policy_count + t->cx.user_filters.count > 0;
}

/* One request where they lie next to each other. */
static shale_code fetch_meta(struct shl_sst *t, bool index, bool filter, struct meta_bytes *b,
                             shale_error *err)
{
    shale_code rc = SHALE_OK;
    const struct shl_sst_info *info = &t->desc->info;
    struct shl_get_range ranges[2];
    size_t count = 0;
    b->index.len = b->filter.len = 0;
    if (info->type != SHL_SST_COMPACTED)
        SHL_TRY(shl_fail(err, SHALE_CORRUPTION, "sst %s: type %d, want %d (compacted)", t->key,
                         (int)info->type, (int)SHL_SST_COMPACTED));
    if (filter)
        SHL_TRY(plan_section(t, "filter", info->filter_offset, info->filter_len, &b->filter,
                             &ranges[count++], err));
    if (index)
        SHL_TRY(plan_section(t, "index", info->index_offset, info->index_len, &b->index,
                             &ranges[count++], err));
    rc = shl_store_get_ranges(t->store, t->key, ranges, count, err);
    if (rc != SHALE_OK)
        rc = fetch_failed(t, ranges[count - 1].offset, ranges[count - 1].len, rc, err);
out:
    return rc;
}

static bool is_plain(const struct shl_sst *t)
{
    return t->codec.compression == SHL_COMPRESSION_NONE && t->codec.transformer == NULL;
}

static shale_code decode_index(struct shl_sst *t, struct meta_bytes *b, struct shl_sst_meta **out,
                               shale_error *err)
{
    shale_code rc = SHALE_OK;
    const struct shl_sst_info *info = &t->desc->info;
    struct shl_slice raw;
    struct shl_sst_index_view index;
    b->raw_index.len = 0;
    SHL_TRY(shl_blob_decode(&t->codec, shl_buf_view(&b->index), META_BYTES_MAX, &b->scratch,
                            &b->raw_index, &raw, err));
    rc = shl_sst_index_open(raw, shl_sst_data_end(info), true, &index, err);
    shl_blob_explain(&t->codec, rc, err);
    if (rc != SHALE_OK)
        goto out;
    SHL_TRY(shl_sst_meta_new(&index, &t->cx, out, err));
out:
    if (rc != SHALE_OK)
        shl_err_prefix(err, "sst %s: index at %" PRIu64, t->key, info->index_offset);
    return rc;
}

static shale_code decode_filter(struct shl_sst *t, struct meta_bytes *b, struct shl_sst_meta *m,
                                shale_error *err)
{
    shale_code rc = SHALE_OK;
    const struct shl_sst_info *info = &t->desc->info;
    struct shl_slice raw;
    b->raw_filter.len = 0;
    SHL_TRY(shl_blob_decode(&t->codec, shl_buf_view(&b->filter), META_BYTES_MAX, &b->scratch,
                            &b->raw_filter, &raw, err));
    SHL_TRY(shl_sst_meta_set_filter(m, &t->cx, info->filter_format, raw,
                                    is_plain(t) ? &b->filter : &b->raw_filter, err));
out:
    if (rc != SHALE_OK)
        shl_err_prefix(err, "sst %s: filter at %" PRIu64, t->key, info->filter_offset);
    return rc;
}

/* Twice, if need be: a cache on the way may have given damaged bytes. */
static shale_code read_index(struct shl_sst *t, bool filter, struct shl_sst_meta **out,
                             shale_error *err)
{
    struct meta_bytes b = {0};
    struct shl_sst_meta *m = NULL;
    shale_code rc = SHALE_OK;
    for (int tries = 0; tries < 2; tries++) {
        SHL_TRY(fetch_meta(t, m == NULL, filter, &b, err));
        if (m == NULL)
            rc = decode_index(t, &b, &m, err);
        if (rc == SHALE_OK && filter)
            rc = decode_filter(t, &b, m, err);
        if (rc != SHALE_CORRUPTION)
            break;
    }
    if (rc == SHALE_OK) {
        m->memory_bytes += m->filter.cap;
        *out = m;
        m = NULL;
    }
out:
    shl_sst_meta_free(m);
    meta_bytes_free(&b);
    return rc;
}

shale_code shl_sst_index_crc_is_right(struct shl_sst *t, bool *out, shale_error *err)
{
    const struct shl_blob_codec as_stored = {.compression = SHL_COMPRESSION_NONE};
    struct meta_bytes b = {0};
    struct shl_slice raw;
    shale_error ignored;
    shale_code rc = fetch_meta(t, true, false, &b, err);
    if (rc == SHALE_OK)
        *out = shl_blob_decode(&as_stored, shl_buf_view(&b.index), META_BYTES_MAX, &b.scratch,
                               &b.raw_index, &raw, &ignored) == SHALE_OK;
    meta_bytes_free(&b);
    return rc;
}

static shale_code read_filter(struct shl_sst *t, struct shl_sst_meta *m, shale_error *err)
{
    struct meta_bytes b = {0};
    shale_code rc = SHALE_OK;
    for (int tries = 0; tries < 2; tries++) {
        SHL_TRY(fetch_meta(t, false, true, &b, err));
        rc = decode_filter(t, &b, m, err);
        if (rc != SHALE_CORRUPTION)
            break;
    }
out:
    meta_bytes_free(&b);
    return rc;
}

/* ---------------------------------------------------------------- the meta */

static bool is_bare(const struct shl_sst_meta *m)
{
    return env_load_acquire(&m->bare) != 0;
}

/* What is published, with a reference; NULL: nothing. */
static struct shl_sst_meta *ref_meta(struct shl_sst *t)
{
    uint32_t token = shl_epoch_enter(t->cx.epoch);
    struct shl_sst_meta *m = env_load_seq(&t->meta);
    uint32_t refs = m == NULL ? 0 : env_load_relaxed(&m->refs);
    while (refs > 0 && !env_cas(&m->refs, &refs, refs + 1))
        ;
    if (refs == 0)
        m = NULL; /* it has just left */
    else
        shl_sst_meta_note_use(m);
    shl_epoch_leave(t->cx.epoch, token);
    return m;
}

/* Waits for the turn to load. */
static void begin_meta(struct shl_sst *t)
{
    env_mutex_lock(&t->mu);
    while (t->meta_loading)
        env_cond_wait(&t->loaded, &t->mu);
    t->meta_loading = true;
    env_mutex_unlock(&t->mu);
}

static void end_meta(struct shl_sst *t)
{
    env_mutex_lock(&t->mu);
    t->meta_loading = false;
    env_cond_broadcast(&t->loaded);
    env_mutex_unlock(&t->mu);
}

static void publish_meta(struct shl_sst *t, struct shl_sst_meta *m)
{
    if (t->cx.metas != NULL) {
        shl_meta_cache_publish(t->cx.metas, m);
        return;
    }
    (void)env_fetch_add(&m->refs, 1);
    env_store_seq(&t->meta, m);
}

/* With the turn. */
static shale_code load_index(struct shl_sst *t, bool filter, struct shl_sst_meta **out,
                             shale_error *err)
{
    struct shl_sst_meta *m;
    bool both = filter && has_filter(t);
    uint64_t begin = shl_trace_start();
    shale_code rc = read_index(t, both, &m, err);
    shl_trace_note(SHL_SPAN_READ_INDEX, &t->desc->id, false, begin);
    if (both) /* they come together */
        shl_trace_note(SHL_SPAN_READ_FILTERS, &t->desc->id, false, begin);
    if (rc != SHALE_OK)
        return rc;
    shl_meta_cache_note(t->cx.metas, filter ? SHL_META_LOADED : SHL_META_INDEX_LOADED);
    if (both)
        shl_meta_cache_note(t->cx.metas, SHL_META_FILTER_LOADED);
    m->seed = t->seed;
    m->cache = t->cx.cache;
    m->epoch = t->cx.epoch;
    m->home = &t->meta;
    atomic_init(&m->bare, !filter && has_filter(t));
    publish_meta(t, m);
    *out = m;
    return SHALE_OK;
}

/* With the turn and a reference. */
static shale_code load_filter(struct shl_sst *t, struct shl_sst_meta *m, shale_error *err)
{
    uint64_t begin = shl_trace_start();
    shale_code rc = read_filter(t, m, err);
    shl_trace_note(SHL_SPAN_READ_FILTERS, &t->desc->id, false, begin);
    if (rc != SHALE_OK)
        return rc;
    env_store_release(&m->bare, 0);
    shl_meta_cache_note(t->cx.metas, SHL_META_FILTER_LOADED);
    if (t->cx.metas != NULL)
        shl_meta_cache_grow(t->cx.metas, m, m->filter.cap);
    return SHALE_OK;
}

static shale_code hold_meta(struct shl_sst *t, bool filter, struct shl_sst_meta **out,
                            shale_error *err)
{
    struct shl_sst_meta *m = ref_meta(t);
    shale_code rc = SHALE_OK;
    if (m == NULL || (filter && is_bare(m))) {
        shl_sst_release_meta(m);
        begin_meta(t);
        m = ref_meta(t); /* another one may have been faster */
        if (m == NULL)
            rc = load_index(t, filter, &m, err);
        else if (filter && is_bare(m))
            rc = load_filter(t, m, err);
        end_meta(t);
        if (rc != SHALE_OK) {
            shl_meta_cache_note(t->cx.metas, SHL_META_FAILED);
            shl_sst_release_meta(m);
            m = NULL;
        }
    } else if (!filter) {
        shl_meta_cache_note(t->cx.metas, SHL_META_HELD);
    }
    *out = m;
    return rc;
}

shale_code shl_sst_hold_meta(struct shl_sst *t, struct shl_sst_meta **out, shale_error *err)
{
    return hold_meta(t, true, out, err);
}

shale_code shl_sst_hold_index(struct shl_sst *t, struct shl_sst_meta **out, shale_error *err)
{
    bool prefixes = t->cx.user_filters.count > 0; /* then scans ask the filters too */
    for (size_t i = 0; i < t->cx.policy_count; i++)
        prefixes = prefixes || t->cx.policies[i].extractor.kind != SHL_EXTRACT_NONE;
    return hold_meta(t, prefixes, out, err);
}

shale_code shl_sst_hold_index_once(struct shl_sst *t, struct shl_sst_meta **out, shale_error *err)
{
    return hold_meta(t, false, out, err);
}

shale_code shl_sst_load_meta(struct shl_sst *t, shale_error *err)
{
    struct shl_sst_meta *m = NULL;
    shale_code rc = shl_sst_hold_meta(t, &m, err);
    if (rc == SHALE_OK)
        shl_sst_release_meta(m);
    return rc;
}

bool shl_sst_is_new(struct shl_sst *t)
{
    bool is_new = !t->was_seen;
    t->was_seen = true;
    return is_new;
}

void shl_sst_pass_index(struct shl_sst *t, struct shl_sst_meta *m)
{
    if (m == NULL)
        return;
    bool is_large = t->desc->info.index_len > PASSED_INDEX_BYTES;
    begin_meta(t);
    if (is_large && (is_bare(m) || !has_filter(t)) && env_load_seq(&t->meta) == m)
        drop_meta(t);
    end_meta(t);
    shl_sst_release_meta(m);
}

void shl_sst_evict(struct shl_sst *t)
{
    begin_meta(t);
    drop_meta(t);
    end_meta(t);
    (void)shl_epoch_collect(t->cx.epoch);
}

uint64_t shl_sst_bytes_between(const struct shl_sst_meta *m, const struct shl_slice *lower,
                               const struct shl_slice *upper)
{
    size_t first = lower != NULL ? shl_sst_meta_seek(m, *lower) : 0;
    size_t last = upper != NULL ? shl_sst_meta_seek_last(m, *upper) : m->block_count - 1;
    return last < first ? 0 : m->offsets[last] + m->lens[last] - m->offsets[first];
}

static void free_retired_meta(struct shl_retired *r)
{
    shl_sst_meta_free((void *)((char *)r - offsetof(struct shl_sst_meta, retired)));
}

void shl_sst_release_meta(struct shl_sst_meta *m)
{
    if (m == NULL)
        return;
    uint32_t before = env_fetch_sub_acq_rel(&m->refs, 1);
    SHL_ASSERT(before > 0);
    if (before > 1)
        return;
    /* Who loads a block holds a reference: no slot is loading. */
    for (size_t i = 0; m->cache != NULL && i < m->block_count; i++)
        shl_cache_drop(m->cache, shl_sst_meta_slot(m, i), shl_sst_block_hash(m->seed, i));
    struct shl_epoch *epoch = m->epoch;
    shl_epoch_retire(epoch, &m->retired, free_retired_meta);
    (void)shl_epoch_collect(epoch); /* of megabytes none waits for 64 others */
}

/* ---------------------------------------------------------------- blocks */

struct shl_block *shl_sst_cached_block(struct shl_sst *t, struct shl_sst_meta *m,
                                       size_t block_index)
{
    if (t->cx.cache == NULL)
        return NULL;
    uint32_t token = shl_epoch_enter(t->cx.epoch);
    struct shl_block *b = env_load_seq(shl_sst_meta_slot(m, block_index));
    b = b == NULL || b == t->loading ? NULL : shl_block_ref(b);
    shl_epoch_leave(t->cx.epoch, token);
    return b;
}

/* Received into its place and checked there. */
static shale_code read_plain(struct shl_sst *t, const struct shl_sst_meta *m, size_t i,
                             struct shl_block **out, bool *fetched, shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_slice raw;
    struct shl_buf none = {0};
    struct shl_block *b = shl_block_new(t->cx.cache, m->lens[i], t->version);
    if (b == NULL)
        return shl_nomem(err);
    SHL_TRY(shl_sst_fetch(t, m->offsets[i], m->lens[i], shl_block_bytes(b), err));
    *fetched = true;
    SHL_TRY(
        shl_blob_decode(&t->codec, shl_block_raw(b), SHL_BLOB_RAW_MAX, &none, &none, &raw, err));
    SHL_ASSERT(raw.data == shl_block_bytes(b));
    b->raw_len = (uint32_t)raw.len;
    *out = b;
    b = NULL;
out:
    shl_block_unref(b);
    shl_buf_free(&none);
    return rc;
}

static shale_code read_coded(struct shl_sst *t, const struct shl_sst_meta *m, size_t i,
                             struct shl_block **out, bool *fetched, shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_slice raw;
    struct shl_buf stored = {0};
    struct shl_buf scratch = {0};
    struct shl_buf decoded = {0};
    struct shl_block *b;
    SHL_TRY(shl_buf_reserve(&stored, m->lens[i], err));
    SHL_TRY(shl_sst_fetch(t, m->offsets[i], m->lens[i], stored.data, err));
    *fetched = true;
    SHL_TRY(shl_blob_decode(&t->codec, shl_slice_of(stored.data, m->lens[i]), SHL_BLOB_RAW_MAX,
                            &scratch, &decoded, &raw, err));
    b = shl_block_new(t->cx.cache, raw.len, t->version);
    if (b == NULL)
        SHL_TRY(shl_nomem(err));
    if (raw.len > 0)
        memcpy(shl_block_bytes(b), raw.data, raw.len);
    *out = b;
out:
    shl_buf_free(&decoded);
    shl_buf_free(&scratch);
    shl_buf_free(&stored);
    return rc;
}

static shale_code fetch_block(struct shl_sst *t, const struct shl_sst_meta *m, size_t i,
                              struct shl_block **out, shale_error *err)
{
    shale_code rc = shl_sst_check_size(t, m->offsets[i], m->lens[i], err);
    if (rc != SHALE_OK)
        return rc;
    if (t->cx.cache != NULL)
        shl_cache_miss(t->cx.cache);
    bool fetched = true;
    for (int tries = 0; tries < 2 && fetched; tries++) {
        fetched = false;
        rc = is_plain(t) ? read_plain(t, m, i, out, &fetched, err)
                         : read_coded(t, m, i, out, &fetched, err);
        if (rc == SHALE_OK)
            return SHALE_OK;
        if (rc != SHALE_CORRUPTION) {
            shl_meta_cache_note(t->cx.metas, SHL_META_FAILED);
            return rc;
        }
    }
    shl_meta_cache_note(t->cx.metas, SHL_META_FAILED);
    if (fetched) /* else the text names the object */
        shl_err_prefix(err, "sst %s: block %zu at %" PRIu64, t->key, i, m->offsets[i]);
    return rc;
}

/* One block with one reference, wherever it will be kept. */
static shale_code read_block(struct shl_sst *t, const struct shl_sst_meta *m, size_t i,
                             struct shl_block **out, shale_error *err)
{
    uint64_t begin = shl_trace_start();
    shale_code rc = fetch_block(t, m, i, out, err);
    shl_trace_note(SHL_SPAN_READ_BLOCKS, &t->desc->id, false, begin);
    return rc;
}

/* Reserves what the block takes beyond `reserved`, or gives back what is too much. */
static bool settle_reservation(struct shl_cache *c, uint64_t hash, size_t reserved, size_t charge)
{
    if (charge > reserved)
        return shl_cache_reserve(c, hash, charge - reserved);
    shl_cache_unreserve(c, reserved - charge);
    return true;
}

/* A block that is to be kept gets its side table while its bytes are in the CPU's cache: 0.3 us. At a later lookup, when they are not
 * any more, it would be 3 us, more than the table saves in the three lookups after that. */
static void add_side_table(struct shl_block *b)
{
    b->has_side_table = b->version == 2 && shl_side_table_build(b);
}

/* The slot is marked as loading by the caller, and is not any more on return. */
static shale_code load_into_slot(struct shl_sst *t, struct shl_sst_meta *m, size_t i,
                                 struct shl_block **out, shale_error *err)
{
    struct shl_cache *c = t->cx.cache;
    struct shl_block *_Atomic *slot = shl_sst_meta_slot(m, i);
    uint64_t hash = shl_sst_block_hash(t->seed, i);
    size_t reserved =
        shl_block_charge(m->lens[i]); /* before the fetch; compressed blocks need more in the end */
    bool keep = shl_cache_reserve(c, hash, reserved);
    struct shl_block *b = NULL;
    shale_code rc = read_block(t, m, i, &b, err);
    if (keep &&
        (rc != SHALE_OK || !settle_reservation(c, hash, reserved, shl_block_charge_of(b)))) {
        shl_cache_unreserve(c, reserved);
        keep = false;
    }
    if (keep && !shl_cache_can_keep(c, b, hash)) {
        shl_cache_unreserve(c, shl_block_charge_of(b));
        keep = false;
    }
    if (keep) {
        add_side_table(b);
        shl_cache_publish(c, slot, shl_block_ref(b), hash);
    } else {
        shl_cache_abandon(c, slot, hash);
    }
    if (rc == SHALE_OK)
        *out = b;
    return rc;
}

/* Whether a block that was missed is worth keeping where a miss costs little: reading it again takes 1.3 us, and the first touch of fresh memory
 * for it 2 us. Counts are not exact when several read at once. Not inside an epoch. */
static bool is_wanted(const struct shl_sst *t, const struct shl_sst_meta *m, size_t i)
{
    uint8_t missed = (uint8_t)(env_load_relaxed(&m->misses[i]) + 1);
    bool wanted = missed >= KEPT_AT_MISS && shl_cache_has_memory(t->cx.cache);
    if (missed <= KEPT_AT_MISS)
        env_store_relaxed(&m->misses[i], wanted ? 0 : missed);
    return wanted;
}

shale_code shl_sst_load_block(struct shl_sst *t, uint32_t block_index, bool keep,
                              struct shl_block **out, shale_error *err)
{
    struct shl_sst_meta *m;
    shale_code rc = shl_sst_hold_meta(t, &m, err);
    if (rc != SHALE_OK)
        return rc;
    rc = shl_sst_load_block_of(t, m, block_index, keep, out, err);
    shl_sst_release_meta(m);
    return rc;
}

shale_code shl_sst_load_block_of(struct shl_sst *t, struct shl_sst_meta *m, uint32_t block_index,
                                 bool keep, struct shl_block **out, shale_error *err)
{
    SHL_ASSERT(block_index < m->block_count);
    if (t->cx.cache == NULL)
        return read_block(t, m, block_index, out, err);
    uint64_t hash = shl_sst_block_hash(t->seed, block_index);
    bool ask = keep && (t->store->caps & SHL_STORE_NEAR) != 0;
    struct shl_block *_Atomic *slot = shl_sst_meta_slot(m, block_index);
    for (;;) {
        struct shl_block *b = shl_sst_cached_block(t, m, block_index);
        if (b != NULL) {
            *out = b;
            return SHALE_OK;
        }
        if (env_load_seq(slot) == t->loading)
            shl_cache_wait(t->cx.cache, slot, hash);
        else if (!keep || (ask && !is_wanted(t, m, block_index)))
            return read_block(t, m, block_index, out, err);
        else if (shl_cache_begin(t->cx.cache, slot))
            return load_into_slot(t, m, block_index, out, err);
        else
            ask = false; /* another one was admitted meanwhile */
    }
}

void shl_sst_offer_block(struct shl_sst *t, struct shl_sst_meta *m, size_t block_index,
                         struct shl_slice raw)
{
    struct shl_cache *c = t->cx.cache;
    if (c == NULL)
        return;
    struct shl_block *_Atomic *slot = shl_sst_meta_slot(m, block_index);
    uint64_t hash = shl_sst_block_hash(t->seed, block_index);
    size_t charge = shl_block_charge_copy(raw, t->version);
    if (env_load_seq(slot) != NULL || !shl_cache_reserve(c, hash, charge))
        return;
    struct shl_block *b = shl_block_copy(c, raw, t->version);
    if (b == NULL || !shl_cache_can_keep(c, b, hash) || !shl_cache_begin(c, slot)) {
        shl_block_unref(b);
        shl_cache_unreserve(c, charge);
        return;
    }
    add_side_table(b);
    shl_cache_publish(c, slot, b, hash);
}
