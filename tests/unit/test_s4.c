/* Goal: the string store does what s4db does, and what is promised beyond: checked reads, no lost race, no writer's file deleted by another one, flushed writes that come
 * back. Method: handles over one store in memory, real local folders. */
#include "support_s4.h"

#include "base/codec/endian.h"

static void test_what_is_put_is_there(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *db = s4_open(b, -1);
    const struct shl_s4_item items[] = {
        {shl_slice_str("text"), shl_slice_str("one"), false},
        {shl_slice_of("", 0), shl_slice_of("", 0), false},
        {shl_slice_of("a\0b", 3), shl_slice_of("\xff\0", 2), true},
        {shl_slice_str("text"), shl_slice_str("two"), false},
    };
    struct shl_buf got = {0};
    bool is_bytes = false;
    OK(shl_s4_put(db, items, 4, &s4_err));
    s4_has(db, "text", "two");
    s4_has(db, "", "");
    s4_has(db, "none", NULL);
    OK(shl_s4_get(db, items[2].key, &got, &is_bytes, &s4_err));
    CHECK(is_bytes && shl_slice_eq(shl_buf_view(&got), items[2].value));
    shl_buf_free(&got);
    s4_bucket_has(b, "text", NULL); /* not uploaded */
    s4_upload(db);
    s4_bucket_has(b, "text", "two");
    s4_del(db, "text");
    s4_del(db, "none");
    s4_has(db, "text", NULL);
    s4_bucket_has(b, "text", "two");
    s4_upload(db);
    s4_bucket_has(b, "text", NULL);
    CHECK(s4_files(b) == 1); /* grown, by if-match */
    shl_s4_close(db);
}

static void test_bad_items_change_nothing(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *db = s4_open(b, -1);
    static char big[SHL_S4_KEY_MAX + 1];
    struct shl_s4_item items[2] = {{shl_slice_str("good"), shl_slice_str("v"), false}};
    memset(big, 'k', sizeof big);
    items[1] = (struct shl_s4_item){shl_slice_of(big, sizeof big), shl_slice_str("v"), false};
    FAILS(shl_s4_put(db, items, 2, &s4_err), SHALE_INVALID);
    SAYS("key 1 has 65536 bytes");
    items[1] = (struct shl_s4_item){shl_slice_of("\xff", 1), shl_slice_str("v"), false};
    FAILS(shl_s4_put(db, items, 2, &s4_err), SHALE_INVALID);
    items[1] = (struct shl_s4_item){shl_slice_str("k"), shl_slice_of("\xff", 1), false};
    FAILS(shl_s4_put(db, items, 2, &s4_err), SHALE_INVALID);
    s4_has(db, "good", NULL);
    items[1] = (struct shl_s4_item){shl_slice_of(big, SHL_S4_KEY_MAX), shl_slice_str("v"), false};
    OK(shl_s4_put(db, items, 2, &s4_err));
    CHECK(shl_s4_has(db, items[1].key));
    shl_s4_close(db);
}

/* The rule of s4db: a record is never split, and one that is too large has a file of its own. */
static void test_files_are_rolled(void **state)
{
    struct s4_bench *b = *state;
    char big[301];
    unsigned seed = 1;
    struct shl_list l = {0};
    b->settings.max_file_bytes = 100;
    struct shl_s4 *db = s4_open(b, -1);
    for (size_t i = 0; i < 300; i++) /* nothing to compress */
        big[i] = (char)('!' + (seed = seed * 1103515245 + 12345) / 65536 % 90);
    big[300] = '\0';
    s4_put(db, "a", "0123456789"); /* 13 + 1 + 10 = 24: 33 */
    s4_put(db, "b", "0123456789"); /* 57 */
    s4_put(db, "c", "0123456789"); /* 81 */
    s4_put(db, "d", "012345");     /* would be 101: a new file */
    s4_put(db, "e", big);          /* alone, 9 + 314 */
    s4_put(db, "f", "1");
    s4_upload(db);
    OK(shl_store_list(b->memory, &(struct shl_list_options){.prefix = "db"}, &l, &s4_err));
    CHECK(l.count == 5);
    CHECK(l.items[0].size == 81 && l.items[1].size == 29 && l.items[2].size > 100 &&
          l.items[3].size == 24);
    shl_list_free(&l);
    s4_has(db, "e", big);
    s4_bucket_has(b, "e", big);
    s4_bucket_has(b, "c", "0123456789");
    shl_s4_close(db);
}

static void test_two_writers_merge_by_key(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *one = s4_open(b, -1);
    struct shl_s4 *two = s4_open(b, -1);
    s4_put(one, "both", "1");
    s4_put(one, "one", "1");
    s4_put(two, "both", "2");
    s4_put(two, "two", "2");
    s4_upload(one);
    FAILS(shl_s4_upload(two, false, &s4_err), SHALE_CONFLICT);
    SAYS("index.idx");
    s4_upload(two);
    s4_bucket_has(b, "both", "2");
    s4_bucket_has(b, "one", "1");
    s4_del(one, "both");
    s4_upload(one);
    s4_has(one, "two", "2");
    s4_bucket_has(b, "both", NULL);
    s4_put(two, "later", "2");
    s4_upload(two);
    s4_has(two, "both", NULL);
    shl_s4_close(one);
    shl_s4_close(two);
}

