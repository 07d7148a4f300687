/* Goal: merge operands, segments and batches over them come through crashes, stalls and several clients at once: no operand is lost, applied twice or out
 * of order, no batch is torn, writers that wait for room go on when there is some, and the bucket stays sound.
 * Method: as test_lsm_sim.c, with two clients in a process and values that name every operand that made them (operator concat). Seqs are consecutive, so
 * the calls that did not return are found by the seqs that nobody else has. How to choose seeds: driver.h. */
#include "base/assert.h"
#include "bucket.h"
#include "driver.h"
#include "lsm/db.h"
#include "lsm/format/manifest.h"
#include "lsm/format/names.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS      26 /* the last two are a pair: every batch writes both or none */
#define PAIR      24
#define OPS_MAX   3000
#define ROWS_MAX  4
#define VALUE_MAX 2000
#define CLIENTS   2
#define FOLDS_MAX 40 /* operands on one base, so that values stay short */

struct op {
    uint64_t seq; /* 0: the call did not return */
    bool durable, dead;
    unsigned rows;
    unsigned key[ROWS_MAX];
    char kind[ROWS_MAX]; /* p, d, m */
};

struct scene {
    struct shl_store *bucket;
    struct world_faults faults;
    struct shl_lsm_settings settings;
    struct op ops[OPS_MAX];
    unsigned count;
    unsigned folds[KEYS];
    bool clean, stop, wal_always_on;
    unsigned steps;
    bool stranger;   /* another process makes room too */
    bool no_waiting; /* nobody makes room in L0: only calls that do not wait for it */
};

static void complain(const char *what, uint64_t a, uint64_t b)
{
    sim_trace("oracle: %s (%" PRIu64 ", %" PRIu64 ")", what, a, b);
    fprintf(stderr, "%s (%" PRIu64 ", %" PRIu64 ")\n", what, a, b);
    env_die(what);
}

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

static void key_text(unsigned k, char out[16])
{
    if (k >= PAIR)
        snprintf(out, 16, "%c/pair", k == PAIR ? 'a' : 'c');
    else
        snprintf(out, 16, "%c/%s%u", (int)"abc"[k % 3], k % 2 == 0 ? "k" : "key", k / 3);
}

static unsigned key_number(struct shl_slice key)
{
    for (unsigned k = 0; k < KEYS; k++) {
        char text[16];
        key_text(k, text);
        if (shl_slice_eq(key, shl_slice_str(text)))
            return k;
    }
    complain("a key that nobody wrote", 0, 0);
    return 0;
}

/* ---------------------------------------------------------------- what clients do */

static void plan_op(struct scene *s, struct op *op)
{
    bool pair = sim_chance(0.15);
    *op = (struct op){.rows = pair ? 2 : 1 + (unsigned)sim_rand_below(ROWS_MAX)};
    char kind = 'm';
    for (unsigned r = 0; r < op->rows; r++) {
        unsigned k = pair ? PAIR + r : (unsigned)sim_rand_below(PAIR);
        for (unsigned i = 0; i < r; i++)
            if (op->key[i] == k) /* each key once: the batch itself folds in test_db.c */
                k = PAIR;
        if (k == PAIR && !pair) {
            op->rows = r;
            break;
        }
        double p = (double)sim_rand_below(1000) / 1000;
        if (r == 0 || !pair) {
            kind = p < 0.2 ? 'p' : p < 0.3 ? 'd' : 'm';
            if (kind == 'm' && s->folds[k] >= FOLDS_MAX)
                kind = 'p';
        }
        op->key[r] = k;
        op->kind[r] = kind;
        s->folds[k] = kind == 'm' ? s->folds[k] + 1 : 0;
    }
}

static void now_durable(struct scene *s, uint64_t seq)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->ops[i].seq != 0 && s->ops[i].seq <= seq && !s->ops[i].dead)
            s->ops[i].durable = true;
}

