/* Goal: wrappers keep the contract of store.h and add just what they say. Method: the conformance suite over each wrapper and over
 * the whole stack; then retry over scripted faults, where every lost answer must come out right; then each wrapper's own facts. */
#include "store/file.h"
#include "store/memory.h"
#include "store/price.h"
#include "store/support_conformance.h"
#include "store/wrap_count.h"
#include "store/wrap_fault.h"
#include "store/wrap_latency.h"
#include "store/wrap_limit.h"
#include "store/wrap_prefix.h"
#include "store/wrap_retry.h"
#include "base/env/env.h"
#include "base/num.h"
#include <stdio.h>

/* Delays of nanoseconds: the tests are about decisions, not about waiting. */
static const struct shl_retry_options quick = {
    .max_retries = 5, .delay_first_ns = 10, .delay_max_ns = 100};

static struct shl_store *memory_new(void)
{
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_memory_new(&s, &test_err));
    return s;
}

static struct shl_store *folder_new(const char *dir)
{
    struct shl_store *s = NULL;
    struct shl_file_options o = {.create_root = true};
    expect_code(SHALE_OK, shl_store_file_new(&s, dir, &o, &test_err));
    return s;
}

/* Each of these takes the reference to `inner`. */
static struct shl_store *with_retry(struct shl_store *inner)
{
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_retry_new(&s, inner, &quick, &test_err));
    shl_store_unref(inner);
    return s;
}

static struct shl_store *with_limit(struct shl_store *inner)
{
    static const struct shl_limit_options o = {.reads_max = 2, .writes_max = 1};
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_limit_new(&s, inner, &o, &test_err));
    shl_store_unref(inner);
    return s;
}

static struct shl_store *with_count(struct shl_store *inner)
{
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_count_new(&s, inner, &test_err));
    shl_store_unref(inner);
    return s;
}

static struct shl_store *with_latency(struct shl_store *inner)
{
    struct shl_latency_options o = {.seed = 7, .up_bytes_per_sec = UINT64_C(1) << 40};
    for (size_t i = 0; i < SHL_KINDS; i++)
        o.kinds[i] = (struct shl_latency){.min_ns = 1, .p50_ns = 100, .p99_ns = 1000};
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_latency_new(&s, inner, &o, &test_err));
    shl_store_unref(inner);
    return s;
}

static struct shl_store *with_fault(struct shl_store *inner)
{
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_fault_new(&s, inner, 7, &test_err));
    shl_store_unref(inner);
    return s;
}

static struct shl_store *with_prefix(struct shl_store *inner)
{
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_prefix_new(&s, inner, "p q/db", &test_err));
    shl_store_unref(inner);
    return s;
}

#define MAKER(name, expr)                                                                          \
    static struct shl_store *name(const struct store_maker *maker, const char *dir)                \
    {                                                                                              \
        (void)maker;                                                                               \
        (void)dir;                                                                                 \
        return expr;                                                                               \
    }
MAKER(make_retry, with_retry(memory_new()))
MAKER(make_retry_file, with_retry(folder_new(dir)))
MAKER(make_limit, with_limit(memory_new()))
MAKER(make_count, with_count(memory_new()))
MAKER(make_latency, with_latency(memory_new()))
MAKER(make_fault, with_fault(memory_new()))
MAKER(make_prefix, with_prefix(memory_new()))
MAKER(make_stack, with_prefix(with_count(
                      with_retry(with_limit(with_fault(with_latency(with_count(memory_new()))))))))
MAKER(make_stack_file, with_prefix(with_count(with_retry(with_limit(with_fault(folder_new(dir)))))))

