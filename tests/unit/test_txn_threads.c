/* Goal: transactions under real threads: no race (ThreadSanitizer), and histories that may be: serializable ones without any cycle.
 * Method: clients run random transactions on ten keys side by side while memtables are flushed and compacted; then the graph of their
 * dependencies is searched. Also that the checker itself finds what it must. */
#include "support/txn_history.h"
#include "unit/support_db.h"

#define CLIENTS 6

struct client_task {
    struct history_client client;
    _Atomic unsigned *failures;
};

static void run_client(void *arg)
{
    struct client_task *t = arg;
    shale_error err = {0};
    shale_code rc;
    while ((rc = history_step(&t->client, &err)) == SHALE_OK)
        if (t->client.random % 16 == 0 && shl_lsm_flush(t->client.db, true, &err) != SHALE_OK)
            break;
    if (rc != SHALE_NOT_FOUND) {
        fprintf(stderr, "%s: %s\n", shale_code_name(rc), err.text);
        env_fetch_add(t->failures, 1u);
    }
}

static void run_all(bool serializable, uint64_t seed)
{
    static struct history history;
    struct bench b;
    struct client_task tasks[CLIENTS];
    struct env_task *handles[CLIENTS];
    _Atomic unsigned failures = 0;
    memset(&history, 0, sizeof history);
    printf("seed 0x%llx\n", (unsigned long long)seed);
    bench_init(&b);
    b.settings.compactor_enabled = true;
    b.settings.wal_flush = SHL_WAL_FLUSH_ADAPTIVE;
    bench_open(&b);
    for (unsigned i = 0; i < CLIENTS; i++) {
        tasks[i] = (struct client_task){.client = {.history = &history,
                                                   .db = b.db,
                                                   .random = seed * 31 + i,
                                                   .serializable = serializable},
                                        .failures = &failures};
        OK(env_task_spawn(&handles[i], "client", run_client, &tasks[i]));
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        env_task_join(handles[i]);
    assert_int_equal(failures, 0);
    bench_end(&b);
    const char *wrong = history_check(&history, serializable);
    if (wrong != NULL)
        fail_msg("%s: %s", serializable ? "serializable" : "snapshot", wrong);
    assert_true(history_commits(&history) > HISTORY_TXNS / 8);
}

static void test_serializable_histories_have_no_cycle(void **state)
{
    uint64_t seed = env_rand64();
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        run_all(true, seed + i);
}

static void test_snapshot_histories_lose_no_update(void **state)
{
    uint64_t seed = env_rand64();
    (void)state;
    for (unsigned i = 0; i < 8; i++)
        run_all(false, seed + i);
}

/* ---------------------------------------------------------------- the checker */

static struct history made;

static void make(unsigned number, uint64_t seq, int writes, int reads, unsigned from)
{
    struct history_txn *t = &made.txns[number];
    t->committed = true;
    t->seq = seq;
    if (writes >= 0)
        t->writes[writes] = true;
    if (reads >= 0) {
        t->reads[t->read_count].key = (unsigned)reads;
        t->reads[t->read_count].from = from;
        t->read_count++;
    }
    if (made.count < number)
        made.count = number;
}

static void test_the_checker_finds_what_it_must(void **state)
{
    (void)state;
    memset(&made, 0, sizeof made);
    make(1, 1, 0, -1, 0);
    make(2, 2, 0, 0, 1);
    assert_null(history_check(&made, true));
    make(3, 3, 0, 0, 1); /* a lost update: 3 overwrote 2, and had read 1 */
    assert_non_null(history_check(&made, false));
    assert_non_null(history_check(&made, true));
    memset(&made, 0, sizeof made);
    make(1, 1, 0, 1, 0); /* write skew */
    make(2, 2, 1, 0, 0);
    assert_null(history_check(&made, false));
    assert_non_null(history_check(&made, true));
    memset(&made, 0, sizeof made);
    make(1, 1, 0, -1, 0);
    make(2, 2, 1, 0, 7); /* nobody committed 7 */
    assert_non_null(history_check(&made, false));
    memset(&made, 0, sizeof made);
    make(1, 1, 0, -1, 0);
    made.txns[1].writes[1] = true;
    make(2, 0, -1, 0, 1); /* half of a commit was seen */
    make(2, 0, -1, 1, 0);
    assert_non_null(history_check(&made, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_checker_finds_what_it_must),
        cmocka_unit_test(test_serializable_histories_have_no_cycle),
        cmocka_unit_test(test_snapshot_histories_lose_no_update),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
