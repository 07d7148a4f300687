/* Range scans: all sources of one version merged, cut to a range, one visible row per key. slatedb-behaviour 4.3. */
#include "lsm/db_internal.h"

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/num.h"
#include "lsm/source_chain.h"

/* Over a network a request for 64 KiB takes as long as one for a block, and ten rows are in it. */
#define FAR_WINDOW_FIRST_BYTES ((size_t)64 * 1024)
#define AHEAD_BYTES_MAX        ((uint64_t)32 << 20) /* of all sources of one scan */

struct bound {
    struct shl_buf key; /* owned */
    enum shl_lsm_bound kind;
};

struct shl_lsm_iter {
    struct shl_lsm *db;
    struct shl_version *version; /* counted */
    struct shl_source *source;   /* owned */
    uint64_t max_seq;
    int64_t now;      /* rows that have expired by then do not show; SHL_NOT_STRICT: all do */
    uint64_t own_seq; /* newest own write of a transaction that shows; 0: none */
    struct shl_slice lower, upper; /* keys of from and to, for the sources */
    struct shl_read_budget budget;
    struct bound from, to;
    bool reverse;
    bool started;       /* the source was positioned */
    bool advance;       /* the source still stands on the row that was returned */
    bool has_key;       /* key is the last one that was decided */
    bool is_inside;     /* forward: some row was not below the range, so none of the next ones is */
    bool returned;      /* some row was returned: a seek must not go behind it */
    bool key_is_last;   /* ... and key is its key; else last is */
    uint64_t rows_left; /* UINT64_MAX: no limit */
    struct shl_buf prefix;  /* owned: for filters; empty if the range is not a prefix */
    struct shl_buf context; /* owned: for filters of the application */
    struct shl_buf key;     /* owned */
    struct shl_buf last;    /* owned */
    struct shl_buf value;   /* owned: a folded or copied value */
    struct shl_buf
        base; /* owned: the value below, while a key is decided; its room stays for the next key */
    struct shl_buf operands; /* owned: values of merge rows of the current key */
    SHL_ARRAY(size_t) operand_lens;
    shale_error failure;     /* kept: every later call returns it */
    struct shl_trace *trace; /* owned; NULL: it is not traced */
};

/* ---------------------------------------------------------------- range */

shale_code shl_lsm_prefix_end(struct shl_slice prefix, struct shl_buf *out, bool *is_bounded,
                              shale_error *err)
{
    size_t n = prefix.len;
    while (n > 0 && prefix.data[n - 1] == 0xff)
        n--;
    *is_bounded = n > 0;
    if (n == 0)
        return SHALE_OK;
    shale_code rc = shl_buf_set(out, shl_slice_of(prefix.data, n), err);
    if (rc == SHALE_OK)
        out->data[n - 1]++;
    return rc;
}

static shale_code set_range(struct shl_lsm_iter *it, const struct shl_lsm_range *r,
                            shale_error *err)
{
    shale_code rc;
    if (r->is_prefix) {
        SHL_TRY(shl_buf_set(&it->prefix, r->from, err));
        SHL_TRY(shl_buf_set(&it->from.key, r->from, err));
        it->from.kind = r->from.len > 0 ? SHL_LSM_INCLUDED : SHL_LSM_UNBOUNDED;
        bool is_bounded;
        SHL_TRY(shl_lsm_prefix_end(r->from, &it->to.key, &is_bounded, err));
        it->to.kind = is_bounded ? SHL_LSM_EXCLUDED : SHL_LSM_UNBOUNDED;
        goto out;
    }
    it->from.kind = r->from_kind;
    it->to.kind = r->to_kind;
    SHL_TRY(shl_buf_set(&it->from.key, r->from, err));
    SHL_TRY(shl_buf_set(&it->to.key, r->to, err));
out:
    return rc;
}

static bool below_from(const struct shl_lsm_iter *it, struct shl_slice key)
{
    if (it->from.kind == SHL_LSM_UNBOUNDED)
        return false;
    int c = shl_slice_cmp(key, shl_buf_view(&it->from.key));
    return c < 0 || (c == 0 && it->from.kind == SHL_LSM_EXCLUDED);
}

static bool above_to(const struct shl_lsm_iter *it, struct shl_slice key)
{
    if (it->to.kind == SHL_LSM_UNBOUNDED)
        return false;
    int c = shl_slice_cmp(key, shl_buf_view(&it->to.key));
    return c > 0 || (c == 0 && it->to.kind == SHL_LSM_EXCLUDED);
}

