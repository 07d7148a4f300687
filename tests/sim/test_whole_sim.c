/* Goal: everything together. A client puts, merges, deletes, runs transactions, keeps snapshots and checkpoints, flushes, compacts, opens again and dies at any
 * moment, makes clones, writes into them and compacts and collects them apart, while a compactor, a worker and a collector without patience are at work, die and come back: each read, through whatever it goes, gives what a
 * model says, and after a crash the rows are those of a prefix of what was done that holds all that was durable.
 * Method: one client, so that the model is an array of states, one for each operation; checkpoints remember the state that they must give back for ever. How
 * to choose seeds: driver.h. */
#include "driver.h"
#include "lsm/keep/checkpoint.h"
#include "lsm/keep/clone.h"
#include "lsm/compactor/process.h"
#include "lsm/keep/gc.h"
#include "lsm/txn.h"
#include "store/memory.h"
#include "store/wrap_retry.h"
#include "world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS      10
#define TEXT_MAX  120
#define OPS_MAX   900
#define CHANGES   4
#define SNAPSHOTS 3
#define KEPT_MAX  24
#define CLONES    3

/* The rows after some operation. */
struct state {
    bool live[KEYS];
    char text[KEYS][TEXT_MAX];
};

struct change {
    unsigned key;
    char kind; /* p, d, m */
};

struct kept { /* a checkpoint */
    char id[SHL_UUID_TEXT];
    unsigned op; /* its state; UINT_MAX: one of the states from `least` to `most` */
    unsigned least, most;
    bool live;
};

struct cloned { /* a database of its own, made of a checkpoint or of the newest manifest */
    char path[12];
    bool begun, made;
    int kept;      /* the checkpoint; -1: none */
    unsigned most; /* operations when it was begun */
    unsigned writes;
    struct state *now;  /* what it holds, */
    struct state *next; /* or this: a write into it did not return */
    bool may_be_next;
};

struct role {
    struct scene *scene;
    sim_group group; /* 0: none */
    void (*main_fn)(void *role);
    bool coordinates, works;
};

struct scene {
    struct shl_store *bucket;
    struct world_faults faults;
    struct shl_lsm_settings settings;
    struct shl_lsm_settings clone_settings; /* their writers compact: nobody else does */
    struct shl_merge_operator merge;
    struct state *states;      /* states[i]: after i operations */
    unsigned last_write[KEYS]; /* the operation that wrote the key last */
    unsigned count;            /* operations that were begun */
    unsigned durable;          /* the newest operation that must never be lost */
    unsigned ended;            /* operations that returned */
    bool clean;                /* closed without a failure: nothing may be missing */
    bool stop, opened, was_read;
    bool gentle; /* nobody is killed any more */
    struct kept kept[KEPT_MAX];
    unsigned kept_count;
    struct cloned clones[CLONES];
    struct role roles[3];
    uint64_t cloned;
    uint64_t collected, compactions, conflicts, checks;
};

static void complain(const char *what, unsigned a, unsigned b)
{
    sim_trace("oracle: %s (%u, %u)", what, a, b);
    fprintf(stderr, "%s (%u, %u)\n", what, a, b);
    env_die(what);
}

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

struct view {
    struct shl_store *world, *store;
};

static void view_open(struct view *v, struct scene *s)
{
    shale_error err = {0};
    struct shl_retry_options retry = {.max_retries = SHL_RETRY_FOREVER,
                                      .delay_first_ns = 5 * ENV_NS_PER_MS};
    *v = (struct view){0};
    must(world_store_new(s->bucket, &s->faults, &v->world, &err), &err, "store");
    must(shl_store_retry_new(&v->store, v->world, &retry, &err), &err, "store");
}

static void view_close(struct view *v)
{
    shl_store_unref(v->store);
    shl_store_unref(v->world);
}

/* ---------------------------------------------------------------- keys, and what a read must give */

static struct shl_slice key_of(unsigned k)
{
    static const char *const keys[KEYS] = {"a", "aa", "ab", "b", "b/1", "b/2", "c", "ca", "d", "e"};
    return shl_slice_str(keys[k]);
}

static unsigned number_of(struct shl_slice key)
{
    for (unsigned k = 0; k < KEYS; k++)
        if (shl_slice_eq(key, key_of(k)))
            return k;
    complain("a key that nobody wrote", (unsigned)key.len, 0);
    return 0;
}

static void apply(struct state *to, const struct change *changes, unsigned count, unsigned op)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned k = changes[i].key;
        char mark[12];
        (void)snprintf(mark, sizeof mark, "<%u>", op);
        if (changes[i].kind == 'd') {
            to->live[k] = false;
            to->text[k][0] = '\0';
            continue;
        }
        size_t at = changes[i].kind == 'm' && to->live[k] ? strlen(to->text[k]) : 0;
        if (at + strlen(mark) >= TEXT_MAX)
            complain("the model's text is full", k, op);
        (void)snprintf(to->text[k] + at, TEXT_MAX - at, "%s", mark);
        to->live[k] = true;
    }
}

