/* Goal: whatever allocation or store call fails during a transaction or snapshot, the call says so, nothing leaks, and the commit is whole or not
 * there, as its answer said. Method: one scenario over a bucket; a loop for every kind of fault breaks its n-th point for n = 0, 1, ... until the n-th
 * point is never reached; after each run a process without faults looks. FAULT_N=n runs one point. */
#include "base/assert.h"
#include "lsm/txn.h"
#include "store/memory.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    struct shl_store *bucket;
    struct world_faults faults, no_faults;
    struct shl_lsm_settings settings;
    struct shl_merge_operator merge;
    bool allocs; /* the fault is an allocation */
    bool sticky;
    uint64_t n, seen;
    bool tried; /* the commit was called, and returned: */
    shale_code commit;
    bool ended;
    unsigned whole, none;
};

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die(what);
}

static bool allowed(const struct scene *s, shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return true;
    if (rc != (s->allocs ? SHALE_NOMEM : SHALE_UNAVAILABLE))
        must(rc, err, what);
    return false;
}

static shale_code open_db(struct scene *s, struct world_faults *faults, struct shl_store **store,
                          struct shl_lsm **out, shale_error *err)
{
    struct shl_lsm_open o = {.path = "db", .settings = &s->settings, .merge = &s->merge};
    shale_code rc = world_store_new(s->bucket, faults, store, err);
    if (rc != SHALE_OK)
        return rc;
    o.store = *store;
    rc = shl_lsm_open_writer(&o, out, err);
    if (rc != SHALE_OK)
        shl_store_unref(*store);
    return rc;
}

static shale_code put(struct shl_lsm *db, const char *key, const char *value, bool durable,
                      shale_error *err)
{
    return shl_lsm_write_one(db, 0, shl_slice_str(key), shl_slice_str(value), (struct shl_ttl){0},
                             &(struct shl_lsm_write){.await_durable = durable}, NULL, err);
}

static shale_code add(struct shl_txn *t, uint8_t kind, const char *key, const char *value,
                      shale_error *err)
{
    return shl_txn_write(t, kind, shl_slice_str(key), shl_slice_str(value), (struct shl_ttl){0},
                         err);
}

/* A call that failed may be made again: the transaction is as it was. */
static shale_code rows_seen(struct shl_txn *t, const char *want, shale_error *err)
{
    struct shl_lsm_iter *it;
    struct shl_row row;
    char text[100] = "";
    shale_code rc =
        shl_txn_scan(t, &(struct shl_lsm_range){0}, &(struct shl_lsm_scan){0}, &it, err);
    if (rc != SHALE_OK)
        return rc;
    while ((rc = shl_lsm_iter_next(it, &row, err)) == SHALE_OK) {
        SHL_ASSERT(strlen(text) + row.key.len + row.value.len + 2 < sizeof text);
        strncat(text, (const char *)row.key.data, row.key.len);
        strncat(text, (const char *)row.value.data, row.value.len);
        strcat(text, " ");
    }
    shl_lsm_iter_close(it);
    if (rc != SHALE_DONE)
        return rc;
    if (strcmp(text, want) != 0)
        env_die("a transaction saw something else");
    return SHALE_OK;
}

static void in_transaction(struct scene *s, struct shl_lsm *db, struct shl_snapshot *snapshot)
{
    struct shl_txn *t;
    struct shl_lsm_pinned p = {0};
    shale_error err = {0};
    size_t len;
    char value[8];
    struct shl_lsm_read how = {.view = shl_snapshot_view(snapshot)};
    if (!allowed(s, shl_txn_begin(db, true, &t, &err), &err, "begin"))
        return;
    bool fine = allowed(s, add(t, 0, "a", "1", &err), &err, "put");
    fine = fine && allowed(s, add(t, SHL_ROW_MERGE, "b", "1", &err), &err, "merge");
    fine = fine && allowed(s, add(t, SHL_ROW_TOMBSTONE, "c", "", &err), &err, "delete");
    if (fine && allowed(s, rows_seen(t, "a1 b01 ", &err), &err, "scan") &&
        allowed(s, shl_txn_get(t, shl_slice_str("b"), &(struct shl_lsm_read){0}, &p, &err), &err,
                "get"))
        shl_lsm_pinned_release(&p);
    fine = fine && allowed(s, shl_txn_mark_read(t, shl_slice_str("x"), &err), &err, "mark");
    fine = fine && allowed(s, shl_txn_unmark_write(t, shl_slice_str("y"), &err), &err, "unmark");
    struct shl_txn *beside; /* so that what the commit writes is remembered */
    bool has_beside = allowed(s, shl_txn_begin(db, false, &beside, &err), &err, "begin");
    if (fine) {
        /* Where memory stays away, the rows would wait for it for ever. */
        s->commit = shl_txn_commit(t, !s->sticky, 0, NULL, &err);
        s->tried = true;
        (void)allowed(s, s->commit, &err, "commit");
    }
    shl_txn_close(t);
    if (has_beside) {
        if (allowed(s, add(beside, 0, "a", "2", &err), &err, "put")) {
            shale_code rc = shl_txn_commit(beside, false, 0, NULL, &err);
            if (rc == SHALE_OK && s->tried && s->commit == SHALE_OK)
                env_die("a conflict was not seen");
            if (rc != SHALE_CONFLICT)
                (void)allowed(s, rc, &err, "commit beside");
            if (rc == SHALE_OK) /* what is looked for afterwards */
                (void)allowed(s, put(db, "a", "0", false, &err), &err, "put");
        }
        shl_txn_close(beside);
    }
    shale_code rc = shl_lsm_get_into(db, shl_slice_str("a"), &how, value, sizeof value, &len, &err);
    if (allowed(s, rc, &err, "get") && (len != 1 || value[0] != '0'))
        env_die("a snapshot changed");
}

