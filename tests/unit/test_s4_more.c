/* Goal: commits whose answer was lost, and whose keys others have all written since, do not come back over what is newer; folders that several processes share lose nothing of each
 * other. Method: handles on one store that loses answers; a handle that is closed without upload stands for a process that died. */
#include "support_s4.h"

#include <string.h>
#include <unistd.h>

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

/* Runs on a handle of its own, with a folder of its own. */
static void others(struct s4_bench *b, void (*run)(struct shl_s4 *db))
{
    struct s4_bench plain = *b;
    plain.store = b->memory;
    struct shl_s4 *db = s4_open(&plain, -1);
    run(db);
    shl_s4_close(db);
}

static void upload_fails(struct s4_bench *b, struct shl_s4 *db, enum shl_fault_effect effect)
{
    struct shl_fault_rule rule = {
        .kinds = SHL_KIND_BIT(SHL_KIND_PUT), .key_part = "index.idx", .effect = effect};
    shl_store_fault_add(b->store, &rule);
    FAILS(shl_s4_upload(db, true, &s4_err), SHALE_UNAVAILABLE);
    shl_store_fault_clear(b->store);
}

static void put_old(struct shl_s4 *db)
{
    s4_put(db, "same", "11");
    s4_put(db, "longer", "1");
    s4_put(db, "deleted", "1");
    s4_put(db, "back", "1");
    s4_del(db, "made");
    for (unsigned i = 0; i < 9; i++) {
        char key[] = "other0";
        key[5] = (char)('0' + i);
        s4_put(db, key, "x");
    }
    s4_upload(db);
}

/* What the one does whose answer is lost. */
static void put_ours(struct shl_s4 *db)
{
    s4_put(db, "same", "12");
    s4_put(db, "longer", "12");
    s4_put(db, "deleted", "2");
    s4_del(db, "back");
    s4_put(db, "made", "ours");
}

static void put_theirs(struct shl_s4 *db)
{
    s4_put(db, "same", "13");
    s4_put(db, "longer", "123");
    s4_del(db, "deleted");
    s4_put(db, "back", "again");
    s4_put(db, "made", "theirs");
    s4_upload(db);
}

static void bucket_has_theirs(struct s4_bench *b)
{
    s4_bucket_has(b, "same", "13");
    s4_bucket_has(b, "longer", "123");
    s4_bucket_has(b, "deleted", NULL);
    s4_bucket_has(b, "back", "again");
    s4_bucket_has(b, "made", "theirs");
}

static void bucket_has_ours(struct s4_bench *b)
{
    s4_bucket_has(b, "same", "12");
    s4_bucket_has(b, "longer", "12");
    s4_bucket_has(b, "deleted", "2");
    s4_bucket_has(b, "back", NULL);
    s4_bucket_has(b, "made", "ours");
}

static void nothing_is_left(struct s4_bench *b)
{
    CHECK(files_in(b->dir[0], ".unsynced") == 0 && files_in(b->dir[0], ".bases") == 0 &&
          files_in(b->dir[0], ".lock") == 0);
}

static void test_a_lost_commit_does_not_come_back_over_what_is_newer(void **state)
{
    struct s4_bench *b = *state;
    others(b, put_old);
    struct shl_s4 *db = s4_open(b, 0);
    put_ours(db);
    OK(shl_s4_flush(db, &s4_err));
    upload_fails(b, db, SHL_FAULT_AFTER);
    shl_s4_close(db);
    bucket_has_ours(b);
    others(b, put_theirs);
    CHECK(files_in(b->dir[0], ".bases") == 1);
    db = s4_open(b, 0);
    s4_has(db, "same", "13");
    s4_upload(db);
    shl_s4_close(db);
    bucket_has_theirs(b);
    nothing_is_left(b);
}

/* The same in a process that lives on; what it writes later is written, and what was dropped does not come back by a note of what came later. */
static void test_a_lost_commit_of_a_handle_that_lives(void **state)
{
    struct s4_bench *b = *state;
    for (int crash = 0; crash < 2; crash++) {
        others(b, put_old);
        struct shl_s4 *db = s4_open(b, 0);
        put_ours(db);
        OK(shl_s4_flush(db, &s4_err));
        upload_fails(b, db, SHL_FAULT_AFTER);
        others(b, put_theirs);
        OK(shl_s4_refresh(db, &s4_err));
        s4_put(db, "later", "x");
        if (crash) {
            OK(shl_s4_flush(db, &s4_err));
            shl_s4_close(db);
            db = s4_open(b, 0);
        }
        s4_upload(db);
        shl_s4_close(db);
        bucket_has_theirs(b);
        s4_bucket_has(b, "later", "x");
        nothing_is_left(b);
    }
}

static void put_a_few(struct shl_s4 *db)
{
    s4_put(db, "longer", "123");
    s4_put(db, "made", "theirs");
    s4_upload(db);
}