struct told {
    unsigned count;
    unsigned bytes;
};

static shale_code on_value(void *ctx, size_t i, struct shl_slice value, bool is_bytes,
                           shale_error *err)
{
    struct told *t = ctx;
    char want[32];
    (void)err;
    (void)snprintf(want, sizeof want, "value of %zu", i);
    CHECK(shl_slice_eq(value, shl_slice_str(want)));
    t->count++;
    t->bytes += is_bytes;
    return SHALE_OK;
}

#define MANY 3000

static void put_many(struct shl_s4 *db)
{
    for (unsigned i = 0; i < MANY; i++) {
        char key[32], value[32];
        (void)snprintf(key, sizeof key, "key%u", i);
        (void)snprintf(value, sizeof value, "value of %u", i);
        struct shl_s4_item item = {shl_slice_str(key), shl_slice_str(value), i % 5 == 0};
        OK(shl_s4_put(db, &item, 1, &s4_err));
    }
}

static void test_many_keys_at_once(void **state)
{
    struct s4_bench *b = *state;
    static char text[MANY + 10][32];
    static struct shl_slice keys[MANY + 10];
    struct told t = {0};
    b->settings.max_file_bytes = 5000;
    struct shl_s4 *db = s4_open(b, -1);
    put_many(db);
    s4_upload(db);
    shl_s4_close(db);
    db = s4_open(b, -1);
    for (unsigned i = 0; i < MANY + 10; i++) {
        (void)snprintf(text[i], sizeof text[i], "key%u", i);
        keys[i] = shl_slice_str(text[i]);
    }
    OK(shl_s4_get_many(db, keys, MANY + 10, on_value, &t, &s4_err));
    CHECK(t.count == MANY && t.bytes == MANY / 5);
    OK(shl_s4_get_many(db, NULL, 0, on_value, &t, &s4_err));
    shl_s4_close(db);
}

static unsigned count_all(struct shl_s4 *db, bool keys_only, bool local, shale_code want)
{
    struct shl_s4_iter *it = NULL;
    struct shl_s4_item item;
    struct shl_s4_iter_options how = {.keys_only = keys_only, .local = local};
    unsigned count = 0;
    shale_code rc;
    OK(shl_s4_iter_open(db, &how, &it, &s4_err));
    while ((rc = shl_s4_iter_next(it, &item, &s4_err)) == SHALE_OK) {
        char value[32];
        CHECK(item.key.len > 3);
        (void)snprintf(value, sizeof value, "value of %.*s", (int)item.key.len - 3,
                       (const char *)item.key.data + 3);
        CHECK(keys_only || shl_slice_eq(item.value, shl_slice_str(value)));
        count++;
    }
    CHECK(rc == want);
    CHECK(shl_s4_iter_next(it, &item, &s4_err) == want);
    shl_s4_iter_close(it);
    return count;
}

static void test_iterators(void **state)
{
    struct s4_bench *b = *state;
    b->settings.max_file_bytes = 5000;
    struct shl_s4 *db = s4_open(b, -1);
    CHECK(count_all(db, false, false, SHALE_DONE) == 0);
    put_many(db);
    CHECK(count_all(db, false, false, SHALE_DONE) == MANY);
    s4_upload(db);
    shl_s4_close(db);
    db = s4_open(b, 0);
    CHECK(count_all(db, false, false, SHALE_DONE) == MANY);
    CHECK(count_all(db, true, false, SHALE_DONE) == MANY);
    CHECK(count_all(db, false, true, SHALE_DONE) == MANY); /* downloads */
    struct shl_s4_iter *it = NULL;
    struct shl_s4_item item;
    OK(shl_s4_iter_open(db, &(struct shl_s4_iter_options){0}, &it, &s4_err));
    OK(shl_s4_iter_next(it, &item, &s4_err));
    s4_put(db, "key", "x");
    shale_code rc = SHALE_OK;
    for (unsigned i = 0; rc == SHALE_OK && i <= MANY; i++)
        rc = shl_s4_iter_next(it, &item, &s4_err);
    CHECK(rc == SHALE_INVALID || rc == SHALE_DONE); /* a batch that was there may go to its end */
    shl_s4_iter_close(it);
    shl_s4_close(db);
}

/* ---- damage */

static void change_object(struct s4_bench *b, const char *name, size_t at, uint8_t with, size_t cut)
{
    struct shl_buf body = {0};
    char key[100];
    (void)snprintf(key, sizeof key, "db/%s", name);
    OK(shl_store_get(b->memory, key, NULL, &body, NULL, &s4_err));
    CHECK(at < body.len);
    body.data[at] ^= with;
    struct shl_slice part = shl_slice_of(body.data, body.len - cut);
    OK(shl_store_put(b->memory, key, &part, 1, &(struct shl_put){0}, NULL, &s4_err));
    shl_buf_free(&body);
}