/* A bucket that fails now and then, also after the effect: with retry above it nobody notices. */
static struct shl_store *make_flaky(const struct store_maker *maker, const char *dir)
{
    (void)maker;
    (void)dir;
    struct shl_store *fault = with_fault(memory_new());
    struct shl_fault_rule rule = {.effect = SHL_FAULT_BEFORE, .chance_ppm = 60000};
    (void)shl_store_fault_add(fault, &rule);
    rule.effect = SHL_FAULT_TRUNCATE;
    rule.kinds = SHL_KIND_BIT(SHL_KIND_GET);
    (void)shl_store_fault_add(fault, &rule);
    /* Copies that must create carry no mark, and an if-match whose answer was lost may have been overwritten when it is looked
     * for: such lost answers cannot be settled, so those two do not lose any. */
    rule.effect = SHL_FAULT_AFTER;
    rule.kinds = ~(SHL_KIND_BIT(SHL_KIND_COPY) | SHL_KIND_BIT(SHL_KIND_PUT));
    (void)shl_store_fault_add(fault, &rule);
    rule.kinds = SHL_KIND_BIT(SHL_KIND_PUT);
    strcpy(rule.key_part, "race/");
    rule.chance_ppm = 300000;
    (void)shl_store_fault_add(fault, &rule);
    struct shl_retry_options o = {
        .max_retries = SHL_RETRY_FOREVER, .delay_first_ns = 10, .delay_max_ns = 100};
    struct shl_store *s = NULL;
    expect_code(SHALE_OK, shl_store_retry_new(&s, fault, &o, &test_err));
    shl_store_unref(fault);
    return s;
}

/* ---- retry */

struct flaky {
    struct shl_store *inner; /* borrowed: what lies below the faults */
    struct shl_store *fault;
    struct shl_store *retry;
};

static struct flaky flaky_new(struct shl_store *take_inner, const struct shl_retry_options *o)
{
    struct flaky f = {.inner = take_inner};
    expect_code(SHALE_OK, shl_store_fault_new(&f.fault, take_inner, 1, &test_err));
    expect_code(SHALE_OK, shl_store_retry_new(&f.retry, f.fault, o, &test_err));
    return f;
}

static void flaky_free(struct flaky *f)
{
    shl_store_unref(f->retry);
    shl_store_unref(f->fault);
    shl_store_unref(f->inner);
}

static unsigned fail_kind(struct flaky *f, enum shl_store_kind kind, enum shl_fault_effect effect,
                          shale_code code, uint64_t nth, bool sticky)
{
    struct shl_fault_rule rule = {
        .kinds = SHL_KIND_BIT(kind), .effect = effect, .code = code, .nth = nth, .sticky = sticky};
    return shl_store_fault_add(f->fault, &rule);
}

static void test_retry_allowance_by_code(void **state)
{
    (void)state;
    for (int code = SHALE_DONE; code <= SHALE_TIMEOUT; code++) {
        uint32_t want = 0;
        if (code == SHALE_UNAVAILABLE || code == SHALE_TIMEOUT)
            want = SHL_RETRY_FOREVER;
        if (code == SHALE_PERMISSION_DENIED || code == SHALE_UNAUTHENTICATED)
            want = 2;
        struct flaky f = flaky_new(memory_new(), &quick);
        unsigned rule = fail_kind(&f, SHL_KIND_HEAD, SHL_FAULT_BEFORE, (shale_code)code, 0, true);
        struct shl_object o;
        assert_int_equal(shl_retry_allowance((shale_code)code), want);
        expect_code((shale_code)code, shl_store_head(f.retry, "k", &o, &test_err));
        uint32_t tries = 1 + (want < quick.max_retries ? want : quick.max_retries);
        assert_int_equal(shl_store_fault_fired(f.fault, rule), tries);
        assert_int_equal(shl_store_retries(f.retry), tries - 1);
        flaky_free(&f);
    }
}

static bool yes(void *ctx)
{
    (void)ctx;
    return true;
}

static void test_retry_for_ever_stops_when_cancelled(void **state)
{
    (void)state;
    struct shl_retry_options o = {.max_retries = SHL_RETRY_FOREVER, .cancelled = yes};
    struct flaky f = flaky_new(memory_new(), &o);
    unsigned rule = fail_kind(&f, SHL_KIND_HEAD, SHL_FAULT_BEFORE, SHALE_OK, 0, true);
    struct shl_object object;
    expect_code(SHALE_UNAVAILABLE, shl_store_head(f.retry, "k", &object, &test_err));
    assert_int_equal(shl_store_fault_fired(f.fault, rule), 1);
    flaky_free(&f);
}

