/* Goal: a folder keeps the contract of store.h, has the layout that SlateDB shares, and is safe between processes. Method: the
 * conformance suite with fsync off and on, and looks at the files beside the store (object-stores 4). */
#include "store/file.h"
#include "store/support_conformance.h"
#include "base/num.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shl_store *open_folder(const char *dir, bool fsync, bool create_root)
{
    struct shl_store *s = NULL;
    struct shl_file_options o = {
        .fsync = fsync, .create_root = create_root, .cache_descriptors = true};
    expect_code(SHALE_OK, shl_store_file_new(&s, dir, &o, &test_err));
    return s;
}

static struct shl_store *make_file(const struct store_maker *maker, const char *dir)
{
    return open_folder(dir, maker->fsync, true);
}

static struct shl_store *make_deep(const struct store_maker *maker, const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/not/there/yet/", dir);
    return open_folder(path, maker->fsync, true);
}

/* The file's content, or NULL. Owned: free. */
static char *slurp(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1024);
    assert_non_null(text);
    if (f == NULL) {
        free(text);
        return NULL;
    }
    size_t n = fread(text, 1, 1023, f);
    text[n] = '\0';
    fclose(f);
    return text;
}

static void expect_file(const char *dir, const char *name, const char *want)
{
    char *text = slurp(dir, name);
    if (want == NULL)
        assert_null(text);
    else
        assert_string_equal(text, want);
    free(text);
}

