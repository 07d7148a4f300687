/* Goal: flushes and compactions keep the very rows that SlateDB kept. Method: the golden databases still hold what each step read and wrote. For
 * every two manifests in a row: a new L0 SST must hold what our rules make of the WAL rows between the two last_l0_seq, and a new run what they make
 * of the SSTs that the run replaced. Every version is compared: key, value, kind, seq and times. Steps are counted, so that none is skipped unseen. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/env/env.h"
#include "lsm/levels.h"
#include "lsm/retain.h"
#include "lsm/source_chain.h"
#include "lsm/wal.h"
#include "store/memory.h"

#define FIXTURES      SHALE_SOURCE_DIR "/tests/fixtures/slatedb"
#define MANIFESTS_MAX 200

static shale_error err;

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            print_error("%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #cond, err.text);       \
            print_error(__VA_ARGS__);                                                              \
            print_error("\n");                                                                     \
            fail();                                                                                \
        }                                                                                          \
    } while (0)

/* ---------------------------------------------------------------- rows */

struct kept {
    struct shl_buf key, value; /* owned */
    struct shl_row row;        /* key and value not set */
};

struct rows {
    SHL_ARRAY(struct kept) list;
};

static shale_code add_row(void *ctx, const struct shl_row *row, shale_error *e)
{
    struct rows *r = ctx;
    struct kept k = {.row = *row};
    (void)e;
    k.row.key = k.row.value = shl_slice_of(NULL, 0);
    assert_int_equal(shl_buf_set(&k.key, row->key, &err), SHALE_OK);
    assert_int_equal(shl_buf_set(&k.value, row->value, &err), SHALE_OK);
    assert_true(shl_array_push(&r->list, k));
    return SHALE_OK;
}

static void free_rows(struct rows *r)
{
    for (size_t i = 0; i < r->list.count; i++) {
        shl_buf_free(&r->list.items[i].key);
        shl_buf_free(&r->list.items[i].value);
    }
    shl_array_free(&r->list);
}

static struct shl_row view(const struct kept *k)
{
    struct shl_row row = k->row;
    row.key = shl_buf_view(&k->key);
    row.value = shl_buf_view(&k->value);
    return row;
}

static int by_key_and_seq(const void *a, const void *b)
{
    struct shl_row x = view(a), y = view(b);
    return shl_row_cmp(&x, &y);
}

static void read_all(struct shl_source *s, struct rows *out)
{
    CHECK(shl_source_seek(s, NULL, &err) == SHALE_OK, "seek");
    while (s->valid) {
        (void)add_row(out, &s->row, &err);
        CHECK(shl_source_next(s, &err) == SHALE_OK, "next");
    }
    shl_source_close(s);
}

static void retain(const struct rows *in, const struct shl_retain_rules *rules, struct rows *out)
{
    struct shl_retain r;
    shl_retain_init(&r, rules, add_row, out);
    for (size_t i = 0; i < in->list.count; i++) {
        struct shl_row row = view(&in->list.items[i]);
        CHECK(shl_retain_push(&r, &row, &err) == SHALE_OK, "row %zu", i);
    }
    CHECK(shl_retain_finish(&r, &err) == SHALE_OK, "finish");
    shl_retain_deinit(&r);
}

static void compare(const struct rows *want, const struct rows *got, const char *what)
{
    for (size_t i = 0; i < want->list.count && i < got->list.count; i++) {
        struct shl_row a = view(&want->list.items[i]), b = view(&got->list.items[i]);
        bool expires = (a.flags & SHL_ROW_HAS_EXPIRE) != 0;
        CHECK(shl_slice_eq(a.key, b.key) && a.seq == b.seq,
              "%s: row %zu: SlateDB has %.*s seq %llu, we %.*s seq %llu", what, i, (int)a.key.len,
              (const char *)a.key.data, (unsigned long long)a.seq, (int)b.key.len,
              (const char *)b.key.data, (unsigned long long)b.seq);
        CHECK(shl_slice_eq(a.value, b.value) && a.flags == b.flags && a.create_ts == b.create_ts &&
                  (!expires || a.expire_ts == b.expire_ts),
              "%s: row %zu (%.*s seq %llu) differs: flags %u and %u, value %.*s and %.*s", what, i,
              (int)a.key.len, (const char *)a.key.data, (unsigned long long)a.seq, a.flags, b.flags,
              (int)a.value.len, (const char *)a.value.data, (int)b.value.len,
              (const char *)b.value.data);
    }
    CHECK(want->list.count == got->list.count, "%s: SlateDB has %zu rows, we %zu", what,
          want->list.count, got->list.count);
}

