/* Goal: files of the simulation behave as sim.h says: names, power loss, failing operations, locks. Method: small scenarios over many
 * seeds. Checks inside of tasks are SHL_ASSERTs, which print the replay line. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/env/sim.h"

#define CHECK(expr) SHL_ASSERT(expr)

enum { SEEDS = 50 };

static void run(uint64_t seed, void (*fn)(void *arg), void *arg)
{
    struct sim_options o = {
        .seed = seed, .backend = SIM_UCONTEXT, .policy = SIM_POLICY_BY_SEED, .scenario = "files"};
    (void)sim_run(&o, fn, arg);
}

static void run_seeds(void (*fn)(void *arg), void *arg)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        run(seed, fn, arg);
}

static int put(const char *path, const char *text, bool sync)
{
    int fd;
    struct env_iovec parts[2] = {{.data = text, .len = 1},
                                 {.data = text + 1, .len = strlen(text) - 1}};
    int rc = env_open(&fd, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNC);
    if (rc != 0)
        return rc;
    rc = env_pwritev(fd, parts, 2, 0);
    if (rc == 0 && sync)
        rc = env_fsync(fd);
    int close_rc = env_close(fd);
    return rc != 0 ? rc : close_rc;
}

static int sync_dir(const char *path)
{
    int fd;
    int rc = env_open(&fd, path, ENV_OPEN_READ | ENV_OPEN_DIRECTORY);
    if (rc != 0)
        return rc;
    rc = env_fsync(fd);
    int close_rc = env_close(fd);
    return rc != 0 ? rc : close_rc;
}

/* What the file says; "" if it is empty and NULL if it is not there. */
static const char *get(const char *path, char *buf, size_t size)
{
    int fd;
    size_t len = 0;
    if (env_open(&fd, path, ENV_OPEN_READ) != 0)
        return NULL;
    assert_int_equal(env_pread(fd, buf, size - 1, 0, &len), 0);
    assert_int_equal(env_close(fd), 0);
    buf[len] = '\0';
    return buf;
}

static void test_files_names_and_paths(void **state)
{
    (void)state;
    char buf[64];
    int fd;
    struct env_stat st;
    sim_fs_reset();
    assert_int_equal(env_mkdir("/tmp/d"), 0);
    assert_int_equal(env_mkdir("tmp/d/"), EEXIST); /* the working folder is the root */
    assert_int_equal(env_mkdir("/tmp/none/d"), ENOENT);
    assert_int_equal(put("/tmp/d/b", "bee", true), 0);
    assert_int_equal(put("/tmp/d/a", "ay", true), 0);
    assert_int_equal(put("/tmp/d/a/x", "no", true), ENOTDIR);
    assert_int_equal(put("/tmp/d", "no", true), EISDIR);
    assert_string_equal(get("/tmp/./d/../d//b", buf, sizeof buf), "bee");
    assert_int_equal(env_stat("/tmp/d/b", &st), 0);
    assert_true(st.is_file && !st.is_dir && st.size == 3);
    assert_int_equal(env_stat("/..", &st), 0);
    assert_true(st.is_dir);

    assert_int_equal(env_link("/tmp/d/a", "/tmp/d/b"), EEXIST);
    assert_int_equal(env_link("/tmp/d/a", "/tmp/d/c"), 0);
    assert_int_equal(env_unlink("/tmp/d/a"), 0);
    assert_int_equal(env_unlink("/tmp/d/a"), ENOENT);
    assert_string_equal(get("/tmp/d/c", buf, sizeof buf), "ay");
    assert_int_equal(env_rename("/tmp/d/c", "/tmp/d/b"), 0);
    assert_string_equal(get("/tmp/d/b", buf, sizeof buf), "ay");
    assert_null(get("/tmp/d/c", buf, sizeof buf));
    assert_int_equal(env_rename("/tmp", "/tmp/d/e"), EINVAL);
    assert_int_equal(env_rename("/tmp/d/b", "/tmp/d"), EISDIR);
    assert_int_equal(env_rename("/tmp/d", "/tmp/d/b"), EINVAL);
    assert_int_equal(env_rmdir("/tmp/d"), ENOTEMPTY);
    assert_int_equal(env_rmdir("/"), EBUSY);
    assert_int_equal(env_unlink("/tmp/d"), EISDIR);

    char *path = NULL;
    assert_int_equal(env_realpath("/tmp/../tmp/d/./b", &path), 0);
    assert_string_equal(path, "/tmp/d/b");
    env_free(path);
    assert_int_equal(env_realpath("/tmp/d/../../tmp/d/..", &path), 0);
    assert_string_equal(path, "/tmp");
    env_free(path);
    assert_int_equal(env_realpath("..", &path), 0);
    assert_string_equal(path, "/");
    env_free(path);
    assert_int_equal(env_realpath("/tmp/x", &path), ENOENT);

    assert_int_equal(env_open(&fd, "/tmp/d/b", ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL),
                     EEXIST);
    assert_int_equal(env_open(&fd, "/tmp/d/b", ENV_OPEN_READ | ENV_OPEN_DIRECTORY), ENOTDIR);
    assert_int_equal(env_open(&fd, "/tmp/d/b", ENV_OPEN_READ), 0);
    struct env_iovec part = {.data = "x", .len = 1};
    assert_int_equal(env_pwritev(fd, &part, 1, 0), EBADF);
    assert_int_equal(env_unlink("/tmp/d/b"), 0);
    size_t len = 0;
    assert_int_equal(env_pread(fd, buf, sizeof buf, 1, &len),
                     0); /* an open file outlives its name */
    assert_int_equal(len, 1);
    assert_int_equal(env_close(fd), 0);
    assert_int_equal(env_close(fd), EBADF);
    assert_int_equal(env_rmdir("/tmp/d"), 0);
    sim_fs_reset();
    assert_int_equal(sim_alloc_live(0), 0);
}

