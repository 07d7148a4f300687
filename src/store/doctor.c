#include "store/doctor.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "base/units.h"
#include "store/path.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define RACERS       32
#define RACERS_MAX   64
#define PART_BYTES   ((size_t)5 << 20)
#define BODY_BYTES   4096
#define PREFIX_BYTES 48
#define CLOCK_WARN_S 60

/* One visit of the doctor. */
struct visit {
    const struct shl_doctor *d;
    struct shl_store *s;
    char prefix[PREFIX_BYTES];
    uint8_t body[BODY_BYTES]; /* what objects hold: no two of its 16-byte pieces are equal */
    bool stopped;
    bool can_write; /* there is an object "whole" */
    uint64_t started_ns;
};

/* ---- saying what was found */

static void say(struct visit *v, enum shl_health health, const char *what, const char *fix,
                const char *format, ...) SHL_PRINTF(5, 6);
static void say(struct visit *v, enum shl_health health, const char *what, const char *fix,
                const char *format, ...)
{
    struct shl_finding f = {.health = health, .what = what};
    va_list args;
    f.ns = env_now_mono_ns() - v->started_ns;
    va_start(args, format);
    (void)vsnprintf(f.measured, sizeof f.measured, format, args);
    va_end(args);
    (void)snprintf(f.fix, sizeof f.fix, "%s", fix);
    if (!v->d->visit(v->d->ctx, &f))
        v->stopped = true;
}

/* A call failed that a database needs. */
static void say_error(struct visit *v, const char *what, const shale_error *err)
{
    const char *fix = "";
    if (err->code == SHALE_PERMISSION_DENIED)
        fix = strstr(err->text, "access denied: ") != NULL ? "give these keys that right"
              : strstr(err->text, "Read-only file system") != NULL
                  ? "mount it for writing"
                  : "let this user do that (ls -l)";
    else if (err->code == SHALE_UNAUTHENTICATED)
        fix = "other keys: shale help credentials";
    else if (err->code == SHALE_NO_BUCKET)
        fix = "make it: shale store mb";
    else if (err->code == SHALE_NO_SPACE)
        fix = "make room";
    else if (err->code == SHALE_UNAVAILABLE || err->code == SHALE_TIMEOUT)
        fix = "look at the network and the server's log";
    say(v, SHL_HEALTH_FAIL, what, fix, "%s",
        err->text[0] != '\0' ? err->text : shale_code_name(err->code));
}

static void say_not_tried(struct visit *v, const char *what)
{
    say(v, SHL_HEALTH_WARN, what, "give the right to write", "not tried: no object could be made");
}

static void begin(struct visit *v)
{
    v->started_ns = env_now_mono_ns();
}

static const char *key_of(const struct visit *v, const char *name, char key[PREFIX_BYTES + 32])
{
    (void)snprintf(key, PREFIX_BYTES + 32, "%s/%s", v->prefix, name);
    return key;
}
#define KEY(v, name) key_of((v), (name), (char[PREFIX_BYTES + 32]){0})

static shale_code put(struct visit *v, const char *key, struct shl_slice body,
                      const struct shl_put *how, struct shl_object *out, shale_error *err)
{
    return shl_store_put(v->s, key, &body, 1, how, out, err);
}

static struct shl_slice whole_body(const struct visit *v)
{
    return shl_slice_of(v->body, sizeof v->body);
}

/* ---- rights */

static void check_write(struct visit *v)
{
    shale_error err = {0};
    begin(v);
    if (put(v, KEY(v, "whole"), whole_body(v), &(struct shl_put){.mode = SHL_PUT_OVERWRITE}, NULL,
            &err) != SHALE_OK) {
        say_error(v, "write", &err);
        return;
    }
    v->can_write = true;
    say(v, SHL_HEALTH_OK, "write", "", "an object of %d bytes", BODY_BYTES);
}