static shale_code get_rc(struct shl_s4 *db, const char *key)
{
    struct shl_buf got = {0};
    bool is_bytes;
    shale_code rc = shl_s4_get(db, shl_slice_str(key), &got, &is_bytes, &s4_err);
    shl_buf_free(&got);
    return rc;
}

static void test_damage_is_told_with_its_place(void **state)
{
    struct s4_bench *b = *state;
    char name[SHL_S4_NAME_BYTES];
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(db, "a", "one");
    s4_put(db, "b", "two");
    s4_upload(db);
    shl_s4_close(db);
    s4_file_name(b, 0, name);
    db = s4_open(b, -1);
    change_object(b, name, 9 + 9, 1, 0);
    FAILS(get_rc(db, "a"), SHALE_CORRUPTION);
    SAYS(name);
    SAYS("offset 9: crc");
    s4_has(db, "b", "two");
    change_object(b, name, 9 + 9, 1, 1); /* mended, and cut */
    s4_has(db, "a", "one");
    FAILS(get_rc(db, "b"), SHALE_CORRUPTION);
    SAYS(name);
    char key[100];
    (void)snprintf(key, sizeof key, "db/%s", name);
    OK(shl_store_delete(b->memory, key, &s4_err));
    FAILS(get_rc(db, "a"), SHALE_CORRUPTION);
    SAYS("is missing");
    OK(shl_store_delete(b->memory, "db/index.idx", &s4_err));
    FAILS(shl_s4_refresh(db, &s4_err), SHALE_CORRUPTION);
    SAYS("index.idx is gone");
    shl_s4_close(db);
}

/* A record whose bytes are good, but that is another key's. */
static void test_a_wrong_place_in_the_index_is_found(void **state)
{
    struct s4_bench *b = *state;
    struct shl_buf blob = {0};
    struct shl_s4_index x;
    struct shl_s4_index_head head;
    struct shl_s4_loc loc;
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(db, "a", "one");
    s4_upload(db);
    shl_s4_close(db);
    OK(shl_store_get(b->memory, "db/index.idx", NULL, &blob, NULL, &s4_err));
    shl_s4_index_init(&x);
    OK(shl_s4_index_load(&x, shl_buf_view(&blob), &head, &s4_err));
    CHECK(shl_s4_index_get(&x, shl_slice_str("a"), &loc));
    OK(shl_s4_index_put(&x, shl_slice_str("b"), loc, &s4_err));
    loc.length = UINT32_MAX;
    OK(shl_s4_index_put(&x, shl_slice_str("huge"), loc, &s4_err));
    loc.offset = UINT64_MAX - 5;
    OK(shl_s4_index_put(&x, shl_slice_str("wild"), loc, &s4_err));
    blob.len = 0;
    OK(shl_s4_index_encode(&x, 2, 1, &blob, &s4_err));
    struct shl_slice part = shl_buf_view(&blob);
    OK(shl_store_put(b->memory, "db/index.idx", &part, 1, &(struct shl_put){0}, NULL, &s4_err));
    db = s4_open(b, -1);
    s4_has(db, "a", "one");
    FAILS(get_rc(db, "b"), SHALE_CORRUPTION);
    SAYS("another key");
    FAILS(get_rc(db, "huge"), SHALE_CORRUPTION);
    FAILS(get_rc(db, "wild"), SHALE_CORRUPTION);
    struct shl_s4_compacted done;
    FAILS(shl_s4_compact(db, 0, &done, &s4_err), SHALE_CORRUPTION);
    s4_has(db, "a", "one");
    CHECK(s4_files(b) == 1);
    shl_s4_close(db);
    shl_s4_index_free(&x);
    shl_buf_free(&blob);
}

/* A mirror that is older, or damaged, is no reason to fail. */
static void test_local_copies_that_are_not_good_are_passed_over(void **state)
{
    struct s4_bench *b = *state;
    char name[SHL_S4_NAME_BYTES];
    char path[400];
    uint64_t files, bytes;
    struct shl_s4 *writer = s4_open(b, -1);
    s4_put(writer, "a", "one");
    s4_upload(writer);
    struct shl_s4 *reader = s4_open(b, 0);
    OK(shl_s4_download(reader, false, &files, &bytes, &s4_err));
    CHECK(files == 1 && bytes > 9);
    s4_put(writer, "b", "two");
    s4_upload(writer);
    OK(shl_s4_refresh(reader, &s4_err));
    s4_has(reader, "b", "two"); /* behind the end of the local file */
    s4_file_name(b, 0, name);
    (void)snprintf(path, sizeof path, "%s/%s", b->dir[0], name);
    FILE *f = fopen(path, "r+b");
    CHECK(f != NULL && fseek(f, 20, SEEK_SET) == 0 && fputc('!', f) != EOF && fclose(f) == 0);
    s4_has(reader, "a", "one");
    shl_s4_close(reader);
    shl_s4_close(writer);
}

/* ---- compaction and the collector */

