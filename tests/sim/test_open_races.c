/* Goal: requests that an opening makes beside each other are as good as one after the other, whatever others do between any two of them.
 * Method: a store that lets another process act just before a chosen request: an older or newer writer, a collector, a writer that had slept and puts
 * again what was collected. Each scene under many schedules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/env/sim.h"
#include "lsm/db.h"
#include "store/memory.h"
#include "store/wrap_fault.h"
#include "store/wrap_hook.h"
#include "store/wrap_retry.h"

#define SEEDS 60

/* cmocka's asserts cannot be used in a simulated task. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            env_die("open races");                                                                 \
        }                                                                                          \
    } while (0)

static void must(shale_code rc, const shale_error *err, const char *what)
{
    if (rc == SHALE_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, shale_code_name(rc), err->text);
    env_die("open races");
}

/* ---------------------------------------------------------------- a store with a moment for others */

struct scene;
struct race_store {
    struct shl_hooked hooked;
    struct scene *scene;
};

struct scene {
    struct shl_store *bucket; /* seen by the others */
    struct shl_store *seen;   /* by the one who opens: far away, and with the moment */
    struct shl_lsm_settings settings;
    struct shl_lsm *older; /* a writer that is at work, or NULL */
    /* the moment: before the nth request of this kind whose key has this in it */
    enum shl_store_kind kind;
    const char *part;
    unsigned nth, met;
    void (*act)(struct scene *s);
    bool acted;
    uint64_t newest; /* manifest, when the act was over */
};

static shale_code race_begin(struct shl_store *store, struct shl_call *call, shale_error *err)
{
    struct scene *s = ((struct race_store *)store)->scene;
    (void)err;
    env_sleep_ns(1 + sim_rand_below(5 * ENV_NS_PER_MS));
    if (call->kind != s->kind || call->key == NULL || strstr(call->key, s->part) == NULL ||
        s->act == NULL || ++s->met != s->nth)
        return SHALE_OK;
    env_sleep_ns(100 * ENV_NS_PER_MS); /* what was asked beside it has its answer */
    s->act(s);
    s->acted = true;
    return SHALE_OK;
}

static shale_code race_end(struct shl_store *store, struct shl_call *call, shale_code code,
                           shale_error *err)
{
    (void)store;
    (void)call;
    (void)err;
    return code;
}

static void race_deinit(struct shl_store *store)
{
    (void)store;
}

static const struct shl_hooks race_hooks = {
    .begin = race_begin, .end = race_end, .deinit = race_deinit};

static void begin(struct scene *s)
{
    shale_error err = {0};
    struct shl_hooked *h;
    must(shl_store_memory_new(&s->bucket, &err), &err, "bucket");
    must(shl_hooked_new(sizeof(struct race_store), s->bucket, &race_hooks, &h, &err), &err,
         "store");
    ((struct race_store *)h)->scene = s;
    s->seen = &h->wrap.base;
    s->seen->caps &= ~(unsigned)SHL_STORE_NEAR;
    shl_lsm_settings_default(&s->settings);
    s->settings.compactor_enabled = false;
    s->settings.manifest_poll_interval_ns = 36000 * ENV_NS_PER_SEC;
    s->settings.manifest_update_timeout_ns = 36000 * ENV_NS_PER_SEC;
}

static void end(struct scene *s)
{
    CHECK(s->acted);
    shl_store_unref(s->seen);
    shl_store_unref(s->bucket);
    sim_progress();
}

/* ---------------------------------------------------------------- what others do */

static void put(struct shl_lsm *db, const char *key)
{
    shale_error err = {0};
    struct shl_lsm_write how = {.await_durable = true};
    must(shl_lsm_write_one(db, 0, shl_slice_str(key), shl_slice_str(key), (struct shl_ttl){0}, &how,
                           NULL, &err),
         &err, "put");
}

static bool has(struct shl_lsm *db, const char *key)
{
    shale_error err = {0};
    struct shl_lsm_pinned p = {0};
    shale_code rc = shl_lsm_get(db, shl_slice_str(key), &(struct shl_lsm_read){0}, &p, &err);
    if (rc != SHALE_NOT_FOUND)
        must(rc, &err, "get");
    shl_lsm_pinned_release(&p);
    return rc == SHALE_OK;
}

