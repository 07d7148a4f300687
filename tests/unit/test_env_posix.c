/* Goal: the real build keeps the promises of env.h. Method: small runs against the kernel; threads are checked by counts
 * that only come out right if locks, wake-ups and joins work, files by reading back what was done in a fresh folder. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#include <cmocka.h>

#include "base/env/env.h"

/* ---------------------------------------------------------------- memory */

static void test_memory_sizes_zero_and_overflow(void **state)
{
    (void)state;
    void *a = env_alloc(0);
    void *b = env_calloc(0, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_not_equal(a, b);
    a = env_realloc(a, 0);
    assert_non_null(a);
    env_free(a);
    env_free(b);
    env_free(NULL);

    volatile size_t huge = SIZE_MAX / 2;
    assert_null(env_calloc(huge, 4));

    uint8_t *z = env_calloc(100, 10);
    assert_non_null(z);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(z[i], 0);
    env_free(z);

    char *s = env_strdup("shale");
    assert_string_equal(s, "shale");
    env_free(s);
}

static void test_aligned_memory_is_aligned_and_usable(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t align, size;
    } rows[] = {
        {"smallest", 1, 1},   {"zero bytes", 16, 0},        {"cache line", 64, 100},
        {"page", 4096, 4096}, {"huge", 2u << 20, 3u << 20}, {"large, small align", 16, 5u << 20},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t *p = env_alloc_aligned(rows[i].align, rows[i].size);
        if (p == NULL || (uintptr_t)p % rows[i].align != 0)
            fail_msg("%s: bad pointer", rows[i].name);
        memset(p, 0x5a, rows[i].size);
        if (i % 2 == 0)
            env_free_aligned(p);
        else
            env_free_pages(p, rows[i].size);
    }
    env_free_aligned(NULL);
    env_free_pages(NULL, 2u << 20);
}

/* ---------------------------------------------------------------- tasks and locks */

enum { TASKS = 8, ROUNDS = 2000 };

struct counter {
    struct env_mutex mu;
    uint64_t value; /* [mu] */
};

static void count_up(void *arg)
{
    struct counter *c = arg;
    for (int i = 0; i < ROUNDS; i++) {
        env_mutex_lock(&c->mu);
        c->value++;
        env_mutex_unlock(&c->mu);
    }
}

static void test_mutex_keeps_a_count_of_eight_tasks(void **state)
{
    (void)state;
    struct counter c = {0};
    env_mutex_init(&c.mu);
    struct env_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "count", count_up, &c), SHALE_OK);
    for (int i = 0; i < TASKS; i++)
        env_task_join(tasks[i]);
    assert_int_equal(c.value, (uint64_t)TASKS * ROUNDS);
    env_mutex_deinit(&c.mu);
}

struct try_lock {
    struct env_mutex mu;
    bool got;
};

static void try_it(void *arg)
{
    struct try_lock *t = arg;
    t->got = env_mutex_trylock(&t->mu);
    if (t->got)
        env_mutex_unlock(&t->mu);
}

static void test_trylock_fails_only_while_another_holds(void **state)
{
    (void)state;
    struct try_lock t = {0};
    struct env_task *task;
    env_mutex_init(&t.mu);
    env_mutex_lock(&t.mu);
    assert_int_equal(env_task_spawn(&task, "try", try_it, &t), SHALE_OK);
    env_task_join(task);
    assert_false(t.got);
    env_mutex_unlock(&t.mu);
    assert_int_equal(env_task_spawn(&task, "try", try_it, &t), SHALE_OK);
    env_task_join(task);
    assert_true(t.got);
    env_mutex_deinit(&t.mu);
}

struct pair {
    struct env_mutex mu;
    struct env_cond changed;
    int turn; /* [mu] */
    int seen; /* [mu] */
};

static void answer_turns(void *arg)
{
    struct pair *p = arg;
    env_mutex_lock(&p->mu);
    for (int i = 0; i < ROUNDS; i++) {
        while (p->turn == p->seen)
            env_cond_wait(&p->changed, &p->mu);
        p->seen = p->turn;
        env_cond_broadcast(&p->changed);
    }
    env_mutex_unlock(&p->mu);
}