static void random_write(struct scene *s, struct shl_lsm *db, bool durable)
{
    shale_error err = {0};
    struct shl_batch b;
    struct shl_lsm_written written = {0};
    struct shl_lsm_write how = {.await_durable = durable};
    unsigned number = s->count++;
    struct op *op = &s->ops[number];
    char tag[16];
    plan_op(s, op);
    snprintf(tag, sizeof tag, "<%u>", number);
    shl_batch_init(&b);
    for (unsigned r = 0; r < op->rows; r++) {
        char key[16];
        key_text(op->key[r], key);
        shl_batch_add(&b,
                      op->kind[r] == 'p'   ? 0
                      : op->kind[r] == 'd' ? SHL_ROW_TOMBSTONE
                                           : SHL_ROW_MERGE,
                      shl_slice_str(key), shl_slice_str(op->kind[r] == 'd' ? "" : tag),
                      (struct shl_ttl){0});
    }
    must(shl_lsm_write(db, &b, &how, &written, &err), &err, "write");
    shl_batch_deinit(&b);
    op->seq = written.seq;
    if (durable)
        now_durable(s, written.seq);
    sim_trace("write %u seq %" PRIu64 " durable %d", number, written.seq, (int)durable);
    sim_progress();
}

/* At any moment, in any view: keys in order, none twice, and the two of the pair equal. */
static void check_view(struct shl_lsm *db, bool remote)
{
    shale_error err = {0};
    struct shl_lsm_iter *it;
    struct shl_row row;
    struct shl_buf last = {0};
    char pair[2][VALUE_MAX] = {"", ""};
    bool any = false;
    struct shl_lsm_scan how = {.reverse = sim_chance(0.5), .remote_only = remote};
    shale_code rc = shl_lsm_scan_open(db, &(struct shl_lsm_range){0}, &how, &it, &err);
    must(rc, &err, "scan");
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        unsigned k = key_number(row.key);
        int c = any ? shl_slice_cmp(row.key, shl_buf_view(&last)) : 0;
        if (any && (how.reverse ? c >= 0 : c <= 0))
            complain("a scan out of order", k, 0);
        must(shl_buf_set(&last, row.key, &err), &err, "copy a key");
        any = true;
        if (row.value.len >= VALUE_MAX)
            complain("a value that is too long", k, row.value.len);
        if (k >= PAIR && row.value.len > 0)
            memcpy(pair[k - PAIR], row.value.data, row.value.len);
        if (sim_chance(0.02))
            env_sleep_ns(sim_rand_below(100 * ENV_NS_PER_MS)); /* things go on below us */
    }
    if (rc != SHALE_DONE)
        must(rc, &err, "scan");
    shl_lsm_iter_close(it);
    shl_buf_free(&last);
    if (strcmp(pair[0], pair[1]) != 0)
        complain("a torn batch", strlen(pair[0]), strlen(pair[1]));
}

struct client {
    struct scene *scene;
    struct shl_lsm *db;
};

static void client(void *arg)
{
    struct client *c = arg;
    struct scene *s = c->scene;
    shale_error err = {0};
    bool wal = s->settings.wal_enabled;
    for (unsigned i = 0; i < s->steps && s->count < OPS_MAX; i++) {
        double p = (double)sim_rand_below(1000) / 1000;
        if (p < 0.72) {
            random_write(s, c->db, wal ? sim_chance(0.3) : !s->no_waiting && sim_chance(0.05));
        } else if (p < 0.80) {
            if (!s->no_waiting || wal) {
                must(shl_lsm_flush(c->db, false, &err), &err, "flush");
                struct shl_lsm_status status;
                shl_lsm_status(c->db, &status);
                now_durable(s, status.durable_seq);
            }
        } else if (p < 0.84) {
            if (!s->no_waiting)
                must(shl_lsm_flush(c->db, true, &err), &err, "flush the memtable");
        } else if (p < 0.86) {
            if (!s->no_waiting)
                must(shl_lsm_settle(c->db, &err), &err, "settle");
        } else if (p < 0.93) {
            check_view(c->db, sim_chance(0.3));
        } else {
            env_sleep_ns(sim_rand_below(300 * ENV_NS_PER_MS));
        }
        sim_progress();
    }
}