static struct shl_lsm *open_writer(struct scene *s, struct shl_store *store)
{
    shale_error err = {0};
    struct shl_lsm *db;
    struct shl_lsm_open o = {.store = store, .path = "db", .settings = &s->settings};
    must(shl_lsm_open_writer(&o, &db, &err), &err, "open a writer");
    return db;
}

static void close_db(struct shl_lsm *db)
{
    shale_error err = {0};
    must(shl_lsm_close(db, &err), &err, "close");
}

static void visit(struct scene *s, const char *key)
{
    struct shl_lsm *db = open_writer(s, s->bucket);
    put(db, key);
    close_db(db);
}

static void manifest_key(uint64_t id, char out[64])
{
    snprintf(out, 64, "db/manifest/%020llu.manifest", (unsigned long long)id);
}

static uint64_t newest_manifest(struct scene *s)
{
    shale_error err = {0};
    struct shl_list list = {0};
    uint64_t newest = 0;
    must(
        shl_store_list(s->bucket, &(struct shl_list_options){.prefix = "db/manifest"}, &list, &err),
        &err, "list");
    for (size_t i = 0; i < list.count; i++) {
        unsigned long long id;
        CHECK(sscanf(list.items[i].key, "db/manifest/%20llu.manifest", &id) == 1);
        newest = id > newest ? id : newest;
    }
    shl_list_free(&list);
    return newest;
}

/* A collector takes all manifests but the newest. */
static void collect(struct scene *s)
{
    shale_error err = {0};
    char key[64], text[24];
    uint64_t newest = newest_manifest(s);
    snprintf(text, sizeof text, "%llu", (unsigned long long)newest - 1);
    struct shl_slice body = shl_slice_str(text);
    must(shl_store_put(s->bucket, "db/gc/manifest.boundary", &body, 1, &(struct shl_put){0}, NULL,
                       &err),
         &err, "boundary");
    for (uint64_t id = 1; id < newest; id++) {
        manifest_key(id, key);
        must(shl_store_delete(s->bucket, key, &err), &err, "delete");
    }
    s->newest = newest;
}

/* ---------------------------------------------------------------- scenes */

/* The manifest that was listed is collected, and a writer that had slept puts it again, before it is read; the boundary had been read. */
static void put_again(struct scene *s)
{
    shale_error err = {0};
    struct shl_buf body = {0};
    char key[64];
    uint64_t listed = newest_manifest(s);
    manifest_key(listed, key);
    must(shl_store_get(s->bucket, key, NULL, &body, NULL, &err), &err, "get");
    visit(s, "newer");
    env_sleep_ns(300 * ENV_NS_PER_SEC); /* the collector takes nothing that is younger */
    collect(s);
    struct shl_slice part = shl_buf_view(&body);
    must(shl_store_put(s->bucket, key, &part, 1, &(struct shl_put){.mode = SHL_PUT_CREATE}, NULL,
                       &err),
         &err, "put");
    shl_buf_free(&body);
}

static void reader_and_a_dead_manifest(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_lsm_status status;
    struct shl_lsm *db;
    begin(s);
    visit(s, "old");
    s->kind = SHL_KIND_GET;
    s->part = "/manifest/";
    s->nth = 1;
    s->act = put_again;
    struct shl_lsm_open o = {.store = s->seen, .path = "db", .settings = &s->settings};
    must(shl_lsm_open_reader(&o, &(struct shl_lsm_reader){0}, &db, &err), &err, "open a reader");
    shl_lsm_status(db, &status);
    CHECK(status.manifest_id == s->newest);
    CHECK(has(db, "old") && has(db, "newer"));
    close_db(db);
    end(s);
}

/* Somebody else works, and what they wrote and we had not seen is collected, so that our put of a manifest succeeds though it is too late. */
static void overtake(struct scene *s)
{
    visit(s, "newer");
    visit(s, "newest");
    env_sleep_ns(300 * ENV_NS_PER_SEC);
    collect(s);
}

