/* Goal: a folder that s3db may use too keeps the contract of store.h, has s3db's layout and ETags, and nothing outside of it is reached. Method: the
 * conformance suite, and looks at the files beside the store (s3db 14). */
#include "base/num.h"
#include "store/shared_folder.h"
#include "store/support_conformance.h"
#include "store/sweep.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shl_store *open_folder(const char *dir, bool fsync, bool create_root)
{
    struct shl_store *s = NULL;
    struct shl_file_options o = {.fsync = fsync, .create_root = create_root};
    expect_code(SHALE_OK, shl_store_shared_folder_new(&s, dir, &o, &test_err));
    return s;
}

static struct shl_store *make_folder(const struct store_maker *maker, const char *dir)
{
    return open_folder(dir, maker->fsync, true);
}

static struct shl_store *make_deep(const struct store_maker *maker, const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/not/there/yet/", dir);
    return open_folder(path, maker->fsync, true);
}

static unsigned mode_of(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void test_layout_modes_and_digest(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    struct shl_object o;
    struct shl_store *s = open_folder(dir, true, false);
    expect_code(SHALE_OK, put_mode(s, "db/changesets/x.bin", "hello", SHL_PUT_OVERWRITE, NULL, &o));
    assert_string_equal(o.etag, "\"5d41402abc4b2a76b9719d911017c592\"");
    assert_int_equal(mode_of(dir, "db/changesets/x.bin"), 0600);
    assert_int_equal(mode_of(dir, "db/changesets"), 0700);
    assert_int_equal(mode_of(dir, ".s3db.lock"), 0600);
    expect_keys(s, NULL, "db/changesets/x.bin");
    expect_code(SHALE_OK, shl_store_delete(s, "db/changesets/x.bin", &test_err));
    assert_int_equal(mode_of(dir, "db"), 0); /* empty folders go */
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_reserved_names_are_no_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {".s3db.lock", "a/.S3DB.lock", "a/.s3db-tmp-00", "a\\b",
                                       ".S3db-Tmp-x/b"};
    char *dir = temp_dir_new();
    char path[4096];
    struct shl_buf body = {0};
    struct shl_store *s = open_folder(dir, false, false);
    put_text(s, "a/k", "v");
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++) {
        expect_code(SHALE_INVALID, put_mode(s, keys[i], "v", SHL_PUT_OVERWRITE, NULL, NULL));
        expect_code(SHALE_INVALID, shl_store_get(s, keys[i], NULL, &body, NULL, &test_err));
    }
    snprintf(path, sizeof path, "%s/a/.s3db-tmp-0123456789abcdef", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    expect_keys(s, NULL, "a/k");
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void test_links_do_not_lead_out(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char *outside = temp_dir_new();
    char path[4096], body_path[4096];
    struct shl_buf body = {0};
    struct shl_store *s = open_folder(dir, false, false);
    put_text(s, "in/k", "v");
    snprintf(path, sizeof path, "%s/out", dir);
    assert_int_equal(symlink(outside, path), 0);
    snprintf(path, sizeof path, "%s/near", dir);
    assert_int_equal(symlink("in", path), 0);
    snprintf(path, sizeof path, "%s/secret", outside);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_not_equal(shl_store_get(s, "out/secret", NULL, &body, NULL, &test_err), SHALE_OK);
    assert_int_not_equal(put_mode(s, "out/new", "v", SHL_PUT_OVERWRITE, NULL, NULL), SHALE_OK);
    assert_int_not_equal(shl_store_delete(s, "out/secret", &test_err), SHALE_OK);
    assert_int_equal(access(path, F_OK), 0);
    expect_text(s, "near/k", "v"); /* a link within the folder may be followed */
    /* Lists look outside as little, and a ring of links ends. */
    snprintf(path, sizeof path, "%s/in/ring", dir);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/in/l", dir);
    assert_int_equal(symlink("k", path), 0);
    snprintf(body_path, sizeof body_path, "%s/secret", outside);
    snprintf(path, sizeof path, "%s/in/leak", dir);
    assert_int_equal(symlink(body_path, path), 0);
    expect_keys(s, NULL, "in/k in/l");
    expect_keys(s, &(struct shl_list_options){.prefix = "near"}, "near/k near/l");
    struct shl_list l = {0};
    assert_int_not_equal(
        shl_store_list(s, &(struct shl_list_options){.prefix = "out"}, &l, &test_err), SHALE_OK);
    shl_list_free(&l);
    shl_store_unref(s);
    temp_dir_free(dir);
    temp_dir_free(outside);
}

/* Another process holds the lock: a put waits for it, and a read does not. */
static void test_writes_wait_for_the_lock_of_others(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    char path[4096];
    int gate[2];
    struct shl_store *s = open_folder(dir, false, false);
    put_text(s, "k", "old");
    snprintf(path, sizeof path, "%s/.s3db.lock", dir);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(pipe(gate), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fd); /* else the lock would be ours too */
        struct shl_store *mine = open_folder(dir, false, false);
        if (write(gate[1], "x", 1) != 1)
            _exit(1);
        put_text(mine, "k", "new");
        _exit(0);
    }
    char byte;
    assert_int_equal(read(gate[0], &byte, 1), 1);
    expect_text(s, "k", "old");
    assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    close(fd);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_text(s, "k", "new");
    close(gate[0]);
    close(gate[1]);
    shl_store_unref(s);
    temp_dir_free(dir);
}

#define ROUNDS 40

static void count_up(const char *dir)
{
    struct shl_store *s = open_folder(dir, false, false);
    for (int done = 0; done < ROUNDS;) {
        struct shl_buf body = {0};
        struct shl_object o;
        char text[24];
        expect_code(SHALE_OK, shl_store_get(s, "n", NULL, &body, &o, &test_err));
        expect_code(SHALE_OK, shl_buf_append(&body, "", 1, &test_err));
        snprintf(text, sizeof text, "%d", atoi((const char *)body.data) + 1);
        done += put_mode(s, "n", text, SHL_PUT_IF_MATCH, o.etag, NULL) == SHALE_OK;
        shl_buf_free(&body);
    }
    shl_store_unref(s);
}

static void test_processes_lose_no_update(void **state)
{
    (void)state;
    char *dir = temp_dir_new();
    pid_t child[3];
    struct shl_store *s = open_folder(dir, false, false);
    put_text(s, "n", "0");
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) {
            count_up(dir);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_int_equal(status, 0);
    }
    expect_text(s, "n", "120");
    shl_store_unref(s);
    temp_dir_free(dir);
}