/* A key that is where it was tells that the commit did not get through: then ours is the last one to commit, as ever. */
static void test_a_commit_that_failed_is_made_again(void **state)
{
    struct s4_bench *b = *state;
    for (int lives = 0; lives < 2; lives++) {
        others(b, put_old);
        struct shl_s4 *db = s4_open(b, 0);
        put_ours(db);
        OK(shl_s4_flush(db, &s4_err));
        upload_fails(b, db, SHL_FAULT_BEFORE);
        others(b, put_a_few);
        if (!lives) {
            shl_s4_close(db);
            db = s4_open(b, 0);
        }
        s4_upload(db);
        shl_s4_close(db);
        bucket_has_ours(b);
        nothing_is_left(b);
    }
}

static void compact_all(struct shl_s4 *db)
{
    struct shl_s4_compacted done;
    OK(shl_s4_compact(db, UINT64_MAX, &done, &s4_err));
}

static void compact_and_delete(struct shl_s4 *db)
{
    struct shl_s4_compacted done;
    OK(shl_s4_compact(db, 0, &done, &s4_err));
}

/* A compaction moves every key, and writes none: what was flushed is not lost to it. */
static void test_a_compaction_is_no_newer_value(void **state)
{
    struct s4_bench *b = *state;
    for (int i = 0; i < 4; i++) {
        others(b, put_old);
        struct shl_s4 *db = s4_open(b, 0);
        put_ours(db);
        OK(shl_s4_flush(db, &s4_err));
        upload_fails(b, db, SHL_FAULT_BEFORE);
        others(b, i % 2 == 0 ? compact_all : compact_and_delete);
        if (i < 2) {
            shl_s4_close(db);
            db = s4_open(b, 0);
        }
        s4_upload(db);
        shl_s4_close(db);
        bucket_has_ours(b);
        nothing_is_left(b);
    }
}

static void compact_and_put(struct shl_s4 *db)
{
    compact_all(db);
    s4_put(db, "longer", "123");
    s4_upload(db);
}

/* Our commit got through, and a compaction has moved it: what was flushed after it is not lost. */
static void test_a_compaction_of_what_got_through(void **state)
{
    struct s4_bench *b = *state;
    for (int lives = 0; lives < 2; lives++) {
        others(b, put_old);
        struct shl_s4 *db = s4_open(b, 0);
        s4_put(db, "same", "1 and more");
        OK(shl_s4_flush(db, &s4_err));
        upload_fails(b, db, SHL_FAULT_AFTER);
        put_ours(db);
        OK(shl_s4_flush(db, &s4_err));
        others(b, lives ? compact_and_put : compact_and_delete);
        if (!lives) {
            shl_s4_close(db);
            db = s4_open(b, 0);
        }
        s4_upload(db);
        shl_s4_close(db);
        bucket_has_ours(b);
        nothing_is_left(b);
    }
}

static void spoil(struct s4_bench *b, bool remove)
{
    struct env_dirent *entries = NULL;
    size_t count = 0;
    char path[600];
    CHECK(env_listdir(b->dir[0], &entries, &count) == 0);
    for (size_t i = 0; i < count; i++) {
        if (strstr(entries[i].name, ".bases") == NULL)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", b->dir[0], entries[i].name);
        CHECK(remove ? unlink(path) == 0 : truncate(path, 7) == 0);
    }
    env_listdir_free(entries, count);
}

/* Without word of where keys were, what was flushed is kept. */
static void test_without_the_bases_all_comes_back(void **state)
{
    struct s4_bench *b = *state;
    for (int i = 0; i < 2; i++) {
        others(b, put_old);
        struct shl_s4 *db = s4_open(b, 0);
        put_ours(db);
        OK(shl_s4_flush(db, &s4_err));
        upload_fails(b, db, SHL_FAULT_BEFORE);
        shl_s4_close(db);
        others(b, put_theirs);
        spoil(b, i == 0);
        db = s4_open(b, 0);
        s4_upload(db);
        shl_s4_close(db);
        bucket_has_ours(b);
        nothing_is_left(b);
    }
}

/* ---- one folder, several processes */

static void test_a_download_leaves_what_a_living_writer_has(void **state)
{
    struct s4_bench *b = *state;
    uint64_t files, bytes;
    struct shl_s4 *one = s4_open(b, 0);
    s4_put(one, "a", "1");
    s4_upload(one);
    s4_put(one, "b", "2");
    OK(shl_s4_flush(one, &s4_err));
    struct shl_s4 *two = s4_open(b, 0);
    OK(shl_s4_download(two, true, &files, &bytes, &s4_err));
    CHECK(files == 1);
    s4_put(one, "c", "3");
    s4_upload(one);
    shl_s4_close(one);
    shl_s4_close(two);
    s4_bucket_has(b, "b", "2");
    s4_bucket_has(b, "c", "3");
}

static void test_a_compaction_leaves_what_a_living_writer_has(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_compacted done;
    struct shl_s4 *one = s4_open(b, 0);
    s4_put(one, "a", "1");
    s4_upload(one);
    s4_put(one, "b", "2");
    OK(shl_s4_flush(one, &s4_err));
    struct shl_s4 *two = s4_open(b, 0);
    OK(shl_s4_compact(two, 0, &done, &s4_err));
    CHECK(done.files_deleted == 1);
    shl_s4_close(two);
    s4_upload(one);
    shl_s4_close(one);
    s4_bucket_has(b, "a", "1");
    s4_bucket_has(b, "b", "2");
}

