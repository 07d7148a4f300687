/* Goal: whatever allocation fails in base and base/codec, the caller gets NOMEM, nothing leaks, and what was there stays.
 * Method: each operation under "the n-th allocation fails", once and from the n-th on, until it no longer meets the fault. */
#include "base/env/sim.h"

#include "base/arena.h"
#include "base/array.h"
#include "base/codec/compress.h"
#include "base/codec/digest.h"
#include "base/codec/json.h"
#include "base/codec/metrics_text.h"
#include "base/codec/settings_file.h"
#include "base/codec/text.h"
#include "base/num.h"
#include "base/optable.h"
#include "base/str.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond, ...)                                                                           \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #cond);                                      \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* ---- operations: each frees all it took, and answers OK or NOMEM */

static shale_code op_buf(shale_error *err)
{
    struct shl_buf b = {0};
    shale_code rc = SHALE_OK;
    for (int i = 0; rc == SHALE_OK && i < 100; i++) {
        size_t before = b.len;
        rc = shl_str_printf(&b, err, "line %d of text;", i);
        CHECK(rc == SHALE_OK || b.len == before, "a failed append left bytes");
    }
    if (rc == SHALE_OK)
        rc = shl_str_terminate(&b, err);
    shl_buf_free(&b);
    return rc;
}

static shale_code op_array(shale_error *err)
{
    SHL_ARRAY(int) a = {0};
    shale_code rc = SHALE_OK;
    for (int i = 0; rc == SHALE_OK && i < 100; i++) {
        if (!shl_array_push(&a, i))
            rc = shl_nomem(err);
        CHECK(rc != SHALE_OK || a.items[a.count - 1] == i, "wrong item");
    }
    shl_array_free(&a);
    return rc;
}

static shale_code op_arena(shale_error *err)
{
    struct shl_arena a = {0};
    shale_code rc = SHALE_OK;
    for (int i = 0; rc == SHALE_OK && i < 300; i++) {
        uint64_t used = a.used_bytes;
        if (shl_arena_alloc(&a, 7000, 8) == NULL) {
            rc = shl_nomem(err);
            CHECK(a.used_bytes == used, "a failed allocation was counted");
        }
    }
    if (rc == SHALE_OK && shl_arena_dup(&a, shl_slice_str("name")) == NULL)
        rc = shl_nomem(err);
    shl_arena_deinit(&a);
    return rc;
}

static shale_code op_text(shale_error *err)
{
    struct shl_buf text = {0}, back = {0};
    struct shl_slice raw = shl_slice_str(
        "some bytes \xff\n and a few more to pass the smallest buffer, twice if need be");
    shale_code rc;
    SHL_TRY(shl_hex_encode(raw, &text, err));
    SHL_TRY(shl_hex_decode(shl_buf_view(&text), &back, err));
    shl_buf_free(&text);
    SHL_TRY(shl_base64_encode(raw, &text, err));
    SHL_TRY(shl_base64_decode(shl_buf_view(&text), &back, err));
    shl_buf_free(&text);
    SHL_TRY(shl_percent_encode(raw, true, &text, err));
    SHL_TRY(shl_percent_decode(shl_buf_view(&text), &back, err));
    shl_buf_free(&text);
    SHL_TRY(shl_text_escape(raw, &text, err));
    SHL_TRY(shl_text_unescape(shl_buf_view(&text), &back, err));
out:
    shl_buf_free(&text);
    shl_buf_free(&back);
    return rc;
}

static shale_code op_json(shale_error *err)
{
    struct shl_buf text = {0};
    json_t *root = NULL;
    struct shl_json_writer w;
    shale_code rc;
    shl_json_begin(&w, &text, err);
    shl_json_object(&w);
    shl_json_bytes(&w, "key", shl_slice_str("\xff\xfe a key that is not UTF-8"));
    shl_json_key(&w, "list");
    shl_json_array(&w);
    for (int i = 0; i < 50; i++)
        shl_json_i64(&w, i);
    shl_json_array_end(&w);
    shl_json_object_end(&w);
    SHL_TRY(shl_json_finish(&w));
    SHL_TRY(shl_json_parse(shl_buf_view(&text), &root, err));
    CHECK(json_array_size(json_object_get(root, "list")) == 50, "list");
out:
    json_decref(root);
    shl_buf_free(&text);
    return rc;
}