/* ---------------------------------------------------------------- one database */

struct database {
    const char *name; /* for messages */
    bool
        rules_of_0_18; /* before, a flush kept also what the WAL did not have yet: that depends on the moment */
    struct shl_store *store;
    struct shl_db_paths paths;
    struct shl_merge_operator merge;
    bool has_merge;
    struct shl_transformer transformer;
    bool transformed;
    struct shl_manifest *manifests[MANIFESTS_MAX];
    uint64_t ids[MANIFESTS_MAX];
    size_t count;
    struct shl_epoch *epoch;
    struct shl_sst_context context;
    struct rows wal; /* all rows of all WAL objects, by key and seq */
    uint64_t wal_first_id;
};

static struct {
    unsigned flushes, compactions;
    unsigned long rows;
} seen;

static void load_manifests(struct database *d)
{
    struct shl_list list = {0};
    char *dir = shl_name_dir(&d->paths, "manifest");
    CHECK(shl_store_list(d->store, &(struct shl_list_options){.prefix = dir}, &list, &err) ==
              SHALE_OK,
          "%s", dir);
    for (size_t i = 0; i < list.count; i++) {
        struct shl_buf body = {0};
        CHECK(d->count < MANIFESTS_MAX, "%s", d->name);
        CHECK(shl_name_parse_id(list.items[i].key, "manifest", &d->ids[d->count]), "%s",
              list.items[i].key);
        CHECK(shl_store_get(d->store, list.items[i].key, NULL, &body, NULL, &err) == SHALE_OK, "%s",
              list.items[i].key);
        CHECK(shl_manifest_decode(shl_buf_view(&body), &d->manifests[d->count], &err) == SHALE_OK,
              "%s", list.items[i].key);
        d->count++;
        shl_buf_free(&body);
    }
    shl_list_free(&list);
    env_free(dir);
}

static void load_wal(struct database *d)
{
    shl_wal_items ids = {0};
    CHECK(shl_wal_list(d->store, &d->paths, 0, &ids, &err) == SHALE_OK, "%s", d->name);
    d->wal_first_id = ids.count > 0 ? ids.items[0].id : UINT64_MAX;
    for (size_t i = 0; i < ids.count; i++) {
        struct shl_wal_file f;
        CHECK(shl_wal_file_read(d->store, &d->paths, ids.items[i].id, ids.items[i].bytes,
                                d->transformed ? &d->transformer : NULL, &f, &err) == SHALE_OK,
              "%s", d->name);
        for (size_t k = 0; k < f.count; k++)
            (void)add_row(&d->wal, &f.rows[k], &err);
        shl_wal_file_deinit(&f);
    }
    shl_array_free(&ids);
    if (d->wal.list.count > 0)
        qsort(d->wal.list.items, d->wal.list.count, sizeof d->wal.list.items[0], by_key_and_seq);
}

static struct shl_levels *open_levels(const struct database *d, size_t at)
{
    struct shl_level_source from = {.context = &d->context, .store = d->store, .paths = &d->paths};
    struct shl_manifest *copy;
    struct shl_levels *l;
    CHECK(shl_manifest_clone(d->manifests[at], &copy, &err) == SHALE_OK, "%s", d->name);
    CHECK(shl_levels_new(&from, copy, d->ids[at], NULL, &l, &err) == SHALE_OK, "%s", d->name);
    return l;
}

static const struct shl_read_plan plan = {.window_first_bytes = 65536, .window_max_bytes = 1048576};