static void test_compaction_keeps_what_lives(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_compacted done;
    struct shl_s4_stat st;
    b->settings.max_file_bytes = 200;
    struct shl_s4 *db = s4_open(b, -1);
    for (unsigned i = 0; i < 50; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", i % 10);
        s4_put(db, key, "some value of some length");
    }
    s4_del(db, "k3");
    FAILS(shl_s4_compact(db, 0, &done, &s4_err), SHALE_INVALID);
    s4_upload(db);
    size_t before = s4_files(b);
    OK(shl_s4_compact(db, UINT64_MAX, &done, &s4_err));
    CHECK(done.keys == 9 && done.files_deleted > 0 && s4_files(b) < before);
    CHECK(done.files_left == 0); /* all were ours */
    s4_bucket_has(b, "k4", "some value of some length");
    s4_bucket_has(b, "k3", NULL);
    OK(shl_s4_stat(db, true, &st, &s4_err));
    CHECK(st.keys == 9 && st.missing == 0 && st.file_bytes == st.record_bytes + 9 * st.files);
    s4_put(db, "k3", "again");
    s4_upload(db);
    s4_bucket_has(b, "k3", "again");
    shl_s4_close(db);
}

/* Files of others stay while they are young; what is on its way is not touched at all. */
static void test_compaction_leaves_other_writers_alone(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_compacted done;
    struct shl_s4 *other = s4_open(b, -1);
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(other, "theirs", "1");
    s4_upload(other);
    s4_put(other, "on its way", "2");
    shl_s4_take_turn(other); /* the data file is there, the index not yet */
    OK(shl_s4_send_files(other, &s4_err));
    shl_s4_end_turn(other);
    s4_put(db, "ours", "3");
    s4_upload(db);
    OK(shl_s4_compact(db, UINT64_C(3600) * ENV_NS_PER_SEC, &done, &s4_err));
    CHECK(done.keys == 2 && done.files_left == 1 && done.files_deleted == 1);
    s4_upload(other);
    s4_bucket_has(b, "theirs", "1");
    s4_bucket_has(b, "on its way", "2");
    s4_bucket_has(b, "ours", "3");
    /* Even if it was deleted: its writer puts it there again. */
    s4_put(other, "more", "4");
    OK(shl_s4_refresh(db, &s4_err));
    OK(shl_s4_compact(db, 0, &done, &s4_err));
    s4_upload(other);
    s4_bucket_has(b, "more", "4");
    s4_bucket_has(b, "on its way", "2");
    shl_s4_close(other);
    shl_s4_close(db);
}

/* Upload without writes changes nothing, also not the generation. */
static void test_nothing_to_upload(void **state)
{
    struct s4_bench *b = *state;
    struct shl_object before, after;
    b->settings.format = 1;
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(db, "a", "one");
    s4_upload(db);
    shl_s4_close(db);
    OK(shl_store_head(b->memory, "db/index.idx", &before, &s4_err));
    b->settings.format = 2;
    db = s4_open(b, -1);
    s4_upload(db);
    s4_upload(db);
    shl_s4_close(db);
    OK(shl_store_head(b->memory, "db/index.idx", &after, &s4_err));
    CHECK(strcmp(before.etag, after.etag) == 0);
}

/* The same for one that reads from its folder. */
static void test_local_readers_outlive_a_compaction(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_compacted done;
    b->settings.max_file_bytes = 5000;
    struct shl_s4 *db = s4_open(b, -1);
    put_many(db);
    s4_upload(db);
    struct shl_s4 *reader = s4_open(b, 0);
    OK(shl_s4_compact(db, 0, &done, &s4_err));
    CHECK(count_all(reader, false, true, SHALE_DONE) == MANY);
    shl_s4_close(reader);
    shl_s4_close(db);
}

static void test_readers_outlive_a_compaction(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_compacted done;
    struct shl_s4_iter *it = NULL;
    struct shl_s4_item item;
    unsigned count = 0;
    shale_code rc;
    b->settings.max_file_bytes = 5000;
    struct shl_s4 *db = s4_open(b, -1);
    put_many(db);
    s4_upload(db);
    struct shl_s4 *reader = s4_open(b, -1);
    struct shl_s4 *walker = s4_open(b, -1);
    OK(shl_s4_iter_open(walker, &(struct shl_s4_iter_options){0}, &it, &s4_err));
    OK(shl_s4_compact(db, 0, &done, &s4_err));
    s4_has(reader, "key17", "value of 17");
    while ((rc = shl_s4_iter_next(it, &item, &s4_err)) == SHALE_OK)
        count++;
    CHECK(rc == SHALE_DONE && count == MANY);
    shl_s4_iter_close(it);
    shl_s4_close(reader);
    shl_s4_close(walker);
    shl_s4_close(db);
}

static void count_told(void *ctx, const char *name, uint64_t bytes)
{
    struct told *t = ctx;
    CHECK(strncmp(name, "data_", 5) == 0 && bytes > 0);
    t->count++;
}