/* ---------------------------------------------------------------- oracle */

struct value {
    bool live;
    uint64_t seq;
    size_t len;
    char text[VALUE_MAX];
};

static int by_seq(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a, *y = *(const struct op *const *)b;
    return x->seq < y->seq ? -1 : x->seq > y->seq ? 1 : 0;
}

static void model(const struct scene *s, uint64_t limit, struct value rows[KEYS])
{
    static const struct op *sorted[OPS_MAX];
    size_t n = 0;
    for (unsigned i = 0; i < s->count; i++)
        if (!s->ops[i].dead && s->ops[i].seq != 0 && s->ops[i].seq <= limit)
            sorted[n++] = &s->ops[i];
    qsort(sorted, n, sizeof sorted[0], by_seq);
    memset(rows, 0, KEYS * sizeof rows[0]);
    for (size_t i = 0; i < n; i++)
        for (unsigned r = 0; r < sorted[i]->rows; r++) {
            struct value *v = &rows[sorted[i]->key[r]];
            if (sorted[i]->kind[r] != 'm')
                v->len = 0;
            v->live = sorted[i]->kind[r] != 'd';
            v->seq = sorted[i]->seq;
            if (v->live)
                v->len += (size_t)snprintf(v->text + v->len, VALUE_MAX - v->len, "<%u>",
                                           (unsigned)(sorted[i] - s->ops));
        }
}

/* What the database has, forward, and the same backward and by gets. */
static void read_all(struct shl_lsm *db, struct value rows[KEYS])
{
    static struct value back[KEYS];
    shale_error err = {0};
    int64_t create[KEYS];
    for (unsigned pass = 0; pass < 2; pass++) {
        struct value *to = pass == 0 ? rows : back;
        struct shl_lsm_iter *it;
        struct shl_row row;
        shale_code rc;
        memset(to, 0, KEYS * sizeof to[0]);
        must(shl_lsm_scan_open(db, &(struct shl_lsm_range){0},
                               &(struct shl_lsm_scan){.reverse = pass == 1}, &it, &err),
             &err, "scan");
        while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
            unsigned k = key_number(row.key);
            if (row.value.len >= VALUE_MAX)
                complain("a value that is too long", k, row.value.len);
            to[k].live = true;
            to[k].seq = row.seq;
            to[k].len = row.value.len;
            memcpy(to[k].text, row.value.data, row.value.len);
            create[k] = row.create_ts;
        }
        if (rc != SHALE_DONE)
            must(rc, &err, "scan");
        shl_lsm_iter_close(it);
    }
    for (unsigned k = 0; k < KEYS; k++) {
        char key[16], text[VALUE_MAX];
        size_t len = 0;
        key_text(k, key);
        shale_code rc = shl_lsm_get_into(db, shl_slice_str(key), &(struct shl_lsm_read){0}, text,
                                         sizeof text, &len, &err);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            must(rc, &err, "get");
        if (back[k].live != rows[k].live || back[k].seq != rows[k].seq ||
            back[k].len != rows[k].len || memcmp(back[k].text, rows[k].text, rows[k].len) != 0)
            complain("forward and reverse scans differ", k, rows[k].seq);
        if ((rc == SHALE_OK) != rows[k].live || len != rows[k].len ||
            memcmp(text, rows[k].text, len) != 0)
            complain("get and scan differ", k, rows[k].seq);
        for (unsigned o = 0; o < k;
             o++) /* time does not go back, whatever the clocks of the processes say */
            if (rows[k].live && rows[o].live && rows[k].seq > rows[o].seq && create[k] < create[o])
                complain("a later row has an earlier create_ts", rows[o].seq, rows[k].seq);
    }
}

static bool equal(const struct value a[KEYS], const struct value b[KEYS])
{
    for (unsigned k = 0; k < KEYS; k++)
        if (a[k].live != b[k].live || (a[k].live && (a[k].seq != b[k].seq || a[k].len != b[k].len ||
                                                     memcmp(a[k].text, b[k].text, a[k].len) != 0)))
            return false;
    return true;
}