static shale_code collect(void *ctx, const struct shl_setting *s, shale_error *err)
{
    return shl_str_printf(ctx, err, "%.*s=%.*s;", (int)s->name.len, (const char *)s->name.data,
                          (int)s->value.len, (const char *)s->value.data);
}

static shale_code op_settings(shale_error *err)
{
    static const struct {
        enum shl_settings_format format;
        const char *text;
    } files[] = {
        {SHL_SETTINGS_JSON, "{\"a\":{\"b\":[1,2,\"x\"],\"c\":null},\"d\":2.5}"},
        {SHL_SETTINGS_TOML, "d = 2.5\n[a]\nb = [1, 2, \"x\\u00e4\"]\nc.e = { f = true }\n"},
        {SHL_SETTINGS_YAML, "a:\n  b: [1, 2, x]\n  c: ~\nd: 2.5\n"}};
    for (size_t i = 0; i < SHL_COUNT_OF(files); i++) {
        struct shl_buf got = {0};
        shale_code rc =
            shl_settings_read(files[i].format, shl_slice_str(files[i].text), collect, &got, err);
        shl_buf_free(&got);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

struct settings {
    char *folder;
    char *name;
    uint64_t size_bytes;
};
static const struct shl_opt opts[] = {
    {.name = "folder",
     .type = SHL_OPT_STRING,
     .nullable = true,
     .offset = offsetof(struct settings, folder),
     .default_text = "/tmp"},
    {.name = "name",
     .type = SHL_OPT_STRING,
     .nullable = true,
     .offset = offsetof(struct settings, name),
     .default_text = "x"},
    {.name = "size",
     .type = SHL_OPT_SIZE,
     .offset = offsetof(struct settings, size_bytes),
     .default_text = "1MiB"},
};
static const struct shl_optable table = {.opts = opts, .count = SHL_COUNT_OF(opts)};

static shale_code op_optable(shale_error *err)
{
    struct settings s = {0}, copy = {0};
    struct shl_buf text = {0};
    shale_code rc;
    SHL_TRY(shl_optable_defaults(&table, &s, err));
    rc = shl_optable_set(&table, &s, shl_slice_str("folder"), shl_slice_str("/other"),
                         SHL_OPT_FROM_USER, err);
    CHECK(strcmp(s.folder, rc == SHALE_OK ? "/other" : "/tmp") == 0, "%s", s.folder);
    if (rc != SHALE_OK)
        goto out;
    SHL_TRY(shl_optable_copy(&table, &copy, &s, err));
    for (size_t i = 0; i < table.count; i++)
        SHL_TRY(shl_opt_format(&opts[i], &copy, &text, err));
out:
    shl_optable_deinit(&table, &s);
    shl_optable_deinit(&table, &copy);
    shl_buf_free(&text);
    return rc;
}

static shale_code op_metrics(shale_error *err)
{
    struct shl_buf text = {0};
    shale_code rc = SHALE_OK;
    struct shl_metrics *m = shl_metrics_new();
    if (m == NULL)
        return shl_nomem(err);
    const struct shl_label label = {"op", "get"};
    struct shl_counter *c = shl_metrics_counter(m, "c", "help", &label, 1);
    struct shl_gauge *g = shl_metrics_gauge(m, "g", "help", NULL, 0);
    struct shl_histogram *h = shl_metrics_histogram(m, "h", "help", 1, NULL, 0);
    shl_counter_add(c, 1); /* what could not be made records nothing */
    shl_gauge_set(g, 1);
    shl_histogram_record(h, 1);
    if (c == NULL || g == NULL || h == NULL)
        rc = shl_nomem(err);
    else
        rc = shl_metrics_prometheus(m, &text, err);
    if (rc == SHALE_OK)
        rc = shl_metrics_json(m, &text, err);
    shl_buf_free(&text);
    shl_metrics_free(m);
    return rc;
}

static shale_code op_compress(shale_error *err)
{
    static const char raw[] =
        "a block of rows, a block of rows, a block of rows, a block of rows, a block of rows";
    for (int codec = 0; codec <= 4; codec++) {
        struct shl_buf packed = {0}, back = {0};
        shale_code rc = shl_compress((enum shl_codec)codec, shl_slice_str(raw), &packed, err);
        CHECK(rc == SHALE_OK || packed.len == 0, "a failed compression left bytes");
        if (rc == SHALE_OK)
            rc = shl_decompress((enum shl_codec)codec, shl_buf_view(&packed), sizeof raw, &back,
                                err);
        CHECK(rc != SHALE_OK || shl_slice_eq(shl_buf_view(&back), shl_slice_str(raw)), "codec %d",
              codec);
        shl_buf_free(&packed);
        shl_buf_free(&back);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* libcrypto allocates for itself; ours is the pair of contexts that the task keeps. */
static shale_code op_digest(shale_error *err)
{
    struct shl_slice part = shl_slice_str("some bytes");
    uint8_t digest[SHL_SHA256_BYTES];
    char hex[SHL_SHA256_HEX];
    shale_code rc;
    SHL_TRY(shl_md5(&part, 1, digest, err));
    SHL_TRY(shl_hmac_sha256(part, part, digest, err));
    SHL_TRY(shl_sha256_hex(&part, 1, hex, err));
out:
    return rc;
}

static const struct {
    const char *name;
    shale_code (*run)(shale_error *err);
} operations[] = {{"buf", op_buf},         {"array", op_array},     {"arena", op_arena},
                  {"text", op_text},       {"json", op_json},       {"settings", op_settings},
                  {"optable", op_optable}, {"metrics", op_metrics}, {"compress", op_compress},
                  {"digest", op_digest}};

/* ---- the loop */

/* Codec contexts stay with the task: each run has a task of its own, so that they too are taken, and given back, in each run. */
struct run {
    size_t operation;
    uint64_t nth;
    bool sticky;
    bool is_done; /* the operation met no fault */
};

static void run_once(void *arg)
{
    struct run *r = arg;
    shale_error err = {0};
    sim_alloc_fault_arm(sim_group_self(), r->nth, r->sticky);
    shale_code rc = operations[r->operation].run(&err);
    r->is_done = sim_alloc_fault_disarm(sim_group_self()) <= r->nth;
    CHECK(rc == (r->is_done ? SHALE_OK : SHALE_NOMEM), "%s nth=%" PRIu64 " sticky=%d: %s %s",
          operations[r->operation].name, r->nth, r->sticky, shale_code_name(rc), err.text);
}

static void cut_everywhere(void *arg)
{
    (void)arg;
    shl_json_setup(1);
    for (size_t i = 0; i < SHL_COUNT_OF(operations); i++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            struct run r = {.operation = i, .sticky = sticky != 0};
            for (;; r.nth++) {
                uint64_t live = sim_alloc_live(sim_group_self());
                struct env_task *task;
                shale_code rc = env_task_spawn(&task, "cut", run_once, &r);
                CHECK(rc == SHALE_OK, "spawn");
                env_task_join(task);
                CHECK(sim_alloc_live(sim_group_self()) == live, "%s nth=%" PRIu64 " leaks",
                      operations[i].name, r.nth);
                if (r.is_done)
                    break;
            }
            CHECK(r.nth > 0, "%s never allocated", operations[i].name);
            printf("%s: %" PRIu64 " allocations cut%s\n", operations[i].name, r.nth,
                   sticky ? ", for good" : "");
        }
    }
}

int main(void)
{
    const struct sim_options options = {.seed = 1,
                                        .policy = SIM_RUN_UNTIL_BLOCK,
                                        .scenario = "base_nomem",
                                        .progress_ns_max = UINT64_MAX};
    (void)sim_run(&options, cut_everywhere, NULL);
    return 0;
}