static void check_read(struct visit *v)
{
    struct shl_buf body = {0};
    shale_error err = {0};
    begin(v);
    shale_code rc = shl_store_get(v->s, KEY(v, "whole"), NULL, &body, NULL, &err);
    if (rc == SHALE_NOT_FOUND && !v->can_write)
        say_not_tried(v, "read");
    else if (rc != SHALE_OK)
        say_error(v, "read", &err);
    else if (!shl_slice_eq(shl_buf_view(&body), whole_body(v)))
        say(v, SHL_HEALTH_FAIL, "read", "do not use this store",
            "other bytes came back than were written (%zu for %d)", body.len, BODY_BYTES);
    else
        say(v, SHL_HEALTH_OK, "read", "", "the same bytes come back");
    shl_buf_free(&body);
}

static bool lists_key(const struct shl_list *list, const char *key)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].key, key) == 0)
            return true;
    return false;
}

static void check_list(struct visit *v)
{
    struct shl_list list = {0};
    shale_error err = {0};
    begin(v);
    shale_code rc =
        shl_store_list(v->s, &(struct shl_list_options){.prefix = v->prefix}, &list, &err);
    if (rc != SHALE_OK)
        say_error(v, "list", &err);
    else if (v->can_write && !lists_key(&list, KEY(v, "whole")))
        say(v, SHL_HEALTH_FAIL, "list", "use a store with consistent lists",
            "an object that was just written is not listed");
    else
        say(v, SHL_HEALTH_OK, "list", "",
            v->can_write ? "shows an object at once" : "allowed, nothing there");
    shl_list_free(&list);
}

static void check_delete(struct visit *v)
{
    char key[PREFIX_BYTES + 32];
    struct shl_list list = {0};
    struct shl_object object;
    shale_error err = {0};
    begin(v);
    (void)key_of(v, v->can_write ? "whole" : "never-there", key); /* may it be asked at all? */
    if (shl_store_delete(v->s, key, &err) != SHALE_OK) {
        say_error(v, "delete", &err);
        return;
    }
    if (!v->can_write) {
        say_not_tried(v, "delete");
        return;
    }
    shale_code rc = shl_store_head(v->s, key, &object, &err);
    if (rc == SHALE_OK) {
        say(v, SHL_HEALTH_FAIL, "delete", "is the bucket locked against deleting?",
            "an object is still there after it was deleted");
        return;
    }
    rc = shl_store_list(v->s, &(struct shl_list_options){.prefix = v->prefix}, &list, &err);
    if (rc == SHALE_OK && lists_key(&list, key))
        say(v, SHL_HEALTH_FAIL, "delete", "use a store with consistent lists",
            "a deleted object is still listed");
    else if (shl_store_delete(v->s, key, &err) != SHALE_OK)
        say_error(v, "delete", &err);
    else
        say(v, SHL_HEALTH_OK, "delete", "", "gone at once; deleting again is no error");
    shl_list_free(&list);
}

/* ---- ranges */

/* NULL if it is as it must be, else what was wrong. */
static const char *try_ranges(struct visit *v, shale_error *err)
{
    uint8_t first[64], second[100];
    const char *key = KEY(v, "whole");
    const struct shl_get_range two[] = {{.offset = 16, .len = sizeof first, .dst = first},
                                        {.offset = 3000, .len = sizeof second, .dst = second}};
    const struct shl_get_range past = {.offset = BODY_BYTES - 10, .len = 20, .dst = first};
    const struct shl_get from = {.kind = SHL_GET_FROM, .offset = 4000};
    const struct shl_get suffix = {.kind = SHL_GET_SUFFIX, .len = 100};
    struct shl_buf body = {0};
    const char *wrong = "error";
    if (shl_store_get_ranges(v->s, key, two, 2, err) != SHALE_OK)
        goto out;
    wrong = "two ranges gave other bytes";
    if (memcmp(first, v->body + 16, sizeof first) != 0 ||
        memcmp(second, v->body + 3000, sizeof second) != 0)
        goto out;
    wrong = "error";
    if (shl_store_get(v->s, key, &from, &body, NULL, err) != SHALE_OK)
        goto out;
    wrong = "an open range gave other bytes";
    if (!shl_slice_eq(shl_buf_view(&body), shl_slice_of(v->body + 4000, BODY_BYTES - 4000)))
        goto out;
    body.len = 0;
    wrong = "error";
    if (shl_store_get(v->s, key, &suffix, &body, NULL, err) != SHALE_OK)
        goto out;
    wrong = "a suffix range gave other bytes";
    if (!shl_slice_eq(shl_buf_view(&body), shl_slice_of(v->body + BODY_BYTES - 100, 100)))
        goto out;
    wrong = "a range past the end was answered";
    if (shl_store_get_ranges(v->s, key, &past, 1, err) == SHALE_OK)
        goto out;
    wrong = NULL;
out:
    shl_buf_free(&body);
    return wrong;
}