/* Every operation with its answer or its request lost up to four times in a row. */
static void test_lost_answers_are_settled(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum shl_put_mode mode;
        const char *body;
    } rows[] = {
        {"overwrite", SHL_PUT_OVERWRITE, "new"},  {"create", SHL_PUT_CREATE, "new"},
        {"create empty", SHL_PUT_CREATE, ""},     {"if-match", SHL_PUT_IF_MATCH, "new"},
        {"if-match empty", SHL_PUT_IF_MATCH, ""},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        for (unsigned lost = 0; lost < 5; lost++) {
            struct flaky f = flaky_new(memory_new(), &quick);
            struct shl_object old = {0};
            struct shl_object put;
            struct shl_object head;
            bool match = rows[i].mode == SHL_PUT_IF_MATCH;
            print_message("           %s, %u lost\n", rows[i].name, lost);
            if (match)
                expect_code(SHALE_OK, put_mode(f.inner, "k", "old", SHL_PUT_CREATE, NULL, &old));
            for (unsigned n = 0; n < lost; n++)
                (void)fail_kind(&f, SHL_KIND_PUT, n % 2 == 0 ? SHL_FAULT_AFTER : SHL_FAULT_BEFORE,
                                n == 1 ? SHALE_TIMEOUT : SHALE_OK, 0, false);
            expect_code(SHALE_OK, put_mode(f.retry, "k", rows[i].body, rows[i].mode,
                                           match ? old.etag : NULL, &put));
            expect_code(SHALE_OK, shl_store_head(f.inner, "k", &head, &test_err));
            assert_string_equal(put.etag, head.etag);
            assert_int_equal(put.size, strlen(rows[i].body));
            assert_int_equal(strlen(head.put_id), rows[i].mode == SHL_PUT_OVERWRITE ? 0 : 26);
            expect_text(f.inner, "k", rows[i].body);
            flaky_free(&f);
        }
    }
}

/* A put that finds no memory is made again, and what an earlier try did is seen; a read says so at once. */
static void test_puts_wait_for_memory(void **state)
{
    (void)state;
    static const enum shl_put_mode modes[] = {SHL_PUT_OVERWRITE, SHL_PUT_CREATE, SHL_PUT_IF_MATCH};
    static const enum shl_fault_effect effects[] = {SHL_FAULT_BEFORE, SHL_FAULT_AFTER};
    for (size_t i = 0; i < SHL_COUNT_OF(modes) * SHL_COUNT_OF(effects) * 2; i++) {
        enum shl_put_mode mode = modes[i / 4];
        bool marks = i % 2 == 0, match = mode == SHL_PUT_IF_MATCH;
        char *dir = temp_dir_new();
        struct shl_retry_options never = {.max_retries = 0, .cancelled = yes};
        struct flaky f = flaky_new(marks ? memory_new() : folder_new(dir), &never);
        struct shl_object old = {0}, put = {0}, head = {0};
        enum shl_fault_effect effect = effects[i / 2 % 2];
        if (match && !marks)
            effect = SHL_FAULT_BEFORE; /* such an answer cannot be settled */
        if (match)
            expect_code(SHALE_OK, put_mode(f.inner, "k", "old", SHL_PUT_CREATE, NULL, &old));
        (void)fail_kind(&f, SHL_KIND_PUT, effect, SHALE_NOMEM, 0, false);
        (void)fail_kind(&f, SHL_KIND_HEAD, SHL_FAULT_BEFORE, SHALE_NOMEM, 0, false);
        expect_code(SHALE_OK, put_mode(f.retry, "k", "new", mode, match ? old.etag : NULL, &put));
        expect_code(SHALE_OK, shl_store_head(f.inner, "k", &head, &test_err));
        assert_string_equal(put.etag, head.etag);
        expect_text(f.inner, "k", "new");
        (void)fail_kind(&f, SHL_KIND_HEAD, SHL_FAULT_BEFORE, SHALE_NOMEM, 0, true);
        expect_code(SHALE_NOMEM, shl_store_head(f.retry, "k", &head, &test_err));
        flaky_free(&f);
        temp_dir_free(dir);
    }
}