static bool row_is(const struct state *want, const struct shl_row *row)
{
    unsigned k = number_of(row->key);
    return want->live[k] && shl_slice_eq(row->value, shl_slice_str(want->text[k]));
}

/* Whether a scan gives exactly the live rows from `from` on, in this direction. */
static bool scan_is(struct shl_lsm_iter *it, const struct state *want, unsigned from, bool reverse)
{
    shale_error err = {0};
    struct shl_row row;
    bool same = true;
    unsigned left = 0;
    shale_code rc;
    int before = -1;
    for (unsigned k = from; k < KEYS; k++)
        left += want->live[k];
    while ((rc = shl_lsm_iter_next(it, &row, &err)) == SHALE_OK) {
        int k = (int)number_of(row.key);
        if (before >= 0 && (reverse ? k >= before : k <= before))
            complain("a scan is out of order", (unsigned)before, (unsigned)k);
        before = k;
        same = same && left > 0 && row_is(want, &row);
        left -= left > 0;
    }
    if (rc != SHALE_DONE)
        must(rc, &err, "scan");
    shl_lsm_iter_close(it);
    return same && left == 0;
}

static bool rows_are(struct shl_lsm *db, const struct shl_view *seen, const struct state *want)
{
    struct shl_lsm_iter *it = NULL;
    shale_error err = {0};
    unsigned from = sim_chance(0.5) ? 0 : (unsigned)sim_rand_below(KEYS);
    struct shl_lsm_range range = {.from = key_of(from), .from_kind = SHL_LSM_INCLUDED};
    struct shl_lsm_scan how = {.reverse = sim_chance(0.5), .view = seen};
    must(shl_lsm_scan_open(db, &range, &how, &it, &err), &err, "scan");
    return scan_is(it, want, from, how.reverse);
}

static void check_get(struct shl_lsm *db, const struct shl_view *seen, const struct state *want,
                      unsigned k, const char *who)
{
    char got[TEXT_MAX];
    size_t len = 0;
    shale_error err = {0};
    struct shl_lsm_read how = {.view = seen};
    shale_code rc = shl_lsm_get_into(db, key_of(k), &how, got, sizeof got, &len, &err);
    if (rc != SHALE_NOT_FOUND)
        must(rc, &err, who);
    if ((rc == SHALE_OK) != want->live[k] ||
        (rc == SHALE_OK && (len != strlen(want->text[k]) || memcmp(got, want->text[k], len) != 0)))
        complain(who, k, (unsigned)len);
}

static void check_all(struct scene *s, struct shl_lsm *db, const struct shl_view *seen,
                      const struct state *want, const char *who)
{
    s->checks++;
    if (!rows_are(db, seen, want))
        complain(who, s->count, KEYS);
    check_get(db, seen, want, (unsigned)sim_rand_below(KEYS), who);
}

/* ---------------------------------------------------------------- one operation */

static unsigned plan(struct scene *s, struct change out[CHANGES])
{
    unsigned n = 1 + (unsigned)(sim_chance(0.3) ? sim_rand_below(CHANGES) : 0), count = 0;
    for (unsigned i = 0; i < n; i++) {
        struct change c = {.key = (unsigned)sim_rand_below(KEYS)};
        bool again = false;
        uint64_t p = sim_rand_below(100);
        for (unsigned k = 0; k < count; k++)
            again = again || out[k].key == c.key;
        if (again) /* how a batch folds is tested elsewhere */
            continue;
        c.kind = p < 40 ? 'p' : p < 60 ? 'd' : 'm';
        if (strlen(s->states[s->count].text[c.key]) + 12 >= TEXT_MAX)
            c.kind = 'p';
        out[count++] = c;
    }
    return count;
}

/* From here on it may have happened. */
static unsigned begin_op(struct scene *s, const struct change *changes, unsigned count)
{
    unsigned op = s->count + 1;
    s->states[op] = s->states[s->count];
    apply(&s->states[op], changes, count, op);
    s->count = op;
    return op;
}

static void end_op(struct scene *s, unsigned op, const struct change *changes, unsigned count,
                   bool durable)
{
    for (unsigned i = 0; i < count; i++)
        s->last_write[changes[i].key] = op;
    s->ended = op;
    if (durable)
        s->durable = op;
}

static uint8_t row_kind(char kind)
{
    return kind == 'p' ? 0 : kind == 'd' ? SHL_ROW_TOMBSTONE : SHL_ROW_MERGE;
}

