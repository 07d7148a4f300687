/* A Shale writer behind a pipe, which the interop drivers steer.
 *
 * usage: writer URL [NAME=VALUE..]      settings by name, and filter_policy, a filter under that name; "ok", or CODE and text, once it is open
 * Lines in (keys and values in hex, "-" is the empty value):
 *   p KEY VALUE [EXPIRE_MS] | d KEY | m KEY VALUE       not awaited; a failure is told by the next line with an answer
 *   b | e                                               what stands between is one batch; e answers
 *   w | f | s                                           flush the WAL | the memtable | until nothing is left to compact; answer
 *   t N snapshot|serializable                           begin transaction N (0 to 9); answer
 *   T N p KEY VALUE | d KEY | m KEY VALUE | g KEY | s FROM TO | r KEY | u KEY | c | k      in it: put, delete, merge, get, scan, mark read, unmark
 *                                                       write, commit, roll back; all answer, g and s behind "ok" with what they found in hex
 *   q                                                   close, answer, end
 *   x                                                   end at once, as a crash would
 * Answers: "ok" or "CODE text". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <shale/shale.h>

#define TXNS 10

struct writer {
    shale_db *db;
    shale_txn *txns[TXNS];
    shale_batch *batch;
    bool in_batch;
    shale_error first; /* failure since the last answer */
};