/* ---------------------------------------------------------------- open */

static shale_code open_sources(struct shl_lsm_iter *it, const struct shl_lsm_scan *how,
                               shale_error *err)
{
    const struct shl_version *v = it->version;
    const struct shl_lsm_settings *s = &it->db->settings;
    struct shl_fanout *fanout = it->db->fanout;
    struct shl_read_plan plan = {
        .reverse = how->reverse,
        .use_cache = true,
        .fill_cache = how->cache_blocks,
        .lower = it->from.kind != SHL_LSM_UNBOUNDED ? &it->lower : NULL,
        .upper = it->to.kind != SHL_LSM_UNBOUNDED ? &it->upper : NULL,
        .fanout = fanout,
        .budget = &it->budget,
        .ahead_max = how->fetches_max,
        .window_first_bytes = fanout == NULL
                                  ? s->sst_block_size_bytes
                                  : shl_max_size(s->sst_block_size_bytes, FAR_WINDOW_FIRST_BYTES),
        .window_max_bytes = how->read_ahead_bytes > 0 ? (size_t)how->read_ahead_bytes
                                                      : (size_t)s->scan_window_bytes,
        .has_prefix = it->prefix.len > 0,
        .prefix = shl_buf_view(&it->prefix),
        .context = shl_buf_view(&it->context)};
    it->lower = shl_buf_view(&it->from.key);
    it->upper = shl_buf_view(&it->to.key);
    it->budget.max_bytes = AHEAD_BYTES_MAX;
    size_t n = 0;
    shale_code rc = SHALE_OK;
    struct shl_source *few[SHL_FEW_SOURCES];
    struct shl_source **list = few;
    if (v->frozen_count + 3 > SHL_FEW_SOURCES)
        list = env_calloc(v->frozen_count + 3, sizeof(struct shl_source *));
    if (list == NULL)
        return shl_nomem(err);
    if (how->view != NULL && how->view->own != NULL) {
        it->own_seq = how->view->own_seq;
        rc = shl_memtable_source_new(how->view->own, how->reverse, &list[n], err);
        n += rc == SHALE_OK;
    }
    if (rc == SHALE_OK && shl_memtable_rows(v->active) > 0) {
        rc = shl_memtable_source_new(v->active, how->reverse, &list[n], err);
        n += rc == SHALE_OK;
    }
    for (size_t i = 0; rc == SHALE_OK && i < v->frozen_count; i++) {
        rc = shl_memtable_source_new(v->frozen[i], how->reverse, &list[n], err);
        n += rc == SHALE_OK;
    }
    if (rc == SHALE_OK) {
        rc = shl_levels_source_new(v->levels, &plan, &list[n], err);
        n += rc == SHALE_OK;
    }
    if (rc != SHALE_OK) {
        for (size_t i = 0; i < n; i++)
            shl_source_close(list[i]);
    } else if (n == 1) {
        it->source = list[0];
    } else {
        rc = shl_merge_source_new(list, n, how->reverse, NULL, &it->source, err);
    }
    if (list != few)
        env_free(list);
    return rc;
}

static shale_code open_sources_traced(struct shl_lsm_iter *it, const struct shl_lsm_scan *how,
                                      shale_error *err)
{
    if (it->trace == NULL)
        return open_sources(it, how, err);
    struct shl_trace *before = shl_trace_enter(it->trace);
    uint64_t begin = shl_trace_start();
    shale_code rc = open_sources(it, how, err);
    shl_trace_note(SHL_SPAN_MEMTABLE, NULL, false, begin);
    (void)shl_trace_enter(before);
    return rc;
}

shale_code shl_lsm_scan_open(struct shl_lsm *db, const struct shl_lsm_range *range,
                             const struct shl_lsm_scan *how, struct shl_lsm_iter **out,
                             shale_error *err)
{
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_lsm_iter *it = env_calloc(1, sizeof *it);
    if (it == NULL)
        return shl_nomem(err);
    it->db = db;
    (void)env_fetch_add(&db->scans, 1);
    it->reverse = how->reverse;
    it->rows_left = how->rows_max > 0 ? how->rows_max : UINT64_MAX;
    it->version = how->view != NULL && how->view->version != NULL
                      ? shl_version_ref(how->view->version)
                      : shl_lsm_version(db);
    it->max_seq = shl_lsm_limit(db, how->remote_only, how->view);
    it->now = shl_lsm_read_time(db);
    it->trace = shl_trace_new(&db->tracer, how->trace_id);
    SHL_TRY(set_range(it, range, err));
    SHL_TRY(shl_buf_set(&it->context, how->filter_context, err));
    SHL_TRY(open_sources_traced(it, how, err));
    *out = it;
    it = NULL;
out:
    shl_lsm_iter_close(it);
    return rc;
}