static void test_real_losers_stay_losers(void **state)
{
    (void)state;
    static const enum shl_fault_effect effects[] = {SHL_FAULT_BEFORE, SHL_FAULT_AFTER};
    for (size_t i = 0; i < SHL_COUNT_OF(effects); i++) {
        struct flaky f = flaky_new(memory_new(), &quick);
        struct shl_object first;
        struct shl_object second;
        (void)fail_kind(&f, SHL_KIND_PUT, effects[i], SHALE_OK, 0, false);
        /* The same bytes by somebody else: only the mark can tell. */
        expect_code(SHALE_OK, put_mode(f.inner, "k", "same", SHL_PUT_CREATE, NULL, &first));
        expect_code(SHALE_ALREADY_EXISTS,
                    put_mode(f.retry, "k", "same", SHL_PUT_CREATE, NULL, NULL));
        assert_non_null(strstr(test_err.text, "exists"));
        expect_code(SHALE_OK,
                    put_mode(f.inner, "k", "next", SHL_PUT_IF_MATCH, first.etag, &second));
        expect_code(SHALE_PRECONDITION,
                    put_mode(f.retry, "k", "next", SHL_PUT_IF_MATCH, first.etag, NULL));
        expect_text(f.inner, "k", "next");
        flaky_free(&f);
    }
}

static void test_an_unreadable_outcome_is_unknown(void **state)
{
    (void)state;
    struct flaky f = flaky_new(memory_new(), &quick);
    (void)fail_kind(&f, SHL_KIND_PUT, SHL_FAULT_AFTER, SHALE_OK, 0, false);
    (void)fail_kind(&f, SHL_KIND_HEAD, SHL_FAULT_BEFORE, SHALE_OK, 0, true);
    expect_code(SHALE_UNAVAILABLE, put_mode(f.retry, "k", "v", SHL_PUT_CREATE, NULL, NULL));
    assert_non_null(strstr(test_err.text, "outcome unknown"));
    flaky_free(&f);
}

/* A folder keeps no marks: bytes decide, and nothing at all for empty objects. */
static void test_without_attributes_bytes_decide(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *there; /* written by somebody else; NULL: nothing */
        enum shl_fault_effect effect;
        const char *body;
        shale_code want;
    } rows[] = {
        {"ours", NULL, SHL_FAULT_AFTER, "mine", SHALE_OK},
        {"other's", "theirs", SHL_FAULT_BEFORE, "mine", SHALE_ALREADY_EXISTS},
        {"same length", "them", SHL_FAULT_BEFORE, "mine", SHALE_ALREADY_EXISTS},
        {"same bytes", "mine", SHL_FAULT_BEFORE, "mine", SHALE_OK},
        {"empty", NULL, SHL_FAULT_AFTER, "", SHALE_ALREADY_EXISTS},
        {"never lost", NULL, SHL_FAULT_BEFORE, "mine", SHALE_OK},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        char *dir = temp_dir_new();
        struct flaky f = flaky_new(folder_new(dir), &quick);
        struct shl_object put;
        struct shl_object head;
        print_message("           %s\n", rows[i].name);
        if (rows[i].there != NULL)
            put_text(f.inner, "k", rows[i].there);
        (void)fail_kind(&f, SHL_KIND_PUT, rows[i].effect, SHALE_OK, 0, false);
        expect_code(rows[i].want, put_mode(f.retry, "k", rows[i].body, SHL_PUT_CREATE, NULL, &put));
        if (rows[i].want == SHALE_OK) {
            expect_code(SHALE_OK, shl_store_head(f.inner, "k", &head, &test_err));
            assert_string_equal(put.etag, head.etag);
        }
        /* Without a try that may have worked, even equal bytes are another's. */
        expect_code(SHALE_ALREADY_EXISTS,
                    put_mode(f.retry, "k", rows[i].body, SHL_PUT_CREATE, NULL, NULL));
        flaky_free(&f);
        temp_dir_free(dir);
    }
}