static void test_the_collector_takes_old_orphans_only(void **state)
{
    struct s4_bench *b = *state;
    struct told t = {0};
    struct shl_s4 *db = s4_open(b, -1);
    struct shl_s4 *dead = s4_open(b, -1);
    FAILS(shl_s4_gc(db, 0, false, count_told, &t, &s4_err), SHALE_NOT_FOUND); /* no index */
    s4_put(db, "k", "v");
    FAILS(shl_s4_gc(db, 0, false, count_told, &t, &s4_err), SHALE_INVALID);
    s4_upload(db);
    s4_put(dead, "lost", "v");
    shl_s4_take_turn(dead);
    OK(shl_s4_send_files(dead, &s4_err));
    shl_s4_end_turn(dead);
    shl_s4_close(dead);
    OK(shl_s4_gc(db, UINT64_C(3600) * ENV_NS_PER_SEC, false, count_told, &t, &s4_err));
    CHECK(t.count == 0 && s4_files(b) == 2);
    OK(shl_s4_gc(db, 0, true, count_told, &t, &s4_err));
    CHECK(t.count == 1 && s4_files(b) == 2);
    OK(shl_s4_gc(db, 0, false, count_told, &t, &s4_err));
    CHECK(t.count == 2 && s4_files(b) == 1);
    s4_bucket_has(b, "k", "v");
    shl_s4_close(db);
}

/* ---- what was flushed */

static size_t files_in(const char *dir, const char *part)
{
    struct env_dirent *entries = NULL;
    size_t count = 0, found = 0;
    CHECK(env_listdir(dir, &entries, &count) == 0);
    for (size_t i = 0; i < count; i++)
        found += strstr(entries[i].name, part) != NULL;
    env_listdir_free(entries, count);
    return found;
}

static void test_flushed_writes_come_back(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *db = s4_open(b, 0);
    s4_put(db, "old", "1");
    s4_upload(db);
    s4_put(db, "a", "one");
    s4_put(db, "a", "two");
    s4_del(db, "old");
    OK(shl_s4_flush(db, &s4_err));
    s4_put(db, "late", "not flushed");
    shl_s4_close(db); /* as a crash: nothing is uploaded */
    CHECK(files_in(b->dir[0], ".unsynced") == 1 && files_in(b->dir[0], "index.idx") == 1);
    b->settings.read_only = true; /* a reader sees it, and leaves it */
    db = s4_open(b, 0);
    s4_has(db, "a", "two");
    s4_has(db, "old", NULL);
    FAILS(shl_s4_upload(db, true, &s4_err), SHALE_INVALID);
    shl_s4_close(db);
    CHECK(files_in(b->dir[0], ".unsynced") == 1);
    b->settings.read_only = false;
    db = s4_open(b, 0);
    s4_has(db, "a", "two");
    s4_has(db, "late", NULL);
    s4_put(db, "b", "after");
    OK(shl_s4_flush(db, &s4_err));
    shl_s4_close(db);
    CHECK(files_in(b->dir[0], ".unsynced") == 1); /* its own, with what it took over */
    db = s4_open(b, 0);
    s4_upload(db);
    shl_s4_close(db);
    CHECK(files_in(b->dir[0], ".unsynced") == 0 && files_in(b->dir[0], ".lock") == 0);
    s4_bucket_has(b, "a", "two");
    s4_bucket_has(b, "b", "after");
    s4_bucket_has(b, "old", NULL);
}

static void test_a_living_writers_note_is_left_alone(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *one = s4_open(b, 0);
    s4_put(one, "a", "one");
    OK(shl_s4_flush(one, &s4_err));
    struct shl_s4 *two = s4_open(b, 0);
    s4_has(two, "a", NULL);
    s4_put(two, "b", "two");
    s4_upload(two);
    s4_upload(one);
    s4_bucket_has(b, "a", "one");
    s4_bucket_has(b, "b", "two");
    CHECK(files_in(b->dir[0], ".unsynced") == 0);
    shl_s4_close(one);
    shl_s4_close(two);
}

/* The answer to the index's PUT is lost, and the process with it: what is committed is not committed again over what came after. */
static void test_a_commit_that_got_through_is_not_made_again(void **state)
{
    struct s4_bench *b = *state;
    struct shl_fault_rule lost = {
        .kinds = SHL_KIND_BIT(SHL_KIND_PUT), .key_part = "index.idx", .effect = SHL_FAULT_AFTER};
    for (unsigned others = 0; others < 2; others++) {
        struct shl_s4 *db = s4_open(b, 0);
        s4_put(db, "k", "first");
        s4_put(db, "mine", "first");
        OK(shl_s4_flush(db, &s4_err));
        shl_store_fault_add(b->store, &lost);
        FAILS(shl_s4_upload(db, true, &s4_err), SHALE_UNAVAILABLE);
        shl_store_fault_clear(b->store);
        shl_s4_close(db);
        s4_bucket_has(b, "k", "first");
        CHECK(files_in(b->dir[0], ".unsynced") == 1);
        if (others == 1) {
            struct shl_s4 *other = s4_open(b, -1);
            s4_put(other, "k", "second");
            s4_upload(other);
            shl_s4_close(other);
        }
        db = s4_open(b, 0);
        s4_upload(db);
        shl_s4_close(db);
        s4_bucket_has(b, "k", others == 1 ? "second" : "first");
        CHECK(files_in(b->dir[0], ".unsynced") == 0);
    }
}