static void plain_write(struct scene *s, struct shl_lsm *db)
{
    struct change changes[CHANGES];
    struct shl_lsm_write how = {.await_durable = sim_chance(0.15)};
    struct shl_lsm_written written;
    struct shl_batch b;
    shale_error err = {0};
    unsigned count = plan(s, changes);
    unsigned op = begin_op(s, changes, count);
    char mark[12];
    (void)snprintf(mark, sizeof mark, "<%u>", op);
    shl_batch_init(&b);
    for (unsigned i = 0; i < count; i++)
        shl_batch_add(&b, row_kind(changes[i].kind), key_of(changes[i].key),
                      shl_slice_str(changes[i].kind == 'd' ? "" : mark),
                      (struct shl_ttl){.kind = SHL_TTL_NEVER});
    must(shl_lsm_write(db, &b, &how, &written, &err), &err, "write");
    shl_batch_deinit(&b);
    end_op(s, op, changes, count, how.await_durable);
}

static void flush(struct scene *s, struct shl_lsm *db)
{
    shale_error err = {0};
    unsigned upto = s->ended;
    must(shl_lsm_flush(db, sim_chance(0.6), &err), &err, "flush");
    s->durable = upto;
}

/* ---------------------------------------------------------------- transactions */

struct txn_plan {
    struct change changes[CHANGES];
    unsigned count;
    bool reads[KEYS]; /* what a serializable one must find unchanged */
};

static void txn_reads(struct scene *s, struct shl_txn *t, struct txn_plan *p,
                      const struct state *seen)
{
    shale_error err = {0};
    unsigned k = (unsigned)sim_rand_below(KEYS);
    s->checks++;
    if (sim_chance(0.3)) {
        struct shl_lsm_iter *it = NULL;
        struct shl_lsm_range range = {.from = key_of(k), .from_kind = SHL_LSM_INCLUDED};
        bool reverse = sim_chance(0.5);
        must(shl_txn_scan(t, &range, &(struct shl_lsm_scan){.reverse = reverse}, &it, &err), &err,
             "scan of a transaction");
        if (!scan_is(it, seen, k, reverse))
            complain("a transaction's scan", k, s->count);
        for (; k < KEYS; k++)
            p->reads[k] = true;
        return;
    }
    struct shl_lsm_pinned value = {0};
    shale_code rc = shl_txn_get(t, key_of(k), &(struct shl_lsm_read){0}, &value, &err);
    if (rc != SHALE_NOT_FOUND)
        must(rc, &err, "get of a transaction");
    if ((rc == SHALE_OK) != seen->live[k] ||
        (rc == SHALE_OK && !shl_slice_eq(value.value, shl_slice_str(seen->text[k]))))
        complain("a transaction's get", k, s->count);
    shl_lsm_pinned_release(&value);
    p->reads[k] = true;
}

static bool must_conflict(const struct scene *s, const struct txn_plan *p, unsigned begun,
                          bool serializable)
{
    bool conflict = false;
    for (unsigned i = 0; i < p->count; i++)
        conflict = conflict || s->last_write[p->changes[i].key] > begun;
    for (unsigned k = 0; serializable && k < KEYS; k++)
        conflict = conflict || (p->reads[k] && s->last_write[k] > begun);
    return conflict;
}

/* Its writes carry the number of the operation that the commit will be, so others are not allowed between the first of them and the commit. */
static void transaction(struct scene *s, struct shl_lsm *db)
{
    struct shl_txn *t = NULL;
    struct shl_lsm_written written;
    struct txn_plan p = {0};
    shale_error err = {0};
    bool serializable = sim_chance(0.5), durable = sim_chance(0.2);
    unsigned begun = s->count;
    struct state seen = s->states[begun];
    must(shl_txn_begin(db, serializable, &t, &err), &err, "begin");
    for (uint64_t n = sim_rand_below(3); n > 0; n--)
        txn_reads(s, t, &p, &seen);
    for (uint64_t n = sim_rand_below(3); n > 0; n--)
        plain_write(s, db);
    p.count = plan(s, p.changes);
    unsigned op = s->count + 1;
    char mark[12];
    (void)snprintf(mark, sizeof mark, "<%u>", op);
    for (unsigned i = 0; i < p.count; i++) {
        if (strlen(seen.text[p.changes[i].key]) + 12 >= TEXT_MAX)
            p.changes[i].kind = 'p';
        must(shl_txn_write(t, row_kind(p.changes[i].kind), key_of(p.changes[i].key),
                           shl_slice_str(p.changes[i].kind == 'd' ? "" : mark),
                           (struct shl_ttl){.kind = SHL_TTL_NEVER}, &err),
             &err, "write of a transaction");
    }
    apply(&seen, p.changes, p.count, op);
    for (uint64_t n = sim_rand_below(3); n > 0; n--)
        txn_reads(s, t, &p, &seen);
    if (sim_chance(0.1)) {
        shl_txn_rollback(t);
        shl_txn_close(t);
        return;
    }
    bool conflict = must_conflict(s, &p, begun, serializable);
    if (!conflict)
        (void)begin_op(s, p.changes, p.count);
    shale_code rc = shl_txn_commit(t, durable, 0, &written, &err);
    shl_txn_close(t);
    s->conflicts += conflict;
    if (rc == SHALE_CONFLICT && conflict)
        return;
    must(rc, &err, "commit");
    if (conflict)
        complain("a commit that had to lose", begun, s->count);
    end_op(s, op, p.changes, p.count, durable);
}