static void litter(const char *dir, const char *name, time_t age)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    struct timespec times[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

static bool there(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return access(path, F_OK) == 0;
}

static void count_swept(void *ctx, const char *path, uint64_t bytes)
{
    (void)path;
    (void)bytes;
    ++*(unsigned *)ctx;
}

/* What a killed process leaves goes once it is old, here and nowhere else; both kinds of folders, each with its own names. */
static void test_a_sweep_takes_old_unfinished_writes(void **state)
{
    (void)state;
    static const char *const old_temp[2] = {"db/x/.s3db-tmp-0123456789abcdef", "db/x/a.bin#17"};
    static const char *const young_temp[2] = {"db/x/.s3db-tmp-1123456789abcdef", "db/x/a.bin#18"};
    for (int plain = 0; plain < 2; plain++) {
        char *dir = temp_dir_new();
        char *out = temp_dir_new();
        char link[4096];
        unsigned swept = 0;
        struct shl_store *s = open_folder(dir, false, true);
        expect_code(SHALE_OK, put_mode(s, "db/x/a.bin", "kept", SHL_PUT_OVERWRITE, NULL, NULL));
        expect_code(SHALE_OK, put_mode(s, "other/b", "kept", SHL_PUT_OVERWRITE, NULL, NULL));
        if (plain) {
            struct shl_file_options o = {0};
            shl_store_unref(s);
            expect_code(SHALE_OK, shl_store_file_new(&s, dir, &o, &test_err));
        }
        litter(dir, old_temp[plain], 7300);
        litter(dir, young_temp[plain], 60);
        litter(dir, old_temp[!plain], 7300);
        litter(dir, "db/x/a.bin", 7300);
        litter(dir, plain ? "other/b#1" : "other/.s3db-tmp-0123456789abcdef", 7300);
        litter(out, plain ? "c#1" : ".s3db-tmp-0123456789abcdef", 7300);
        snprintf(link, sizeof link, "%s/db/away", dir);
        assert_int_equal(symlink(out, link), 0);
        snprintf(link, sizeof link, "%s/db/ring", dir);
        assert_int_equal(symlink(".", link), 0);
        struct shl_sweep how = {.prefix = "db",
                                .age_ns = SHL_SWEEP_AGE_NS,
                                .dry_run = true,
                                .visit = count_swept,
                                .ctx = &swept};
        expect_code(SHALE_OK, shl_store_sweep(s, &how, &test_err));
        assert_true(swept >= 1 && there(dir, old_temp[plain]));
        how.dry_run = false;
        swept = 0;
        expect_code(SHALE_OK, shl_store_sweep(s, &how, &test_err));
        assert_int_equal(swept, 1);
        assert_false(there(dir, old_temp[plain]));
        assert_true(there(dir, young_temp[plain]) && there(dir, old_temp[!plain]));
        assert_true(there(dir, "db/x/a.bin"));
        assert_true(there(dir, plain ? "other/b#1" : "other/.s3db-tmp-0123456789abcdef"));
        assert_true(there(out, plain ? "c#1" : ".s3db-tmp-0123456789abcdef"));
        shl_store_unref(s);
        temp_dir_free(dir);
        temp_dir_free(out);
    }
}

int main(void)
{
    static const struct store_maker makers[] = {
        {.name = "shared folder",
         .make = make_folder,
         .etag_is_digest = true,
         .no_backslash = true},
        {.name = "shared folder, fsync, new root",
         .make = make_deep,
         .fsync = true,
         .etag_is_digest = true,
         .no_backslash = true},
    };
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout_modes_and_digest),
        cmocka_unit_test(test_reserved_names_are_no_keys),
        cmocka_unit_test(test_links_do_not_lead_out),
        cmocka_unit_test(test_writes_wait_for_the_lock_of_others),
        cmocka_unit_test(test_processes_lose_no_update),
        cmocka_unit_test(test_a_sweep_takes_old_unfinished_writes),
    };
    return conformance_main("shared folder", makers, SHL_COUNT_OF(makers), tests,
                            SHL_COUNT_OF(tests));
}