static void test_a_mirror_that_is_behind_is_fetched_anew(void **state)
{
    struct s4_bench *b = *state;
    uint64_t files, bytes;
    struct shl_s4_iter *it = NULL;
    struct shl_s4_item item;
    struct shl_s4 *one = s4_open(b, 0);
    s4_put(one, "a", "1");
    s4_upload(one);
    struct shl_s4 *two = s4_open(b, 1);
    OK(shl_s4_download(two, false, &files, &bytes, &s4_err));
    s4_put(one, "b", "2");
    s4_upload(one); /* into the same file */
    CHECK(s4_files(b) == 1);
    OK(shl_s4_refresh(two, &s4_err));
    OK(shl_s4_iter_open(two, &(struct shl_s4_iter_options){.local = true}, &it, &s4_err));
    OK(shl_s4_iter_next(it, &item, &s4_err));
    OK(shl_s4_iter_next(it, &item, &s4_err));
    FAILS(shl_s4_iter_next(it, &item, &s4_err), SHALE_DONE);
    shl_s4_iter_close(it);
    shl_s4_close(two);
    shl_s4_close(one);
}

/* A local copy that is damaged says nothing of the store, which cannot be asked for now. */
static void test_damage_here_and_silence_there(void **state)
{
    struct s4_bench *b = *state;
    struct shl_fault_rule silent = {.kinds = SHL_KIND_BIT(SHL_KIND_GET),
                                    .key_part = "data_",
                                    .effect = SHL_FAULT_BEFORE,
                                    .sticky = true};
    struct shl_buf value = {0};
    bool is_bytes;
    char name[SHL_S4_NAME_BYTES], path[600];
    struct shl_s4 *db = s4_open(b, 0);
    s4_put(db, "k", "value");
    s4_upload(db);
    shl_s4_close(db);
    s4_file_name(b, 0, name);
    (void)snprintf(path, sizeof path, "%s/%s", b->dir[0], name);
    FILE *file = fopen(path, "r+");
    CHECK(file != NULL && fseek(file, 20, SEEK_SET) == 0 && fputc('?', file) == '?');
    fclose(file);
    db = s4_open(b, 0);
    s4_has(db, "k", "value"); /* the bucket's is good */
    (void)shl_store_fault_add(b->store, &silent);
    FAILS(shl_s4_get(db, shl_slice_str("k"), &value, &is_bytes, &s4_err), SHALE_UNAVAILABLE);
    shl_store_fault_clear(b->store);
    s4_has(db, "k", "value");
    shl_s4_close(db);
}

/* ---- numbers that others have too */

static void test_a_writer_with_our_id_is_told(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4 *db = s4_open(b, -1);
    char name[SHL_S4_NAME_BYTES], key[SHL_S4_NAME_BYTES + 8];
    const struct shl_slice foreign = shl_slice_str("S4DB\x02 what another one wrote");
    shl_s4_name(shl_s4_file_id(db->writer, 1), name);
    (void)snprintf(key, sizeof key, "db/%s", name);
    OK(shl_store_put(b->memory, key, &foreign, 1, &(struct shl_put){.mode = SHL_PUT_OVERWRITE},
                     NULL, &s4_err));
    s4_put(db, "k", "v");
    FAILS(shl_s4_upload(db, true, &s4_err), SHALE_CONFLICT);
    SAYS("another writer");
    shl_s4_close(db);
    s4_bucket_has(b, "k", NULL);
}

/* The counter of generation 1 is carried along: the higher one stays. */
static void test_a_lost_race_keeps_the_higher_counter(void **state)
{
    struct s4_bench *b = *state;
    struct shl_s4_stat st;
    struct shl_s4 *one = s4_open(b, -1);
    struct shl_s4 *two = s4_open(b, -1);
    two->next_file_num = 9;
    s4_put(two, "a", "1");
    s4_upload(two);
    s4_put(one, "b", "2");
    s4_upload(one);
    shl_s4_close(one);
    shl_s4_close(two);
    one = s4_open(b, -1);
    OK(shl_s4_stat(one, false, &st, &s4_err));
    CHECK(st.next_file_num == 9 && st.keys == 2);
    shl_s4_close(one);
}

#define T(test) cmocka_unit_test_setup_teardown(test, s4_bench_setup, s4_bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_lost_commit_does_not_come_back_over_what_is_newer),
        T(test_a_lost_commit_of_a_handle_that_lives),
        T(test_a_commit_that_failed_is_made_again),
        T(test_a_compaction_is_no_newer_value),
        T(test_a_compaction_of_what_got_through),
        T(test_without_the_bases_all_comes_back),
        T(test_a_download_leaves_what_a_living_writer_has),
        T(test_a_compaction_leaves_what_a_living_writer_has),
        T(test_a_mirror_that_is_behind_is_fetched_anew),
        T(test_damage_here_and_silence_there),
        T(test_a_writer_with_our_id_is_told),
        T(test_a_lost_race_keeps_the_higher_counter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