static void answer(struct writer *w, shale_code rc, const shale_error *err)
{
    if (w->first.code != SHALE_OK)
        printf("%s %s\n", shale_code_name(w->first.code), w->first.text);
    else if (rc != SHALE_OK)
        printf("%s %s\n", shale_code_name(rc), err->text);
    else
        puts("ok");
    fflush(stdout);
    w->first = (shale_error){0};
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Hex to bytes where it stands. */
static shale_slice unhex(char *text)
{
    size_t len = strcmp(text, "-") == 0 ? 0 : strlen(text) / 2;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    return shale_bytes(text, len);
}

static void change(struct writer *w, char op, char **word, int words)
{
    shale_write_options o;
    shale_error err = {0};
    shale_code rc;
    shale_slice key = unhex(word[1]), value = words > 2 ? unhex(word[2]) : shale_bytes(NULL, 0);
    shale_write_options_init(&o, sizeof o);
    o.await_durable = false;
    if (words > 3) {
        o.ttl_kind = SHALE_TTL_AT_MS;
        o.ttl_ms = strtoll(word[3], NULL, 10);
    }
    if (w->in_batch) {
        if (op == 'd')
            shale_batch_delete(w->batch, key);
        else if (op == 'm')
            shale_batch_merge(w->batch, key, value);
        else
            shale_batch_put_ttl(w->batch, key, value, o.ttl_kind, o.ttl_ms);
        return;
    }
    if (op == 'd')
        rc = shale_db_delete(w->db, key, &o, &err);
    else if (op == 'm')
        rc = shale_db_merge(w->db, key, value, &o, &err);
    else
        rc = shale_db_put(w->db, key, value, &o, &err);
    if (rc != SHALE_OK && w->first.code == SHALE_OK)
        w->first = err;
}

static void end_batch(struct writer *w)
{
    shale_write_options o;
    shale_error err = {0};
    shale_code rc = SHALE_OK;
    shale_write_options_init(&o, sizeof o);
    o.await_durable = false;
    w->in_batch = false;
    if (shale_batch_count(w->batch) > 0)
        rc = shale_db_write(w->db, w->batch, &o, &err);
    shale_batch_clear(w->batch);
    answer(w, rc, &err);
}

static void say_hex(shale_slice bytes)
{
    const unsigned char *b = bytes.data;
    if (bytes.len == 0)
        putchar('-');
    for (size_t i = 0; i < bytes.len; i++)
        printf("%02x", b[i]);
}

static void txn_get(struct writer *w, shale_txn *t, shale_slice key)
{
    shale_error err = {0};
    shale_pinned found = {0};
    shale_code rc = shale_txn_get(&found, t, key, NULL, &err);
    if (rc != SHALE_OK && rc != SHALE_NOT_FOUND) {
        answer(w, rc, &err);
        return;
    }
    printf("ok ");
    if (rc == SHALE_OK)
        say_hex(found.value);
    else
        printf("none");
    puts("");
    fflush(stdout);
    shale_pinned_release(&found);
}

static void txn_scan(struct writer *w, shale_txn *t, shale_slice from, shale_slice to)
{
    shale_error err = {0};
    shale_iter *it = NULL;
    shale_row row;
    shale_code rc = shale_txn_scan(&it, t, shale_range_between(from, to), NULL, &err);
    if (rc != SHALE_OK) {
        answer(w, rc, &err);
        return;
    }
    printf("ok");
    while (shale_iter_next(&row, it, &err) == SHALE_OK) {
        putchar(' ');
        say_hex(row.key);
        putchar('=');
        say_hex(row.value);
    }
    puts("");
    fflush(stdout);
    shale_iter_close(it);
}

static void begin(struct writer *w, char **word)
{
    shale_error err = {0};
    shale_txn_options o;
    shale_txn_options_init(&o, sizeof o);
    o.isolation = word[2][1] == 'e' ? SHALE_ISOLATION_SERIALIZABLE : SHALE_ISOLATION_SNAPSHOT;
    answer(w, shale_db_begin(&w->txns[word[1][0] - '0'], w->db, &o, &err), &err);
}

static void in_txn(struct writer *w, char **word, int words)
{
    shale_error err = {0};
    shale_txn **t = &w->txns[word[1][0] - '0'];
    shale_slice key = words > 3 ? unhex(word[3]) : shale_bytes(NULL, 0);
    shale_slice more = words > 4 ? unhex(word[4]) : shale_bytes(NULL, 0);
    shale_code rc = SHALE_OK;
    switch (word[2][0]) {
    case 'p':
        rc = shale_txn_put(*t, key, more, &err);
        break;
    case 'd':
        rc = shale_txn_delete(*t, key, &err);
        break;
    case 'm':
        rc = shale_txn_merge(*t, key, more, &err);
        break;
    case 'r':
        rc = shale_txn_mark_read(*t, key, &err);
        break;
    case 'u':
        rc = shale_txn_unmark_write(*t, key, &err);
        break;
    case 'g':
        txn_get(w, *t, key);
        return;
    case 's':
        txn_scan(w, *t, key, more);
        return;
    default:
        if (word[2][0] == 'c')
            rc = shale_txn_commit(*t, NULL, &err);
        shale_txn_close(*t);
        *t = NULL;
    }
    answer(w, rc, &err);
}

/* False: the end. */
static bool obey(struct writer *w, char *line)
{
    char *word[5];
    int words = 0;
    shale_error err = {0};
    for (char *t = strtok(line, " \n"); t != NULL && words < 5; t = strtok(NULL, " \n"))
        word[words++] = t;
    if (words == 0)
        return true;
    switch (word[0][0]) {
    case 'b':
        w->in_batch = true;
        break;
    case 'e':
        end_batch(w);
        break;
    case 'w':
        answer(w, shale_db_flush(w->db, SHALE_FLUSH_WAL, &err), &err);
        break;
    case 'f':
        answer(w, shale_db_flush(w->db, SHALE_FLUSH_MEMTABLE, &err), &err);
        break;
    case 's':
        answer(w, shale_db_settle(w->db, &err), &err);
        break;
    case 't':
        begin(w, word);
        break;
    case 'T':
        in_txn(w, word, words);
        break;
    case 'q':
        answer(w, shale_db_close(w->db, &err), &err);
        return false;
    case 'x':
        _exit(0);
    default:
        if (words < 2)
            exit(1);
        change(w, word[0][0], word, words);
    }
    return true;
}

/* A filter policy: first bytes of keys, as they come. */
struct seen {
    unsigned char bytes[256];
};

static shale_code begin_seen(void *ctx, void **builder)
{
    (void)ctx;
    *builder = calloc(1, sizeof(struct seen));
    return *builder == NULL ? SHALE_NOMEM : SHALE_OK;
}

static shale_code add_seen(void *ctx, void *builder, const shale_raw_row *row)
{
    (void)ctx;
    ((struct seen *)builder)->bytes[*(const unsigned char *)row->key.data] = 1;
    return SHALE_OK;
}

static shale_code end_seen(void *ctx, void *builder,
                           void (*emit)(void *emit_ctx, shale_slice filter), void *emit_ctx)
{
    (void)ctx;
    if (emit != NULL)
        emit(emit_ctx, shale_bytes(builder, sizeof(struct seen)));
    free(builder);
    return SHALE_OK;
}

static bool may_be_seen(void *ctx, shale_slice filter, const shale_filter_query *query)
{
    (void)ctx;
    return filter.len != sizeof(struct seen) || query->key.len == 0 ||
           ((const unsigned char *)filter.data)[*(const unsigned char *)query->key.data] != 0;
}

static shale_code set_policy(shale_options *options, const char *name, shale_error *err)
{
    shale_filter_policy p;
    shale_filter_policy_init(&p, sizeof p);
    p.begin = begin_seen;
    p.add = add_seen;
    p.end = end_seen;
    p.may_match = may_be_seen;
    return shale_options_add_filter_policy(options, name, &p, err);
}

static shale_code open_db(shale_db **db, int argc, char **argv, shale_error *err)
{
    shale_options *options = shale_options_new();
    shale_code rc = shale_options_set_store(options, "local_fsync", "off", err);
    for (int i = 2; i < argc && rc == SHALE_OK; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            exit(1);
        *value = '\0';
        rc = strcmp(argv[i], "filter_policy") == 0
                 ? set_policy(options, value + 1, err)
                 : shale_options_set(options, argv[i], value + 1, err);
    }
    if (rc == SHALE_OK)
        rc = shale_db_open(db, argv[1], options, err);
    shale_options_free(options);
    return rc;
}

int main(int argc, char **argv)
{
    struct writer w = {.batch = shale_batch_new()};
    shale_error err = {0};
    char *line = NULL;
    size_t cap = 0;
    if (argc < 2 || w.batch == NULL)
        return 1;
    shale_code rc = open_db(&w.db, argc, argv, &err);
    answer(&w, rc, &err);
    if (rc != SHALE_OK)
        return 2;
    while (getline(&line, &cap, stdin) > 0)
        if (!obey(&w, line))
            break;
    free(line);
    shale_batch_free(w.batch);
    return 0;
}
