#include "base/codec/setting_sink.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/str.h"
#include <xxhash.h>

void shl_setting_sink_init(struct shl_setting_sink *s, shl_setting_fn fn, void *ctx)
{
    *s = (struct shl_setting_sink){.fn = fn, .ctx = ctx};
}

void shl_setting_sink_deinit(struct shl_setting_sink *s)
{
    for (size_t i = 0; i < s->seen.count; i++)
        env_free(s->seen.items[i].name);
    shl_array_free(&s->seen);
    shl_buf_free(&s->name);
}

static shale_code check_name(const struct shl_setting_sink *s, shale_error *err)
{
    if (s->name.len > SHL_SETTING_NAME_BYTES_MAX)
        return shl_fail(err, SHALE_INVALID, "a name of more than %d bytes: %.40s..",
                        SHL_SETTING_NAME_BYTES_MAX, (const char *)s->name.data);
    return SHALE_OK;
}

shale_code shl_setting_sink_push(struct shl_setting_sink *s, struct shl_slice key, size_t *out_mark,
                                 shale_error *err)
{
    size_t mark = s->name.len;
    shale_code rc = SHALE_OK;
    if (key.len == 0)
        return shl_fail(err, SHALE_INVALID, "an empty name");
    if (mark > 0)
        rc = shl_str_append(&s->name, ".", err);
    if (rc == SHALE_OK)
        rc = shl_buf_append(&s->name, key.data, key.len, err);
    if (rc == SHALE_OK)
        rc = shl_str_terminate(&s->name, err);
    if (rc == SHALE_OK)
        rc = check_name(s, err);
    if (rc == SHALE_OK)
        *out_mark = mark;
    else
        s->name.len = mark;
    return rc;
}

shale_code shl_setting_sink_push_index(struct shl_setting_sink *s, size_t index, size_t *out_mark,
                                       shale_error *err)
{
    size_t mark = s->name.len;
    shale_code rc = shl_str_printf(&s->name, err, "[%zu]", index);
    if (rc == SHALE_OK)
        *out_mark = mark;
    return rc;
}

void shl_setting_sink_pop(struct shl_setting_sink *s, size_t mark)
{
    SHL_ASSERT(mark <= s->name.len);
    s->name.len = mark;
}

static struct shl_seen_name *find_seen(struct shl_setting_sink *s, struct shl_slice name)
{
    uint64_t hash = XXH3_64bits(name.data, name.len);
    for (size_t i = 0; i < s->seen.count; i++) {
        struct shl_seen_name *n = &s->seen.items[i];
        if (n->hash == hash && shl_slice_eq(shl_slice_str(n->name), name))
            return n;
    }
    return NULL;
}

static shale_code add_seen(struct shl_setting_sink *s, struct shl_slice name, bool is_table,
                           shale_error *err)
{
    if (s->seen.count >= SHL_SETTINGS_MAX)
        return shl_fail(err, SHALE_INVALID, "more than %d settings", SHL_SETTINGS_MAX);
    struct shl_seen_name n = {.name = shl_slice_dup_cstr(name),
                              .hash = XXH3_64bits(name.data, name.len),
                              .is_table = is_table};
    if (n.name == NULL)
        return shl_nomem(err);
    if (!shl_array_push(&s->seen, n)) {
        env_free(n.name);
        return shl_nomem(err);
    }
    return SHALE_OK;
}

#define SHOWN(s) (int)(s).len, (const char *)(s).data

/* Each part before a dot is a table from now on, and must not be a value. */
static shale_code see_parents(struct shl_setting_sink *s, struct shl_slice name, shale_error *err)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] != '.')
            continue;
        struct shl_slice parent = shl_slice_of(name.data, i);
        const struct shl_seen_name *n = find_seen(s, parent);
        if (n == NULL) {
            shale_code rc = add_seen(s, parent, true, err);
            if (rc != SHALE_OK)
                return rc;
        } else if (!n->is_table) {
            return shl_fail(err, SHALE_INVALID, "%.*s: %.*s has a value already", SHOWN(name),
                            SHOWN(parent));
        }
    }
    return SHALE_OK;
}

static shale_code given_twice(struct shl_slice name, const struct shl_seen_name *before,
                              shale_error *err)
{
    return shl_fail(err, SHALE_INVALID, "%.*s: %s", SHOWN(name),
                    before->is_table ? "is a table already" : "given twice");
}

/* Names are shown and compared as C strings. */
static shale_code check_text(struct shl_slice name, shale_error *err)
{
    if (memchr(name.data, '\0', name.len) != NULL)
        return shl_fail(err, SHALE_INVALID, "a NUL byte in a name");
    return SHALE_OK;
}

static shale_code see_value(struct shl_setting_sink *s, struct shl_slice name, shale_error *err)
{
    shale_code rc = check_text(name, err);
    if (rc == SHALE_OK)
        rc = see_parents(s, name, err);
    if (rc != SHALE_OK)
        return rc;
    const struct shl_seen_name *n = find_seen(s, name);
    return n != NULL ? given_twice(name, n, err) : add_seen(s, name, false, err);
}

static shale_code see_table(struct shl_setting_sink *s, struct shl_slice name, shale_error *err)
{
    shale_code rc = check_text(name, err);
    if (rc == SHALE_OK)
        rc = see_parents(s, name, err);
    if (rc != SHALE_OK)
        return rc;
    struct shl_seen_name *n = find_seen(s, name);
    if (n != NULL && (!n->is_table || n->is_declared))
        return given_twice(name, n, err);
    if (n == NULL) {
        rc = add_seen(s, name, true, err);
        if (rc != SHALE_OK)
            return rc;
        n = &s->seen.items[s->seen.count - 1];
    }
    n->is_declared = true;
    return SHALE_OK;
}

static shale_code with_line(shale_code rc, uint32_t line, shale_error *err)
{
    if (rc != SHALE_OK && rc != SHALE_NOMEM && line != 0)
        shl_err_prefix(err, "line %u", (unsigned)line);
    return rc;
}

shale_code shl_setting_sink_value(struct shl_setting_sink *s, struct shl_slice value,
                                  enum shl_setting_kind kind, uint32_t line, shale_error *err)
{
    struct shl_setting setting = {
        .name = shl_buf_view(&s->name), .value = value, .kind = kind, .line = line};
    shale_code rc = see_value(s, setting.name, err);
    if (rc == SHALE_OK)
        rc = s->fn(s->ctx, &setting, err);
    return with_line(rc, line, err);
}

shale_code shl_setting_sink_table(struct shl_setting_sink *s, uint32_t line, shale_error *err)
{
    return with_line(see_table(s, shl_buf_view(&s->name), err), line, err);
}
