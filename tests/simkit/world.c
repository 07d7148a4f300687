#include "world.h"

#include "base/assert.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- the store of a process */

/* Held while the bucket works, so that a process is never killed half way through the server's own work (a kill waits until the victim owns
 * no lock of others). */
static struct env_mutex wire;

void world_init(void)
{
    env_mutex_init(&wire);
}

struct world_store {
    struct shl_store base;
    struct shl_store *bucket;
    struct world_faults *faults;
};

enum cut { CUT_NONE, CUT_BEFORE, CUT_AFTER, CUT_KILL_BEFORE, CUT_KILL_AFTER };

static enum cut decide(struct world_faults *f, bool conditional)
{
    if (f->latency_max_ns > 0)
        env_sleep_ns(1 + sim_rand_below(f->latency_max_ns));
    if (f->fixed_ns > 0)
        env_sleep_ns(f->fixed_ns);
    if (f->armed != 0 && (conditional || !f->conditional_only)) {
        uint64_t n = f->calls++;
        if (n == f->nth || (f->sticky && n > f->nth)) {
            f->fired = true;
            switch (f->armed) {
            case WORLD_FAIL_BEFORE:
                return CUT_BEFORE;
            case WORLD_FAIL_AFTER:
                return CUT_AFTER;
            case WORLD_KILL_BEFORE:
                return CUT_KILL_BEFORE;
            default:
                return CUT_KILL_AFTER;
            }
        }
    }
    if (f->before > 0 && sim_chance(f->before))
        return CUT_BEFORE;
    if (f->after > 0 && sim_chance(f->after))
        return CUT_AFTER;
    return CUT_NONE;
}

static struct world_store *self(struct shl_store *s)
{
    return (struct world_store *)s;
}

static shale_code lost(struct shl_store *s, shale_error *err, const char *what, const char *key)
{
    shale_code code = self(s)->faults->code;
    return shl_fail(err, code != SHALE_OK ? code : SHALE_UNAVAILABLE, "simulated fault: %s %s",
                    what, key);
}

/* Wraps one call: `expr` is evaluated unless the cut comes before. */
#define WORLD_CALL(s, what, key, conditional, expr)                                                \
    do {                                                                                           \
        enum cut cut_ = decide(self(s)->faults, (conditional));                                    \
        if (cut_ == CUT_KILL_BEFORE)                                                               \
            sim_group_kill_self();                                                                 \
        if (cut_ == CUT_BEFORE)                                                                    \
            return lost(s, err, (what), (key));                                                    \
        shale_code rc_ = (expr);                                                                   \
        if (cut_ == CUT_KILL_AFTER)                                                                \
            sim_group_kill_self();                                                                 \
        if (cut_ == CUT_AFTER && rc_ == SHALE_OK)                                                  \
            return lost(s, err, (what), (key));                                                    \
        return rc_;                                                                                \
    } while (0)