static void check_ranges(struct visit *v)
{
    shale_error err = {0};
    begin(v);
    const char *wrong = try_ranges(v, &err);
    if (wrong == NULL)
        say(v, SHL_HEALTH_OK, "ranges", "", "bounded, open, suffix, past the end");
    else if (strcmp(wrong, "error") == 0)
        say_error(v, "ranges", &err);
    else
        say(v, SHL_HEALTH_FAIL, "ranges", "upgrade the server", "%s", wrong);
}

/* ---- races */

/* Racers wait for each other, then all put the same key. */
struct race {
    struct visit *v;
    const char *key;
    const struct shl_put *how;
    shale_code refusal; /* what a loser gets */
    struct env_mutex mu;
    struct env_cond go;
    bool started;    /* [mu] */
    bool called_off; /* [mu] */
};
struct racer {
    struct race *race;
    struct env_task *task;
    char body[32];
    shale_code code;
    shale_error err;
};

static void run_racer(void *arg)
{
    struct racer *r = arg;
    struct race *race = r->race;
    env_mutex_lock(&race->mu);
    while (!race->started)
        env_cond_wait(&race->go, &race->mu);
    bool called_off = race->called_off;
    env_mutex_unlock(&race->mu);
    if (!called_off)
        r->code = put(race->v, race->key, shl_slice_str(r->body), race->how, NULL, &r->err);
}

static void start_race(struct race *race, bool called_off)
{
    env_mutex_lock(&race->mu);
    race->started = true;
    race->called_off = called_off;
    env_cond_broadcast(&race->go);
    env_mutex_unlock(&race->mu);
}

static shale_code run_race(struct race *race, struct racer *racers, unsigned count,
                           shale_error *err)
{
    unsigned ready = 0;
    shale_code rc = SHALE_OK;
    env_mutex_init(&race->mu);
    env_cond_init(&race->go);
    for (; ready < count && rc == SHALE_OK; ready++) {
        racers[ready] = (struct racer){.race = race};
        (void)snprintf(racers[ready].body, sizeof racers[ready].body, "racer %u", ready);
        rc = env_task_spawn(&racers[ready].task, "shale-doctor", run_racer, &racers[ready]);
        if (rc != SHALE_OK)
            break;
    }
    start_race(race, rc != SHALE_OK);
    for (unsigned i = 0; i < ready; i++)
        env_task_join(racers[i].task);
    env_cond_deinit(&race->go);
    env_mutex_deinit(&race->mu);
    return rc == SHALE_OK ? rc : shl_fail(err, rc, "no %u tasks can be started", count);
}

struct result {
    unsigned won, refused, failed;
    const struct racer *winner;
    const shale_error *why; /* of one that failed */
};

static struct result count_race(const struct race *race, const struct racer *racers, unsigned count)
{
    struct result r = {0};
    for (unsigned i = 0; i < count; i++) {
        if (racers[i].code == SHALE_OK) {
            r.won++;
            r.winner = &racers[i];
        } else if (racers[i].code == race->refusal) {
            r.refused++;
        } else {
            r.failed++;
            r.why = &racers[i].err;
        }
    }
    return r;
}