/* Seqs up to limit that no call that returned has: calls that did not return must have them. */
static size_t find_gaps(const struct scene *s, uint64_t limit, uint64_t gaps[CLIENTS])
{
    static bool taken[OPS_MAX * 2];
    size_t n = 0;
    if (limit >= sizeof taken)
        complain("more seqs than operations", limit, s->count);
    memset(taken, 0, sizeof taken);
    for (unsigned i = 0; i < s->count; i++)
        if (!s->ops[i].dead && s->ops[i].seq != 0 && s->ops[i].seq <= limit)
            taken[s->ops[i].seq] = true;
    for (uint64_t seq = 1; seq <= limit; seq++)
        if (!taken[seq]) {
            if (n == CLIENTS)
                complain("seqs that nobody wrote", seq, limit);
            gaps[n++] = seq;
        }
    return n;
}

/* Gives the gaps to the calls that did not return, in every way, until the database is explained. */
static bool explain(struct scene *s, uint64_t limit, const struct value rows[KEYS])
{
    static struct value want[KEYS];
    uint64_t gaps[CLIENTS];
    struct op *open[CLIENTS];
    size_t gap_count = find_gaps(s, limit, gaps), n = 0;
    for (unsigned i = 0; i < s->count; i++)
        if (!s->ops[i].dead && s->ops[i].seq == 0) {
            if (n == CLIENTS)
                complain("more calls than clients", i, n);
            open[n++] = &s->ops[i];
        }
    if (gap_count > n)
        complain("a seq that nobody wrote", gaps[0], limit);
    for (unsigned way = 0; way < 2; way++) {
        for (size_t i = 0; i < n; i++)
            open[i]->seq = 0;
        for (size_t g = 0; g < gap_count; g++)
            open[n == 2 && way == 1 ? 1 - g : g]->seq = gaps[g];
        model(s, limit, want);
        if (equal(rows, want))
            return true;
    }
    for (unsigned k = 0; k < KEYS; k++)
        if (rows[k].live != want[k].live || rows[k].seq != want[k].seq)
            sim_trace("key %u: live %d seq %" PRIu64 " %.*s, model live %d seq %" PRIu64 " %.*s", k,
                      rows[k].live, rows[k].seq, (int)rows[k].len, rows[k].text, want[k].live,
                      want[k].seq, (int)want[k].len, want[k].text);
    return false;
}

static void check_database(struct scene *s, struct shl_lsm *db, bool all)
{
    static struct value rows[KEYS];
    struct shl_lsm_status status;
    check_view(db, false);
    shl_lsm_status(db, &status);
    uint64_t limit = status.committed_seq;
    read_all(db, rows);
    if (!explain(s, limit, rows))
        complain("the database is not a prefix of what was written", limit, s->count);
    for (unsigned i = 0; i < s->count; i++) {
        struct op *op = &s->ops[i];
        bool in = op->seq != 0 && op->seq <= limit;
        if (!op->dead && !in && (op->durable || (all && op->seq != 0)))
            complain("an operation is gone that must be there", i, op->seq);
        if (!in)
            op->dead = true;
    }
    now_durable(s, limit);
    memset(s->folds, 0, sizeof s->folds);
    for (unsigned k = 0; k < KEYS; k++)
        s->folds[k] = (unsigned)(rows[k].len / 4);
    sim_progress();
}

/* ---------------------------------------------------------------- a process */

static const struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                               .delay_first_ns = 5 * ENV_NS_PER_MS};

static void writer_process(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *world, *store;
    struct shl_merge_operator concat;
    struct client clients[CLIENTS];
    struct env_task *tasks[CLIENTS];
    struct shl_lsm *db;
    bool was_clean = s->clean;
    s->clean = false;
    must(world_store_new(s->bucket, &s->faults, &world, &err), &err, "store");
    must(shl_store_retry_new(&store, world, &retry, &err), &err, "store");
    SHL_ASSERT(shl_merge_operator_builtin("concat", &concat));
    struct shl_lsm_open o = {
        .store = store, .path = "db", .settings = &s->settings, .merge = &concat};
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open");
    check_database(s, db, was_clean);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.scene = s, .db = db};
        must(env_task_spawn(&tasks[i], "client", client, &clients[i]), &err, "spawn");
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        env_task_join(tasks[i]);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
    shl_store_unref(world);
    s->clean = true;
}