static struct shl_tree *tree_of(struct shl_manifest *m, const struct shl_level_tree *t)
{
    if (t->prefix.len == 0)
        return &m->root;
    struct shl_segment *s = shl_manifest_segment(m, t->prefix);
    return s != NULL ? &s->tree : NULL;
}

static bool has_view(const shl_sst_views *views, struct shl_ulid id)
{
    for (size_t i = 0; i < views->count; i++)
        if (shl_ulid_eq(views->items[i].id, id))
            return true;
    return false;
}

static bool has_run(const struct shl_tree *t, const struct shl_run *run)
{
    for (size_t i = 0; i < t->runs.count; i++) {
        const struct shl_run *r = &t->runs.items[i];
        bool equal = r->id == run->id && r->ssts.count == run->ssts.count;
        for (size_t k = 0; equal && k < r->ssts.count; k++)
            equal = shl_ulid_eq(r->ssts.items[k].id, run->ssts.items[k].id);
        if (equal)
            return true;
    }
    return false;
}

/* A tree in two manifests, and its levels in the later one. */
struct step {
    struct database *d;
    size_t at; /* of the later manifest */
    struct shl_levels *levels;
    const struct shl_level_tree *tree;
    struct shl_tree *before; /* NULL: there was none */
    struct shl_tree *after;
};

/* The tree's newest L0 SST against the WAL. */
static void check_flush(struct step *s)
{
    const struct shl_manifest *a = s->d->manifests[s->at - 1], *b = s->d->manifests[s->at];
    size_t fresh = 0;
    while (fresh < s->after->l0.count &&
           (s->before == NULL || !has_view(&s->before->l0, s->after->l0.items[fresh].id)))
        fresh++;
    if (!s->d->rules_of_0_18 || fresh != 1 || b->last_l0_seq == a->last_l0_seq ||
        s->d->wal_first_id > a->replay_after_wal_id + 1)
        return; /* several tables at once, or collected */
    struct rows in = {0}, got = {0}, want = {0};
    struct shl_source *source;
    for (size_t i = 0; i < s->d->wal.list.count; i++) {
        struct shl_row row = view(&s->d->wal.list.items[i]);
        if (row.seq > a->last_l0_seq && row.seq <= b->last_l0_seq &&
            shl_slice_has_prefix(row.key, s->tree->prefix))
            (void)add_row(&in, &row, &err);
    }
    if (in.list.count > 0) { /* else the WAL was off */
        struct shl_retain_rules rules = {.min_seq = b->recent_snapshot_min_seq,
                                         .now_tick = b->last_l0_clock_tick,
                                         .merge = s->d->has_merge ? &s->d->merge : NULL};
        char what[200];
        (void)snprintf(what, sizeof what, "%s: L0 of manifest %llu", s->d->name,
                       (unsigned long long)s->d->ids[s->at]);
        retain(&in, &rules, &got);
        CHECK(shl_level_sst_source_new(&s->levels->ssts[s->tree->l0_first], &plan, &source, &err) ==
                  SHALE_OK,
              "%s", what);
        read_all(source, &want);
        compare(&want, &got, what);
        seen.flushes++;
        seen.rows += got.list.count;
    }
    free_rows(&in);
    free_rows(&got);
    free_rows(&want);
}

/* What the earlier manifest has and the later has not, as one source. */
static struct shl_source *open_sources(const struct step *s, const struct shl_levels *old)
{
    const struct shl_level_tree *t = NULL;
    struct shl_source *list[64], *merged;
    size_t n = 0;
    for (size_t i = 0; i < old->tree_count; i++)
        if (shl_slice_eq(old->trees[i].prefix, s->tree->prefix))
            t = &old->trees[i];
    CHECK(t != NULL, "%s", s->d->name);
    for (size_t i = 0; i < s->before->l0.count; i++)
        if (!has_view(&s->after->l0, s->before->l0.items[i].id)) {
            CHECK(n < 64 && shl_level_sst_source_new(&old->ssts[t->l0_first + i], &plan, &list[n++],
                                                     &err) == SHALE_OK,
                  "%s", s->d->name);
        }
    for (size_t i = 0; i < s->before->runs.count; i++)
        if (!has_run(s->after, &s->before->runs.items[i])) {
            CHECK(n < 64 && shl_run_source_new(old, &old->runs[t->run_first + i], &plan, &list[n++],
                                               &err) == SHALE_OK,
                  "%s", s->d->name);
        }
    CHECK(shl_merge_source_new(list, n, false, NULL, &merged, &err) == SHALE_OK, "%s", s->d->name);
    return merged;
}