void shl_lsm_iter_close(struct shl_lsm_iter *it)
{
    if (it == NULL)
        return;
    shl_source_close(it->source);
    shl_trace_end(it->trace);
    shl_version_unref(it->version);
    shl_buf_free(&it->from.key);
    shl_buf_free(&it->to.key);
    shl_buf_free(&it->prefix);
    shl_buf_free(&it->context);
    shl_buf_free(&it->key);
    shl_buf_free(&it->last);
    shl_buf_free(&it->value);
    shl_buf_free(&it->base);
    shl_buf_free(&it->operands);
    shl_array_free(&it->operand_lens);
    env_free(it);
}

/* ---------------------------------------------------------------- merge rows */

static shale_code add_operand(struct shl_lsm_iter *it, const struct shl_row *row, shale_error *err)
{
    if (!it->db->has_merge)
        return shl_fail(err, SHALE_INVALID,
                        "a key holds merge operands, and no merge operator was given at open");
    if (!shl_array_reserve(&it->operand_lens, 1))
        return shl_nomem(err);
    shale_code rc = shl_buf_append(&it->operands, row->value.data, row->value.len, err);
    if (rc == SHALE_OK)
        shl_array_add(&it->operand_lens, row->value.len);
    return rc;
}

static inline bool is_visible(const struct shl_lsm_iter *it, const struct shl_row *row)
{
    return row->seq <= it->max_seq || (row->seq >= SHL_OWN_SEQ && row->seq <= it->own_seq);
}

/* An operand that has expired is as if it had never been; a value that has, as if it had been deleted. */
static inline bool is_spent_operand(const struct shl_lsm_iter *it, const struct shl_row *row)
{
    return (row->flags & SHL_ROW_MERGE) != 0 && shl_row_expired(row, it->now);
}

static void note_times(struct shl_row *out, const struct shl_row *row)
{
    out->create_ts = shl_max_i64(out->create_ts, row->create_ts);
    out->flags |= row->flags & SHL_ROW_HAS_CREATE;
    if ((row->flags & SHL_ROW_HAS_EXPIRE) == 0)
        return;
    if ((out->flags & SHL_ROW_HAS_EXPIRE) == 0 || row->expire_ts < out->expire_ts)
        out->expire_ts = row->expire_ts;
    out->flags |= SHL_ROW_HAS_EXPIRE;
}

/* Folds the collected operands (newest first, or oldest first) onto `base` (NULL: none) into it->value. */
static shale_code fold_onto(struct shl_lsm_iter *it, const struct shl_slice *base,
                            bool newest_first, shale_error *err)
{
    struct shl_buf next = {0}, done = {0}, swap;
    struct shl_slice existing;
    const struct shl_slice *have = base;
    const struct shl_merge_operator *op = &it->db->merge;
    size_t n = it->operand_lens.count, at = newest_first ? it->operands.len : 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < n; i++) {
        size_t len = it->operand_lens.items[newest_first ? n - 1 - i : i];
        if (newest_first)
            at -= len;
        next.len = 0;
        SHL_TRY(op->merge(op->ctx, shl_buf_view(&it->key), have,
                          shl_slice_of(len > 0 ? it->operands.data + at : NULL, len), &next, err));
        if (!newest_first)
            at += len;
        swap = done;
        done = next;
        next = swap;
        existing = shl_buf_view(&done);
        have = &existing;
    }
    swap = it->value;
    it->value = done;
    done = swap;
out:
    shl_buf_free(&next);
    shl_buf_free(&done);
    return rc;
}

static shale_code fold(struct shl_lsm_iter *it, const struct shl_slice *base, bool newest_first,
                       shale_error *err)
{
    uint64_t begin = shl_trace_start();
    shale_code rc = fold_onto(it, base, newest_first, err);
    shl_trace_note(SHL_SPAN_MERGE, NULL, false, begin);
    return rc;
}

static void forget_operands(struct shl_lsm_iter *it)
{
    it->operands.len = 0;
    it->operand_lens.count = 0;
}

/* ---------------------------------------------------------------- forward */