static bool holds(struct visit *v, const char *key, const char *text)
{
    struct shl_buf body = {0};
    shale_error err;
    bool same = shl_store_get(v->s, key, NULL, &body, NULL, &err) == SHALE_OK &&
                shl_slice_eq(shl_buf_view(&body), shl_slice_str(text));
    shl_buf_free(&body);
    return same;
}

static void judge_race(struct visit *v, const char *what, const struct race *race,
                       const struct result *r, unsigned count)
{
    static const char fix[] = "two writers could both win: upgrade the server";
    if (r->won == 1 && !holds(v, race->key, r->winner->body))
        say(v, SHL_HEALTH_FAIL, what, fix, "%u racers, 1 was told that it won, another one did",
            count);
    else if (r->won == 1 && r->failed > 0)
        say(v, SHL_HEALTH_WARN, what, "", "%u racers, 1 winner, %u refused, %u failed: %.160s",
            count, r->refused, r->failed, r->why->text);
    else if (r->won == 1)
        say(v, SHL_HEALTH_OK, what, "", "%u racers, 1 winner, %u refused", count, r->refused);
    else if (r->won == 0 && r->why != NULL)
        say_error(v, what, r->why);
    else
        say(v, SHL_HEALTH_FAIL, what, fix, "%u racers, %u winners", count, r->won);
}

/* Errors: NOMEM, UNAVAILABLE (no tasks). */
static shale_code race_for(struct visit *v, const char *what, const char *key,
                           const struct shl_put *how, shale_code refusal, shale_error *err)
{
    unsigned count = v->d->racers == 0 ? RACERS : v->d->racers;
    count = count > RACERS_MAX ? RACERS_MAX : count;
    struct race race = {.v = v, .key = key, .how = how, .refusal = refusal};
    struct racer *racers = env_calloc(count, sizeof *racers);
    if (racers == NULL)
        return shl_nomem(err);
    shale_code rc = run_race(&race, racers, count, err);
    if (rc == SHALE_OK) {
        struct result r = count_race(&race, racers, count);
        judge_race(v, what, &race, &r, count);
    }
    env_free(racers);
    return rc;
}

/* ---- conditional writes */

static shale_code check_create(struct visit *v, shale_error *err)
{
    static const char what[] = "create-only put";
    const struct shl_put create = {.mode = SHL_PUT_CREATE};
    shale_error why = {0};
    begin(v);
    shale_code rc = put(v, KEY(v, "whole"), shl_slice_str("second"), &create, NULL, &why);
    if (rc == SHALE_ALREADY_EXISTS)
        return race_for(v, what, KEY(v, "create"), &create, SHALE_ALREADY_EXISTS, err);
    if (rc == SHALE_OK)
        say(v, SHL_HEALTH_FAIL, what,
            "two writers could both win, so it cannot hold a database: upgrade the server",
            "the server ignored If-None-Match: an object that was there was replaced");
    else
        say_error(v, what, &why);
    return SHALE_OK;
}

static shale_code check_if_match(struct visit *v, shale_error *err)
{
    static const char what[] = "if-match put";
    char key[PREFIX_BYTES + 32];
    struct shl_object first = {0}, second = {0};
    shale_error why = {0};
    begin(v);
    if ((v->s->caps & SHL_STORE_IF_MATCH) == 0) {
        say(v, SHL_HEALTH_WARN, what, "", "switched off or not known to this store");
        return SHALE_OK;
    }
    (void)key_of(v, "match", key);
    const struct shl_put over = {.mode = SHL_PUT_OVERWRITE};
    if (put(v, key, shl_slice_str("one"), &over, &first, &why) != SHALE_OK ||
        put(v, key, shl_slice_str("two!"), &over, &second, &why) != SHALE_OK) {
        say_error(v, what, &why);
        return SHALE_OK;
    }
    const struct shl_put stale = {.mode = SHL_PUT_IF_MATCH, .if_match = first.etag};
    const struct shl_put fresh = {.mode = SHL_PUT_IF_MATCH, .if_match = second.etag};
    shale_code rc = put(v, key, shl_slice_str("three"), &stale, NULL, &why);
    if (rc == SHALE_PRECONDITION)
        return race_for(v, what, key, &fresh, SHALE_PRECONDITION, err);
    if (rc == SHALE_OK)
        say(v, SHL_HEALTH_FAIL, what, "writers could overwrite each other: upgrade the server",
            "the server ignored If-Match: an older version was overwritten");
    else
        say_error(v, what, &why);
    return SHALE_OK;
}