/* ---------------------------------------------------------------- checkpoints */

static void keep(struct scene *s, struct shl_lsm *db)
{
    struct shl_lsm_checkpoint *c = NULL;
    shale_error err = {0};
    uint64_t manifest;
    if (s->kept_count == KEPT_MAX)
        return;
    struct kept k = {.op = s->ended, .least = s->durable, .most = s->ended, .live = true};
    struct shl_lsm_checkpoint_how how = {.durable_only = sim_chance(0.3)};
    if (how.durable_only)
        k.op = UINT32_MAX;
    must(shl_lsm_checkpoint_begin(db, &how, &c, &err), &err, "checkpoint");
    for (uint64_t n = sim_rand_below(3); n > 0; n--)
        plain_write(s, db);
    must(shl_lsm_checkpoint_wait(c, &manifest, &err), &err, "checkpoint");
    shl_uuid_format(shl_lsm_checkpoint_id(c), k.id);
    shl_lsm_checkpoint_free(c);
    s->kept[s->kept_count++] = k;
    if (!how.durable_only)
        s->durable = s->durable > k.op ? s->durable : k.op;
}

static void check_checkpoint(struct scene *s, struct shl_store *store, struct kept *k)
{
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    if (!k->live)
        return;
    struct shl_lsm_open o = {
        .store = store, .path = "db", .settings = &s->settings, .merge = &s->merge};
    struct shl_lsm_reader how = {.mode = SHL_READER_CHECKPOINT, .checkpoint = k->id};
    must(shl_lsm_open_reader(&o, &how, &db, &err), &err, "reader of a checkpoint");
    for (unsigned op = k->least; k->op == UINT32_MAX && op <= k->most; op++) {
        struct shl_lsm_iter *it = NULL;
        must(
            shl_lsm_scan_open(db, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it, &err),
            &err, "scan");
        if (scan_is(it, &s->states[op], 0, false))
            k->op = op;
    }
    if (k->op == UINT32_MAX)
        complain("a checkpoint of what was durable", k->least, k->most);
    check_all(s, db, NULL, &s->states[k->op], "a checkpoint");
    must(shl_lsm_close(db, &err), &err, "close a reader");
}

/* Half a clone needs the checkpoint still. */
static bool is_being_cloned(const struct scene *s, unsigned kept)
{
    bool any = false;
    for (unsigned i = 0; i < CLONES; i++)
        any = any || (s->clones[i].begun && !s->clones[i].made && s->clones[i].kept == (int)kept);
    return any;
}

static void forget(struct scene *s, struct shl_store *store)
{
    struct shl_manifests m = {0};
    struct shl_ulid id;
    shale_error err = {0};
    if (s->kept_count == 0)
        return;
    unsigned i = (unsigned)sim_rand_below(s->kept_count);
    struct kept *k = &s->kept[i];
    if (!k->live || is_being_cloned(s, i))
        return;
    k->live = false; /* whatever becomes of the call */
    must(shl_manifests_init(&m, store, "db", false, &err), &err, "manifests");
    must(shl_checkpoint_delete(&m, k->id, &id, &err), &err, "delete a checkpoint");
    shl_manifests_deinit(&m);
}

/* ---------------------------------------------------------------- clones */

static void begin_clone(struct scene *s, struct cloned *c)
{
    unsigned i = s->kept_count > 0 ? (unsigned)sim_rand_below(s->kept_count) : 0;
    bool of_checkpoint = s->kept_count > 0 && s->kept[i].live && s->kept[i].op != UINT32_MAX;
    c->kept = of_checkpoint && sim_chance(0.7) ? (int)i : -1;
    c->most = s->ended; /* the newest manifest knows some of it */
    c->begun = true;
}

/* A state that the newest manifest may have had when the clone was begun, or later: a try that was cut off is begun anew. */
static void find_state(struct scene *s, struct cloned *c, struct shl_lsm *db)
{
    for (unsigned op = 0; op <= s->count; op++) {
        struct shl_lsm_iter *it = NULL;
        shale_error err = {0};
        must(
            shl_lsm_scan_open(db, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it, &err),
            &err, "scan of a clone");
        if (scan_is(it, &s->states[op], 0, false)) {
            *c->now = s->states[op];
            return;
        }
    }
    complain("a clone has the rows of no moment", c->most, s->count);
}