/* The key that is decided now; that of the last row returned is kept aside. */
static shale_code set_key(struct shl_lsm_iter *it, struct shl_slice key, shale_error *err)
{
    if (it->key_is_last) {
        struct shl_buf swap = it->last;
        it->last = it->key;
        it->key = swap;
        it->key_is_last = false;
    }
    it->has_key = false;
    shale_code rc = shl_buf_set(&it->key, key, err);
    it->has_key = rc == SHALE_OK;
    return rc;
}

/* Neighbours differ at the end. */
static inline bool same_key(const struct shl_lsm_iter *it, struct shl_slice key)
{
    struct shl_slice last = shl_buf_view(&it->key);
    if (!it->has_key || key.len != last.len)
        return false;
    if (key.len >= sizeof(uint64_t)) {
        size_t at = key.len - sizeof(uint64_t);
        if (shl_load_u64le(key.data + at) != shl_load_u64le(last.data + at))
            return false;
    }
    return shl_slice_eq(key, last);
}

/* The source stands on the newest visible row of a key, a merge operand: folds it with what lies below. */
static shale_code fold_forward(struct shl_lsm_iter *it, struct shl_row *out, shale_error *err)
{
    struct shl_source *s = it->source;
    struct shl_slice base_view;
    const struct shl_slice *have = NULL;
    shale_code rc = SHALE_OK;
    *out = s->row;
    out->flags = (uint8_t)(out->flags & ~SHL_ROW_MERGE);
    forget_operands(it);
    while (s->valid && same_key(it, s->row.key)) {
        if (!is_visible(it, &s->row) || is_spent_operand(it, &s->row)) {
            /* the first: committed since the transaction began, whose own operand lies above it */
        } else if ((s->row.flags & SHL_ROW_MERGE) != 0) {
            note_times(out, &s->row);
            SHL_TRY(add_operand(it, &s->row, err));
        } else {
            if ((s->row.flags & SHL_ROW_TOMBSTONE) == 0 && !shl_row_expired(&s->row, it->now)) {
                note_times(out, &s->row);
                SHL_TRY(shl_buf_set(&it->base, s->row.value, err));
                base_view = shl_buf_view(&it->base);
                have = &base_view;
            }
            break;
        }
        SHL_TRY(shl_source_next(s, err));
    }
    SHL_TRY(fold(it, have, true, err));
    out->key = shl_buf_view(&it->key);
    out->value = shl_buf_view(&it->value);
out:
    return rc;
}

