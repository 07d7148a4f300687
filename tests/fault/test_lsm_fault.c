/* Goal: whatever allocation or store call fails, and wherever the process dies, the engine says so or gets over it: no write that was
 * acknowledged as durable is lost, none is half there, no answer is wrong, nothing leaks, and the database opens again.
 * Method: one scenario through the whole engine (open, reads, writes, flushes, a compaction, a reader, close) over a bucket prepared once; a loop
 * for every kind of fault breaks its n-th point for n = 0, 1, ... until the n-th point is never reached. Each run is compared with a model.
 *
 * FAULT_VARIANT=name and FAULT_LOOP=name run only those, FAULT_N=n one point; SIM_SEED=n takes another schedule, FAULT_SEEDS=n so many;
 * FAULT_STEP=1 leaves out no point. */
#include "base/assert.h"
#include "lsm/format/compactions.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"
#include "support/own_filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- what was written, and the model of it */

#define FOREIGN_NAME "kept"

#define KEYS      12
#define OPS_MAX   64
#define VALUE_MAX 2000

struct write_row {
    unsigned key;
    uint8_t kind; /* as in shl_batch_op */
    char value[400];
};

struct write_op {
    uint64_t seq; /* while the call runs: the one it must get; 0: it did not happen */
    bool durable; /* acknowledged so */
    unsigned rows;
    struct write_row row[3];
};

struct history {
    struct write_op ops[OPS_MAX];
    unsigned count;
};

struct found {
    bool present;
    uint64_t seq;
    size_t len;
    char value[VALUE_MAX];
};

/* Rows after all operations up to `limit`. */
static void model_at(const struct history *h, uint64_t limit, struct found state[KEYS])
{
    memset(state, 0, KEYS * sizeof state[0]);
    for (unsigned i = 0; i < h->count; i++) {
        const struct write_op *op = &h->ops[i];
        for (unsigned r = 0; op->seq != 0 && op->seq <= limit && r < op->rows; r++) {
            struct found *f = &state[op->row[r].key];
            size_t len = strlen(op->row[r].value);
            if (op->row[r].kind != SHL_ROW_MERGE || !f->present)
                f->len = 0;
            SHL_ASSERT(f->len + len < VALUE_MAX);
            memcpy(f->value + f->len, op->row[r].value, len + 1);
            f->len += len;
            f->present = op->row[r].kind != SHL_ROW_TOMBSTONE;
            f->seq = op->seq;
        }
    }
}

static uint64_t durable_limit(const struct history *h)
{
    uint64_t limit = 0;
    for (unsigned i = 0; i < h->count; i++)
        if (h->ops[i].durable && h->ops[i].seq > limit)
            limit = h->ops[i].seq;
    return limit;
}

static uint64_t last_seq(const struct history *h)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < h->count; i++)
        if (h->ops[i].seq > last)
            last = h->ops[i].seq;
    return last;
}

/* What a crash took never happened; the next writer gives its seqs again. */
static void forget_after(struct history *h, uint64_t seq)
{
    for (unsigned i = 0; i < h->count; i++)
        if (h->ops[i].seq > seq)
            h->ops[i].seq = 0;
}

static const char *key_of(unsigned number)
{
    static const char *const keys[KEYS] = {
        "a", "a/1", "a/2", "b\xff", "b\xff\x01", "c", "c0", "d/long/prefix/1", "d/long/prefix/2",
        "e", "f",   "g"};
    return keys[number];
}

/* ---------------------------------------------------------------- one run */

struct scene {
    struct shl_store *bucket;
    struct shl_lsm_settings settings;
    struct history history;
    struct world_faults faults, no_faults;
    uint32_t max_retries; /* UINT32_MAX: no retry wrapper */
    bool empty;           /* there was no database before the scenario */
    bool no_attributes;   /* the store keeps no put ids */

    /* the loop */
    bool allocs; /* the fault is an allocation */
    bool sticky;
    shale_code allowed; /* what may come back but SHALE_OK; SHALE_OK: nothing */
    uint64_t alloc_n;   /* with allocs */
    uint64_t alloc_seen;
    uint64_t waiting_since; /* virtual time at which the present call began; 0: none */
    bool healed;
    /* the fault was taken away, so that a call which waits for that returns */ /* between the scenario and the test that looks on */
    bool foreign_due;  /* somebody else is to change the manifest now */
    bool foreign_done; /* and has */

    /* results */
    unsigned failures; /* calls that failed while the handle was not closed */
    bool verified;     /* ... by the process after it */
    bool ended;        /* the scenario was not killed */
    bool clean;        /* it closed, and was told that all is safe */
    unsigned compactions;
};

static void wrong(const char *what, const shale_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(err->code), err->text);
    env_die(what);
}

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc != SHALE_OK)
        wrong(what, err);
}

struct process {
    struct shl_store *world;
    struct shl_store *store;
    struct shl_merge_operator merge;
    struct shl_lsm_open open;
};

static void leave(struct process *p)
{
    shl_store_unref(p->store);
    shl_store_unref(p->world);
}