static void make_clone(struct scene *s, struct shl_store *store, struct cloned *c)
{
    shale_error err = {0};
    struct shl_cloned done;
    struct shl_lsm *db = NULL;
    struct shl_clone_source from = {.path = "db",
                                    .checkpoint = c->kept >= 0 ? s->kept[c->kept].id : NULL};
    struct shl_clone how = {.store = store, .path = c->path, .sources = &from, .source_count = 1};
    must(shl_clone_run(&how, &done, &err), &err, "clone");
    struct shl_lsm_open o = {
        .store = store, .path = c->path, .settings = &s->clone_settings, .merge = &s->merge};
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){.mode = SHL_READER_LATEST}, &db, &err),
         &err, "reader of a clone");
    if (c->kept >= 0)
        *c->now = s->states[s->kept[c->kept].op];
    else
        find_state(s, c, db);
    check_all(s, db, NULL, c->now, "a new clone");
    must(shl_lsm_close(db, &err), &err, "close a clone");
    c->made = true;
    s->cloned++;
}

/* The last write into it may have been cut off. */
static void settle_clone(struct cloned *c, struct shl_lsm *db)
{
    struct shl_lsm_iter *it = NULL;
    shale_error err = {0};
    if (!c->may_be_next)
        return;
    must(shl_lsm_scan_open(db, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it, &err),
         &err, "scan of a clone");
    if (scan_is(it, c->next, 0, false))
        *c->now = *c->next;
    c->may_be_next = false;
}

static void write_clone(struct scene *s, struct cloned *c, struct shl_lsm *db)
{
    char mark[12];
    shale_error err = {0};
    const unsigned op = 1000 + c->writes++;
    struct change change = {.key = (unsigned)sim_rand_below(KEYS)};
    change.kind = sim_chance(0.3) ? 'd' : 'p';
    (void)snprintf(mark, sizeof mark, "<%u>", op);
    *c->next = *c->now;
    apply(c->next, &change, 1, op);
    c->may_be_next = true;
    must(shl_lsm_write_one(db, row_kind(change.kind), key_of(change.key),
                           shl_slice_str(change.kind == 'd' ? "" : mark),
                           (struct shl_ttl){.kind = SHL_TTL_NEVER},
                           &(struct shl_lsm_write){.await_durable = true}, NULL, &err),
         &err, "write into a clone");
    *c->now = *c->next;
    c->may_be_next = false;
    (void)s;
}

static void collect_clone(struct scene *s, struct shl_store *store, const struct cloned *c)
{
    struct shl_gc *gc = NULL;
    struct shl_gc_report report;
    shale_error err = {0};
    struct shl_gc_open o = {.store = store, .path = c->path, .settings = &s->settings.gc};
    must(shl_gc_new(&o, &gc, &err), &err, "collector of a clone");
    must(shl_gc_run(gc, UINT32_MAX, &report, &err), &err, "collector of a clone");
    shl_gc_free(gc);
}

/* Reads it; at times writes, compacts and collects it, so that it lets go of what it borrows. */
static void visit_clone(struct scene *s, struct shl_store *store, struct cloned *c)
{
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    bool writes = sim_chance(0.6);
    struct shl_lsm_open o = {
        .store = store, .path = c->path, .settings = &s->clone_settings, .merge = &s->merge};
    struct shl_lsm_reader how = {.mode = SHL_READER_LATEST};
    must(writes ? shl_lsm_open_writer(&o, &db, &err) : shl_lsm_open_reader(&o, &how, &db, &err),
         &err, "open a clone");
    settle_clone(c, db);
    check_all(s, db, NULL, c->now, "a clone");
    for (uint64_t n = writes ? sim_rand_below(4) : 0; n > 0; n--) {
        write_clone(s, c, db);
        if (sim_chance(0.5))
            must(shl_lsm_flush(db, true, &err), &err, "flush of a clone");
    }
    if (writes && sim_chance(0.5))
        must(shl_lsm_settle(db, &err), &err, "settle of a clone");
    if (writes)
        check_all(s, db, NULL, c->now, "a clone that was written");
    must(shl_lsm_close(db, &err), &err, "close a clone");
    if (sim_chance(0.5))
        collect_clone(s, store, c);
}

static void clone_step(struct scene *s, struct shl_store *store)
{
    struct cloned *c = &s->clones[sim_rand_below(CLONES)];
    if (!c->begun)
        begin_clone(s, c);
    if (!c->made)
        make_clone(s, store, c);
    else
        visit_clone(s, store, c);
}