static void spit(const char *dir, const char *name, const char *text)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_keys_are_file_names_unchanged(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    struct shl_store *s = open_folder(dir, false, false);
    static const char *const keys[] = {"db/a b", "db/a%20b", "db/~x", "db/x#a", "db/\xc3\xa9"};
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++) {
        put_text(s, keys[i], "v");
        expect_file(dir, keys[i], "v");
    }
    spit(dir, "db/made by another", "z");
    expect_text(s, "db/made by another", "z");
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_etag_is_inode_time_and_size(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char path[4096];
    char want[96];
    struct stat st;
    struct shl_object o;
    struct shl_store *s = open_folder(dir, false, false);
    expect_code(SHALE_OK, put_mode(s, "k", "hello", SHL_PUT_CREATE, NULL, &o));
    snprintf(path, sizeof path, "%s/k", dir);
    assert_int_equal(stat(path, &st), 0);
    long long us = (long long)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    snprintf(want, sizeof want, "\"%llx-%llx-5\"", (unsigned long long)st.st_ino,
             (unsigned long long)us);
    assert_string_equal(o.etag, want);
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_reserved_names_are_refused_and_not_listed(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool reserved;
    } rows[] = {
        {"x#12", true},  {"d/x#0", true},  {"#1", true},     {"x#", false},    {"x#a", false},
        {"x#1a", false}, {"a#b#1", false}, {"x#1/y", false}, {"x#1#2", false}, {"x#-1", false},
    };
    char *dir = temp_dir_new();
    struct shl_store *s = open_folder(dir, false, false);
    struct shl_buf body = {0};
    struct shl_object o;
    struct shl_upload *u;
    put_text(s, "d/y", "v");
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        shale_code want = rows[i].reserved ? SHALE_INVALID : SHALE_OK;
        print_message("           %s\n", rows[i].key);
        if (rows[i].reserved)
            spit(dir, rows[i].key, "left over by a crash");
        expect_code(want, put_mode(s, rows[i].key, "v", SHL_PUT_OVERWRITE, NULL, NULL));
        expect_code(want, shl_store_get(s, rows[i].key, NULL, &body, &o, &test_err));
        expect_code(want, shl_store_head(s, rows[i].key, &o, &test_err));
        expect_code(want, shl_store_copy(s, "d/y", rows[i].key, false, &test_err));
        expect_code(want, shl_store_delete(s, rows[i].key, &test_err));
        expect_keys(s, NULL, "d/y");
        if (rows[i].reserved)
            expect_code(want, shl_store_upload_start(s, rows[i].key, &u, &test_err));
    }
    shl_buf_free(&body);
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_leftovers_are_stepped_over_and_kept(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    struct shl_store *s = open_folder(dir, true, false);
    struct shl_upload *u;
    struct shl_slice part = shl_slice_str("up");
    spit(dir, "k#1", "other's");
    spit(dir, "k#2", "other's too");
    spit(dir, "k#0", "other's copy");
    put_text(s, "k", "a");
    expect_code(SHALE_OK, shl_store_delete(s, "k", &test_err));
    expect_code(SHALE_OK, put_mode(s, "k", "b", SHL_PUT_CREATE, NULL, NULL));
    expect_code(SHALE_ALREADY_EXISTS, put_mode(s, "k", "c", SHL_PUT_CREATE, NULL, NULL));
    put_text(s, "from", "d");
    expect_code(SHALE_OK, shl_store_copy(s, "from", "k", false, &test_err));
    expect_code(SHALE_OK, shl_store_copy(s, "from", "k", false, &test_err));
    expect_code(SHALE_OK, shl_store_upload_start(s, "k", &u, &test_err));
    expect_code(SHALE_OK, shl_store_upload_part(s, u, 0, &part, 1, &test_err));
    expect_file(dir, "k#3", "up");
    shl_store_upload_abort(s, u);
    expect_file(dir, "k#0", "other's copy");
    expect_file(dir, "k#1", "other's");
    expect_file(dir, "k#2", "other's too");
    expect_file(dir, "k#3", NULL); /* all of ours are gone */
    expect_file(dir, "k#4", NULL);
    expect_text(s, "k", "d");
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_a_missing_root_reads_as_empty(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char path[4096];
    struct shl_buf body = {0};
    snprintf(path, sizeof path, "%s/sub/root", dir);
    struct shl_store *s = open_folder(path, true, false);
    expect_keys(s, NULL, "");
    expect_code(SHALE_NOT_FOUND, shl_store_get(s, "k", NULL, &body, NULL, &test_err));
    expect_code(SHALE_OK, shl_store_delete(s, "k", &test_err));
    expect_code(SHALE_NOT_FOUND, put_mode(s, "a/k", "v", SHL_PUT_CREATE, NULL, NULL));
    assert_non_null(strstr(test_err.text, "sub/root"));
    assert_int_not_equal(access(path, F_OK), 0);
    shl_store_unref(s);

    s = open_folder(path, true, true);
    expect_keys(s, NULL, "");
    assert_int_not_equal(access(path, F_OK), 0); /* reading makes nothing */
    put_text(s, "a/k", "v");
    expect_text(s, "a/k", "v");
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_folders_and_objects_share_names(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    struct shl_store *s = open_folder(dir, true, false);
    put_text(s, "a/b", "v");
    static const enum shl_put_mode modes[] = {SHL_PUT_OVERWRITE, SHL_PUT_CREATE};
    for (size_t i = 0; i < SHL_COUNT_OF(modes); i++) {
        expect_code(SHALE_INVALID, put_mode(s, "a", "x", modes[i], NULL, NULL));
        expect_code(SHALE_INVALID, put_mode(s, "a/b/c", "x", modes[i], NULL, NULL));
    }
    expect_code(SHALE_OK, shl_store_delete(s, "a", &test_err));
    expect_keys(s, NULL, "a/b");
    expect_code(SHALE_OK, shl_store_delete(s, "a/b", &test_err));
    struct shl_list_options shallow = {.shallow = true};
    expect_keys(s, NULL, "");
    expect_keys(s, &shallow, "a/"); /* empty folders stay, and show */
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_names_that_are_no_keys_are_skipped(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char path[4096];
    struct shl_store *s = open_folder(dir, false, false);
    put_text(s, "good", "v");
    spit(dir, "bad\xff", "x");
    spit(dir, "bad\n", "x");
    snprintf(path, sizeof path, "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/dangling", dir);
    assert_int_equal(symlink("nowhere", path), 0);
    snprintf(path, sizeof path, "%s/link", dir);
    assert_int_equal(symlink("good", path), 0);
    expect_keys(s, NULL, "good link");
    expect_text(s, "link", "v");
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_names_that_are_too_long_are_refused(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char key[400];
    struct shl_store *s = open_folder(dir, false, false);
    memset(key, 'k', 300);
    key[300] = '\0';
    expect_code(SHALE_INVALID, put_mode(s, key, "x", SHL_PUT_CREATE, NULL, NULL));
    key[200] = '\0';
    expect_code(SHALE_OK, put_mode(s, key, "x", SHL_PUT_CREATE, NULL, NULL));
    shl_store_unref(s);
    temp_dir_free(dir);
}

/* Compacted SSTs are read through kept descriptors: what this handle changes must still be seen. */
static void test_kept_descriptors_are_never_stale(void **state)
{
    (void)state;
    static const char key[] = "db/compacted/01J79C0000000000000000000Q.sst";
    char *dir = temp_dir_new();
    struct shl_store *s = open_folder(dir, false, false);
    struct shl_object o;
    struct shl_upload *u;
    struct shl_slice part = shl_slice_str("five");
    put_text(s, key, "one");
    expect_text(s, key, "one");
    expect_code(SHALE_OK, shl_store_delete(s, key, &test_err));
    struct shl_buf body = {0};
    expect_code(SHALE_NOT_FOUND, shl_store_get(s, key, NULL, &body, &o, &test_err));
    put_text(s, key, "two");
    expect_text(s, key, "two");
    put_text(s, key, "three");
    expect_text(s, key, "three");
    put_text(s, "x", "four");
    expect_code(SHALE_OK, shl_store_copy(s, "x", key, false, &test_err));
    expect_text(s, key, "four");
    expect_code(SHALE_OK, shl_store_upload_start(s, key, &u, &test_err));
    expect_code(SHALE_OK, shl_store_upload_part(s, u, 0, &part, 1, &test_err));
    expect_code(SHALE_OK, shl_store_upload_complete(s, u, &o, &test_err));
    expect_text(s, key, "five");
    for (int i = 0; i < 200; i++) { /* more than are kept */
        char name[64];
        snprintf(name, sizeof name, "db/compacted/%d.sst", i);
        put_text(s, name, name);
        expect_text(s, name, name);
    }
    for (int i = 0; i < 200; i++) {
        char name[64];
        snprintf(name, sizeof name, "db/compacted/%d.sst", i);
        expect_text(s, name, name);
    }
    expect_text(s, key, "five");
    shl_store_unref(s);
    temp_dir_free(dir);
}

enum { NAMES = 200 };

/* What one process of the race does: creates all names, notes by exit status bit nothing, by files won by it. */
static void create_all(const char *dir, char tag)
{
    struct shl_file_options o = {.create_root = true};
    struct shl_store *s;
    shale_error err;
    if (shl_store_file_new(&s, dir, &o, &err) != SHALE_OK)
        _exit(2);
    char won[NAMES + 1];
    for (int i = 0; i < NAMES; i++) {
        char key[32];
        snprintf(key, sizeof key, "wal/%03d", i);
        struct shl_slice body = shl_slice_of(&tag, 1);
        struct shl_put how = {.mode = SHL_PUT_CREATE};
        shale_code rc = shl_store_put(s, key, &body, 1, &how, NULL, &err);
        if (rc != SHALE_OK && rc != SHALE_ALREADY_EXISTS)
            _exit(3);
        won[i] = rc == SHALE_OK ? tag : '-';
    }
    won[NAMES] = '\0';
    char name[] = "won by ?";
    name[7] = tag;
    struct shl_slice body = shl_slice_of(won, NAMES);
    struct shl_put how = {.mode = SHL_PUT_CREATE};
    _exit(shl_store_put(s, name, &body, 1, &how, NULL, &err) == SHALE_OK ? 0 : 4);
}

static void test_two_processes_have_one_winner_for_each_name(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0)
            create_all(dir, (char)('a' + i));
    }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    char *a = slurp(dir, "won by a");
    char *b = slurp(dir, "won by b");
    assert_non_null(a);
    assert_non_null(b);
    for (int i = 0; i < NAMES; i++) {
        char name[32];
        assert_true((a[i] == 'a') != (b[i] == 'b'));
        snprintf(name, sizeof name, "wal/%03d", i);
        expect_file(dir, name, a[i] == 'a' ? "a" : "b");
        strcat(name, "#1");
        expect_file(dir, name, NULL);
    }
    free(a);
    free(b);
    temp_dir_free(dir);
}

int main(void)
{
    static const struct store_maker makers[] = {
        {.name = "file, fsync off", .make = make_file, .fsync = false},
        {.name = "file, fsync on", .make = make_file, .fsync = true},
        {.name = "file, new root", .make = make_deep, .fsync = true},
    };
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_file_names_unchanged),
        cmocka_unit_test(test_etag_is_inode_time_and_size),
        cmocka_unit_test(test_reserved_names_are_refused_and_not_listed),
        cmocka_unit_test(test_leftovers_are_stepped_over_and_kept),
        cmocka_unit_test(test_a_missing_root_reads_as_empty),
        cmocka_unit_test(test_folders_and_objects_share_names),
        cmocka_unit_test(test_names_that_are_no_keys_are_skipped),
        cmocka_unit_test(test_names_that_are_too_long_are_refused),
        cmocka_unit_test(test_kept_descriptors_are_never_stale),
        cmocka_unit_test(test_two_processes_have_one_winner_for_each_name),
    };
    return conformance_main("file", makers, SHL_COUNT_OF(makers), tests, SHL_COUNT_OF(tests));
}