static void reader_process(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *world, *store;
    struct shl_merge_operator concat;
    struct shl_lsm_settings settings; /* of its own: the scene's change during an open */
    uint64_t last = 0;
    shl_lsm_settings_default(&settings);
    settings.gc.enabled = false;
    must(world_store_new(s->bucket, &s->faults, &world, &err), &err, "store");
    must(shl_store_retry_new(&store, world, &retry, &err), &err, "store");
    SHL_ASSERT(shl_merge_operator_builtin("concat", &concat));
    while (!s->stop) {
        struct shl_lsm *db;
        struct shl_lsm_open o = {
            .store = store, .path = "db", .settings = &settings, .merge = &concat};
        struct shl_lsm_reader how = {.follow = sim_chance(0.5)};
        shale_code rc = shl_lsm_open_reader(&o, &how, &db, &err);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            must(rc, &err, "open a reader");
        for (unsigned i = 0; rc == SHALE_OK && i < 4 && !s->stop; i++) {
            struct shl_lsm_status status;
            check_view(db, false);
            shl_lsm_status(db, &status);
            if (status.committed_seq < last)
                complain("a reader went back in time", last, status.committed_seq);
            last = status.committed_seq;
            env_sleep_ns(sim_rand_below(ENV_NS_PER_SEC));
            must(shl_lsm_refresh(db, &err), &err, "refresh");
        }
        if (rc == SHALE_OK)
            must(shl_lsm_close(db, &err), &err, "close a reader");
        env_sleep_ns(1 + sim_rand_below(300 * ENV_NS_PER_MS));
    }
    shl_store_unref(store);
    shl_store_unref(world);
}

/* ---------------------------------------------------------------- somebody else */

static bool load_newest(struct shl_store *store, struct shl_manifest **m, uint64_t *id)
{
    shale_error err = {0};
    struct shl_list list = {0};
    struct shl_buf body = {0};
    must(shl_store_list(store, &(struct shl_list_options){.prefix = "db/manifest"}, &list, &err),
         &err, "list");
    bool any = list.count > 0;
    if (any) {
        const char *key = list.items[list.count - 1].key;
        SHL_ASSERT(shl_name_parse_id(key, "manifest", id));
        must(shl_store_get(store, key, NULL, &body, NULL, &err), &err, "get");
        must(shl_manifest_decode(shl_buf_view(&body), m, &err), &err, "decode");
    }
    shl_buf_free(&body);
    shl_list_free(&list);
    return any;
}

/* False if somebody was faster. */
static bool write_next(struct shl_store *store, const struct shl_manifest *m, uint64_t id)
{
    shale_error err = {0};
    struct shl_buf body = {0};
    char key[64];
    snprintf(key, sizeof key, "db/manifest/%020" PRIu64 ".manifest", id + 1);
    must(shl_manifest_encode(m, &body, &err), &err, "encode");
    struct shl_slice part = shl_buf_view(&body);
    shale_code rc =
        shl_store_put(store, key, &part, 1, &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL, &err);
    if (rc != SHALE_ALREADY_EXISTS)
        must(rc, &err, "put");
    shl_buf_free(&body);
    return rc == SHALE_OK;
}

static uint32_t next_run(const struct shl_manifest *m)
{
    uint32_t next = 0;
    for (size_t s = 0; s <= m->segments.count; s++) {
        const struct shl_tree *t = s == 0 ? &m->root : &m->segments.items[s - 1].tree;
        for (size_t i = 0; i < t->runs.count; i++)
            next = t->runs.items[i].id >= next ? t->runs.items[i].id + 1 : next;
    }
    return next;
}