static void test_uploads_survive_lost_answers(void **state)
{
    (void)state;
    static const enum shl_store_kind kinds[] = {SHL_KIND_UPLOAD_START, SHL_KIND_UPLOAD_PART,
                                                SHL_KIND_UPLOAD_COMPLETE};
    static const enum shl_fault_effect effects[] = {SHL_FAULT_BEFORE, SHL_FAULT_AFTER};
    for (size_t i = 0; i < SHL_COUNT_OF(kinds) * 2; i++) {
        struct flaky f = flaky_new(memory_new(), &quick);
        struct shl_upload *u;
        struct shl_object o;
        struct shl_slice part = shl_slice_str("abc");
        unsigned rule = fail_kind(&f, kinds[i / 2], effects[i % 2], SHALE_OK, 0, false);
        expect_code(SHALE_OK, shl_store_upload_start(f.retry, "k", &u, &test_err));
        expect_code(SHALE_OK, shl_store_upload_part(f.retry, u, 1, &part, 1, &test_err));
        expect_code(SHALE_OK, shl_store_upload_part(f.retry, u, 0, &part, 1, &test_err));
        expect_code(SHALE_OK, shl_store_upload_complete(f.retry, u, &o, &test_err));
        assert_int_equal(o.size, 6);
        assert_int_equal(shl_store_fault_fired(f.fault, rule), 1);
        expect_text(f.inner, "k", "abcabc");
        flaky_free(&f);
    }
}

static void test_a_body_that_is_cut_is_read_again(void **state)
{
    (void)state;
    struct flaky f = flaky_new(memory_new(), &quick);
    uint8_t two[2];
    struct shl_get_range range = {.offset = 1, .len = 2, .dst = two};
    put_text(f.inner, "k", "0123456789");
    (void)fail_kind(&f, SHL_KIND_GET, SHL_FAULT_TRUNCATE, SHALE_OK, 0, false);
    (void)fail_kind(&f, SHL_KIND_GET, SHL_FAULT_TRUNCATE, SHALE_OK, 2, false);
    struct shl_buf body = {0};
    expect_code(SHALE_UNAVAILABLE, shl_store_get(f.fault, "k", NULL, &body, NULL, &test_err));
    assert_int_equal(body.len, 0);
    shl_buf_free(&body);
    expect_text(f.retry, "k", "0123456789");
    expect_code(SHALE_OK, shl_store_get_ranges(f.retry, "k", &range, 1, &test_err));
    assert_memory_equal(two, "12", 2);
    assert_int_equal(shl_store_retries(f.retry), 1);
    flaky_free(&f);
}

/* ---- fault */

static void test_fault_rules_match_and_count(void **state)
{
    (void)state;
    struct shl_store *s = with_fault(memory_new());
    struct shl_fault_rule rule = {.kinds = SHL_KIND_BIT(SHL_KIND_PUT),
                                  .key_part = "wal/",
                                  .nth = 1,
                                  .sticky = true,
                                  .code = SHALE_TIMEOUT};
    unsigned r = shl_store_fault_add(s, &rule);
    put_text(s, "manifest/1", "x");
    put_text(s, "wal/1", "x");
    expect_code(SHALE_TIMEOUT, put_mode(s, "wal/2", "x", SHL_PUT_CREATE, NULL, NULL));
    expect_code(SHALE_TIMEOUT, put_mode(s, "wal/3", "x", SHL_PUT_CREATE, NULL, NULL));
    expect_text(s, "wal/1", "x");
    assert_int_equal(shl_store_fault_matched(s, r), 3);
    assert_int_equal(shl_store_fault_fired(s, r), 2);
    expect_keys(s, NULL, "manifest/1 wal/1");
    shl_store_fault_clear(s);
    put_text(s, "wal/2", "x");

    rule = (struct shl_fault_rule){.effect = SHL_FAULT_AFTER};
    (void)shl_store_fault_add(s, &rule);
    expect_code(SHALE_UNAVAILABLE, put_mode(s, "wal/3", "x", SHL_PUT_CREATE, NULL, NULL));
    expect_text(s, "wal/3", "x"); /* it is there all the same */
    shl_store_unref(s);
}