/* Lost answers of conditional writes are settled by a mark on the object. */
static void check_mark(struct visit *v)
{
    static const char id[] = "01J79B0000000000000000C0Q2";
    struct shl_object object = {0};
    shale_error err = {0};
    if ((v->s->caps & SHL_STORE_ATTRIBUTES) == 0)
        return;
    begin(v);
    if (put(v, KEY(v, "marked"), shl_slice_str("x"),
            &(struct shl_put){.mode = SHL_PUT_OVERWRITE, .put_id = id}, NULL, &err) != SHALE_OK ||
        shl_store_head(v->s, KEY(v, "marked"), &object, &err) != SHALE_OK)
        say_error(v, "metadata", &err);
    else if (strcmp(object.put_id, id) != 0)
        say(v, SHL_HEALTH_WARN, "metadata",
            "writes whose answer is lost may be taken for another's",
            "x-amz-meta headers do not come back");
    else
        say(v, SHL_HEALTH_OK, "metadata", "", "comes back");
}

/* ---- large objects, copies */

static shale_code upload_two(struct visit *v, const char *key, const uint8_t *part, size_t bytes,
                             bool complete, shale_error *err)
{
    struct shl_upload *u = NULL;
    const struct shl_slice big = shl_slice_of(part, bytes);
    const struct shl_slice rest = whole_body(v);
    shale_code rc;
    SHL_TRY(shl_store_upload_start(v->s, key, &u, err));
    SHL_TRY(shl_store_upload_part(v->s, u, 0, &big, 1, err));
    if (complete) {
        SHL_TRY(shl_store_upload_part(v->s, u, 1, &rest, 1, err));
        SHL_TRY(shl_store_upload_complete(v->s, u, NULL, err));
        u = NULL; /* ended */
    }
out:
    if (u != NULL)
        shl_store_upload_abort(v->s, u);
    return rc;
}

static void check_multipart(struct visit *v)
{
    size_t bytes = v->d->part_bytes == 0 ? PART_BYTES : v->d->part_bytes;
    uint8_t *part = env_calloc(1, bytes);
    const struct shl_get tail = {.kind = SHL_GET_SUFFIX, .len = 16};
    struct shl_buf body = {0};
    struct shl_object object = {0};
    shale_error err = {0};
    char size[SHL_UNITS_TEXT];
    begin(v);
    shale_code rc = part == NULL ? shl_nomem(&err) : SHALE_OK;
    if (rc == SHALE_OK)
        rc = upload_two(v, KEY(v, "parts"), part, bytes, true, &err);
    if (rc == SHALE_OK)
        rc = shl_store_get(v->s, KEY(v, "parts"), &tail, &body, &object, &err);
    if (rc != SHALE_OK)
        say_error(v, "multipart", &err);
    else if (object.size != bytes + BODY_BYTES ||
             memcmp(body.data, v->body + BODY_BYTES - 16, 16) != 0)
        say(v, SHL_HEALTH_FAIL, "multipart", "upgrade the server",
            "the object has %" PRIu64 " bytes, want %zu", object.size, bytes + BODY_BYTES);
    else
        say(v, SHL_HEALTH_OK, "multipart", "", "2 parts, %s",
            shl_format_size(bytes + BODY_BYTES, size));
    env_free(part);
    shl_buf_free(&body);
}