static void writer_that_slept_before_its_epoch(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_lsm_status status;
    char key[64];
    begin(s);
    visit(s, "old");
    s->kind = SHL_KIND_PUT;
    s->part = "/manifest/";
    s->nth = 1;
    s->act = overtake;
    uint64_t late = newest_manifest(s) + 1;
    struct shl_lsm *db = open_writer(s, s->seen);
    shl_lsm_status(db, &status);
    CHECK(status.manifest_id > s->newest);
    CHECK(status.writer_epoch == 4);
    CHECK(has(db, "old") && has(db, "newer") && has(db, "newest"));
    put(db, "ours");
    close_db(db);
    manifest_key(late, key); /* what we put too late is there, and dead */
    struct shl_object o;
    CHECK(shl_store_head(s->bucket, key, &o, &err) == SHALE_OK && late < s->newest);
    db = open_writer(s, s->bucket);
    CHECK(has(db, "old") && has(db, "newer") && has(db, "newest") && has(db, "ours"));
    close_db(db);
    end(s);
}

static void writer_overtaken_after_its_fence(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_lsm *db;
    begin(s);
    visit(s, "old");
    s->kind = SHL_KIND_LIST; /* the first one is that of the load */
    s->part = "manifest";
    s->nth = 2;
    s->act = overtake;
    struct shl_lsm_open o = {.store = s->seen, .path = "db", .settings = &s->settings};
    CHECK(shl_lsm_open_writer(&o, &db, &err) == SHALE_FENCED);
    db = open_writer(s, s->bucket);
    CHECK(has(db, "old") && has(db, "newer") && has(db, "newest"));
    close_db(db);
    end(s);
}

/* The older writer goes on: WAL objects, and a flush that moves the replay boundary. */
static void go_on(struct scene *s)
{
    shale_error err = {0};
    put(s->older, "one");
    put(s->older, "two");
    must(shl_lsm_flush(s->older, true, &err), &err, "flush");
    put(s->older, "three");
}

static void go_on_without_flush(struct scene *s)
{
    put(s->older, "one");
    put(s->older, "two");
    put(s->older, "three");
}

static void take_over_at(struct scene *s, enum shl_store_kind kind, const char *part,
                         void (*act)(struct scene *s))
{
    shale_error err = {0};
    struct shl_lsm_write durable = {.await_durable = true};
    begin(s);
    visit(s, "old");
    s->older = open_writer(s, s->bucket);
    put(s->older, "zero");
    s->kind = kind;
    s->part = part;
    s->nth = 1;
    s->act = act;
    struct shl_lsm *db = open_writer(s, s->seen);
    CHECK(has(db, "old") && has(db, "zero") && has(db, "one") && has(db, "two") &&
          has(db, "three"));
    put(db, "ours");
    CHECK(shl_lsm_write_one(s->older, 0, shl_slice_str("late"), shl_slice_str("late"),
                            (struct shl_ttl){0}, &durable, NULL, &err) == SHALE_FENCED);
    close_db(s->older);
    close_db(db);
    end(s);
}

static void wal_list_older_than_the_manifest(void *arg)
{
    take_over_at(arg, SHL_KIND_LIST, "manifest", go_on);
}

static void older_writer_between_list_and_fence(void *arg)
{
    take_over_at(arg, SHL_KIND_PUT, "/wal/", go_on_without_flush);
}

static void older_writer_flushes_before_the_fence(void *arg)
{
    /* Its manifest is refused, for ours is there; so it is fenced with rows in the WAL only. */
    take_over_at(arg, SHL_KIND_PUT, "/manifest/", go_on);
}

/* Two claim the same epoch in a store that cannot tell whose manifest it has: one failed before anything was stored, the other one got through, and the first one tries
 * again. With the WAL off no fence would part them. */
static void claim(struct scene *s)
{
    s->older = open_writer(s, s->bucket);
    s->newest = newest_manifest(s);
}