static void test_cond_passes_every_turn(void **state)
{
    (void)state;
    struct pair p = {0};
    env_mutex_init(&p.mu);
    env_cond_init(&p.changed);
    struct env_task *task;
    assert_int_equal(env_task_spawn(&task, "a name longer than fifteen bytes", answer_turns, &p),
                     SHALE_OK);
    env_mutex_lock(&p.mu);
    for (int i = 0; i < ROUNDS; i++) {
        p.turn++;
        env_cond_signal(&p.changed);
        while (p.seen != p.turn)
            assert_true(env_cond_wait_until(&p.changed, &p.mu, UINT64_MAX));
    }
    env_mutex_unlock(&p.mu);
    env_task_join(task);
    assert_int_equal(p.seen, ROUNDS);
    env_cond_deinit(&p.changed);
    env_mutex_deinit(&p.mu);
}

static void test_cond_wait_ends_at_its_deadline_not_before(void **state)
{
    (void)state;
    struct pair p = {0};
    env_mutex_init(&p.mu);
    env_cond_init(&p.changed);
    env_mutex_lock(&p.mu);
    uint64_t deadline = env_now_mono_ns() + 20 * ENV_NS_PER_MS;
    while (env_cond_wait_until(&p.changed, &p.mu, deadline))
        continue; /* woken without a signal */
    assert_true(env_now_mono_ns() >= deadline);
    assert_false(env_cond_wait_until(&p.changed, &p.mu, 0)); /* long over */
    env_mutex_unlock(&p.mu);
    env_cond_deinit(&p.changed);
    env_mutex_deinit(&p.mu);
}

/* ---------------------------------------------------------------- what a task carries */

static atomic_int dtor_calls;

static void count_dtor(void *value)
{
    atomic_fetch_add(&dtor_calls, 1);
    env_free(value);
}

static void set_tls(void *arg)
{
    (void)arg;
    assert_null(env_tls_get(ENV_TLS_JSON));
    void *mine = env_alloc(8);
    env_tls_set(ENV_TLS_JSON, mine, count_dtor);
    env_tls_set(ENV_TLS_CODEC, &dtor_calls, NULL);
    assert_ptr_equal(env_tls_get(ENV_TLS_JSON), mine);
}

static void test_tls_is_each_tasks_own_and_destroyed_at_its_end(void **state)
{
    (void)state;
    atomic_store(&dtor_calls, 0);
    for (int i = 1; i <= 3; i++) {
        struct env_task *task;
        assert_int_equal(env_task_spawn(&task, "tls", set_tls, NULL), SHALE_OK);
        env_task_join(task);
        assert_int_equal(atomic_load(&dtor_calls), i);
    }
    assert_null(env_tls_get(ENV_TLS_JSON));
}

struct indexes {
    struct env_mutex mu;
    struct env_cond changed;
    unsigned arrived;       /* [mu] */
    uint32_t values[TASKS]; /* [mu] */
};

static void take_index(void *arg)
{
    struct indexes *x = arg;
    uint32_t index = env_task_index();
    assert_int_equal(index, env_task_index());
    env_mutex_lock(&x->mu);
    x->values[x->arrived++] = index;
    env_cond_broadcast(&x->changed);
    while (x->arrived < TASKS) /* all are alive at once */
        env_cond_wait(&x->changed, &x->mu);
    env_mutex_unlock(&x->mu);
}

static void test_indexes_of_living_tasks_differ_and_are_reused(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct indexes x = {0};
        env_mutex_init(&x.mu);
        env_cond_init(&x.changed);
        struct env_task *tasks[TASKS];
        for (int i = 0; i < TASKS; i++)
            assert_int_equal(env_task_spawn(&tasks[i], "index", take_index, &x), SHALE_OK);
        for (int i = 0; i < TASKS; i++)
            env_task_join(tasks[i]);
        for (int i = 0; i < TASKS; i++) {
            assert_true(x.values[i] < 64); /* 2400 tasks so far, never more than a few at once */
            for (int k = 0; k < i; k++)
                assert_int_not_equal(x.values[i], x.values[k]);
        }
        env_cond_deinit(&x.changed);
        env_mutex_deinit(&x.mu);
    }
}

