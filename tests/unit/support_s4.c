#include "support_s4.h"

#include <unistd.h>

shale_error s4_err;

int s4_bench_setup(void **state)
{
    struct s4_bench *b = calloc(1, sizeof *b);
    const char *base = getenv("TMPDIR");
    assert_non_null(b);
    OK(shl_store_memory_new(&b->memory, &s4_err));
    OK(shl_store_fault_new(&b->store, b->memory, 1, &s4_err));
    shl_s4_settings_init(&b->settings);
    for (size_t i = 0; i < SHL_COUNT_OF(b->dir); i++) {
        (void)snprintf(b->dir[i], sizeof b->dir[i], "%s/shale-s4-XXXXXX",
                       base != NULL ? base : "/tmp");
        assert_non_null(mkdtemp(b->dir[i]));
    }
    *state = b;
    return 0;
}

static void remove_dir(const char *dir)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    char path[600];
    if (env_listdir(dir, &entries, &count) != 0)
        return;
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, entries[i].name);
        (void)env_unlink(path);
    }
    env_listdir_free(entries, count);
    (void)env_rmdir(dir);
}

int s4_bench_teardown(void **state)
{
    struct s4_bench *b = *state;
    for (size_t i = 0; i < SHL_COUNT_OF(b->dir); i++)
        remove_dir(b->dir[i]);
    shl_store_unref(b->store);
    shl_store_unref(b->memory);
    free(b);
    return 0;
}

shale_code s4_try_open(struct s4_bench *b, int dir, struct shl_s4 **out)
{
    b->settings.local_dir = dir >= 0 ? b->dir[dir] : NULL;
    return shl_s4_open(
        &(struct shl_s4_open){.store = b->store, .path = "db", .settings = &b->settings}, out,
        &s4_err);
}

struct shl_s4 *s4_open(struct s4_bench *b, int dir)
{
    struct shl_s4 *db = NULL;
    OK(s4_try_open(b, dir, &db));
    return db;
}

void s4_put(struct shl_s4 *db, const char *key, const char *value)
{
    const struct shl_s4_item item = {.key = shl_slice_str(key), .value = shl_slice_str(value)};
    OK(shl_s4_put(db, &item, 1, &s4_err));
}

void s4_del(struct shl_s4 *db, const char *key)
{
    const struct shl_slice slice = shl_slice_str(key);
    OK(shl_s4_delete(db, &slice, 1, NULL, &s4_err));
}

void s4_upload(struct shl_s4 *db)
{
    OK(shl_s4_upload(db, true, &s4_err));
}

void s4_has(struct shl_s4 *db, const char *key, const char *value)
{
    struct shl_buf got = {0};
    bool is_bytes;
    shale_code rc = shl_s4_get(db, shl_slice_str(key), &got, &is_bytes, &s4_err);
    if (value == NULL) {
        CHECK(rc == SHALE_NOT_FOUND);
    } else {
        OK(rc);
        if (!shl_slice_eq(shl_buf_view(&got), shl_slice_str(value)))
            fail_msg("%s is \"%.*s\", not \"%s\"", key, (int)got.len, (const char *)got.data,
                     value);
    }
    shl_buf_free(&got);
}

void s4_bucket_has(struct s4_bench *b, const char *key, const char *value)
{
    struct s4_bench plain = *b;
    plain.store = b->memory;
    shl_s4_settings_init(&plain.settings);
    struct shl_s4 *db = s4_open(&plain, -1);
    s4_has(db, key, value);
    shl_s4_close(db);
}

static void list(struct s4_bench *b, struct shl_list *out)
{
    OK(shl_store_list(b->memory, &(struct shl_list_options){.prefix = "db"}, out, &s4_err));
}

size_t s4_files(struct s4_bench *b)
{
    struct shl_list l = {0};
    size_t count = 0;
    list(b, &l);
    for (size_t i = 0; i < l.count; i++)
        count += strstr(l.items[i].key, "data_") != NULL;
    shl_list_free(&l);
    return count;
}

void s4_file_name(struct s4_bench *b, size_t i, char out[SHL_S4_NAME_BYTES])
{
    struct shl_list l = {0};
    list(b, &l);
    CHECK(i < l.count);
    (void)snprintf(out, SHL_S4_NAME_BYTES, "%s", l.items[i].key + 3);
    shl_list_free(&l);
}