/* The tree's new run against what it was made from. */
static void check_compaction(struct step *s)
{
    const struct shl_manifest *a = s->d->manifests[s->at - 1];
    size_t at = 0;
    if (s->before == NULL)
        return;
    while (at < s->after->runs.count && has_run(s->before, &s->after->runs.items[at]))
        at++;
    if (at == s->after->runs.count)
        return;
    struct rows in = {0}, got = {0}, want = {0};
    struct shl_levels *old = open_levels(s->d, s->at - 1);
    struct shl_source *source;
    struct shl_retain_rules rules = {.min_seq = a->recent_snapshot_min_seq,
                                     .now_tick = a->last_l0_clock_tick,
                                     .drop_tombstones = at + 1 == s->after->runs.count,
                                     .merge = s->d->has_merge ? &s->d->merge : NULL};
    char what[200];
    (void)snprintf(what, sizeof what, "%s: run %u of manifest %llu", s->d->name,
                   s->after->runs.items[at].id, (unsigned long long)s->d->ids[s->at]);
    read_all(open_sources(s, old), &in);
    retain(&in, &rules, &got);
    CHECK(shl_run_source_new(s->levels, &s->levels->runs[s->tree->run_first + at], &plan, &source,
                             &err) == SHALE_OK,
          "%s", what);
    read_all(source, &want);
    compare(&want, &got, what);
    seen.compactions++;
    seen.rows += got.list.count;
    shl_levels_unref(old);
    free_rows(&in);
    free_rows(&got);
    free_rows(&want);
}

static void check_database(struct database *d)
{
    load_manifests(d);
    load_wal(d);
    CHECK(shl_epoch_new(&d->epoch, &err) == SHALE_OK, "%s", d->name);
    d->context = (struct shl_sst_context){.epoch = d->epoch,
                                          .transformer = d->transformed ? &d->transformer : NULL};
    for (size_t i = 1; i < d->count; i++) {
        struct step s = {.d = d, .at = i, .levels = open_levels(d, i)};
        if (d->ids[i] == d->ids[i - 1] + 1 && d->manifests[i - 1]->initialized)
            for (size_t k = 0; k < s.levels->tree_count; k++) {
                s.tree = &s.levels->trees[k];
                s.before = tree_of(d->manifests[i - 1], s.tree);
                s.after = tree_of(d->manifests[i], s.tree);
                check_flush(&s);
                check_compaction(&s);
            }
        shl_levels_unref(s.levels);
    }
    (void)shl_epoch_collect(d->epoch);
    shl_epoch_free(d->epoch);
    for (size_t i = 0; i < d->count; i++)
        shl_manifest_free(d->manifests[i]);
    free_rows(&d->wal);
}

/* ---------------------------------------------------------------- the cases */

static void load_file(struct shl_store *store, const char *path, const char *key)
{
    struct shl_buf b = {0};
    uint8_t chunk[8192];
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL, "%s", path);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        CHECK(shl_buf_append(&b, chunk, n, &err) == SHALE_OK, "%s", path);
    (void)fclose(f);
    struct shl_slice part = shl_buf_view(&b);
    CHECK(shl_store_put(store, key, &part, 1, &(struct shl_put){0}, NULL, &err) == SHALE_OK, "%s",
          key);
    shl_buf_free(&b);
}

/* Loads the files below `dir` into the store; `key` is the part below the store's root. Folders with a manifest/ are databases.
 * NOLINTNEXTLINE(misc-no-recursion): as deep as the fixture's folders */