static void equal_claims(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *fails, *retries;
    struct shl_lsm_status first, second;
    begin(s);
    s->settings.wal_enabled = false;
    close_db(open_writer(s, s->bucket)); /* makes the database */
    s->seen->caps &= ~(unsigned)(SHL_STORE_ATTRIBUTES | SHL_STORE_SURE);
    s->bucket->caps &= ~(unsigned)(SHL_STORE_ATTRIBUTES | SHL_STORE_SURE);
    s->kind = SHL_KIND_PUT;
    s->part = "/manifest/";
    s->nth = 1;
    s->act = claim;
    must(shl_store_fault_new(&fails, s->seen, 1, &err), &err, "store");
    (void)shl_store_fault_add(fails, &(struct shl_fault_rule){.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                                              .key_part = "/manifest/",
                                                              .effect = SHL_FAULT_BEFORE});
    must(shl_store_retry_new(&retries, fails, &(struct shl_retry_options){.max_retries = 5}, &err),
         &err, "store");
    struct shl_lsm *db = open_writer(s, retries);
    shl_lsm_status(s->older, &first);
    shl_lsm_status(db, &second);
    CHECK(first.writer_epoch != second.writer_epoch);
    CHECK(shl_lsm_close(s->older, &err) == SHALE_FENCED || err.code == SHALE_OK);
    close_db(db);
    shl_store_unref(retries);
    shl_store_unref(fails);
    end(s);
}

/* A store that says no to what it has just taken, each time: the opening ends, and says why. */
static void a_fence_that_is_always_refused(void *arg)
{
    struct scene *s = arg;
    shale_error err = {0};
    struct shl_store *liar;
    struct shl_lsm *db;
    begin(s);
    must(shl_store_fault_new(&liar, s->bucket, 1, &err), &err, "store");
    (void)shl_store_fault_add(liar, &(struct shl_fault_rule){.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                                             .key_part = "/wal/",
                                                             .effect = SHL_FAULT_AFTER,
                                                             .code = SHALE_ALREADY_EXISTS,
                                                             .sticky = true});
    struct shl_lsm_open o = {.store = liar, .path = "db", .settings = &s->settings};
    CHECK(shl_lsm_open_writer(&o, &db, &err) == SHALE_UNAVAILABLE);
    CHECK(strstr(err.text, "refuses what it took") != NULL);
    shl_store_unref(liar);
    s->acted = true;
    end(s);
}

/* ---------------------------------------------------------------- running */

static void run(void (*scene)(void *), const char *name, uint64_t seeds)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct scene s = {0};
        struct sim_options o = {.seed = seed,
                                .policy = SIM_POLICY_BY_SEED,
                                .scenario = name,
                                .virtual_ns_max = UINT64_C(7200) * ENV_NS_PER_SEC,
                                .progress_ns_max = UINT64_MAX};
        (void)sim_run(&o, scene, &s);
        assert_int_equal(sim_alloc_live(0), 0);
    }
}

#define SCENE(name, seeds)                                                                         \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        run(name, #name, seeds);                                                                   \
    }
SCENE(reader_and_a_dead_manifest, SEEDS)
SCENE(writer_that_slept_before_its_epoch, SEEDS)
SCENE(writer_overtaken_after_its_fence, SEEDS)
SCENE(wal_list_older_than_the_manifest, SEEDS)
SCENE(older_writer_between_list_and_fence, SEEDS)
SCENE(older_writer_flushes_before_the_fence, SEEDS)
SCENE(equal_claims, SEEDS)
SCENE(a_fence_that_is_always_refused, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_and_a_dead_manifest),
        cmocka_unit_test(test_writer_that_slept_before_its_epoch),
        cmocka_unit_test(test_writer_overtaken_after_its_fence),
        cmocka_unit_test(test_wal_list_older_than_the_manifest),
        cmocka_unit_test(test_older_writer_between_list_and_fence),
        cmocka_unit_test(test_older_writer_flushes_before_the_fence),
        cmocka_unit_test(test_equal_claims),
        cmocka_unit_test(test_a_fence_that_is_always_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