/* The oldest L0 SST of some tree becomes the newest run as it is: the least that a compaction can do. */
static bool move_one(struct shl_manifest *m)
{
    size_t at = sim_rand_below(m->segments.count + 1);
    struct shl_tree *t = at == 0 ? &m->root : &m->segments.items[at - 1].tree;
    struct shl_run run = {.id = next_run(m)};
    if (t->l0.count == 0)
        return false;
    struct shl_sst_view oldest = t->l0.items[--t->l0.count];
    SHL_ASSERT(shl_array_push(&run.ssts, oldest) && shl_array_reserve(&t->runs, 1));
    memmove(&t->runs.items[1], &t->runs.items[0], t->runs.count * sizeof t->runs.items[0]);
    t->runs.items[0] = run;
    t->runs.count++;
    t->has_watermark = true;
    t->watermark = oldest.id;
    return true;
}

/* Another process that changes manifests: an admin that makes checkpoints, and a coordinator. */
static void stranger_process(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *world, *store;
    must(world_store_new(s->bucket, &s->faults, &world, &err), &err, "store");
    must(shl_store_retry_new(&store, world, &retry, &err), &err, "store");
    while (!s->stop) {
        struct shl_manifest *m;
        uint64_t id;
        /* Two coordinators that take over from each other all the time would get nowhere. */
        env_sleep_ns(
            1 + sim_rand_below((s->settings.compactor_enabled ? 60000 : 1500) * ENV_NS_PER_MS));
        if (!load_newest(store, &m, &id))
            continue;
        if (sim_chance(0.3)) {
            struct shl_checkpoint c = {
                .id = shl_uuid_make(sim_rand(), sim_rand()), .manifest_id = id + 1, .create_s = 1};
            SHL_ASSERT(shl_array_push(&m->checkpoints, c));
            (void)write_next(store, m, id);
        } else {
            m->compactor_epoch++; /* ours; then the move, unless somebody came between */
            if (write_next(store, m, id) && move_one(m))
                (void)write_next(store, m, id + 1);
        }
        shl_manifest_free(m);
    }
    shl_store_unref(store);
    shl_store_unref(world);
}

/* ---------------------------------------------------------------- the scenario */

static void check_no_leak(sim_group g)
{
    if (sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("memory of an ended process is still there");
    }
}

static void choose_store(struct scene *s)
{
    s->faults = (struct world_faults){.latency_max_ns = (1 + sim_rand_below(60)) * ENV_NS_PER_MS};
    if (sim_chance(0.2))
        s->faults.fixed_ns = sim_rand_below(1500) * ENV_NS_PER_MS; /* a slow one */
    if (sim_chance(0.4)) {
        s->faults.before = (double)sim_rand_below(60) / 1000;
        s->faults.after = (double)sim_rand_below(60) / 1000;
    }
}

/* True if the process may come to stand still: nobody makes room in a full L0. */
static bool choose_settings(struct scene *s)
{
    struct shl_extractor extractor = s->settings.segment_extractor;
    world_random_settings(&s->settings);
    s->settings.segment_extractor = extractor;
    s->settings.min_compaction_sources = 2;
    s->settings.max_compaction_sources = 2 + (uint32_t)sim_rand_below(4);
    s->settings.l0_max_ssts = s->settings.l0_max_ssts_per_key = 3 + (uint32_t)sim_rand_below(3);
    s->settings.max_unflushed_bytes = s->settings.l0_sst_size_bytes + 1 + sim_rand_below(1500);
    s->settings.compactor_enabled = sim_chance(0.7);
    if (sim_chance(0.4)) /* the WAL comes long after the L0 upload, unless that asks for it */
        s->settings.flush_interval_ns = (1 + sim_rand_below(4)) * ENV_NS_PER_SEC;
    s->no_waiting = !s->settings.compactor_enabled && sim_chance(0.5);
    if (s->no_waiting)
        s->settings.max_unflushed_bytes = 1 << 20;
    s->wal_always_on = s->wal_always_on && s->settings.wal_enabled;
    s->steps = 1 + (unsigned)sim_rand_below(60);
    return !s->settings.compactor_enabled && !s->no_waiting && !s->stranger;
}