static void test_listing_is_sorted_by_bytes_and_survives_memory_faults(void **state)
{
    (void)state;
    static const char *const names[] = {"/tmp/b", "/tmp/a", "/tmp/B", "/tmp/\xc3\xa4", "/tmp/ab"};
    static const char *const sorted[] = {"B", "a", "ab", "b", "\xc3\xa4"};
    sim_fs_reset();
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(i == 2 ? env_mkdir(names[i]) : put(names[i], "xy", false), 0);
    struct env_dirent *entries = NULL;
    size_t count = 0;
    for (uint64_t n = 0;; n++) {
        sim_alloc_fault_arm(0, n, false);
        int rc = env_listdir("/tmp", &entries, &count);
        if (sim_alloc_fault_disarm(0) <= n) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, ENOMEM);
        assert_int_equal(sim_alloc_live(0), 0);
    }
    assert_int_equal(count, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(entries[i].name, sorted[i]);
        assert_int_equal(entries[i].is_dir, i == 0);
    }
    env_listdir_free(entries, count);
    sim_fs_reset();
}

struct losses {
    unsigned runs, data_kept, data_lost, data_torn, name_lost, name_kept, renamed, not_renamed;
};

static void fill(char *buf, size_t size, char c)
{
    memset(buf, c, size - 1);
    buf[size - 1] = '\0';
}

static void loss_main(void *arg)
{
    enum { BIG = 3000 };
    struct losses *l = arg;
    char old[BIG], new[BIG], got[BIG + 1], name[8];
    fill(old, BIG, 'o');
    fill(new, BIG, 'n');
    sim_fs_reset();
    /* Lasting: contents and name were synced. */
    CHECK(put("/tmp/safe", old, true) == 0);
    CHECK(put("/tmp/over", old, true) == 0);
    CHECK(put("/tmp/current", "one", true) == 0);
    CHECK(sync_dir("/tmp") == 0);
    /* In doubt: contents without fsync, a name without the folder's, a rename without it. */
    int fd;
    struct env_iovec part = {.data = new, .len = BIG - 1};
    CHECK(env_open(&fd, "/tmp/over", ENV_OPEN_WRITE) == 0);
    CHECK(env_pwritev(fd, &part, 1, 0) == 0);
    CHECK(put("/tmp/name", "name", true) == 0);
    CHECK(put("/tmp/next", "two", true) == 0);
    CHECK(env_rename("/tmp/next", "/tmp/current") == 0);
    sim_fs_power_loss();
    CHECK(env_close(fd) == EBADF);

    l->runs++;
    CHECK(strcmp(get("/tmp/safe", got, sizeof got), old) == 0);
    CHECK(strlen(get("/tmp/over", got, sizeof got)) == BIG - 1);
    if (strcmp(got, new) == 0)
        l->data_kept++;
    else if (strcmp(got, old) == 0)
        l->data_lost++;
    else
        l->data_torn++;
    for (size_t i = 0; i < BIG - 1; i++) /* whole sectors of one or the other */
        CHECK((got[i] == 'o' || got[i] == 'n') && (i % 512 == 0 || got[i] == got[i - 1]));
    if (get("/tmp/name", name, sizeof name) == NULL)
        l->name_lost++;
    else
        l->name_kept += strcmp(name, "name") == 0;
    /* The rename is whole: the old contents under the name, or the new and no second name. */
    const char *current = get("/tmp/current", name, sizeof name);
    CHECK(current != NULL && (strcmp(name, "one") == 0 || strcmp(name, "two") == 0));
    bool renamed = strcmp(name, "two") == 0;
    CHECK(!renamed || get("/tmp/next", name, sizeof name) == NULL);
    l->renamed += renamed;
    l->not_renamed += !renamed;
    /* And what is there now lasts: a second loss changes nothing. */
    sim_fs_power_loss();
    char again[BIG + 1];
    CHECK(strcmp(get("/tmp/over", again, sizeof again), got) == 0);
    CHECK(get("/tmp/current", name, sizeof name) != NULL);
    sim_fs_reset();
}