static shale_code do_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                         size_t count, const struct shl_put *how, struct shl_object *out,
                         shale_error *err)
{
    /* The object belongs to the bucket, not to the process that may die. */
    env_mutex_lock(&wire);
    sim_group before = sim_group_push(0);
    shale_code rc = shl_store_put(self(s)->bucket, key, parts, count, how, out, err);
    sim_group_pop(before);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code ws_put(struct shl_store *s, const char *key, const struct shl_slice *parts,
                         size_t count, const struct shl_put *how, struct shl_object *out,
                         shale_error *err)
{
    sim_trace("group %u put %s mode %d", sim_group_self(), key, (int)how->mode);
    WORLD_CALL(s, "put", key, how->mode != SHL_PUT_OVERWRITE,
               do_put(s, key, parts, count, how, out, err));
}

static shale_code do_get(struct shl_store *s, const char *key, const struct shl_get *how,
                         struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    env_mutex_lock(&wire);
    shale_code rc = shl_store_get(self(s)->bucket, key, how, body, out, err);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code ws_get(struct shl_store *s, const char *key, const struct shl_get *how,
                         struct shl_buf *body, struct shl_object *out, shale_error *err)
{
    size_t len = body->len;
    enum cut cut = decide(self(s)->faults, false);
    if (cut == CUT_KILL_BEFORE)
        sim_group_kill_self();
    if (cut == CUT_BEFORE)
        return lost(s, err, "get", key);
    shale_code rc = do_get(s, key, how, body, out, err);
    if (cut == CUT_KILL_AFTER)
        sim_group_kill_self();
    if (cut == CUT_AFTER && rc == SHALE_OK) {
        body->len = len;
        return lost(s, err, "get", key);
    }
    return rc;
}

static shale_code do_get_ranges(struct shl_store *s, const char *key,
                                const struct shl_get_range *ranges, size_t count, shale_error *err)
{
    env_mutex_lock(&wire);
    shale_code rc = shl_store_get_ranges(self(s)->bucket, key, ranges, count, err);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code do_list(struct shl_store *s, const struct shl_list_options *how,
                          struct shl_list *out, shale_error *err)
{
    env_mutex_lock(&wire);
    shale_code rc = shl_store_list(self(s)->bucket, how, out, err);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code ws_get_ranges(struct shl_store *s, const char *key,
                                const struct shl_get_range *ranges, size_t count, shale_error *err)
{
    WORLD_CALL(s, "get_ranges", key, false, do_get_ranges(s, key, ranges, count, err));
}

static shale_code do_head(struct shl_store *s, const char *key, struct shl_object *out,
                          shale_error *err)
{
    env_mutex_lock(&wire);
    shale_code rc = shl_store_head(self(s)->bucket, key, out, err);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code ws_head(struct shl_store *s, const char *key, struct shl_object *out,
                          shale_error *err)
{
    WORLD_CALL(s, "head", key, false, do_head(s, key, out, err));
}

static shale_code ws_list(struct shl_store *s, const struct shl_list_options *how,
                          struct shl_list *out, shale_error *err)
{
    enum cut cut = decide(self(s)->faults, false);
    if (cut == CUT_KILL_BEFORE || cut == CUT_KILL_AFTER)
        sim_group_kill_self();
    if (cut != CUT_NONE)
        return lost(s, err, "list", how->prefix);
    return do_list(s, how, out, err);
}

static shale_code do_delete(struct shl_store *s, const char *const *keys, size_t count,
                            shale_error *err)
{
    env_mutex_lock(&wire);
    sim_group before = sim_group_push(0);
    shale_code rc = shl_store_delete_many(self(s)->bucket, keys, count, err);
    sim_group_pop(before);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code ws_delete(struct shl_store *s, const char *const *keys, size_t count,
                            shale_error *err)
{
    WORLD_CALL(s, "delete", count > 0 ? keys[0] : "", false, do_delete(s, keys, count, err));
}

static shale_code do_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                          shale_error *err)
{
    env_mutex_lock(&wire);
    sim_group before = sim_group_push(0);
    shale_code rc = shl_store_copy(self(s)->bucket, from, to, create_only, err);
    sim_group_pop(before);
    env_mutex_unlock(&wire);
    return rc;
}

static shale_code ws_copy(struct shl_store *s, const char *from, const char *to, bool create_only,
                          shale_error *err)
{
    WORLD_CALL(s, "copy", to, create_only, do_copy(s, from, to, create_only, err));
}

static shale_code ws_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                  shale_error *err)
{
    (void)s;
    (void)out;
    return shl_fail(err, SHALE_NOT_SUPPORTED, "multipart upload of %s: objects are small here",
                    key);
}

static shale_code ws_upload_part(struct shl_store *s, struct shl_upload *u, uint32_t index,
                                 const struct shl_slice *parts, size_t count, shale_error *err)
{
    (void)s;
    (void)u;
    (void)index;
    (void)parts;
    (void)count;
    return shl_fail(err, SHALE_NOT_SUPPORTED, "multipart upload");
}

static shale_code ws_upload_complete(struct shl_store *s, struct shl_upload *u,
                                     struct shl_object *out, shale_error *err)
{
    (void)s;
    (void)u;
    (void)out;
    return shl_fail(err, SHALE_NOT_SUPPORTED, "multipart upload");
}

static void ws_upload_abort(struct shl_store *s, struct shl_upload *u)
{
    (void)s;
    (void)u;
}

static void ws_destroy(struct shl_store *s)
{
    shl_store_deinit(s);
    env_free(s);
}

shale_code world_store_new(struct shl_store *bucket, struct world_faults *faults,
                           struct shl_store **out, shale_error *err)
{
    static const struct shl_store_ops ops = {.put = ws_put,
                                             .get = ws_get,
                                             .get_ranges = ws_get_ranges,
                                             .head = ws_head,
                                             .list = ws_list,
                                             .delete_many = ws_delete,
                                             .copy = ws_copy,
                                             .upload_start = ws_upload_start,
                                             .upload_part = ws_upload_part,
                                             .upload_complete = ws_upload_complete,
                                             .upload_abort = ws_upload_abort,
                                             .destroy = ws_destroy};
    struct world_store *s = env_calloc(1, sizeof *s);
    if (s == NULL)
        return shl_nomem(err);
    shale_code rc = shl_store_init(&s->base, &ops, bucket->caps, "world", err);
    if (rc != SHALE_OK) {
        env_free(s);
        return rc;
    }
    if (faults->latency_max_ns > 0 || faults->fixed_ns > 0)
        s->base.caps &= ~(unsigned)SHL_STORE_NEAR;
    s->bucket = bucket;
    s->faults = faults;
    *out = &s->base;
    return SHALE_OK;
}

/* ---------------------------------------------------------------- history */

static void die(const char *what, unsigned a, unsigned b)
{
    sim_trace("oracle: %s (%u, %u)", what, a, b);
    env_die(what);
}

void world_key(unsigned number, char out[24])
{
    /* Shared prefixes, one key being the prefix of another, 0x00 and 0xff bytes. */
    memset(out, 0, 24);
    switch (number % 4) {
    case 0:
        snprintf(out, 24, "user/%03u", number / 4);
        break;
    case 1:
        snprintf(out, 24, "user/%03u/x", number / 4);
        break;
    case 2:
        snprintf(out, 24, "z%u", number / 4);
        break;
    default:
        snprintf(out, 24, "a\xff%u", number / 4);
        break;
    }
}

static struct shl_slice key_slice(const char *key)
{
    return shl_slice_str(key);
}

shale_code world_random_write(struct world_history *h, struct shl_lsm *db, bool await_durable,
                              shale_error *err)
{
    struct shl_batch b;
    struct shl_lsm_written written = {0};
    struct shl_lsm_write how = {.await_durable = await_durable};
    SHL_ASSERT(h->count < WORLD_OPS_MAX);
    unsigned number = h->count++;
    struct world_op *op = &h->ops[number];
    *op = (struct world_op){
        .order = number,
        .rows = 1 + (unsigned)(sim_chance(0.3) ? sim_rand_below(WORLD_ROWS_MAX) : 0)};
    shl_batch_init(&b);
    for (unsigned i = 0; i < op->rows; i++) {
        char key[24], value[600];
        bool again = true;
        while (again) { /* different keys in one batch: the last of two equal ones would win */
            again = false;
            op->key[i] = (unsigned)sim_rand_below(WORLD_KEYS);
            for (unsigned k = 0; k < i; k++)
                again = again || op->key[k] == op->key[i];
        }
        op->deletes[i] = sim_chance(0.15);
        world_key(op->key[i], key);
        int n = snprintf(value, sizeof value, "%u:", number);
        size_t len = (size_t)n + (size_t)sim_rand_below(sim_chance(0.1) ? 500 : 30);
        memset(value + n, 'v', len - (size_t)n);
        shl_batch_add(&b, op->deletes[i] ? SHL_ROW_TOMBSTONE : 0, key_slice(key),
                      op->deletes[i] ? shl_slice_of(NULL, 0) : shl_slice_of(value, len),
                      (struct shl_ttl){0});
    }
    unsigned rows = op->rows;
    shale_code rc = shl_lsm_write(db, &b, &how, &written, err);
    shl_batch_deinit(&b);
    if (rc == SHALE_OK && op->seq == UINT64_MAX) {
        /* A newer writer opened meanwhile and did not see the row. That is right for a deletion of
         * what was not there anyway. */
        bool puts = false;
        for (unsigned i = 0; i < rows; i++)
            puts = puts || !op->deletes[i];
        if (await_durable && (puts || written.seq > h->checked_seq))
            die("a newer writer did not find a write that was acknowledged as durable", number, 0);
    } else if (rc == SHALE_OK) {
        op->seq = written.seq;
        op->durable = await_durable;
        if (await_durable)
            world_flushed(h, written.seq);
    }
    sim_trace("write %u rows %u seq %llu durable %d rc %d", number, op->rows,
              (unsigned long long)op->seq, (int)op->durable, (int)rc);
    sim_progress();
    return rc;
}

void world_flushed(struct world_history *h, uint64_t seq)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->ops[i].seq != 0 && h->ops[i].seq <= seq)
            h->ops[i].durable = true;
}

/* ---------------------------------------------------------------- oracle */

struct found {
    bool present;
    unsigned op;
    uint64_t seq;
};

static unsigned key_number(struct shl_slice key)
{
    for (unsigned i = 0; i < WORLD_KEYS; i++) {
        char text[24];
        world_key(i, text);
        if (shl_slice_eq(key, key_slice(text)))
            return i;
    }
    die("a key that nobody wrote", 0, 0);
    return 0;
}

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    sim_trace("%s: %s", what, err->text);
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

static void read_all(struct shl_lsm *db, bool reverse, struct found rows[WORLD_KEYS])
{
    struct shl_lsm_iter *it = NULL;
    struct shl_row row;
    shale_error err = {0};
    struct shl_buf last = {0};
    bool any = false;
    memset(rows, 0, WORLD_KEYS * sizeof rows[0]);
    must(shl_lsm_scan_open(db, &(struct shl_lsm_range){0},
                           &(struct shl_lsm_scan){.reverse = reverse}, &it, &err),
         &err, "scan");
    shale_code rc;
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        unsigned k = key_number(row.key);
        if (any && (reverse ? shl_slice_cmp(row.key, shl_buf_view(&last)) >= 0
                            : shl_slice_cmp(row.key, shl_buf_view(&last)) <= 0))
            die("scan out of order", k, 0);
        must(shl_buf_set(&last, row.key, &err), &err, "copy a key");
        any = true;
        rows[k] = (struct found){.present = true,
                                 .op = (unsigned)strtoul((const char *)row.value.data, NULL, 10),
                                 .seq = row.seq};
    }
    if (rc != SHALE_DONE)
        must(rc, &err, "scan");
    shl_lsm_iter_close(it);
    shl_buf_free(&last);
}

static int by_seq(const void *a, const void *b)
{
    const struct world_op *x = *(const struct world_op *const *)a,
                          *y = *(const struct world_op *const *)b;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

/* Rows after all operations with seq in (0, limit]. */
static void model_at(struct world_history *h, uint64_t limit, struct found rows[WORLD_KEYS])
{
    static struct world_op *sorted[WORLD_OPS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < h->count; i++)
        if (h->ops[i].seq != 0 && h->ops[i].seq <= limit)
            sorted[n++] = &h->ops[i];
    qsort(sorted, n, sizeof sorted[0], by_seq);
    memset(rows, 0, WORLD_KEYS * sizeof rows[0]);
    for (unsigned i = 0; i < n; i++)
        for (unsigned r = 0; r < sorted[i]->rows; r++)
            rows[sorted[i]->key[r]] = (struct found){.present = !sorted[i]->deletes[r],
                                                     .op = (unsigned)(sorted[i] - h->ops),
                                                     .seq = sorted[i]->seq};
}

/* Operations whose call did not return: at most one row of theirs tells that they happened, and at which seq. One that shows nowhere was either
 * lost or overwritten; a deletion shows only by what is missing, so it is tried both ways. */
static void learn(struct world_history *h, const struct found rows[WORLD_KEYS])
{
    for (unsigned k = 0; k < WORLD_KEYS; k++)
        if (rows[k].present) {
            if (rows[k].op >= h->count)
                die("a value that nobody wrote", k, rows[k].op);
            if (h->ops[rows[k].op].seq == 0)
                h->ops[rows[k].op].seq = rows[k].seq;
        }
}

static bool equal(const struct found a[WORLD_KEYS], const struct found b[WORLD_KEYS])
{
    for (unsigned k = 0; k < WORLD_KEYS; k++)
        if (a[k].present != b[k].present ||
            (a[k].present && (a[k].op != b[k].op || a[k].seq != b[k].seq)))
            return false;
    return true;
}

static void forget_after(struct world_history *h, uint64_t seq)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->ops[i].seq == 0 || h->ops[i].seq > seq) {
            if (h->ops[i].durable)
                die("an operation that was acknowledged as durable is gone", i,
                    (unsigned)h->ops[i].seq);
            h->ops[i].rows = 0;
            h->ops[i].seq = UINT64_MAX; /* decided: it did not happen */
        }
}