static void test_backoff_ends(void **state)
{
    (void)state;
    unsigned n = 0;
    int tries = 0;
    while (!env_backoff(&n))
        tries++;
    assert_int_equal(tries, 64);
}

/* ---------------------------------------------------------------- time and chance */

static void test_clocks_move_forward(void **state)
{
    (void)state;
    uint64_t start = env_now_mono_ns();
    env_sleep_ns(2 * ENV_NS_PER_MS);
    uint64_t after = env_now_mono_ns();
    assert_true(after >= start + 2 * ENV_NS_PER_MS);
    env_sleep_until(start); /* in the past: returns */
    assert_true(env_now_wall_ms() > INT64_C(1600000000000));
    assert_true(env_process_cpu_ns() > 0);
    assert_true(env_process_peak_rss() > 100000);
}

static void test_random_numbers_fill_their_span(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t r = env_rand_below(10);
        assert_true(r < 10);
        seen |= 1u << r;
    }
    assert_int_equal(seen, 0x3ff); /* a miss has a chance of 10^-45 */
    assert_int_equal(env_rand_below(1), 0);

    uint8_t bytes[1000] = {0};
    env_rand_bytes(bytes, sizeof bytes);
    unsigned zeros = 0;
    for (size_t i = 0; i < sizeof bytes; i++)
        zeros += bytes[i] == 0;
    assert_true(zeros < 100);
}

static void test_forked_child_draws_other_numbers(void **state)
{
    (void)state;
    (void)env_rand64(); /* the parent's generator is seeded before */
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t r = env_rand64();
        _exit(write(pipe_fds[1], &r, sizeof r) == (ssize_t)sizeof r ? 0 : 1);
    }
    uint64_t theirs = 0;
    assert_int_equal(read(pipe_fds[0], &theirs, sizeof theirs), sizeof theirs);
    assert_int_not_equal(theirs, env_rand64());
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}

/* ---------------------------------------------------------------- files */

struct folder {
    char dir[64];
    char path[4][96];
};

static int make_folder(void **state)
{
    char dir[] = "/tmp/shale-env-XXXXXX";
    struct folder *f = calloc(1, sizeof *f);
    if (f == NULL || mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "%s", dir);
    for (int i = 0; i < 4; i++)
        (void)snprintf(f->path[i], sizeof f->path[i], "%s/%c", dir, 'a' + i);
    *state = f;
    return 0;
}

static int drop_folder(void **state)
{
    struct folder *f = *state;
    for (int i = 0; i < 4; i++)
        if (env_unlink(f->path[i]) != 0)
            (void)env_rmdir(f->path[i]);
    int rc = env_rmdir(f->dir);
    free(f);
    return rc;
}

static void write_file(const char *path, const char *text)
{
    int fd = -1;
    assert_int_equal(env_open(&fd, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_TRUNC), 0);
    struct env_iovec part = {.data = text, .len = strlen(text)};
    assert_int_equal(env_pwritev(fd, &part, 1, 0), 0);
    assert_int_equal(env_fsync(fd), 0);
    assert_int_equal(env_close(fd), 0);
}

static void check_file(const char *path, const char *text)
{
    char got[64] = {0};
    size_t len = 0;
    int fd = -1;
    assert_int_equal(env_open(&fd, path, ENV_OPEN_READ), 0);
    assert_int_equal(env_pread(fd, got, sizeof got - 1, 0, &len), 0);
    assert_int_equal(len, strlen(text));
    assert_string_equal(got, text);
    assert_int_equal(env_close(fd), 0);
}