static size_t bits_that_differ(const uint8_t *a, const uint8_t *b, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += (size_t)__builtin_popcount((unsigned)(a[i] ^ b[i]));
    return n;
}

static void test_fault_corrupts_one_bit(void **state)
{
    (void)state;
    struct shl_store *s = with_fault(memory_new());
    struct shl_fault_rule rule = {.effect = SHL_FAULT_CORRUPT, .sticky = true};
    static const uint8_t want[] = "0123456789";
    uint8_t got[10];
    struct shl_get_range ranges[] = {{.offset = 0, .len = 4, .dst = got},
                                     {.offset = 4, .len = 6, .dst = got + 4}};
    struct shl_buf body = {0};
    put_text(s, "k", "0123456789");
    (void)shl_store_fault_add(s, &rule);
    expect_code(SHALE_OK, shl_store_get(s, "k", NULL, &body, NULL, &test_err));
    assert_int_equal(bits_that_differ(body.data, want, 10), 1);
    expect_code(SHALE_OK, shl_store_get_ranges(s, "k", ranges, 2, &test_err));
    assert_int_equal(bits_that_differ(got, want, 10), 1);
    shl_buf_free(&body);
    shl_store_unref(s);
}

static void test_fault_chance_is_near_and_repeats(void **state)
{
    (void)state;
    uint64_t fired[2];
    for (size_t run = 0; run < 2; run++) {
        struct shl_store *s = with_fault(memory_new());
        struct shl_fault_rule rule = {.chance_ppm = 250000};
        struct shl_object o;
        unsigned r = shl_store_fault_add(s, &rule);
        for (int i = 0; i < 4000; i++)
            (void)!shl_store_head(s, "k", &o, &test_err);
        fired[run] = shl_store_fault_fired(s, r);
        shl_store_unref(s);
    }
    assert_int_equal(fired[0], fired[1]);
    assert_in_range(fired[0], 850, 1150);
}

/* ---- count, price */

static void test_counts_and_their_price(void **state)
{
    (void)state;
    struct shl_store *memory = memory_new();
    struct shl_store *fault = with_fault(shl_store_ref(memory));
    struct shl_store *s = with_count(fault);
    struct shl_store_counts c;
    struct shl_object o;
    uint8_t d[4];
    put_text(s, "a", "12345");
    expect_code(SHALE_ALREADY_EXISTS, put_mode(s, "a", "123", SHL_PUT_CREATE, NULL, NULL));
    expect_text(s, "a", "12345");
    struct shl_get_range ranges[] = {{.offset = 0, .len = 1, .dst = d},
                                     {.offset = 1, .len = 2, .dst = d + 1},
                                     {.offset = 4, .len = 1, .dst = d + 3}};
    expect_code(SHALE_OK, shl_store_get_ranges(s, "a", ranges, 3, &test_err));
    expect_code(SHALE_NOT_FOUND, shl_store_head(s, "b", &o, &test_err));
    struct shl_fault_rule rule = {.kinds = SHL_KIND_BIT(SHL_KIND_COPY)};
    (void)shl_store_fault_add(fault, &rule);
    expect_code(SHALE_UNAVAILABLE, shl_store_copy(s, "a", "b", false, &test_err));
    expect_code(SHALE_OK, shl_store_delete(s, "b", &test_err));
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof key, "n/%04d", i);
        put_text(memory, key, "");
    }
    struct shl_list l = {0};
    struct shl_list_options all = {0};
    expect_code(SHALE_OK, shl_store_list(s, &all, &l, &test_err));
    assert_int_equal(l.count, 2001);
    shl_list_free(&l);

    shl_store_counts_read(s, &c);
    assert_int_equal(c.kinds[SHL_KIND_PUT].calls, 2);
    assert_int_equal(c.kinds[SHL_KIND_PUT].refused, 1);
    assert_int_equal(c.kinds[SHL_KIND_GET].calls, 2);
    assert_int_equal(c.kinds[SHL_KIND_GET].requests, 3);
    assert_int_equal(c.kinds[SHL_KIND_HEAD].refused, 1);
    assert_int_equal(c.kinds[SHL_KIND_HEAD].errors, 0);
    assert_int_equal(c.kinds[SHL_KIND_COPY].errors, 1);
    assert_int_equal(c.kinds[SHL_KIND_DELETE].calls, 1);
    assert_int_equal(c.kinds[SHL_KIND_LIST].requests, 3);
    assert_int_equal(c.bytes_up, 8);
    assert_int_equal(c.bytes_down, 9);
    for (size_t i = 0; i < SHL_KINDS; i++) {
        const struct shl_kind_counts *k = &c.kinds[i];
        assert_true(k->p50_ns <= k->p99_ns && k->p99_ns <= k->p999_ns && k->p999_ns <= k->max_ns);
        assert_true(k->max_ns <= k->total_ns);
    }

    assert_int_equal(shl_price_writes(&c), 2 + 1 + 3);
    assert_int_equal(shl_price_reads(&c), 3 + 1);
    double want = 6 * 0.005 / 1000 + 4 * 0.0004 / 1000;
    double got = shl_price_requests(shl_price_s3(), &c);
    assert_true(got > want * 0.999999 && got < want * 1.000001);
    double month = shl_price_storage(shl_price_s3(), 1000000000);
    assert_true(month > 0.0229999 && month < 0.0230001);
    shl_store_unref(s);
    shl_store_unref(memory);
}