static void test_lost_answers_in_one_handle(void **state)
{
    struct s4_bench *b = *state;
    struct shl_fault_rule lost = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT), .effect = SHL_FAULT_AFTER};
    struct shl_s4 *db = s4_open(b, -1);
    for (unsigned n = 0; n < 6; n++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", n);
        s4_put(db, key, "v");
        lost.nth = n % 2; /* that of the data file, of the index */
        shl_store_fault_add(b->store, &lost);
        FAILS(shl_s4_upload(db, true, &s4_err), SHALE_UNAVAILABLE);
        shl_store_fault_clear(b->store);
        if (n == 3) { /* somebody else commits in between */
            struct shl_s4 *other = s4_open(b, -1);
            s4_put(other, "other", "v");
            s4_upload(other);
            shl_s4_close(other);
        }
        s4_upload(db);
        s4_bucket_has(b, key, "v");
    }
    s4_bucket_has(b, "other", "v");
    /* What got through is not written again over what somebody else wrote since; what came after it is. */
    s4_put(db, "both", "first");
    s4_put(db, "gone", "first");
    s4_put(db, "mine", "first");
    lost.nth = 1;
    shl_store_fault_add(b->store, &lost);
    FAILS(shl_s4_upload(db, true, &s4_err), SHALE_UNAVAILABLE);
    shl_store_fault_clear(b->store);
    struct shl_s4 *other = s4_open(b, -1);
    s4_put(other, "both", "second");
    s4_del(other, "gone");
    s4_upload(other);
    shl_s4_close(other);
    s4_put(db, "after", "third");
    s4_del(db, "k1");
    s4_upload(db);
    s4_bucket_has(b, "both", "second");
    s4_bucket_has(b, "gone", NULL);
    s4_bucket_has(b, "mine", "first");
    s4_bucket_has(b, "after", "third");
    s4_bucket_has(b, "k1", NULL);
    shl_s4_close(db);
}

/* A file that was sent long ago is not put again: a compaction may be about to delete it. */
static void test_old_files_are_not_grown(void **state)
{
    struct s4_bench *b = *state;
    struct shl_fault_rule refused = {
        .kinds = SHL_KIND_BIT(SHL_KIND_PUT), .key_part = "index.idx", .effect = SHL_FAULT_BEFORE};
    b->settings.seal_ms = 0;
    struct shl_s4 *db = s4_open(b, 0);
    s4_put(db, "a", "one");
    s4_upload(db);
    s4_put(db, "b", "two");
    s4_upload(db);
    CHECK(s4_files(b) == 2);
    s4_put(db, "c", "three");
    s4_del(db, "a");
    shl_store_fault_add(b->store, &refused);
    FAILS(shl_s4_upload(db, true, &s4_err), SHALE_UNAVAILABLE);
    CHECK(s4_files(b) == 3);
    shl_store_fault_clear(b->store);
    s4_put(db, "d", "four");
    OK(shl_s4_flush(db, &s4_err));
    s4_has(db, "c", "three");
    s4_upload(db);
    CHECK(s4_files(b) == 4); /* c is in the third, which no index names, and again in the last */
    char name[SHL_S4_NAME_BYTES], key[100];
    s4_file_name(b, 2, name);
    (void)snprintf(key, sizeof key, "db/%s", name);
    OK(shl_store_delete(b->memory, key, &s4_err));
    s4_bucket_has(b, "a", NULL);
    s4_bucket_has(b, "b", "two");
    s4_bucket_has(b, "c", "three");
    s4_bucket_has(b, "d", "four");
    shl_s4_close(db);
}

/* ---- threads */

struct crowd {
    struct shl_s4 *db;
    _Atomic bool stop;
    _Atomic unsigned reads;
};

static void reader_task(void *arg)
{
    struct crowd *c = arg;
    while (!env_load_acquire(&c->stop)) {
        struct shl_buf value = {0};
        char key[16];
        bool is_bytes;
        shale_error err;
        (void)snprintf(key, sizeof key, "k%u", (unsigned)env_rand_below(20));
        shale_code rc = shl_s4_get(c->db, shl_slice_str(key), &value, &is_bytes, &err);
        if (rc != SHALE_OK && rc != SHALE_NOT_FOUND)
            env_die(err.text);
        if (rc == SHALE_OK && (value.len < 3 || memcmp(value.data, key, strlen(key)) != 0))
            env_die("a value is another key's");
        shl_buf_free(&value);
        struct shl_s4_iter *it = NULL;
        struct shl_s4_item item;
        if (shl_s4_iter_open(c->db, &(struct shl_s4_iter_options){0}, &it, &err) == SHALE_OK)
            while (shl_s4_iter_next(it, &item, &err) == SHALE_OK)
                (void)env_fetch_add(&c->reads, 1);
        shl_s4_iter_close(it);
    }
}