void world_check(struct world_history *h, struct shl_lsm *db, bool all)
{
    struct found rows[WORLD_KEYS], back[WORLD_KEYS], model[WORLD_KEYS];
    struct shl_lsm_status status;
    world_check_reads(db);
    read_all(db, false, rows);
    read_all(db, true, back);
    if (!equal(rows, back))
        die("forward and reverse scans differ", 0, 0);
    learn(h, rows);
    shl_lsm_status(db, &status);
    uint64_t limit = status.committed_seq;
    if (all)
        for (unsigned i = 0; i < h->count; i++)
            if (h->ops[i].seq != UINT64_MAX && h->ops[i].seq > limit)
                die("an operation is missing after a clean close", i, (unsigned)limit);
    model_at(h, limit, model);
    if (!equal(rows, model)) {
        /* The call that did not return may have been a deletion at the very end. */
        bool explained = false;
        for (unsigned i = 0; i < h->count && !explained; i++)
            if (h->ops[i].seq == 0) {
                h->ops[i].seq = limit;
                model_at(h, limit, model);
                explained = equal(rows, model);
                if (!explained)
                    h->ops[i].seq = 0;
            }
        for (unsigned k = 0; k < WORLD_KEYS && !explained; k++)
            if (rows[k].present != model[k].present || rows[k].op != model[k].op)
                sim_trace("key %u: present %d op %u seq %llu, model present %d op %u seq %llu "
                          "(limit %llu)",
                          k, rows[k].present, rows[k].op, (unsigned long long)rows[k].seq,
                          model[k].present, model[k].op, (unsigned long long)model[k].seq,
                          (unsigned long long)limit);
        if (!explained)
            die("the database is not a prefix of what was written", (unsigned)limit, 0);
    }
    forget_after(h, limit);
    world_flushed(h, limit);
    h->checked_seq = limit;
    sim_progress();
}