static shale_code next_forward(struct shl_lsm_iter *it, struct shl_row *out, shale_error *err)
{
    struct shl_source *s = it->source;
    shale_code rc;
    if (it->advance) {
        it->advance = false;
        rc = shl_source_next(s, err);
        if (rc != SHALE_OK)
            return rc;
    }
    while (s->valid) {
        const struct shl_row *row = &s->row;
        if (is_visible(it, row) && !is_spent_operand(it, row) && !same_key(it, row->key) &&
            (it->is_inside || !below_from(it, row->key))) {
            it->is_inside = true;
            if (above_to(it, row->key))
                return SHALE_DONE;
            rc = set_key(it, row->key, err);
            if (rc != SHALE_OK)
                return rc;
            if ((row->flags & SHL_ROW_MERGE) != 0)
                return fold_forward(it, out, err);
            if ((row->flags & SHL_ROW_TOMBSTONE) == 0 && !shl_row_expired(row, it->now)) {
                *out = *row;
                it->advance = true;
                return SHALE_OK;
            }
        }
        rc = shl_source_next(s, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_DONE;
}

/* ---------------------------------------------------------------- reverse */

/* Versions come oldest first: the last value or tombstone at or below the limit is the base, operands after it are folded onto it. */
static shale_code collect_reverse(struct shl_lsm_iter *it, struct shl_row *out, bool *live,
                                  shale_error *err)
{
    struct shl_source *s = it->source;
    bool has_base = false;
    shale_code rc = SHALE_OK;
    *live = false;
    forget_operands(it);
    while (s->valid && same_key(it, s->row.key)) {
        const struct shl_row *row = &s->row;
        if (is_visible(it, row) && !is_spent_operand(it, row)) {
            if ((row->flags & SHL_ROW_MERGE) == 0) {
                forget_operands(it);
                *out = *row;
                *live = has_base =
                    (row->flags & SHL_ROW_TOMBSTONE) == 0 && !shl_row_expired(row, it->now);
                if (!has_base)
                    *out = (struct shl_row){.create_ts = INT64_MIN};
                if (has_base)
                    SHL_TRY(shl_buf_set(&it->base, row->value, err));
            } else {
                if (!*live)
                    *out = (struct shl_row){.create_ts = INT64_MIN};
                *live = true;
                note_times(out, row);
                out->seq = row->seq;
                SHL_TRY(add_operand(it, row, err));
            }
        }
        SHL_TRY(shl_source_next(s, err));
    }
    if (!*live)
        goto out;
    if (it->operand_lens.count > 0) {
        struct shl_slice view = shl_buf_view(&it->base);
        SHL_TRY(fold(it, has_base ? &view : NULL, false, err));
    } else {
        struct shl_buf swap = it->value;
        it->value = it->base;
        it->base = swap;
    }
    out->key = shl_buf_view(&it->key);
    out->value = shl_buf_view(&it->value);
out:
    return rc;
}

static shale_code next_reverse(struct shl_lsm_iter *it, struct shl_row *out, shale_error *err)
{
    struct shl_source *s = it->source;
    while (s->valid) {
        bool live;
        shale_code rc;
        if (above_to(it, s->row.key)) { /* only the excluded end itself */
            rc = shl_source_next(s, err);
            if (rc != SHALE_OK)
                return rc;
            continue;
        }
        if (below_from(it, s->row.key))
            return SHALE_DONE;
        rc = set_key(it, s->row.key, err);
        if (rc != SHALE_OK)
            return rc;
        rc = collect_reverse(it, out, &live, err);
        if (rc != SHALE_OK || live)
            return rc;
    }
    return SHALE_DONE;
}

/* ---------------------------------------------------------------- steps */

static shale_code start(struct shl_lsm_iter *it, shale_error *err)
{
    const struct bound *first = it->reverse ? &it->to : &it->from;
    struct shl_slice target = shl_buf_view(&first->key);
    it->started = true;
    return shl_source_seek(it->source, first->kind == SHL_LSM_UNBOUNDED ? NULL : &target, err);
}

/* One step of a traced scan: the same as all others, with the task working for the trace. */
static __attribute__((noinline, cold)) shale_code next_traced(struct shl_lsm_iter *it,
                                                              struct shl_row *out, shale_error *err)
{
    struct shl_trace *t = it->trace;
    struct shl_trace *before = shl_trace_enter(t);
    it->trace = NULL;
    shale_code rc = shl_lsm_iter_next(it, out, err);
    it->trace = t;
    (void)shl_trace_enter(before);
    return rc;
}

shale_code shl_lsm_iter_next(struct shl_lsm_iter *it, struct shl_row *out, shale_error *err)
{
    if (__builtin_expect(it->trace != NULL, 0))
        return next_traced(it, out, err);
    shale_code rc = SHALE_OK;
    if (it->failure.code != SHALE_OK) {
        *err = it->failure;
        return err->code;
    }
    if (it->rows_left == 0)
        return SHALE_DONE;
    if (!it->started)
        rc = start(it, err);
    if (rc == SHALE_OK)
        rc = it->reverse ? next_reverse(it, out, err) : next_forward(it, out, err);
    if (rc == SHALE_OK) {
        it->returned = it->key_is_last = true;
        if (__builtin_expect(out->seq >= SHL_OWN_SEQ, 0) && it->own_seq != 0)
            out->seq = UINT64_MAX; /* it gets one when it is committed */
        if (it->rows_left != UINT64_MAX)
            it->rows_left--;
    } else if (rc != SHALE_DONE) {
        it->failure = *err;
    }
    return rc;
}

shale_code shl_lsm_iter_seek(struct shl_lsm_iter *it, struct shl_slice key, shale_error *err)
{
    if (it->failure.code != SHALE_OK) {
        *err = it->failure;
        return err->code;
    }
    if (below_from(it, key) || above_to(it, key))
        return shl_fail(err, SHALE_INVALID, "seek: the key lies outside of the range of the scan");
    if (it->returned) {
        int c = shl_slice_cmp(key, shl_buf_view(it->key_is_last ? &it->key : &it->last));
        if (it->reverse ? c >= 0 : c <= 0)
            return shl_fail(err, SHALE_INVALID,
                            "seek: the key does not lie behind the last row that was returned");
    }
    it->started = true;
    it->advance = false;
    it->has_key = false;
    struct shl_trace *before = it->trace != NULL ? shl_trace_enter(it->trace) : NULL;
    shale_code rc = shl_source_seek(it->source, &key, err);
    if (it->trace != NULL)
        (void)shl_trace_enter(before);
    if (rc != SHALE_OK)
        it->failure = *err;
    return rc;
}