/* ---------------------------------------------------------------- the client */

struct client {
    struct scene *s;
    struct view view;
    struct shl_lsm *db;
    struct shl_snapshot *snapshots[SNAPSHOTS];
    struct state *seen; /* SNAPSHOTS of them */
};

static void open_client(struct client *c)
{
    struct scene *s = c->s;
    shale_error err = {0};
    struct shl_lsm_open o = {
        .store = c->view.store, .path = "db", .settings = &s->settings, .merge = &s->merge};
    must(shl_lsm_open_writer(&o, &c->db, &err), &err, "open");
    /* What was begun and did not return may be there, or not; so may all that was not durable. */
    unsigned found = UINT32_MAX, least = s->clean ? s->ended : s->durable;
    for (unsigned op = s->count + 1; op-- > least && found == UINT32_MAX;) {
        struct shl_lsm_iter *it = NULL;
        must(shl_lsm_scan_open(c->db, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it,
                               &err),
             &err, "scan");
        if (scan_is(it, &s->states[op], 0, false))
            found = op;
    }
    if (found == UINT32_MAX)
        complain("the rows are those of no moment", least, s->count);
    s->count = s->ended = found;
    s->durable = found; /* it was replayed from what is durable */
    for (unsigned k = 0; k < KEYS; k++)
        s->last_write[k] = s->last_write[k] > found ? found : s->last_write[k];
    s->clean = false;
}

static void close_snapshot(struct client *c, unsigned i)
{
    shl_snapshot_close(c->snapshots[i]);
    c->snapshots[i] = NULL;
}

static void snapshot_step(struct client *c)
{
    unsigned i = (unsigned)sim_rand_below(SNAPSHOTS);
    shale_error err = {0};
    if (c->snapshots[i] == NULL) {
        must(shl_snapshot_open(c->db, &c->snapshots[i], &err), &err, "snapshot");
        c->seen[i] = c->s->states[c->s->count];
    } else if (sim_chance(0.7)) {
        check_all(c->s, c->db, shl_snapshot_view(c->snapshots[i]), &c->seen[i], "a snapshot");
    } else {
        close_snapshot(c, i);
    }
}

static void close_client(struct client *c)
{
    shale_error err = {0};
    for (unsigned i = 0; i < SNAPSHOTS; i++)
        close_snapshot(c, i);
    must(shl_lsm_close(c->db, &err), &err, "close");
    c->s->durable = c->s->ended;
    c->s->clean = true;
}

static void step(struct client *c)
{
    struct scene *s = c->s;
    shale_error err = {0};
    uint64_t p = sim_rand_below(100);
    if (p < 42)
        plain_write(s, c->db);
    else if (p < 54)
        transaction(s, c->db);
    else if (p < 66)
        snapshot_step(c);
    else if (p < 76)
        flush(s, c->db);
    else if (p < 82)
        check_all(s, c->db, NULL, &s->states[s->count], "the rows");
    else if (p < 86)
        keep(s, c->db);
    else if (p < 90 && s->kept_count > 0)
        check_checkpoint(s, c->view.store, &s->kept[sim_rand_below(s->kept_count)]);
    else if (p < 91)
        forget(s, c->view.store);
    else if (p < 93) {
        close_client(c);
        open_client(c);
    } else if (p < 94 && s->settings.compactor_enabled) {
        must(shl_lsm_settle(c->db, &err), &err, "settle");
        s->durable = s->ended;
    } else if (p < 98) {
        clone_step(s, c->view.store);
    } else
        env_sleep_ns(sim_rand_below(100 * ENV_NS_PER_MS));
}

static void client_process(void *arg)
{
    struct scene *s = arg;
    struct client c = {.s = s};
    view_open(&c.view, s);
    c.seen = env_calloc(SNAPSHOTS, sizeof *c.seen);
    if (c.seen == NULL)
        env_die("out of memory");
    open_client(&c);
    s->opened = true;
    for (uint64_t steps = 30 + sim_rand_below(90); steps > 0; steps--)
        if (s->count + 8 < OPS_MAX)
            step(&c);
    close_client(&c);
    env_free(c.seen);
    view_close(&c.view);
}

/* ---------------------------------------------------------------- the other roles */

static bool stop_role(void *ctx, const struct shl_compactor_report *now)
{
    const struct role *r = ctx;
    (void)now;
    return r->scene->stop;
}