static void scenario(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db;
    struct shl_store *store;
    struct shl_snapshot *snapshot;
    shale_error err = {0};
    must(open_db(s, &s->faults, &store, &db, &err), &err, "open");
    if (s->allocs)
        sim_alloc_fault_arm(sim_group_self(), s->n, s->sticky);
    else
        s->faults.nth = s->faults.calls + s->n;
    s->faults.armed = s->allocs ? 0 : s->faults.armed;
    if (allowed(s, shl_snapshot_open(db, &snapshot, &err), &err, "snapshot")) {
        in_transaction(s, db, snapshot);
        shl_snapshot_close(snapshot);
    }
    if (s->allocs)
        s->seen = sim_alloc_fault_disarm(sim_group_self());
    else
        s->seen = s->faults.fired ? s->n + 1 : s->n;
    s->faults.armed = 0;
    shl_ignore(shl_lsm_close(db, &err));
    shl_store_unref(store);
    s->ended = true;
}

static void look(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db;
    struct shl_store *store;
    shale_error err = {0};
    struct shl_txn *t;
    must(open_db(s, &s->no_faults, &store, &db, &err), &err, "open again");
    must(shl_txn_begin(db, false, &t, &err), &err, "begin");
    size_t len;
    char value[8];
    must(shl_lsm_get_into(db, shl_slice_str("a"), &(struct shl_lsm_read){0}, value, sizeof value,
                          &len, &err),
         &err, "get");
    bool whole = value[0] == '1';
    must(rows_seen(t, whole ? "a1 b01 " : "a0 b0 c0 ", &err), &err, "scan");
    s->whole += whole;
    s->none += !whole;
    if (s->tried && s->commit == SHALE_OK && !whole)
        env_die("an acknowledged commit is lost");
    if ((!s->tried || s->commit == SHALE_NOMEM) && whole)
        env_die("a commit that failed is there");
    shl_txn_close(t);
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
}

static void run_group(struct scene *s, void (*fn)(void *arg), const char *name)
{
    sim_group g = sim_group_new(name, 0);
    sim_group_spawn(g, name, fn, s);
    sim_group_wait(g);
    if (sim_alloc_live(g) > 0) {
        sim_alloc_live_print(g, 10);
        env_die("a leak");
    }
}

static void run_main(void *arg)
{
    struct scene *s = arg;
    s->tried = s->ended = false;
    run_group(s, scenario, "scenario");
    SHL_ASSERT(s->ended);
    run_group(s, look, "look");
}

static void first_rows(void *arg)
{
    struct scene *s = arg;
    struct shl_lsm *db;
    struct shl_store *store;
    shale_error err = {0};
    must(open_db(s, &s->no_faults, &store, &db, &err), &err, "open");
    must(put(db, "a", "0", false, &err), &err, "put");
    must(put(db, "b", "0", false, &err), &err, "put");
    must(put(db, "c", "0", true, &err), &err, "put");
    must(shl_lsm_close(db, &err), &err, "close");
    shl_store_unref(store);
}

static void first_main(void *arg)
{
    run_group(arg, first_rows, "first");
}

static void run_loop(const char *name, bool allocs, bool sticky, unsigned armed)
{
    const char *given = getenv("FAULT_N");
    struct scene s = {.allocs = allocs, .sticky = sticky};
    shale_error err = {0};
    uint64_t n = given != NULL ? strtoull(given, NULL, 0) : 0;
    struct sim_options o = {.seed = 1, .policy = SIM_POLICY_BY_SEED, .scenario = name};
    world_init();
    SHL_ASSERT(shl_merge_operator_builtin("concat", &s.merge));
    shl_lsm_settings_default(&s.settings);
    s.settings.compactor_enabled = false;
    s.settings.manifest_poll_interval_ns = 100 * ENV_NS_PER_SEC;
    s.settings.flush_interval_ns = 10 * ENV_NS_PER_MS;
    for (;; n++) {
        must(shl_store_memory_new(&s.bucket, &err), &err, "bucket");
        (void)sim_run(&o, first_main, &s);
        o.seed++; /* each its own, for names are made by chance */
        s.n = n;
        s.faults = (struct world_faults){.armed = armed, .nth = UINT64_MAX, .sticky = sticky};
        (void)sim_run(&o, run_main, &s);
        shl_store_unref(s.bucket);
        if (given != NULL || s.seen <= n)
            break;
    }
    printf("%s: %llu points, %u whole, %u not there\n", name, (unsigned long long)n, s.whole,
           s.none);
    SHL_ASSERT(given != NULL || (n > 0 && s.whole > 0));
}

int main(void)
{
    run_loop("allocations", true, false, 0);
    run_loop("allocations, from then on", true, true, 0);
    run_loop("store, before the effect", false, false, WORLD_FAIL_BEFORE);
    run_loop("store, after the effect", false, false, WORLD_FAIL_AFTER);
    return 0;
}