static void check_abort(struct visit *v)
{
    struct shl_object object;
    shale_error err = {0};
    begin(v);
    shale_code rc = upload_two(v, KEY(v, "aborted"), v->body, sizeof v->body, false, &err);
    if (rc != SHALE_OK) {
        say_error(v, "multipart abort", &err);
        return;
    }
    rc = shl_store_head(v->s, KEY(v, "aborted"), &object, &err);
    if (rc == SHALE_NOT_FOUND)
        say(v, SHL_HEALTH_OK, "multipart abort", "", "leaves no object");
    else if (rc == SHALE_OK)
        say(v, SHL_HEALTH_FAIL, "multipart abort", "upgrade the server",
            "an upload that was aborted made an object");
    else
        say_error(v, "multipart abort", &err);
}

static void check_copy(struct visit *v)
{
    struct shl_buf body = {0};
    shale_error err = {0};
    begin(v);
    shale_code rc = shl_store_copy(v->s, KEY(v, "whole"), KEY(v, "copied"), false, &err);
    if (rc == SHALE_OK)
        rc = shl_store_get(v->s, KEY(v, "copied"), NULL, &body, NULL, &err);
    if (rc != SHALE_OK)
        say(v, SHL_HEALTH_WARN, "copy", "clones and store cp read and write instead", "%s",
            err.text);
    else if (!shl_slice_eq(shl_buf_view(&body), whole_body(v)))
        say(v, SHL_HEALTH_FAIL, "copy", "upgrade the server", "the copy has other bytes");
    else
        say(v, SHL_HEALTH_OK, "copy", "", "made by the store itself");
    shl_buf_free(&body);
}

/* ---- the clock */

static void check_clock(struct visit *v)
{
    struct shl_object object = {0};
    shale_error err = {0};
    int64_t before_ms = env_now_wall_ms();
    begin(v);
    if (put(v, KEY(v, "clock"), shl_slice_str("x"), &(struct shl_put){.mode = SHL_PUT_OVERWRITE},
            NULL, &err) != SHALE_OK ||
        shl_store_head(v->s, KEY(v, "clock"), &object, &err) != SHALE_OK) {
        say_error(v, "clock", &err);
        return;
    }
    int64_t after_ms = env_now_wall_ms();
    int64_t theirs_ms = object.modified_ns / (int64_t)ENV_NS_PER_MS;
    /* Servers tell whole seconds. */
    int64_t off_ms = theirs_ms + 1000 < before_ms ? theirs_ms - before_ms
                     : theirs_ms > after_ms       ? theirs_ms - after_ms
                                                  : 0;
    int64_t off_s = (off_ms < 0 ? -off_ms : off_ms) / 1000;
    if (object.modified_ns == 0)
        say(v, SHL_HEALTH_WARN, "clock", "", "the store tells no times");
    else if (off_s > CLOCK_WARN_S)
        say(v, SHL_HEALTH_WARN, "clock", "set this machine's clock (NTP)",
            "the store is %" PRId64 " s %s this machine", off_s,
            off_ms > 0 ? "ahead of" : "behind");
    else
        say(v, SHL_HEALTH_OK, "clock", "", "within %" PRId64 " s of the store's", off_s + 1);
}

/* ---- the visit */