/* ---- latency, limit, prefix */

static void test_latency_makes_a_store_far_and_faults_make_it_unsure(void **state)
{
    (void)state;
    struct shl_store *near = with_retry(with_limit(with_count(memory_new())));
    struct shl_store *far = with_retry(with_latency(memory_new()));
    struct shl_store *unsure = with_retry(with_fault(memory_new()));
    assert_true((near->caps & SHL_STORE_NEAR) != 0 && (near->caps & SHL_STORE_SURE) != 0);
    assert_int_equal(far->caps, near->caps & ~(unsigned)SHL_STORE_NEAR);
    assert_int_equal(unsure->caps, near->caps & ~(unsigned)SHL_STORE_SURE);
    shl_store_unref(near);
    shl_store_unref(far);
    shl_store_unref(unsure);
}

static void test_latency_picks_follow_the_table(void **state)
{
    (void)state;
    static const struct shl_latency l = {.min_ns = 100, .p50_ns = 1000, .p99_ns = 5000};
    static const struct shl_latency fixed = {.min_ns = 7, .p50_ns = 7, .p99_ns = 7};
    static const struct shl_latency huge = {
        .min_ns = 0, .p50_ns = 40 * ENV_NS_PER_SEC, .p99_ns = 4000 * ENV_NS_PER_SEC};
    size_t below_p50 = 0;
    size_t below_p99 = 0;
    for (uint64_t r = 0; r < 100000; r++) {
        uint64_t ns = shl_latency_pick(&l, r);
        assert_in_range(ns, 100, 20000);
        below_p50 += ns < 1000;
        below_p99 += ns < 5000;
        assert_int_equal(shl_latency_pick(&fixed, r), 7);
        assert_in_range(shl_latency_pick(&huge, r), 0, 16000 * ENV_NS_PER_SEC);
    }
    assert_int_equal(below_p50, 50000);
    assert_int_equal(below_p99, 99000);
}

/* A store that notes how many calls are inside of it at once. */
struct crowd {
    struct shl_store base;
    _Atomic int inside;
    _Atomic int most;
};

static shale_code crowd_head(struct shl_store *s, const char *key, struct shl_object *out,
                             shale_error *err)
{
    struct crowd *c = (struct crowd *)s;
    (void)key;
    (void)out;
    (void)err;
    int now = atomic_fetch_add(&c->inside, 1) + 1;
    int most = atomic_load(&c->most);
    while (now > most && !atomic_compare_exchange_weak(&c->most, &most, now))
        ;
    env_sleep_ns(20000);
    atomic_fetch_sub(&c->inside, 1);
    return SHALE_OK;
}