static void test_power_loss_keeps_what_was_synced_and_doubts_the_rest(void **state)
{
    (void)state;
    struct losses l = {0};
    for (uint64_t seed = 0; seed < 100; seed++)
        run(seed, loss_main, &l);
    assert_int_equal(l.name_kept + l.name_lost, l.runs);
    assert_true(l.data_kept > 5 && l.data_lost > 5 && l.data_torn > 5);
    assert_true(l.name_kept > 5 && l.name_lost > 5);
    assert_true(l.renamed > 5 && l.not_renamed > 5);
}

static void two_dirs_main(void *arg)
{
    unsigned *lost = arg;
    char buf[8];
    sim_fs_reset();
    CHECK(env_mkdir("/a") == 0 && env_mkdir("/b") == 0 && sync_dir("/") == 0);
    CHECK(put("/a/x", "x1", true) == 0);
    CHECK(put("/b/y", "y1", true) == 0);
    CHECK(env_rename("/a/x", "/b/x") == 0);
    CHECK(put("/a/z", "z1", true) == 0);
    CHECK(sync_dir("/b") ==
          0); /* ties in the rename and so what came before it in /a, but not /a/z */
    sim_fs_power_loss();
    CHECK(get("/a/x", buf, sizeof buf) == NULL);
    CHECK(get("/b/x", buf, sizeof buf) != NULL && strcmp(buf, "x1") == 0);
    CHECK(get("/b/y", buf, sizeof buf) != NULL);
    *lost += get("/a/z", buf, sizeof buf) == NULL;
    sim_fs_reset();
}

static void test_syncing_one_folder_keeps_a_rename_into_it_whole(void **state)
{
    (void)state;
    unsigned lost = 0;
    run_seeds(two_dirs_main, &lost);
    assert_true(lost > 5);
}

static void failed_sync_main(void *arg)
{
    (void)arg;
    char buf[16];
    sim_fs_reset();
    CHECK(put("/tmp/f", "old", true) == 0);
    CHECK(sync_dir("/tmp") == 0);
    int fd;
    struct env_iovec part = {.data = "new", .len = 3};
    CHECK(env_open(&fd, "/tmp/f", ENV_OPEN_WRITE) == 0);
    CHECK(env_pwritev(fd, &part, 1, 0) == 0);
    sim_fs_fault_arm(SIM_FS_EIO, 0, false);
    CHECK(env_fsync(fd) == EIO);
    CHECK(sim_fs_fault_disarm() == 1);
    CHECK(env_fsync(fd) == 0); /* says yes, and saved nothing */
    CHECK(strcmp(get("/tmp/f", buf, sizeof buf), "new") == 0);
    sim_fs_power_loss();
    CHECK(strcmp(get("/tmp/f", buf, sizeof buf), "old") == 0);
    CHECK(put("/tmp/f", "newer", true) == 0); /* written again, it lasts */
    sim_fs_power_loss();
    CHECK(strcmp(get("/tmp/f", buf, sizeof buf), "newer") == 0);
    sim_fs_reset();
}

static void test_failed_fsync_is_not_made_good_by_a_second(void **state)
{
    (void)state;
    run_seeds(failed_sync_main, NULL);
}

static int change_everything(void)
{
    int rc = put("/tmp/a", "some text", true); /* create, write, fsync */
    if (rc == 0)
        rc = env_link("/tmp/a", "/tmp/b");
    if (rc == 0)
        rc = env_rename("/tmp/b", "/tmp/c");
    if (rc == 0)
        rc = env_mkdir("/tmp/d");
    if (rc == 0)
        rc = sync_dir("/tmp");
    if (rc == 0)
        rc = env_rmdir("/tmp/d");
    if (rc == 0)
        rc = env_unlink("/tmp/c");
    return rc;
}