/* By list, and by name where lists are denied. */
static void tidy_up(struct visit *v)
{
    static const char *const names[] = {"whole", "create",  "match",  "marked",
                                        "parts", "aborted", "copied", "clock"};
    struct shl_list list = {0};
    shale_error err = {0};
    shale_code rc = SHALE_OK;
    bool listed = shl_store_list(v->s, &(struct shl_list_options){.prefix = v->prefix}, &list,
                                 &err) == SHALE_OK;
    for (size_t i = 0; listed && i < list.count && rc == SHALE_OK; i++)
        rc = shl_store_delete(v->s, list.items[i].key, &err);
    for (size_t i = 0; !listed && i < SHL_COUNT_OF(names) && rc == SHALE_OK; i++)
        rc = shl_store_delete(v->s, KEY(v, names[i]), &err);
    begin(v);
    if (rc != SHALE_OK)
        say(v, SHL_HEALTH_WARN, "tidy up", "remove what begins with that prefix",
            "temporary objects stay below %s/: %.160s", v->prefix, err.text);
    shl_list_free(&list);
    char *below = v->d->folder != NULL ? shl_path_join(v->d->folder, v->prefix) : NULL;
    if (below != NULL)
        (void)env_rmdir(below);
    env_free(below);
}

static shale_code powers(struct visit *v, shale_error *err)
{
    static void (*const plain[])(struct visit *) = {check_ranges, check_mark, check_multipart,
                                                    check_abort,  check_copy, check_clock};
    shale_code rc = SHALE_OK;
    check_write(v);
    if (!v->stopped)
        check_read(v);
    if (!v->stopped)
        check_list(v);
    for (size_t i = 0; v->can_write && !v->stopped && i < SHL_COUNT_OF(plain); i++)
        plain[i](v);
    if (v->can_write && !v->stopped)
        rc = check_create(v, err);
    if (rc == SHALE_OK && v->can_write && !v->stopped)
        rc = check_if_match(v, err);
    if (rc == SHALE_OK && !v->stopped)
        check_delete(v);
    return rc;
}

static void fresh_name(char *out, size_t cap, const char *what)
{
    char id[SHL_ULID_TEXT];
    int64_t now_ms = env_now_wall_ms();
    shl_ulid_format(shl_ulid_make(now_ms > 0 ? (uint64_t)now_ms : 0, env_rand64(), env_rand64()),
                    id);
    (void)snprintf(out, cap, "%s-%s", what, id);
}

shale_code shl_store_doctor(const struct shl_doctor *d, shale_error *err)
{
    SHL_ASSERT(d->store != NULL && d->visit != NULL);
    struct visit *v = env_calloc(1, sizeof *v);
    if (v == NULL)
        return shl_nomem(err);
    v->d = d;
    v->s = d->store;
    fresh_name(v->prefix, sizeof v->prefix, "shale-doctor");
    for (size_t i = 0; i < sizeof v->body; i++)
        v->body[i] = (uint8_t)(i % 16 == 0 ? i / 16 : i * 7 + i / 16);
    shale_code rc = powers(v, err);
    tidy_up(v);
    env_free(v);
    return rc;
}

/* ---- before a database is made */

shale_code shl_store_check_create(struct shl_store *s, const char *path, const char *who,
                                  shale_error *err)
{
    const struct shl_put create = {.mode = SHL_PUT_CREATE};
    const struct shl_slice first = shl_slice_str("probe 1"), second = shl_slice_str("probe 2");
    char name[64];
    bool create_failed = false;
    shale_error ignored;
    shale_code rc;
    fresh_name(name, sizeof name, "shale-probe");
    char *key = path[0] == '\0' ? env_strdup(name) : shl_path_join(path, name);
    if (key == NULL)
        return shl_nomem(err);
    rc = shl_store_put(s, key, &first, 1, &create, NULL, err);
    if (rc == SHALE_OK)
        rc = shl_store_put(s, key, &second, 1, &create, NULL, err);
    else
        create_failed = true;
    /* Also after a failure: the answer may have been all that was lost. */
    shl_ignore(shl_store_delete(s, key, &ignored));
    if (create_failed)
        goto out;
    if (rc == SHALE_ALREADY_EXISTS)
        rc = SHALE_OK;
    else if (rc == SHALE_OK)
        rc = shl_fail(err, SHALE_NOT_SUPPORTED,
                      "this store cannot hold a database: %s ignored \"If-None-Match: *\" (the "
                      "second create also got 200)",
                      who);
out:
    env_free(key);
    return rc;
}