static void walk(struct shl_store *store, const char *dir, const char *key, char names[8][256],
                 size_t *count)
{
    DIR *d = opendir(dir);
    CHECK(d != NULL, "%s", dir);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[1024], below[512];
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        CHECK((size_t)snprintf(path, sizeof path, "%s/%s", dir, e->d_name) < sizeof path, "%s",
              dir);
        CHECK((size_t)snprintf(below, sizeof below, "%s%s%s", key, *key != '\0' ? "/" : "",
                               e->d_name) < sizeof below,
              "%s", dir);
        CHECK(stat(path, &st) == 0, "%s", path);
        if (S_ISDIR(st.st_mode)) {
            if (strcmp(e->d_name, "manifest") == 0 && *count < 8)
                (void)snprintf(names[(*count)++], 256, "%.255s", key);
            walk(store, path, below, names, count);
        } else {
            load_file(store, path, below);
        }
    }
    (void)closedir(d);
}

static void read_options(struct database *d, const char *dir)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/case.json", dir);
    json_t *j = json_load_file(path, 0, NULL);
    CHECK(j != NULL, "%s", path);
    const json_t *options = json_object_get(j, "options");
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *option = json_string_value(json_array_get(options, i));
        const char *value = json_string_value(json_array_get(options, i + 1));
        if (strcmp(option, "--merge") == 0) {
            assert_true(shl_merge_operator_builtin(value, &d->merge));
            d->has_merge = true;
        }
        if (strcmp(option, "--transformer") == 0) {
            d->transformer = shl_transformer_xor(0x5a);
            d->transformed = true;
        }
    }
    json_decref(j);
}

static void check_case(const char *name)
{
    char dir[512], store_dir[600], names[8][256];
    size_t count = 0;
    struct shl_store *store;
    (void)snprintf(dir, sizeof dir, "%s/%s", FIXTURES, name);
    (void)snprintf(store_dir, sizeof store_dir, "%s/store", dir);
    CHECK(shl_store_memory_new(&store, &err) == SHALE_OK, "%s", name);
    walk(store, store_dir, "", names, &count);
    for (size_t i = 0; i < count; i++) {
        static struct database d;
        d = (struct database){.name = name, .store = store, .rules_of_0_18 = name[0] >= '4'};
        read_options(&d, dir);
        CHECK(shl_db_paths_init_escaped(&d.paths, names[i], &err) == SHALE_OK, "%s", name);
        check_database(&d);
        shl_db_paths_deinit(&d.paths);
    }
    shl_store_unref(store);
}

static void test_golden_flushes_and_compactions_keep_the_same_rows(void **state)
{
    static const struct {
        const char *prefix, *why;
    } skipped[] = {
        {"28", "0.5 kept the newest version only"},
        {"29", "0.6 likewise"},
        {"3", "up to 0.14 the rules were others"},
    };
    DIR *d = opendir(FIXTURES);
    (void)state;
    CHECK(d != NULL, FIXTURES);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        bool skip = e->d_name[0] < '0' || e->d_name[0] > '9';
        for (size_t i = 0; i < sizeof skipped / sizeof skipped[0]; i++)
            skip = skip || strncmp(e->d_name, skipped[i].prefix, strlen(skipped[i].prefix)) == 0;
        if (!skip) {
            unsigned flushes = seen.flushes, compactions = seen.compactions;
            check_case(e->d_name);
            if (strncmp(e->d_name, "47", 2) == 0 || strncmp(e->d_name, "48", 2) == 0 ||
                strncmp(e->d_name, "56", 2) == 0)
                CHECK(seen.compactions > compactions &&
                          (seen.flushes > flushes || e->d_name[0] == '5'),
                      "%s: nothing was compared", e->d_name);
        }
    }
    (void)closedir(d);
    print_message("%u flushes, %u compactions, %lu rows\n", seen.flushes, seen.compactions,
                  seen.rows);
    CHECK(seen.flushes >= 51 && seen.compactions >= 31 && seen.rows >= 24000,
          "steps are skipped that were compared before");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_flushes_and_compactions_keep_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