static shale_code enter(struct process *p, struct scene *s, struct world_faults *faults,
                        shale_error *err)
{
    struct shl_retry_options retry = {.max_retries = s->max_retries,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    *p = (struct process){0};
    SHL_ASSERT(shl_merge_operator_builtin("concat", &p->merge));
    shale_code rc = world_store_new(s->bucket, faults, &p->world, err);
    if (rc == SHALE_OK && s->no_attributes)
        p->world->caps &= ~(unsigned)(SHL_STORE_ATTRIBUTES | SHL_STORE_SURE);
    if (rc == SHALE_OK && s->max_retries == UINT32_MAX)
        p->store = shl_store_ref(p->world);
    else if (rc == SHALE_OK)
        rc = shl_store_retry_new(&p->store, p->world, &retry, err);
    if (rc != SHALE_OK)
        leave(p);
    p->open = (struct shl_lsm_open){.store = p->store,
                                    .path = "db",
                                    .settings = &s->settings,
                                    .merge = &p->merge,
                                    .user_filters = test_own_filter};
    return rc;
}

/* Around every call that may wait for the fault to pass. */
static void call_begins(struct scene *s)
{
    s->waiting_since = env_now_mono_ns();
}

static void call_ends(struct scene *s)
{
    s->waiting_since = 0;
    sim_progress();
}

/* Judges what a call of the scenario returned; true: it worked. db NULL: no handle. */
static bool judge(struct scene *s, struct shl_lsm *db, shale_code rc, const shale_error *err,
                  const char *what)
{
    struct shl_lsm_status status = {.closed = SHALE_OK};
    call_ends(s);
    sim_trace("%s: %s", what, shale_code_name(rc));
    if (db != NULL)
        shl_lsm_status(db, &status);
    if (rc == SHALE_OK)
        return true;
    if (rc != s->allowed || err->code != rc || err->text[0] == '\0')
        wrong(what, err);
    if (status.closed == SHALE_OK)
        s->failures++;
    if (!s->sticky && s->failures > 1)
        wrong("one fault made two calls fail", err);
    if (!s->sticky && s->allowed == SHALE_NOMEM && status.closed != SHALE_OK)
        wrong("one allocation that failed closed the handle", err);
    return false;
}

/* ---------------------------------------------------------------- writes */

static struct write_op *new_op(struct scene *s, struct shl_lsm *db)
{
    struct shl_lsm_status status;
    struct write_op *op = &s->history.ops[s->history.count];
    SHL_ASSERT(s->history.count < OPS_MAX);
    shl_lsm_status(db, &status);
    *op = (struct write_op){.seq = status.committed_seq + 1};
    s->history.count++;
    return op;
}

static void fill_row(const struct scene *s, struct write_op *op, uint8_t kind, unsigned key)
{
    struct write_row *r = &op->row[op->rows++];
    *r = (struct write_row){.key = key, .kind = kind};
    if (kind == SHL_ROW_TOMBSTONE)
        return;
    int n = snprintf(r->value, sizeof r->value, "%u:", s->history.count);
    /* Merge operands stay short, some values are long: several blocks per table. */
    size_t len = kind == SHL_ROW_MERGE ? 3 : (s->history.count % 3 == 0 ? 300 : 20);
    memset(r->value + n, 'a' + (int)(key % 26), len);
}

/* What became of a write whose call returned. */
static void wrote(struct scene *s, struct shl_lsm *db, struct write_op *op, bool durable,
                  const struct shl_lsm_written *written, shale_code rc, const shale_error *err,
                  const char *what)
{
    struct shl_lsm_status status;
    shl_lsm_status(db, &status);
    if (status.committed_seq < op->seq)
        op->seq = 0; /* it did not happen */
    if (judge(s, db, rc, err, what)) {
        SHL_ASSERT(op->seq == written->seq && status.committed_seq == op->seq);
        if (durable)
            SHL_ASSERT(status.durable_seq >= op->seq);
    }
    for (unsigned i = 0; i < s->history.count; i++) /* what it said counts, whoever asked for it */
        if (s->history.ops[i].seq != 0 && s->history.ops[i].seq <= status.durable_seq)
            s->history.ops[i].durable = true;
}

static void write_one(struct scene *s, struct shl_lsm *db, uint8_t kind, unsigned key, bool durable)
{
    static const char *const names[] = {"put", "merge", "delete"};
    struct write_op *op = new_op(s, db);
    struct shl_lsm_written written = {0};
    shale_error err = {0};
    const char *name = names[kind == 0 ? 0 : kind == SHL_ROW_MERGE ? 1 : 2];
    fill_row(s, op, kind, key);
    call_begins(s);
    shale_code rc = shl_lsm_write_one(
        db, kind, shl_slice_str(key_of(key)), shl_slice_str(op->row[0].value), (struct shl_ttl){0},
        &(struct shl_lsm_write){.await_durable = durable}, &written, &err);
    wrote(s, db, op, durable, &written, rc, &err, name);
}

static void write_batch(struct scene *s, struct shl_lsm *db, unsigned first_key, bool durable)
{
    static const uint8_t kinds[3] = {0, SHL_ROW_TOMBSTONE, SHL_ROW_MERGE};
    struct write_op *op = new_op(s, db);
    struct shl_lsm_written written = {0};
    struct shl_batch b;
    shale_error err = {0};
    shl_batch_init(&b);
    for (unsigned i = 0; i < 3; i++) {
        unsigned key = (first_key + 4 * i) % KEYS;
        fill_row(s, op, kinds[i], key);
        shl_batch_add(&b, kinds[i], shl_slice_str(key_of(key)), shl_slice_str(op->row[i].value),
                      (struct shl_ttl){0});
    }
    call_begins(s);
    shale_code rc =
        shl_lsm_write(db, &b, &(struct shl_lsm_write){.await_durable = durable}, &written, &err);
    shl_batch_deinit(&b);
    wrote(s, db, op, durable, &written, rc, &err, "batch");
}

static void flush(struct scene *s, struct shl_lsm *db, bool memtable)
{
    struct shl_lsm_status status;
    shale_error err = {0};
    call_begins(s);
    shale_code rc = shl_lsm_flush(db, memtable, &err);
    bool worked = judge(s, db, rc, &err, memtable ? "flush of the memtable" : "flush of the WAL");
    shl_lsm_status(db, &status);
    if (worked)
        SHL_ASSERT(status.durable_seq == status.committed_seq);
    for (unsigned i = 0; i < s->history.count; i++)
        if (s->history.ops[i].seq != 0 && s->history.ops[i].seq <= status.durable_seq)
            s->history.ops[i].durable = true;
}

/* ---------------------------------------------------------------- reads */

static void check_get(struct scene *s, struct shl_lsm *db, unsigned key)
{
    static struct found model[KEYS];
    struct shl_lsm_pinned got = {0};
    shale_error err = {0};
    model_at(&s->history, last_seq(&s->history), model);
    const struct found *f = &model[key];
    call_begins(s);
    shale_code rc =
        shl_lsm_get(db, shl_slice_str(key_of(key)), &(struct shl_lsm_read){0}, &got, &err);
    if (rc == SHALE_NOT_FOUND ? f->present : rc == SHALE_OK && !f->present)
        env_die("get: a key is missing, or one is there that should not");
    if (rc == SHALE_NOT_FOUND)
        rc = SHALE_OK;
    if (judge(s, db, rc, &err, "get") && f->present)
        SHL_ASSERT(got.seq == f->seq && shl_slice_eq(got.value, shl_slice_of(f->value, f->len)));
    shl_lsm_pinned_release(&got);
}

/* Every key that there is, at once. */
struct all_keys {
    const struct found *model;
    bool found[KEYS];
};

static struct shl_slice all_key(void *ctx, size_t i)
{
    (void)ctx;
    return shl_slice_str(key_of((unsigned)i));
}

static void all_found(void *ctx, size_t i, const struct shl_lsm_pinned *take_value)
{
    struct all_keys *a = ctx;
    struct shl_lsm_pinned got = *take_value;
    const struct found *f = &a->model[i];
    SHL_ASSERT(f->present && !a->found[i]);
    SHL_ASSERT(got.seq == f->seq && shl_slice_eq(got.value, shl_slice_of(f->value, f->len)));
    a->found[i] = true;
    shl_lsm_pinned_release(&got);
}

static void check_get_many(struct scene *s, struct shl_lsm *db)
{
    static struct found model[KEYS];
    struct all_keys all = {.model = model};
    struct shl_lsm_keys keys = {.ctx = &all, .count = KEYS, .key = all_key, .found = all_found};
    shale_error err = {0};
    model_at(&s->history, last_seq(&s->history), model);
    call_begins(s);
    shale_code rc = shl_lsm_get_many(db, &keys, &(struct shl_lsm_read){0}, &err);
    if (judge(s, db, rc, &err, "get of all keys"))
        for (unsigned k = 0; k < KEYS; k++)
            SHL_ASSERT(all.found[k] == model[k].present);
}

/* Compares all rows with the model at `limit`. */
static shale_code compare_scan(struct shl_lsm *db, const struct history *h, uint64_t limit,
                               bool reverse, shale_error *err)
{
    static struct found model[KEYS];
    struct shl_lsm_iter *it = NULL;
    struct shl_row row;
    unsigned seen = 0, there = 0;
    model_at(h, limit, model);
    shale_code rc = shl_lsm_scan_open(db, &(struct shl_lsm_range){0},
                                      &(struct shl_lsm_scan){.reverse = reverse}, &it, err);
    while (rc == SHALE_OK && (rc = shl_lsm_iter_next(it, &row, err)) == SHALE_OK) {
        unsigned k = 0;
        while (k < KEYS && !shl_slice_eq(row.key, shl_slice_str(key_of(k))))
            k++;
        if (k == KEYS || !model[k].present || model[k].seq != row.seq ||
            !shl_slice_eq(row.value, shl_slice_of(model[k].value, model[k].len))) {
            sim_trace(
                "scan: key %u: seq %llu of %zu bytes; model: present %d seq %llu of %zu bytes "
                "(limit %llu)",
                k, (unsigned long long)row.seq, row.value.len, k < KEYS ? (int)model[k].present : 0,
                (unsigned long long)(k < KEYS ? model[k].seq : 0), k < KEYS ? model[k].len : 0,
                (unsigned long long)limit);
            env_die("scan: a row differs from the model");
        }
        seen++;
    }
    if (rc != SHALE_DONE && it != NULL) { /* a scan that failed does not go on */
        shale_error second = {0};
        SHL_ASSERT(shl_lsm_iter_next(it, &row, &second) == rc);
    }
    shl_lsm_iter_close(it);
    if (rc != SHALE_DONE)
        return rc;
    for (unsigned k = 0; k < KEYS; k++)
        there += model[k].present;
    if (seen != there)
        env_die("scan: rows are missing");
    return SHALE_OK;
}

static void check_scan(struct scene *s, struct shl_lsm *db, bool reverse)
{
    shale_error err = {0};
    call_begins(s);
    shale_code rc = compare_scan(db, &s->history, last_seq(&s->history), reverse, &err);
    (void)judge(s, db, rc, &err, reverse ? "reverse scan" : "scan");
}

/* The first row at or after a key. */
static void check_seek(struct scene *s, struct shl_lsm *db, unsigned key)
{
    static struct found model[KEYS];
    struct shl_lsm_iter *it = NULL;
    struct shl_row row = {0};
    struct shl_slice from = shl_slice_str(key_of(key));
    shale_error err = {0};
    model_at(&s->history, last_seq(&s->history), model);
    while (key < KEYS && !model[key].present)
        key++;
    call_begins(s);
    shale_code rc =
        shl_lsm_scan_open(db, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it, &err);
    if (rc == SHALE_OK)
        rc = shl_lsm_iter_seek(it, from, &err);
    if (rc == SHALE_OK)
        rc = shl_lsm_iter_next(it, &row, &err);
    if (rc == SHALE_DONE && key == KEYS)
        rc = SHALE_OK;
    else if (rc == SHALE_OK)
        SHL_ASSERT(key < KEYS && shl_slice_eq(row.key, shl_slice_str(key_of(key))) &&
                   shl_slice_eq(row.value, shl_slice_of(model[key].value, model[key].len)));
    shl_lsm_iter_close(it);
    (void)judge(s, db, rc, &err, "seek");
}

/* A reader beside the writer shows at least what was durable when it opened. */
static void read_beside(struct scene *s, struct shl_lsm *writer, const struct shl_lsm_open *open,
                        bool follow)
{
    struct shl_lsm *db = NULL;
    struct shl_lsm_status before, after;
    uint64_t durable = durable_limit(&s->history);
    bool refreshed = true;
    shale_error err = {0};
    call_begins(s);
    shale_code rc =
        shl_lsm_open_reader(open, &(struct shl_lsm_reader){.follow = follow}, &db, &err);
    if (!judge(s, NULL, rc, &err, "open a reader"))
        return;
    for (int round = 0; round < 4; round++) {
        call_begins(s);
        shl_lsm_status(db, &before);
        SHL_ASSERT(before.committed_seq >= (refreshed ? durable : 0));
        rc = compare_scan(db, &s->history, before.committed_seq, round == 1, &err);
        shl_lsm_status(db, &after);
        SHL_ASSERT(after.committed_seq == before.committed_seq); /* nobody writes meanwhile */
        (void)judge(s, db, rc, &err, "scan of a reader");
        /* Once only the WAL grows, once the tree changes; what a failed refresh left undone the next one does. */
        if (!follow && round < 2) {
            write_one(s, writer, SHL_ROW_MERGE, 6, true); /* two WAL objects */
            write_batch(s, writer, 6, true);
            if (round == 1)
                flush(s, writer, true);
        }
        durable = durable_limit(&s->history);
        call_begins(s);
        rc = shl_lsm_refresh(db, &err);
        refreshed = judge(s, db, rc, &err, "refresh");
    }
    rc = shl_lsm_close(db, &err);
    (void)judge(s, NULL, rc, &err, "close a reader");
}

/* A reader at somebody else's checkpoint, which stands whatever was written and compacted since. */
static void read_checkpoint(struct scene *s, const struct shl_lsm_open *open)
{
    struct shl_lsm *db = NULL;
    struct shl_lsm_status status;
    struct shl_lsm_reader how = {.mode = SHL_READER_CHECKPOINT, .checkpoint = FOREIGN_NAME};
    shale_error err = {0};
    call_begins(s);
    shale_code rc = shl_lsm_open_reader(open, &how, &db, &err);
    if (!judge(s, NULL, rc, &err, "open a reader at a checkpoint"))
        return;
    shl_lsm_status(db, &status);
    rc = compare_scan(db, &s->history, status.committed_seq, false, &err);
    (void)judge(s, db, rc, &err, "scan at a checkpoint");
    rc = shl_lsm_close(db, &err);
    (void)judge(s, NULL, rc, &err, "close a reader at a checkpoint");
}

/* ---------------------------------------------------------------- somebody else */

static bool has_foreign_checkpoint(const struct shl_manifest *m)
{
    for (size_t i = 0; i < m->checkpoints.count; i++)
        if (m->checkpoints.items[i].name != NULL &&
            strcmp(m->checkpoints.items[i].name, FOREIGN_NAME) == 0)
            return true;
    return false;
}

/* The newest numbered object of a kind and its id, past the faults; 0: there is none. */
static uint64_t newest(struct scene *s, const char *what, struct shl_buf *body)
{
    struct shl_list list = {0};
    char dir[32];
    uint64_t id = 0;
    shale_error err = {0};
    snprintf(dir, sizeof dir, "db/%s", what);
    must(shl_store_list(s->bucket, &(struct shl_list_options){.prefix = dir}, &list, &err), &err,
         dir);
    if (list.count > 0) {
        const char *key = list.items[list.count - 1].key;
        SHL_ASSERT(shl_name_parse_id(key, what, &id));
        must(shl_store_get(s->bucket, key, NULL, body, NULL, &err), &err, key);
    }
    shl_list_free(&list);
    return id;
}

static struct shl_manifest *newest_manifest(struct scene *s, uint64_t *id)
{
    struct shl_buf body = {0};
    struct shl_manifest *m = NULL;
    shale_error err = {0};
    *id = newest(s, "manifest", &body);
    SHL_ASSERT(*id != 0);
    must(shl_manifest_decode(shl_buf_view(&body), &m, &err), &err, "newest manifest");
    shl_buf_free(&body);
    return m;
}

/* Makes a checkpoint, as an administrator's tool does beside a writer. */
static void make_foreign_checkpoint(struct scene *s)
{
    shale_code rc = SHALE_ALREADY_EXISTS;
    while (rc == SHALE_ALREADY_EXISTS) {
        shale_error err = {0};
        struct shl_buf body = {0};
        char key[64];
        uint64_t id;
        struct shl_manifest *m = newest_manifest(s, &id);
        struct shl_checkpoint c = {
            .id = shl_uuid_make(1, 2), .manifest_id = id + 1, .name = env_strdup(FOREIGN_NAME)};
        SHL_ASSERT(shl_array_push(&m->checkpoints, c));
        must(shl_manifest_encode(m, &body, &err), &err, "manifest of a checkpoint");
        snprintf(key, sizeof key, "db/manifest/%020" PRIu64 ".manifest", id + 1);
        struct shl_slice part = shl_buf_view(&body);
        rc = shl_store_put(s->bucket, key, &part, 1, &(struct shl_put){.mode = SHL_PUT_CREATE},
                           NULL, &err);
        if (rc != SHALE_ALREADY_EXISTS)
            must(rc, &err, "manifest of a checkpoint");
        shl_buf_free(&body);
        shl_manifest_free(m);
    }
    s->foreign_done = true;
    s->foreign_due = false;
}

static void await_foreign(struct scene *s)
{
    s->foreign_due = true;
    while (s->foreign_due)
        env_sleep_ns(10 * ENV_NS_PER_MS);
}

/* ---------------------------------------------------------------- the scenario */
/* Two flushes and a third one bring a compaction about; the rest is what a program does all day. */
static void use_database(struct scene *s, struct shl_lsm *db, const struct shl_lsm_open *open)
{
    shale_error err = {0};
    check_get(s, db, 0); /* cold */
    check_get(s, db, 7);
    check_scan(s, db, false);
    check_scan(s, db, true);
    check_seek(s, db, 5);
    write_one(s, db, 0, 1, true);
    write_batch(s, db, 2, false);
    write_one(s, db, 0, 9, false);
    flush(s, db, false);
    write_one(s, db, SHL_ROW_MERGE, 9, false);
    write_one(s, db, SHL_ROW_MERGE, 10, true);
    check_get(s, db, 10);
    flush(s, db, true);
    write_one(s, db, SHL_ROW_TOMBSTONE, 1, false);
    write_one(s, db, 0, 11, false);
    check_scan(s, db, true);
    await_foreign(s);
    call_begins(s);
    shale_code rc = shl_lsm_settle(db, &err);
    (void)judge(s, db, rc, &err, "settle");
    check_get(s, db, 2);
    check_get(s, db, 9);
    check_get_many(s, db);
    check_scan(s, db, false);
    read_beside(s, db, open, false);
    read_beside(s, db, open, true);
    read_checkpoint(s, open);
    write_batch(s, db, 5, true);
    write_one(s, db, 0, 3, false); /* left for close */
}

static void arm(struct scene *s)
{
    s->healed = false;
    if (s->allocs)
        sim_alloc_fault_arm(sim_group_self(), s->alloc_n, s->sticky);
}

/* A fault that stays was taken away while a call waited; closing must come to its end without that. */
static void arm_for_close(struct scene *s)
{
    if (!s->healed || !s->sticky)
        return;
    if (s->allocs) {
        sim_alloc_fault_arm(sim_group_self(), 0, true);
    } else {
        s->faults.nth = 0;
        s->faults.armed = s->allowed == SHALE_OK ? 0 : WORLD_FAIL_BEFORE;
    }
}

static void scenario(void *arg)
{
    struct scene *s = arg;
    struct process p;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    arm(s);
    shale_code rc = enter(&p, s, &s->faults, &err);
    if (!judge(s, NULL, rc, &err, "make the store"))
        goto out;
    call_begins(s);
    rc = shl_lsm_open_writer(&p.open, &db, &err);
    if (judge(s, NULL, rc, &err, "open")) {
        struct shl_lsm_status status;
        use_database(s, db, &p.open);
        shl_lsm_status(db, &status);
        s->compactions = (unsigned)status.compactions_done;
        arm_for_close(s);
        rc = shl_lsm_close(db, &err);
        s->clean = judge(s, NULL, rc, &err, "close") && status.closed == SHALE_OK;
    }
    leave(&p);
out:
    s->ended = true;
}

/* ---------------------------------------------------------------- after it */

/* Opens once more, without faults: everything that was durable is there, and nothing that was not written. */
static void verify(void *arg)
{
    struct scene *s = arg;
    struct process p;
    struct shl_lsm *db = NULL;
    struct shl_lsm_status status;
    shale_error err = {0};
    uint64_t seen = 0;
    must(enter(&p, s, &s->no_faults, &err), &err, "store of the last process");
    shale_code rc = shl_lsm_open_reader(&p.open, &(struct shl_lsm_reader){0}, &db, &err);
    if (rc != SHALE_NOT_FOUND || !s->empty) { /* else it was not made yet */
        must(rc, &err, "open a reader afterwards");
        shl_lsm_status(db, &status);
        seen = status.committed_seq;
        must(compare_scan(db, &s->history, seen, false, &err), &err, "scan of a reader afterwards");
        must(shl_lsm_close(db, &err), &err, "close of a reader afterwards");
    }

    must(shl_lsm_open_writer(&p.open, &db, &err), &err, "open afterwards");
    shl_lsm_status(db, &status);
    SHL_ASSERT(status.committed_seq == seen);
    if (seen < durable_limit(&s->history))
        env_die("a write that was acknowledged as durable is gone");
    if (s->clean && seen != last_seq(&s->history))
        env_die("a write is gone after a clean close");
    must(compare_scan(db, &s->history, seen, false, &err), &err, "scan afterwards");
    must(compare_scan(db, &s->history, seen, true, &err), &err, "reverse scan afterwards");
    forget_after(&s->history, seen);
    s->allowed = SHALE_OK;
    write_one(s, db, 0, 4, true);
    for (unsigned i = 0; i < 3; i++) { /* enough for a compaction */
        write_one(s, db, SHL_ROW_MERGE, 4, false);
        flush(s, db, true);
    }
    must(shl_lsm_settle(db, &err), &err, "settle afterwards");
    for (unsigned k = 0; k < KEYS; k++)
        check_get(s, db, k);
    must(shl_lsm_close(db, &err), &err, "close afterwards");

    must(shl_lsm_open_reader(&p.open, &(struct shl_lsm_reader){0}, &db, &err), &err,
         "open a reader at the end");
    must(compare_scan(db, &s->history, last_seq(&s->history), false, &err), &err,
         "scan of a reader at the end");
    must(shl_lsm_close(db, &err), &err, "close of a reader at the end");
    leave(&p);
    s->verified = true;
}

/* A job that came to nothing is not recorded as running behind one that was finished later: other coordinators and collectors would wait for it. */
static void check_jobs(struct scene *s)
{
    struct shl_buf body = {0};
    struct shl_compactions *c = NULL;
    shale_error err = {0};
    bool later_finished = false;
    if (newest(s, "compactions", &body) == 0)
        return;
    must(shl_compactions_decode(shl_buf_view(&body), &c, &err), &err, "newest compactions");
    for (size_t i = c->jobs.count; i-- > 0;) {
        bool finished = c->jobs.items[i].status == SHL_COMPACTION_COMPLETED ||
                        c->jobs.items[i].status == SHL_COMPACTION_FAILED;
        if (later_finished && !finished)
            env_die("a compaction is recorded as if it still ran");
        later_finished = later_finished || finished;
    }
    shl_compactions_free(c);
    shl_buf_free(&body);
}

/* What is not rows: others' checkpoints live on. */
static void check_records(struct scene *s)
{
    uint64_t id;
    struct shl_manifest *m = newest_manifest(s, &id);
    if (s->foreign_done && !has_foreign_checkpoint(m))
        env_die("a checkpoint that somebody else made is gone");
    shl_manifest_free(m);
}
static void check_no_leak(sim_group g)
{
    if (sim_alloc_live(g) == 0)
        return;
    sim_alloc_live_print(g, 10);
    env_die("memory of an ended process is still there");
}

#define PATIENCE_NS (20 * ENV_NS_PER_SEC)

/* Waits for the process. What waits for memory or the store to come back does so for as long as it takes; then they come back. */
static void attend(struct scene *s, sim_group g)
{
    while (sim_group_alive(g)) {
        env_sleep_ns(20 * ENV_NS_PER_MS);
        if (s->foreign_due)
            make_foreign_checkpoint(s);
        if (s->waiting_since == 0 || env_now_mono_ns() < s->waiting_since + PATIENCE_NS ||
            s->healed)
            continue;
        sim_trace("the fault is taken away");
        s->healed = true;
        s->faults.armed = 0;
        if (s->allocs)
            s->alloc_seen = sim_alloc_fault_disarm(g);
    }
}

struct plan {
    struct scene *scene;
    bool points; /* kill at the n-th ENV_POINT */
    uint64_t n;
    uint64_t points_seen;
};

static void run_main(void *arg)
{
    struct plan *plan = arg;
    struct scene *s = plan->scene;
    sim_group g = sim_group_new("scenario", 3600 * 1000);
    if (plan->points)
        sim_point_kill_arm(g, plan->n);
    sim_group_spawn(g, "main", scenario, s);
    attend(s, g);
    if (plan->points)
        plan->points_seen = sim_point_kill_disarm(g);
    if (s->allocs) {
        uint64_t seen = sim_alloc_fault_disarm(g);
        s->alloc_seen = s->alloc_seen > seen ? s->alloc_seen : seen;
    }
    if (s->ended)
        check_no_leak(g);
    check_jobs(s);
    s->sticky = false;
    s->failures = 0;
    sim_group last = sim_group_new("last", 2 * 3600 * 1000);
    sim_group_spawn(last, "main", verify, s);
    sim_group_wait(last);
    SHL_ASSERT(s->verified);
    check_no_leak(last);
    check_jobs(s);
    check_records(s);
}
/* ---------------------------------------------------------------- the bucket before */

/* A run, two L0s, merge operands in both, and WAL objects: the process is killed without closing. */
static void prepare(void *arg)
{
    struct scene *s = arg;
    struct process p;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    must(enter(&p, s, &s->no_faults, &err), &err, "store");
    must(shl_lsm_open_writer(&p.open, &db, &err), &err, "open");
    for (unsigned i = 0; i < 5; i++) {
        write_one(s, db, 0, 2 * i, false);
        write_one(s, db, 0, 2 * i + 1, false);
        write_one(s, db, SHL_ROW_MERGE, i, false);
        if (i == 2) {
            must(shl_lsm_settle(db, &err), &err, "settle");
        } else {
            flush(s, db, true);
        }
    }
    write_batch(s, db, 0, true);
    write_one(s, db, 0, 7, true);
    struct shl_lsm_status status;
    shl_lsm_status(db, &status);
    SHL_ASSERT(status.run_count > 0 && status.l0_count > 1);
    sim_group_kill_self();
}

static void prepare_main(void *arg)
{
    sim_group g = sim_group_new("first", 0);
    sim_group_spawn(g, "main", prepare, arg);
    sim_group_wait(g);
}

struct variant {
    const char *name;
    bool empty;    /* there is no database yet */
    bool wal_off;  /* in the scenario; the bucket has WAL objects */
    bool segments; /* a tree for every first byte of the keys */
    /* A store call takes up to this: more of the background runs between the client's calls. */
    uint64_t latency_ns;
    /* Most points are the same ones in every variant: so many are gone on at once. */
    unsigned store_step;
    unsigned alloc_step;
};
static const struct variant variants[] = {
    {.name = "plain", .store_step = 1, .alloc_step = 2},
    {.name = "empty", .empty = true, .store_step = 3, .alloc_step = 6},
    {.name = "slow store", .latency_ns = 30 * ENV_NS_PER_MS, .store_step = 3, .alloc_step = 12},
    {.name = "segments",
     .segments = true,
     .latency_ns = 5 * ENV_NS_PER_MS,
     .store_step = 4,
     .alloc_step = 16},
    {.name = "WAL off",
     .wal_off = true,
     .latency_ns = 5 * ENV_NS_PER_MS,
     .store_step = 3,
     .alloc_step = 9},
};
static void small_settings(const struct variant *v, struct shl_lsm_settings *s)
{
    shl_lsm_settings_default(s);
    s->sst_block_size_bytes = 1024;
    s->l0_sst_size_bytes = 2000;
    s->max_unflushed_bytes = 10000;
    s->l0_flush_parallelism = 2;
    s->min_filter_keys = 1;
    s->min_compaction_sources = v->empty ? 2 : 3;
    s->max_compaction_sources = 4;
    /* So that jobs end in their order: see check_jobs. Several at once are in test_compactor_fault.c. */
    s->compactor_max_concurrent = 1;
    s->max_sst_size_bytes = 1500;
    s->block_cache_bytes = 64 * 1024;
    s->compression = SHL_COMPRESSION_LZ4;
    if (v->latency_ns > 20 * ENV_NS_PER_MS) /* nobody but who writes it looks at the manifest */
        s->manifest_poll_interval_ns = 600 * ENV_NS_PER_SEC;
    if (v->segments)
        SHL_ASSERT(shl_extractor_parse("1", &s->segment_extractor));
}

static struct scene first; /* its bucket is what every run starts from */

static void make_first(const struct variant *v, uint64_t seed)
{
    shale_error err = {0};
    struct sim_options o = {.seed = seed, .policy = SIM_UNIFORM, .scenario = "prepare"};
    first = (struct scene){.max_retries = UINT32_MAX, .allowed = SHALE_OK};
    small_settings(v, &first.settings);
    world_init();
    must(shl_store_memory_new(&first.bucket, &err), &err, "bucket");
    first.empty = v->empty;
    if (!v->empty)
        (void)sim_run(&o, prepare_main, &first);
    first.settings.wal_enabled = !v->wal_off;
    first.faults.latency_max_ns = v->latency_ns;
}

static void drop_first(void)
{
    shl_store_unref(first.bucket);
    if (sim_alloc_live(0) == 0)
        return;
    sim_alloc_live_print(0, 10);
    exit(1);
}

static struct shl_store *copy_bucket(void)
{
    struct shl_store *bucket;
    struct shl_list list = {0};
    shale_error err = {0};
    must(shl_store_memory_new(&bucket, &err), &err, "bucket");
    must(shl_store_list(first.bucket, &(struct shl_list_options){0}, &list, &err), &err, "list");
    for (size_t i = 0; i < list.count; i++) {
        struct shl_buf body = {0};
        must(shl_store_get(first.bucket, list.items[i].key, NULL, &body, NULL, &err), &err, "get");
        struct shl_slice part = shl_buf_view(&body);
        must(shl_store_put(bucket, list.items[i].key, &part, 1, &(struct shl_put){0}, NULL, &err),
             &err, "put");
        shl_buf_free(&body);
    }
    shl_list_free(&list);
    return bucket;
}

/* ---------------------------------------------------------------- the loops */

enum kind { ALLOC, STORE, POINT };

struct loop {
    const char *name;
    enum kind kind;
    unsigned fault; /* enum world_fault, with STORE */
    bool sticky;
    bool conditional_only;
    bool no_attributes;
    uint32_t max_retries; /* UINT32_MAX: none above the store */
    shale_code allowed;
    unsigned min_points; /* a loop that got shorter skips something */
};

#define NO_RETRY UINT32_MAX
/* name, kind, fault, sticky, conditional only, no attributes, retries, allowed, fewest points */
static const struct loop loops[] = {
    {"store-before", STORE, WORLD_FAIL_BEFORE, false, false, false, NO_RETRY, SHALE_UNAVAILABLE,
     110},
    {"store-after", STORE, WORLD_FAIL_AFTER, false, false, false, NO_RETRY, SHALE_UNAVAILABLE, 110},
    {"store-before-sticky", STORE, WORLD_FAIL_BEFORE, true, false, false, NO_RETRY,
     SHALE_UNAVAILABLE, 110},
    {"store-after-sticky", STORE, WORLD_FAIL_AFTER, true, false, false, NO_RETRY, SHALE_UNAVAILABLE,
     110},
    {"retried-before", STORE, WORLD_FAIL_BEFORE, false, false, false, 3, SHALE_OK, 110},
    {"retried-after", STORE, WORLD_FAIL_AFTER, false, false, false, 3, SHALE_OK, 110},
    {"retried-before-sticky", STORE, WORLD_FAIL_BEFORE, true, false, false, 3, SHALE_UNAVAILABLE,
     110},
    {"retried-after-sticky", STORE, WORLD_FAIL_AFTER, true, false, false, 3, SHALE_UNAVAILABLE,
     110},
    {"lost-answers", STORE, WORLD_FAIL_AFTER, false, true, false, 3, SHALE_OK, 20},
    {"lost-answers-no-attributes", STORE, WORLD_FAIL_AFTER, false, true, true, 3, SHALE_OK, 20},
    {"no-attributes-after", STORE, WORLD_FAIL_AFTER, false, false, true, 3, SHALE_OK, 110},
    {"nomem-before", STORE, WORLD_FAIL_BEFORE, false, false, false, 0, SHALE_NOMEM, 110},
    {"nomem-in-puts-before", STORE, WORLD_FAIL_BEFORE, false, true, false, 0, SHALE_OK, 20},
    {"nomem-in-puts-after", STORE, WORLD_FAIL_AFTER, false, true, false, 0, SHALE_OK, 20},
    {"nomem-in-puts-no-attributes", STORE, WORLD_FAIL_AFTER, false, true, true, 0, SHALE_OK, 20},
    {"kill-before", STORE, WORLD_KILL_BEFORE, false, false, false, NO_RETRY, SHALE_OK, 110},
    {"kill-after", STORE, WORLD_KILL_AFTER, false, false, false, NO_RETRY, SHALE_OK, 110},
    {"kill-at-point", POINT, 0, false, false, false, NO_RETRY, SHALE_OK, 25},
    {"alloc", ALLOC, 0, false, false, false, 3, SHALE_NOMEM, 1100},
    {"alloc-sticky", ALLOC, 0, true, false, false, 3, SHALE_NOMEM, 1100},
};

/* The store runs out of memory: its allocations are not this process's, so the other loops do not cut them. */
static bool is_nomem(const struct loop *l)
{
    return l->kind == STORE && strncmp(l->name, "nomem-", 6) == 0;
}

/* True while the n-th point is reached. */
static bool run_point(const struct variant *v, const struct loop *l, uint64_t n, uint64_t seed)
{
    static struct scene s;
    char name[100];
    struct plan plan = {.scene = &s, .points = l->kind == POINT, .n = n};
    snprintf(name, sizeof name, "%s, %s, n=%" PRIu64, v->name, l->name, n);
    s = first;
    world_init();
    s.bucket = copy_bucket();
    s.max_retries = l->max_retries;
    s.no_attributes = l->no_attributes;
    s.allocs = l->kind == ALLOC;
    s.alloc_n = n;
    s.sticky = l->sticky;
    s.allowed = l->allowed;
    if (l->kind == STORE)
        s.faults = (struct world_faults){.latency_max_ns = v->latency_ns,
                                         .armed = l->fault,
                                         .code = is_nomem(l) ? SHALE_NOMEM : SHALE_OK,
                                         .nth = n,
                                         .sticky = l->sticky,
                                         .conditional_only = l->conditional_only};
    struct sim_options o = {.seed = seed, .policy = SIM_UNIFORM, .scenario = name};
    (void)sim_run(&o, run_main, &plan);
    shl_store_unref(s.bucket);
    bool reached = l->kind == ALLOC   ? s.alloc_seen > n
                   : l->kind == STORE ? s.faults.fired
                                      : plan.points_seen > n;
    if (!reached && (!s.clean || s.compactions == 0)) {
        fprintf(stderr, "%s: the scenario without a fault did not do its work\n", name);
        exit(1);
    }
    return reached;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

static void run_loop(const struct variant *v, const struct loop *l, uint64_t seed, uint64_t one)
{
    unsigned usual = l->kind == ALLOC ? v->alloc_step : l->kind == STORE ? v->store_step : 1;
    uint64_t step = number("FAULT_STEP", l->conditional_only ? 1 : usual), n = seed % step,
             runs = 1;
    if (one != UINT64_MAX) {
        (void)run_point(v, l, one, seed);
        return;
    }
    for (; run_point(v, l, n, seed); n += step)
        runs++;
    printf("%-10s %-26s seed 0x%" PRIx64 ": %" PRIu64 " points, %" PRIu64 " runs\n", v->name,
           l->name, seed, n, runs);
    fflush(stdout);
    if (n < l->min_points) {
        fprintf(stderr, "%s: %" PRIu64 " points, at least %u were expected\n", l->name, n,
                l->min_points);
        exit(1);
    }
}

static bool is_chosen(const char *variable, const char *name)
{
    const char *only = getenv(variable);
    return only == NULL || *only == '\0' || strcmp(only, name) == 0;
}

int main(void)
{
    uint64_t seed = number("SIM_SEED", 1), seeds = number("FAULT_SEEDS", 1),
             one = number("FAULT_N", UINT64_MAX);
    for (uint64_t end = seed + seeds; seed < end; seed++)
        for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
            if (!is_chosen("FAULT_VARIANT", variants[i].name))
                continue;
            make_first(&variants[i], seed);
            for (size_t k = 0; k < sizeof loops / sizeof loops[0]; k++)
                if (is_chosen("FAULT_LOOP", loops[k].name))
                    run_loop(&variants[i], &loops[k], seed, one);
            drop_first();
        }
    return 0;
}