/* Lets the process work, stops it now and then for a while, and kills it or waits for its end. */
static void live(sim_group g, bool may_stall)
{
    while (sim_group_alive(g) && sim_chance(0.3)) {
        env_sleep_ns(sim_rand_below(3 * ENV_NS_PER_SEC));
        sim_group_pause(g);
        env_sleep_ns(sim_rand_below(20 * ENV_NS_PER_SEC));
        sim_group_resume(g);
        sim_progress();
    }
    if (may_stall || sim_chance(0.4)) {
        env_sleep_ns(sim_rand_below(10 * ENV_NS_PER_SEC));
        sim_progress();
        if (sim_group_alive(g))
            sim_group_kill(g);
    } else if (sim_chance(0.4)) {
        sim_point_kill_arm(g, sim_rand_below(80));
        sim_group_wait(g);
        (void)sim_point_kill_disarm(g);
    } else {
        sim_group_wait(g);
    }
}

static void merge_main(void *arg)
{
    struct scene *s = arg;
    sim_group reader = 0, stranger = 0;
    s->clean = s->wal_always_on = true;
    if (sim_chance(0.6))
        SHL_ASSERT(
            shl_extractor_parse(sim_chance(0.7) ? "slash" : "3", &s->settings.segment_extractor));
    struct shl_extractor extractor = s->settings.segment_extractor;
    world_random_settings(&s->settings);
    s->settings.segment_extractor = extractor;
    choose_store(s);
    if (sim_chance(0.4)) {
        reader = sim_group_new("reader", 0);
        sim_group_spawn(reader, "reader", reader_process, s);
    }
    s->stranger = sim_chance(0.4);
    if (s->stranger) {
        stranger = sim_group_new("stranger", 0);
        sim_group_spawn(stranger, "stranger", stranger_process, s);
    }
    unsigned rounds = 2 + (unsigned)sim_rand_below(5);
    for (unsigned i = 0; i < rounds; i++) {
        bool may_stall = choose_settings(s);
        choose_store(s);
        sim_group g = sim_group_new("writer", (int64_t)sim_rand_below(600000) - 300000);
        sim_group_spawn(g, "main", writer_process, s);
        live(g, may_stall);
        if (s->clean)
            check_no_leak(g);
        bucket_check(s->bucket, "db", true, s->wal_always_on);
    }
    (void)choose_settings(s);
    s->settings.compactor_enabled = true; /* whatever was left, this one gets on with it */
    s->no_waiting = false;
    s->faults = (struct world_faults){.latency_max_ns = 20 * ENV_NS_PER_MS};
    for (unsigned i = 0; i < 2; i++) {
        sim_group last = sim_group_new("last", 0);
        sim_group_spawn(last, "main", writer_process, s);
        sim_group_wait(last);
        if (!s->clean)
            env_die("the last process did not close");
        check_no_leak(last);
    }
    s->stop = true;
    if (reader != 0)
        sim_group_wait(reader);
    if (stranger != 0)
        sim_group_wait(stranger);
    bucket_check(s->bucket, "db", true, s->wal_always_on);
}

/* ---------------------------------------------------------------- driver */

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    shale_error err = {0};
    memset(&scene, 0, sizeof scene);
    world_init();
    if (shl_store_memory_new(&scene.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {.seed = seed,
                            .backend = backend,
                            .policy = SIM_POLICY_BY_SEED,
                            .scenario = sc->name,
                            .virtual_ns_max = UINT64_C(8) * 3600 * ENV_NS_PER_SEC,
                            .progress_ns_max = UINT64_MAX /* a settle may take an hour */};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    shl_store_unref(scene.bucket);
    if (sim_alloc_live(0) > 0) {
        fprintf(stderr, "seed 0x%" PRIx64 " %s: %" PRIu64 " allocations of the bucket left\n", seed,
                sc->name, sim_alloc_live(0));
        sim_alloc_live_print(0, 10);
        exit(1);
    }
    return hash;
}

int main(void)
{
    static const struct driver_scenario scenarios[] = {{"merge", merge_main}};
    return driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
}