static void compactor_process(void *arg)
{
    struct role *r = arg;
    struct scene *s = r->scene;
    struct view v;
    struct shl_compactor_process *p = NULL;
    struct shl_process_run run = {.tick = stop_role, .ctx = r};
    shale_error err = {0};
    view_open(&v, s);
    struct shl_process_open o = {.store = v.store,
                                 .path = "db",
                                 .settings = &s->settings,
                                 .merge = &s->merge,
                                 .coordinates = r->coordinates,
                                 .works = r->works};
    must(shl_process_new(&o, &p, &err), &err, "new compactor");
    shale_code rc = shl_process_run(p, &run, &err);
    if (rc != SHALE_FENCED)
        must(rc, &err, "compactor");
    shl_process_free(p);
    view_close(&v);
}

static void gc_process(void *arg)
{
    struct role *r = arg;
    struct scene *s = r->scene;
    struct view v;
    struct shl_gc *gc = NULL;
    struct shl_gc_report report;
    shale_error err = {0};
    view_open(&v, s);
    struct shl_gc_open o = {.store = v.store, .path = "db", .settings = &s->settings.gc};
    must(shl_gc_new(&o, &gc, &err), &err, "new collector");
    while (!s->stop) {
        must(shl_gc_run(gc, UINT32_MAX, &report, &err), &err, "collector");
        for (unsigned i = 0; i < SHL_GC_TASKS; i++)
            s->collected += report.tasks[i].dry_run ? 0 : report.tasks[i].count;
        env_sleep_ns(sim_rand_below(200 * ENV_NS_PER_MS));
    }
    shl_gc_free(gc);
    view_close(&v);
}

static void disturb(struct scene *s)
{
    struct role *r = &s->roles[sim_rand_below(sizeof s->roles / sizeof s->roles[0])];
    if (r->main_fn == NULL)
        return;
    if (r->group == 0 || !sim_group_alive(r->group)) {
        r->group = sim_group_new("role", (int64_t)sim_rand_below(60) - 30);
        if (!s->gentle && sim_chance(0.2))
            sim_point_kill_arm(r->group, sim_rand_below(12));
        sim_group_spawn(r->group, "main", r->main_fn, r);
    } else if (!s->gentle && sim_chance(0.3)) {
        sim_group_kill(r->group);
    } else if (sim_chance(0.4)) {
        sim_group_pause(r->group);
        env_sleep_ns(sim_rand_below(1000 * ENV_NS_PER_MS));
        sim_group_resume(r->group);
    }
}

static void run_client(struct scene *s, bool may_die)
{
    sim_group g = sim_group_new("client", (int64_t)sim_rand_below(60) - 30);
    s->opened = false;
    if (may_die && sim_chance(0.4))
        sim_point_kill_arm(g, sim_rand_below(80));
    sim_group_spawn(g, "main", client_process, s);
    while (sim_group_alive(g)) {
        env_sleep_ns(1 + sim_rand_below(300 * ENV_NS_PER_MS));
        if (s->opened)
            disturb(s);
        if (may_die && sim_chance(0.02))
            sim_group_kill(g);
        sim_progress();
    }
}

static void choose_settings(struct scene *s)
{
    world_random_settings(&s->settings);
    s->settings.segment_extractor = (struct shl_extractor){.kind = SHL_EXTRACT_NONE};
    s->settings.compactor_enabled = sim_chance(0.5);
    s->settings.min_compaction_sources = 2;
    s->settings.compactor_poll_interval_ns = (20 + sim_rand_below(100)) * ENV_NS_PER_MS;
    s->settings.worker_poll_interval_ns = (20 + sim_rand_below(100)) * ENV_NS_PER_MS;
    s->settings.worker_heartbeat_interval_ns = (5 + sim_rand_below(60)) * ENV_NS_PER_MS;
    s->settings.worker_heartbeat_timeout_ns = (200 + sim_rand_below(400)) * ENV_NS_PER_MS;
    s->settings.subcompaction_min_bytes = 1;
    s->settings.incremental_compaction = sim_chance(0.5);
    s->settings.compactor_checkpoint_lifetime_ns = (5 + sim_rand_below(5)) * ENV_NS_PER_SEC;
    s->settings.gc.enabled = sim_chance(0.3);
    for (unsigned i = 0; i < SHL_GC_TASKS; i++) {
        s->settings.gc.tasks[i].interval_ns = (50 + sim_rand_below(200)) * ENV_NS_PER_MS;
        s->settings.gc.tasks[i].min_age_ns = (100 + sim_rand_below(900)) * ENV_NS_PER_MS;
    }
    s->clone_settings = s->settings;
    s->clone_settings.compactor_enabled = s->clone_settings.worker_enabled = true;
    bool inside = s->settings.compactor_enabled;
    s->roles[0] = (struct role){.scene = s,
                                .main_fn = inside ? NULL : compactor_process,
                                .coordinates = true,
                                .works = sim_chance(0.5)};
    s->roles[1] = (struct role){.scene = s, .main_fn = compactor_process, .works = true};
    s->roles[2] = (struct role){.scene = s, .main_fn = gc_process};
}