static void test_nth_file_operation_fails(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned kinds;
        int expect;
    } rows[] = {{"EIO", SIM_FS_EIO, EIO}, {"ENOSPC", SIM_FS_ENOSPC, ENOSPC}};
    enum { OPERATIONS = 9 };
    for (size_t i = 0; i < 2; i++)
        for (uint64_t n = 0; n <= OPERATIONS; n++)
            for (int sticky = 0; sticky < 2; sticky++) {
                sim_fs_reset();
                sim_fs_fault_arm(rows[i].kinds, n, sticky != 0);
                int rc = change_everything();
                int after = env_mkdir("/after");
                uint64_t seen = sim_fs_fault_disarm();
                if (rc != (n < OPERATIONS ? rows[i].expect : 0) ||
                    after != (sticky != 0 || n == OPERATIONS ? rows[i].expect : 0) ||
                    seen != (n < OPERATIONS ? n + 2 : OPERATIONS + 1))
                    fail_msg("%s, n %" PRIu64 ": rc %d, after %d, seen %" PRIu64, rows[i].name, n,
                             rc, after, seen);
            }
    sim_fs_reset();
}

static void test_short_write_leaves_a_prefix(void **state)
{
    (void)state;
    sim_fs_reset();
    unsigned partial = 0;
    for (int i = 0; i < 50; i++) {
        char buf[16];
        sim_fs_fault_arm(SIM_FS_SHORT, 1, false); /* 0 is the create or truncate */
        assert_int_equal(put("/tmp/f", "0123456789", false), ENOSPC);
        (void)sim_fs_fault_disarm();
        assert_non_null(get("/tmp/f", buf, sizeof buf));
        size_t len = strlen(buf);
        assert_true(len < 10);
        assert_memory_equal(buf, "0123456789", len);
        partial += len > 0;
        assert_int_equal(env_unlink("/tmp/f"), 0);
    }
    assert_true(partial > 10);
    sim_fs_reset();
}

struct flock_count {
    atomic_int inside;
    atomic_int rounds;
};

static void flock_process(void *arg)
{
    struct flock_count *c = arg;
    for (int i = 0; i < 10; i++) {
        int fd;
        CHECK(env_open(&fd, "/tmp/lock", ENV_OPEN_WRITE | ENV_OPEN_CREATE) == 0);
        CHECK(env_flock(fd) == 0);
        CHECK(c->inside == 0);
        c->inside++;
        env_sleep_ns(env_rand_below(100000));
        c->inside--;
        c->rounds++;
        CHECK(i % 2 == 0 || env_funlock(fd) == 0); /* else close gives it back */
        CHECK(env_close(fd) == 0);
    }
}

static void flock_hold(void *arg)
{
    (void)arg;
    int fd;
    CHECK(env_open(&fd, "/tmp/lock", ENV_OPEN_WRITE | ENV_OPEN_CREATE) == 0);
    CHECK(env_flock(fd) == 0);
    for (;;)
        env_sleep_ns(ENV_NS_PER_SEC);
}

static void flock_main(void *arg)
{
    (void)arg;
    sim_fs_reset();
    struct flock_count c = {0};
    sim_group groups[4];
    for (int i = 0; i < 4; i++)
        groups[i] = sim_group_new("flock", 0);
    for (int i = 0; i < 3; i++)
        sim_group_spawn(groups[i], "flock", flock_process, &c);
    for (int i = 0; i < 3; i++)
        sim_group_wait(groups[i]);
    CHECK(c.rounds == 30);
    sim_group_spawn(groups[3], "hold", flock_hold, NULL);
    env_sleep_ns(ENV_NS_PER_MS);
    sim_group g = sim_group_new("next", 0);
    sim_group_spawn(g, "next", flock_process, &c);
    env_sleep_ns(ENV_NS_PER_SEC);
    CHECK(c.rounds == 30);
    sim_group_kill(groups[3]); /* closes its file, which frees the lock */
    sim_group_wait(g);
    CHECK(c.rounds == 40);
    sim_fs_reset();
}

static void test_flock_excludes_and_ends_with_its_process(void **state)
{
    (void)state;
    run_seeds(flock_main, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_names_and_paths),
        cmocka_unit_test(test_listing_is_sorted_by_bytes_and_survives_memory_faults),
        cmocka_unit_test(test_power_loss_keeps_what_was_synced_and_doubts_the_rest),
        cmocka_unit_test(test_syncing_one_folder_keeps_a_rename_into_it_whole),
        cmocka_unit_test(test_failed_fsync_is_not_made_good_by_a_second),
        cmocka_unit_test(test_nth_file_operation_fails),
        cmocka_unit_test(test_short_write_leaves_a_prefix),
        cmocka_unit_test(test_flock_excludes_and_ends_with_its_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