static void crowd_destroy(struct shl_store *s)
{
    shl_store_deinit(s);
}

static void look_often(void *arg)
{
    struct shl_store *const *s = arg;
    struct shl_object o;
    shale_error err;
    for (int i = 0; i < 20; i++)
        (void)!shl_store_head(*s, "k", &o, &err);
}

static void test_limit_is_reached_and_kept(void **state)
{
    (void)state;
    static const struct shl_store_ops ops = {.head = crowd_head, .destroy = crowd_destroy};
    static const struct shl_limit_options limits = {.reads_max = 3, .writes_max = 1};
    struct crowd crowd = {0};
    struct shl_store *limited;
    struct shl_store *tasks[12];
    expect_code(SHALE_OK, shl_store_init(&crowd.base, &ops, 0, "crowd", &test_err));
    expect_code(SHALE_OK, shl_store_limit_new(&limited, &crowd.base, &limits, &test_err));
    for (size_t i = 0; i < SHL_COUNT_OF(tasks); i++)
        tasks[i] = limited;
    run_tasks(look_often, tasks, sizeof *tasks, SHL_COUNT_OF(tasks));
    assert_int_equal(crowd.most, 3);
    assert_int_equal(crowd.inside, 0);
    shl_store_unref(limited);
    shl_store_unref(&crowd.base);
}

static void test_prefix_stays_below(void **state)
{
    (void)state;
    struct shl_store *memory = memory_new();
    struct shl_store *s;
    put_text(memory, "p q/dbx", "no");
    put_text(memory, "p q/db", "no");
    put_text(memory, "p q/db/in", "yes");
    put_text(memory, "z", "no");
    s = with_prefix(shl_store_ref(memory));
    expect_keys(s, NULL, "in");
    struct shl_list_options shallow = {.shallow = true};
    put_text(s, "d/e", "new");
    expect_keys(s, &shallow, "d/ in");
    expect_text(memory, "p q/db/d/e", "new");
    shl_store_unref(s);
    expect_code(SHALE_INVALID, shl_store_prefix_new(&s, memory, "", &test_err));
    expect_code(SHALE_INVALID, shl_store_prefix_new(&s, memory, "a/", &test_err));
    shl_store_unref(memory);
}

int main(void)
{
    static const struct store_maker makers[] = {
        {.name = "retry", .make = make_retry},
        {.name = "retry over file", .make = make_retry_file},
        {.name = "limit", .make = make_limit},
        {.name = "count", .make = make_count},
        {.name = "latency", .make = make_latency},
        {.name = "fault, quiet", .make = make_fault},
        {.name = "prefix", .make = make_prefix},
        {.name = "stack over memory", .make = make_stack},
        {.name = "stack over file", .make = make_stack_file},
        {.name = "retry over faults", .make = make_flaky},
    };
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_allowance_by_code),
        cmocka_unit_test(test_retry_for_ever_stops_when_cancelled),
        cmocka_unit_test(test_lost_answers_are_settled),
        cmocka_unit_test(test_puts_wait_for_memory),
        cmocka_unit_test(test_real_losers_stay_losers),
        cmocka_unit_test(test_an_unreadable_outcome_is_unknown),
        cmocka_unit_test(test_without_attributes_bytes_decide),
        cmocka_unit_test(test_uploads_survive_lost_answers),
        cmocka_unit_test(test_a_body_that_is_cut_is_read_again),
        cmocka_unit_test(test_fault_rules_match_and_count),
        cmocka_unit_test(test_fault_corrupts_one_bit),
        cmocka_unit_test(test_fault_chance_is_near_and_repeats),
        cmocka_unit_test(test_counts_and_their_price),
        cmocka_unit_test(test_latency_makes_a_store_far_and_faults_make_it_unsure),
        cmocka_unit_test(test_latency_picks_follow_the_table),
        cmocka_unit_test(test_limit_is_reached_and_kept),
        cmocka_unit_test(test_prefix_stays_below),
    };
    return conformance_main("wrappers", makers, SHL_COUNT_OF(makers), tests, SHL_COUNT_OF(tests));
}