static void test_readers_beside_a_writer(void **state)
{
    struct s4_bench *b = *state;
    struct env_task *tasks[3];
    struct shl_s4_compacted done;
    b->settings.max_file_bytes = 300;
    struct crowd c = {.db = s4_open(b, 0)};
    for (size_t i = 0; i < SHL_COUNT_OF(tasks); i++)
        OK(env_task_spawn(&tasks[i], "reader", reader_task, &c));
    for (unsigned i = 0; i < 150 || env_load_relaxed(&c.reads) < 100; i++) {
        char key[16], value[32];
        (void)snprintf(key, sizeof key, "k%u", i % 20);
        (void)snprintf(value, sizeof value, "%s is %u", key, i);
        s4_put(c.db, key, value);
        if (i % 7 == 0)
            s4_del(c.db, key);
        if (i % 10 == 9)
            s4_upload(c.db);
        if (i % 50 == 49)
            OK(shl_s4_compact(c.db, 0, &done, &s4_err));
    }
    env_store_release(&c.stop, true);
    for (size_t i = 0; i < SHL_COUNT_OF(tasks); i++)
        env_task_join(tasks[i]);
    shl_s4_close(c.db);
}

static void test_a_damaged_note_is_told(void **state)
{
    struct s4_bench *b = *state;
    char path[600];
    struct env_dirent *entries = NULL;
    size_t count = 0;
    struct shl_s4 *db = s4_open(b, 0);
    s4_put(db, "a", "one");
    OK(shl_s4_flush(db, &s4_err));
    shl_s4_close(db);
    CHECK(env_listdir(b->dir[0], &entries, &count) == 0);
    for (size_t i = 0; i < count; i++)
        if (strncmp(entries[i].name, "data_", 5) == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", b->dir[0], entries[i].name);
            FILE *f = fopen(path, "r+b");
            CHECK(f != NULL && fseek(f, 12, SEEK_SET) == 0 && fputc(1, f) != EOF && fclose(f) == 0);
        }
    env_listdir_free(entries, count);
    FAILS(s4_try_open(b, 0, &db), SHALE_CORRUPTION);
    SAYS("not uploaded");
    SAYS("data_");
}

/* ---- download, rebuild */

static void test_download_and_force(void **state)
{
    struct s4_bench *b = *state;
    uint64_t files, bytes;
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(db, "a", "one");
    s4_upload(db);
    shl_s4_close(db);
    db = s4_open(b, 0);
    s4_put(db, "b", "two");
    s4_del(db, "a");
    FAILS(shl_s4_download(db, false, &files, &bytes, &s4_err), SHALE_INVALID);
    s4_has(db, "b", "two");
    OK(shl_s4_download(db, true, &files, &bytes, &s4_err));
    CHECK(files == 1);
    s4_has(db, "b", NULL);
    s4_has(db, "a", "one");
    s4_put(db, "c", "three");
    s4_upload(db);
    s4_bucket_has(b, "c", "three");
    s4_bucket_has(b, "b", NULL);
    shl_s4_close(db);
}

static void test_a_lost_index_is_rebuilt(void **state)
{
    struct s4_bench *b = *state;
    char name[SHL_S4_NAME_BYTES];
    struct shl_s4_rebuilt r;
    b->settings.max_file_bytes = 100;
    struct shl_s4 *db = s4_open(b, -1);
    for (unsigned i = 0; i < 12; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%u", i % 6);
        s4_put(db, key, i < 6 ? "old value" : "new value");
    }
    s4_del(db, "k0");
    s4_put(db, "tail", "torn off");
    s4_upload(db);
    size_t files = s4_files(b);
    shl_s4_close(db);
    s4_file_name(b, files - 1, name);
    change_object(b, name, 0, 0, 3);
    change_object(b, "index.idx", 20, 1, 0);
    FAILS(s4_try_open(b, -1, &db), SHALE_CORRUPTION);
    SAYS("db/index.idx: index at offset");
    b->settings.index_unread = true;
    db = s4_open(b, -1);
    OK(shl_s4_rebuild(db, false, &r, &s4_err));
    CHECK(r.files == files && r.damaged == 1 && r.passed_bytes > 3);
    s4_upload(db);
    shl_s4_close(db);
    s4_bucket_has(b, "k0", NULL);
    s4_bucket_has(b, "k5", "new value");
    s4_bucket_has(b, "tail", NULL);
}

/* A folder has more than the bucket: what is missing goes up. */
static void test_rebuilding_from_a_folder_uploads_what_is_missing(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_rebuilt r;
    struct shl_s4 *db = s4_open(b, 0);
    s4_put(db, "a", "one");
    s4_upload(db);
    s4_put(db, "b", "two");
    shl_s4_close(db); /* neither flushed nor uploaded */
    b->settings.index_unread = true;
    db = s4_open(b, 0);
    OK(shl_s4_rebuild(db, true, &r, &s4_err));
    CHECK(r.files == 1 && r.records == 2);
    s4_has(db, "b", "two");
    s4_upload(db);
    shl_s4_close(db);
    s4_bucket_has(b, "b", "two");
}

/* ---- generation 1 */