static void test_file_parts_are_written_in_order(void **state)
{
    const struct folder *f = *state;
    /* More parts than one system call takes, some of them empty. */
    enum { PARTS = 200 };
    static const char digits[] = "0123456789";
    struct env_iovec parts[PARTS];
    for (int i = 0; i < PARTS; i++)
        parts[i] = (struct env_iovec){.data = &digits[i % 10], .len = i % 3 == 0 ? 0 : 1};
    int fd = -1;
    assert_int_equal(
        env_open(&fd, f->path[0], ENV_OPEN_READ | ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL),
        0);
    assert_int_equal(env_pwritev(fd, parts, PARTS, 5), 0);
    char got[PARTS + 10];
    size_t len = 0;
    assert_int_equal(env_pread(fd, got, sizeof got, 5, &len), 0);
    size_t want = 0;
    for (int i = 0; i < PARTS; i++)
        if (parts[i].len == 1)
            assert_int_equal(got[want++], '0' + i % 10);
    assert_int_equal(len, want);
    assert_int_equal(env_pread(fd, got, 10, 1u << 20, &len), 0);
    assert_int_equal(len, 0);

    struct env_stat st;
    assert_int_equal(env_fstat(fd, &st), 0);
    assert_int_equal(st.size, want + 5);
    assert_true(st.is_file && !st.is_dir);
    assert_int_equal(st.uid, getuid());
    assert_int_equal(env_close(fd), 0);
    assert_int_equal(env_open(&fd, f->path[0], ENV_OPEN_WRITE | ENV_OPEN_CREATE | ENV_OPEN_EXCL),
                     EEXIST);
    assert_int_equal(env_open(&fd, f->path[1], ENV_OPEN_READ), ENOENT);
    assert_int_equal(env_close(-1), EBADF);
}

static void test_names_link_rename_unlink(void **state)
{
    const struct folder *f = *state;
    write_file(f->path[0], "one");
    write_file(f->path[1], "two");
    assert_int_equal(env_link(f->path[0], f->path[1]), EEXIST);
    assert_int_equal(env_link(f->path[0], f->path[2]), 0);
    check_file(f->path[2], "one");
    assert_int_equal(env_rename(f->path[1], f->path[0]), 0);
    check_file(f->path[0], "two");
    check_file(f->path[2], "one");
    struct env_stat st;
    assert_int_equal(env_stat(f->path[1], &st), ENOENT);
    assert_int_equal(env_unlink(f->path[1]), ENOENT);
    assert_int_equal(env_mkdir(f->path[1]), 0);
    assert_int_equal(env_mkdir(f->path[1]), EEXIST);
    assert_int_equal(env_stat(f->path[1], &st), 0);
    assert_true(st.is_dir && !st.is_file);
    assert_int_equal(env_rmdir(f->dir), ENOTEMPTY);
}

static void test_listing_is_sorted_and_knows_folders(void **state)
{
    const struct folder *f = *state;
    write_file(f->path[3], "d");
    write_file(f->path[0], "a");
    assert_int_equal(env_mkdir(f->path[2]), 0);
    assert_int_equal(symlink(f->path[2], f->path[1]), 0);
    struct env_dirent *entries = NULL;
    size_t count = 0;
    assert_int_equal(env_listdir(f->dir, &entries, &count), 0);
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i].name[0], 'a' + (int)i);
        assert_int_equal(entries[i].is_dir, i == 1 || i == 2);
        assert_int_equal(entries[i].is_file, i == 0 || i == 3);
    }
    env_listdir_free(entries, count);
    assert_int_equal(env_listdir(f->path[2], &entries, &count), 0);
    assert_int_equal(count, 0);
    env_listdir_free(entries, count);
    assert_int_equal(env_listdir(f->path[0], &entries, &count), ENOTDIR);
}

static void lock_file(void *arg)
{
    const char *path = arg;
    for (int i = 0; i < 100; i++) {
        int fd = -1;
        char n = 0;
        size_t len = 0;
        assert_int_equal(env_open(&fd, path, ENV_OPEN_READ | ENV_OPEN_WRITE), 0);
        assert_int_equal(env_flock(fd), 0);
        assert_int_equal(env_pread(fd, &n, 1, 0, &len), 0);
        env_yield();
        n++;
        struct env_iovec part = {.data = &n, .len = 1};
        assert_int_equal(env_pwritev(fd, &part, 1, 0), 0);
        assert_int_equal(i % 2 == 0 ? env_funlock(fd) : 0, 0); /* else released by close */
        assert_int_equal(env_close(fd), 0);
    }
}

static void test_flock_excludes(void **state)
{
    struct folder *f = *state;
    write_file(f->path[0], "\1");
    struct env_task *tasks[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "lock", lock_file, f->path[0]), SHALE_OK);
    for (int i = 0; i < 2; i++)
        env_task_join(tasks[i]);
    check_file(f->path[0], "\xc9"); /* 1 + 200 */
}