/* The end: the rows, and each checkpoint. */
static void reader_process(void *arg)
{
    struct scene *s = arg;
    struct view v;
    struct shl_lsm *db = NULL;
    shale_error err = {0};
    view_open(&v, s);
    struct shl_lsm_open o = {
        .store = v.store, .path = "db", .settings = &s->settings, .merge = &s->merge};
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){.mode = SHL_READER_LATEST}, &db, &err),
         &err, "reader");
    check_all(s, db, NULL, &s->states[s->count], "the rows at the end");
    must(shl_lsm_close(db, &err), &err, "close a reader");
    for (unsigned i = 0; i < s->kept_count; i++)
        check_checkpoint(s, v.store, &s->kept[i]);
    for (unsigned i = 0; i < CLONES; i++)
        if (s->clones[i].made)
            visit_clone(s, v.store, &s->clones[i]);
    view_close(&v);
    s->was_read = true;
}

static void whole_main(void *arg)
{
    struct scene *s = arg;
    s->faults = (struct world_faults){.latency_max_ns = (1 + sim_rand_below(20)) * ENV_NS_PER_MS};
    if (sim_chance(0.4)) {
        s->faults.before = (double)sim_rand_below(50) / 1000.0;
        s->faults.after = (double)sim_rand_below(50) / 1000.0;
    }
    choose_settings(s);
    s->clean = true;
    for (uint64_t rounds = 2 + sim_rand_below(3); rounds > 0; rounds--)
        run_client(s, true);
    s->faults.before = s->faults.after = 0;
    s->gentle = true;
    run_client(s, false);
    if (!s->clean)
        env_die("the last client did not close");
    s->stop = true;
    for (unsigned i = 0; i < sizeof s->roles / sizeof s->roles[0]; i++)
        if (s->roles[i].group != 0) {
            (void)sim_point_kill_disarm(s->roles[i].group);
            sim_group_wait(s->roles[i].group);
        }
    sim_group g = sim_group_new("reader", 0);
    sim_group_spawn(g, "main", reader_process, s);
    sim_group_wait(g);
    if (!s->was_read)
        env_die("the last reader did not end");
}

/* ---------------------------------------------------------------- driver */

static const struct driver_scenario scenarios[] = {{"whole", whole_main}};
static struct {
    uint64_t checks, conflicts, collected, checkpoints, clones;
} sums;

static uint64_t run_one(const struct driver_scenario *sc, uint64_t seed, enum sim_backend backend)
{
    static struct scene scene;
    static struct state states[OPS_MAX], of_clones[2 * CLONES];
    shale_error err = {0};
    scene = (struct scene){.states = states};
    memset(&states[0], 0, sizeof states[0]);
    for (unsigned i = 0; i < CLONES; i++) {
        scene.clones[i] = (struct cloned){.now = &of_clones[(size_t)2 * i],
                                          .next = &of_clones[(size_t)2 * i + 1]};
        (void)snprintf(scene.clones[i].path, sizeof scene.clones[i].path, "clone%u", i);
    }
    if (!shl_merge_operator_builtin("concat", &scene.merge))
        abort();
    world_init();
    if (shl_store_memory_new(&scene.bucket, &err) != SHALE_OK)
        abort();
    struct sim_options o = {
        .seed = seed, .backend = backend, .policy = SIM_POLICY_BY_SEED, .scenario = sc->name};
    uint64_t hash = sim_run(&o, sc->main_fn, &scene);
    sums.checks += scene.checks;
    sums.conflicts += scene.conflicts;
    sums.collected += scene.collected;
    sums.checkpoints += scene.kept_count;
    sums.clones += scene.cloned;
    shl_store_unref(scene.bucket);
    if (sim_alloc_live(0) > 0) {
        fprintf(stderr, "seed 0x%" PRIx64 " %s: allocations of the bucket left\n", seed, sc->name);
        sim_alloc_live_print(0, 10);
        exit(1);
    }
    return hash;
}

int main(void)
{
    int status = driver_main(scenarios, sizeof scenarios / sizeof scenarios[0], run_one);
    printf("%" PRIu64 " checks, %" PRIu64 " conflicts, %" PRIu64 " checkpoints, %" PRIu64
           " clones, %" PRIu64 " objects collected\n",
           sums.checks, sums.conflicts, sums.checkpoints, sums.clones, sums.collected);
    if (status == 0 && getenv("SIM_SEED") == NULL && getenv("SIM_FIRST") == NULL &&
        (sums.checks < 1000 || sums.conflicts < 20 || sums.collected < 500 ||
         sums.checkpoints < 50 || sums.clones < 30)) {
        fprintf(stderr, "too little happened to say anything\n");
        return 1;
    }
    return status;
}