static void test_generation_1(void **state)
{
    struct s4_bench *b = *state;
    char name[SHL_S4_NAME_BYTES];
    struct shl_buf body = {0};
    static const uint8_t orphan[9] = {'S', '4', 'D', 'B', 1, 0, 0, 0, 7};
    struct shl_slice part = shl_slice_of(orphan, sizeof orphan);
    b->settings.format = 1;
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(db, "a", "one");
    s4_upload(db);
    shl_s4_close(db);
    s4_file_name(b, 0, name);
    assert_string_equal(name, "data_000001.s4db");
    OK(shl_store_get(b->memory, "db/index.idx", NULL, &body, NULL, &s4_err));
    CHECK(body.len == 9 + 2 + 1 + 16 && body.data[0] == 1 &&
          shl_load_u32be(body.data + 1) == 2); /* next_file_num */
    /* What a writer left that died before its index. */
    OK(shl_store_put(b->memory, "db/data_000007.s4db", &part, 1, &(struct shl_put){0}, NULL,
                     &s4_err));
    db = s4_open(b, -1);
    s4_put(db, "b", "two");
    s4_upload(db);
    s4_file_name(b, 2, name);
    assert_string_equal(name, "data_000008.s4db");
    struct shl_s4_item bytes = {shl_slice_str("c"), shl_slice_str("v"), true};
    FAILS(shl_s4_put(db, &bytes, 1, &s4_err), SHALE_INVALID);
    struct shl_s4_compacted done;
    OK(shl_s4_compact(db, 0, &done, &s4_err));
    CHECK(done.keys == 2);
    shl_s4_close(db);
    b->settings.format = 2;
    db = s4_open(b, -1);
    s4_put(db, "c", "three");
    s4_upload(db);
    s4_has(db, "a", "one");
    shl_s4_close(db);
    b->settings.format = 1;
    FAILS(s4_try_open(b, -1, &db), SHALE_INVALID);
    SAYS("generation 2");
    b->settings.index_unread = true; /* nor is one rebuilt over files of generation 2 */
    OK(shl_store_delete(b->memory, "db/index.idx", &s4_err));
    struct shl_s4_rebuilt r;
    db = s4_open(b, -1);
    OK(shl_s4_rebuild(db, false, &r, &s4_err));
    FAILS(shl_s4_upload(db, true, &s4_err), SHALE_INVALID);
    SAYS("is of generation 2");
    shl_s4_close(db);
    shl_buf_free(&body);
}

static void test_names_with_a_prefix(void **state)
{
    struct s4_bench *b = *state;
    b->settings.name_prefix = "team-";
    struct shl_s4 *db = s4_open(b, -1);
    s4_put(db, "a", "one");
    s4_upload(db);
    struct shl_s4_stat st;
    OK(shl_s4_stat(db, true, &st, &s4_err));
    CHECK(st.files == 1 && st.missing == 0);
    shl_s4_close(db);
    struct shl_object object;
    OK(shl_store_head(b->memory, "db/team-index.idx", &object, &s4_err));
    b->settings.name_prefix = "a/b";
    FAILS(s4_try_open(b, -1, &db), SHALE_INVALID);
}

static void test_settings_are_checked(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *db;
    b->settings.format = 3;
    FAILS(s4_try_open(b, -1, &db), SHALE_INVALID);
    shl_s4_settings_init(&b->settings);
    b->settings.max_file_bytes = 10;
    FAILS(s4_try_open(b, -1, &db), SHALE_INVALID);
    shl_s4_settings_init(&b->settings);
    b->settings.must_exist = true;
    FAILS(s4_try_open(b, -1, &db), SHALE_NOT_FOUND);
    SAYS("db/index.idx is not there");
    b->settings.must_exist = false;
    b->settings.read_only = true;
    db = s4_open(b, -1);
    struct shl_s4_item item = {shl_slice_str("k"), shl_slice_str("v"), false};
    FAILS(shl_s4_put(db, &item, 1, &s4_err), SHALE_INVALID);
    FAILS(shl_s4_delete(db, &item.key, 1, NULL, &s4_err), SHALE_INVALID);
    shl_s4_close(db);
}

#define T(name) cmocka_unit_test_setup_teardown(name, s4_bench_setup, s4_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_what_is_put_is_there),
        T(test_bad_items_change_nothing),
        T(test_files_are_rolled),
        T(test_two_writers_merge_by_key),
        T(test_many_keys_at_once),
        T(test_iterators),
        T(test_damage_is_told_with_its_place),
        T(test_a_wrong_place_in_the_index_is_found),
        T(test_local_copies_that_are_not_good_are_passed_over),
        T(test_compaction_keeps_what_lives),
        T(test_compaction_leaves_other_writers_alone),
        T(test_readers_outlive_a_compaction),
        T(test_local_readers_outlive_a_compaction),
        T(test_nothing_to_upload),
        T(test_the_collector_takes_old_orphans_only),
        T(test_flushed_writes_come_back),
        T(test_a_living_writers_note_is_left_alone),
        T(test_a_commit_that_got_through_is_not_made_again),
        T(test_lost_answers_in_one_handle),
        T(test_old_files_are_not_grown),
        T(test_readers_beside_a_writer),
        T(test_a_damaged_note_is_told),
        T(test_download_and_force),
        T(test_a_lost_index_is_rebuilt),
        T(test_rebuilding_from_a_folder_uploads_what_is_missing),
        T(test_generation_1),
        T(test_names_with_a_prefix),
        T(test_settings_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