static void test_folder_handles_and_paths(void **state)
{
    struct folder *f = *state;
    int fd = -1;
    assert_int_equal(env_open(&fd, f->dir, ENV_OPEN_READ | ENV_OPEN_DIRECTORY), 0);
    assert_int_equal(env_fsync(fd), 0);
    assert_int_equal(env_flock(fd), 0);
    assert_int_equal(env_close(fd), 0);

    char *path = NULL;
    char dotted[160];
    (void)snprintf(dotted, sizeof dotted, "%s/./../%s", f->dir, strrchr(f->dir, '/') + 1);
    assert_int_equal(env_realpath(dotted, &path), 0);
    assert_string_equal(path, f->dir);
    env_free(path);
    assert_int_equal(env_realpath(f->path[0], &path), ENOENT);
    assert_int_equal(env_getcwd(&path), 0);
    assert_int_equal(path[0], '/');
    env_free(path);
    uint64_t bytes = 0;
    assert_int_equal(env_disk_free(f->dir, &bytes), 0);
    assert_true(bytes > 0);
}

static void test_environment_is_visible(void **state)
{
    (void)state;
    assert_int_equal(setenv("SHALE_TEST_ENV", "on", 1), 0);
    assert_string_equal(env_getenv("SHALE_TEST_ENV"), "on");
    assert_null(env_getenv("SHALE_TEST_NOT_SET"));
    bool found = false;
    for (char **v = env_environ(); *v != NULL; v++)
        found = found || strcmp(*v, "SHALE_TEST_ENV=on") == 0;
    assert_true(found);
}

static void test_die_aborts(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        env_die("on purpose");
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_processors_of_a_control_group(void **state)
{
    (void)state;
    assert_int_equal(env_cpu_quota("max 100000\n"), 0);
    assert_int_equal(env_cpu_quota("200000 100000\n"), 2);
    assert_int_equal(env_cpu_quota("150000 100000\n"), 2);
    assert_int_equal(env_cpu_quota("1000 100000\n"), 1);
    assert_int_equal(env_cpu_quota(""), 0);
    assert_int_equal(env_cpu_quota("200000"), 0);
    assert_int_equal(env_cpu_quota("200000 0\n"), 0);
    assert_int_equal(env_cpu_quota("0 100000\n"), 0);
    assert_int_equal(env_cpu_quota("-1 100000\n"), 0);
    assert_in_range(env_cpu_count(), 1, sysconf(_SC_NPROCESSORS_CONF));
}

#ifdef __linux__
static void test_processors_that_we_are_bound_to(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)sched_getcpu(), &one);
        _exit(sched_setaffinity(0, sizeof one, &one) == 0 ? (int)env_cpu_count() : 100);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_sizes_zero_and_overflow),
        cmocka_unit_test(test_aligned_memory_is_aligned_and_usable),
        cmocka_unit_test(test_mutex_keeps_a_count_of_eight_tasks),
        cmocka_unit_test(test_trylock_fails_only_while_another_holds),
        cmocka_unit_test(test_cond_passes_every_turn),
        cmocka_unit_test(test_cond_wait_ends_at_its_deadline_not_before),
        cmocka_unit_test(test_tls_is_each_tasks_own_and_destroyed_at_its_end),
        cmocka_unit_test(test_indexes_of_living_tasks_differ_and_are_reused),
        cmocka_unit_test(test_backoff_ends),
        cmocka_unit_test(test_clocks_move_forward),
        cmocka_unit_test(test_random_numbers_fill_their_span),
        cmocka_unit_test(test_forked_child_draws_other_numbers),
        cmocka_unit_test_setup_teardown(test_file_parts_are_written_in_order, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(test_names_link_rename_unlink, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_listing_is_sorted_and_knows_folders, make_folder,
                                        drop_folder),
        cmocka_unit_test_setup_teardown(test_flock_excludes, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(test_folder_handles_and_paths, make_folder, drop_folder),
        cmocka_unit_test(test_environment_is_visible),
        cmocka_unit_test(test_processors_of_a_control_group),
#ifdef __linux__
        cmocka_unit_test(test_processors_that_we_are_bound_to),
#endif
        cmocka_unit_test(test_die_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