void world_check_reads(struct shl_lsm *db)
{
    struct found rows[WORLD_KEYS];
    shale_error err = {0};
    read_all(db, false, rows);
    for (unsigned k = 0; k < WORLD_KEYS; k++) {
        char key[24], value[700];
        size_t len = 0;
        world_key(k, key);
        shale_code rc = shl_lsm_get_into(db, key_slice(key), &(struct shl_lsm_read){0}, value,
                                         sizeof value, &len, &err);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            must(rc, &err, "get");
        if ((rc == SHALE_OK) != rows[k].present)
            die("get and scan differ", k, rows[k].op);
        if (rc == SHALE_OK && (unsigned)strtoul(value, NULL, 10) != rows[k].op)
            die("get and scan give different values", k, rows[k].op);
    }
}

void world_random_settings(struct shl_lsm_settings *s)
{
    static const uint32_t blocks[] = {1024, 2048, 4096};
    shl_lsm_settings_default(s);
    s->gc.enabled = false; /* who looks at old objects at the end needs them all */
    s->sst_block_size_bytes = blocks[sim_rand_below(3)];
    s->l0_sst_size_bytes = 512 + sim_rand_below(8192);
    s->max_unflushed_bytes = s->l0_sst_size_bytes + 1 + sim_rand_below(20000);
    s->l0_max_ssts = 4 + (uint32_t)sim_rand_below(5);
    s->l0_max_ssts_per_key = s->l0_max_ssts;
    s->l0_flush_parallelism = 1 + (uint32_t)sim_rand_below(3);
    s->compression = (enum shl_compression)sim_rand_below(5);
    s->min_filter_keys = sim_chance(0.5) ? 1 : 1000;
    s->wal_enabled = !sim_chance(0.15);
    s->flush_interval_ns = (1 + sim_rand_below(100)) * ENV_NS_PER_MS;
    s->wal_flush = sim_chance(0.5) ? SHL_WAL_FLUSH_ADAPTIVE : SHL_WAL_FLUSH_INTERVAL;
    s->min_compaction_sources = 2 + (uint32_t)sim_rand_below(3);
    s->max_compaction_sources = s->min_compaction_sources + (uint32_t)sim_rand_below(4);
    if (s->l0_max_ssts <= s->min_compaction_sources) /* else nothing could make room */
        s->l0_max_ssts = s->l0_max_ssts_per_key = s->min_compaction_sources + 1;
    s->max_sst_size_bytes = sim_chance(0.5) ? 2000 : 256 * 1024;
    s->block_cache_bytes = sim_chance(0.3) ? 0 : 64 * 1024;
    s->manifest_poll_interval_ns = (50 + sim_rand_below(2000)) * ENV_NS_PER_MS;
    s->compactor_poll_interval_ns = ENV_NS_PER_SEC;
    /* none, a few, all of the indexes */
    s->meta_cache_bytes = sim_chance(0.3) ? 0 : sim_chance(0.5) ? 2048 : 1024 * 1024;
}
