#include "sql/format/manifest.h"

#include "base/codec/json.h"
#include "base/env/env.h"
#include "base/str.h"
#include <inttypes.h>

static void object_free(struct shl_sql_object *o)
{
    env_free(o->key);
    *o = (struct shl_sql_object){0};
}

void shl_sql_manifest_free(struct shl_sql_manifest *m)
{
    object_free(&m->snapshot);
    for (size_t i = 0; i < m->log.count; i++)
        object_free(&m->log.items[i]);
    shl_array_free(&m->log);
    *m = (struct shl_sql_manifest){0};
}

/* ---- reading */

/* Go's decoder leaves a member alone that is null. */
static shale_code take_int(const json_t *value, const char *name, int64_t *out, shale_error *err)
{
    if (json_is_null(value))
        return SHALE_OK;
    if (!json_is_integer(value))
        return shl_fail(err, SHALE_CORRUPTION, "%s is no whole number", name);
    *out = json_integer_value(value);
    return SHALE_OK;
}

static shale_code take_key(const json_t *value, const char *name, char **out, shale_error *err)
{
    if (json_is_null(value))
        return SHALE_OK;
    if (!json_is_string(value))
        return shl_fail(err, SHALE_CORRUPTION, "%s.key is no string", name);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return shl_fail(err, SHALE_CORRUPTION, "%s.key has a NUL in it", name);
    char *copy = env_strdup(json_string_value(value));
    if (copy == NULL)
        return shl_nomem(err);
    env_free(*out);
    *out = copy;
    return SHALE_OK;
}

static shale_code take_object(json_t *value, const char *name, struct shl_sql_object *out,
                              shale_error *err)
{
    const char *member;
    json_t *v;
    if (json_is_null(value))
        return SHALE_OK;
    if (!json_is_object(value))
        return shl_fail(err, SHALE_CORRUPTION, "%s is no object", name);
    json_object_foreach(value, member, v)
    {
        shale_code rc = SHALE_OK;
        if (shl_str_ieq(member, "key"))
            rc = take_key(v, name, &out->key, err);
        else if (shl_str_ieq(member, "seq"))
            rc = take_int(v, "seq", &out->seq, err);
        else if (shl_str_ieq(member, "size"))
            rc = take_int(v, "size", &out->size, err);
        if (rc != SHALE_OK) {
            if (!json_is_string(v) && rc != SHALE_NOMEM)
                shl_err_prefix(err, "%s", name);
            return rc;
        }
    }
    return SHALE_OK;
}

static shale_code take_log(json_t *value, struct shl_sql_manifest *m, shale_error *err)
{
    char name[32];
    for (size_t i = 0; i < m->log.count; i++)
        object_free(&m->log.items[i]);
    m->log.count = 0;
    if (json_is_null(value))
        return SHALE_OK;
    if (!json_is_array(value))
        return shl_fail(err, SHALE_CORRUPTION, "log is no array");
    size_t count = json_array_size(value);
    if (!shl_array_reserve(&m->log, count))
        return shl_nomem(err);
    for (size_t i = 0; i < count; i++) {
        shl_array_add(&m->log, (struct shl_sql_object){0});
        (void)snprintf(name, sizeof name, "log[%zu]", i);
        shale_code rc = take_object(json_array_get(value, i), name, &m->log.items[i], err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

static shale_code take_members(json_t *root, struct shl_sql_manifest *m, int64_t *version,
                               shale_error *err)
{
    const char *member;
    json_t *v;
    if (!json_is_object(root))
        return shl_fail(err, SHALE_CORRUPTION, "it is no JSON object");
    json_object_foreach(root, member, v)
    {
        shale_code rc = SHALE_OK;
        if (shl_str_ieq(member, "format_version"))
            rc = take_int(v, member, version, err);
        else if (shl_str_ieq(member, "seq"))
            rc = take_int(v, member, &m->seq, err);
        else if (shl_str_ieq(member, "schema_version"))
            rc = take_int(v, member, &m->schema_version, err);
        else if (shl_str_ieq(member, "snapshot"))
            rc = take_object(v, "snapshot", &m->snapshot, err);
        else if (shl_str_ieq(member, "log"))
            rc = take_log(v, m, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return SHALE_OK;
}

/* The snapshot's rules, then the version of the format, then the rest: the order in which s3db tells them. */
static shale_code check(const struct shl_sql_manifest *m, int64_t version, shale_error *err)
{
    if (m->snapshot.key == NULL || m->snapshot.key[0] == '\0')
        return shl_fail(err, SHALE_CORRUPTION, "snapshot.key is empty");
    if (m->snapshot.seq < 0)
        return shl_fail(err, SHALE_CORRUPTION, "snapshot.seq is %" PRId64, m->snapshot.seq);
    if (version > SHL_SQL_FORMAT_VERSION)
        return shl_fail(err, SHALE_NOT_SUPPORTED,
                        "format_version %" PRId64
                        " is newer than this version supports (%d); upgrade",
                        version, SHL_SQL_FORMAT_VERSION);
    if (m->schema_version < 0)
        return shl_fail(err, SHALE_CORRUPTION, "schema_version is %" PRId64, m->schema_version);
    int64_t at = m->snapshot.seq;
    for (size_t i = 0; i < m->log.count; i++) {
        const struct shl_sql_object *e = &m->log.items[i];
        if (e->key == NULL || e->key[0] == '\0')
            return shl_fail(err, SHALE_CORRUPTION, "log[%zu].key is empty", i);
        if (at == INT64_MAX || e->seq != at + 1)
            return shl_fail(err, SHALE_CORRUPTION, "log[%zu].seq is %" PRId64 ", behind %" PRId64,
                            i, e->seq, at);
        at = e->seq;
    }
    if (m->seq != at)
        return shl_fail(err, SHALE_CORRUPTION, "seq is %" PRId64 ", but the %s ends at %" PRId64,
                        m->seq, m->log.count > 0 ? "log" : "snapshot", at);
    return SHALE_OK;
}

shale_code shl_sql_manifest_check(const struct shl_sql_manifest *m, shale_error *err)
{
    return check(m, SHL_SQL_FORMAT_VERSION, err);
}

shale_code shl_sql_manifest_decode(struct shl_slice text, struct shl_sql_manifest *out,
                                   shale_error *err)
{
    struct shl_sql_manifest m = {0};
    json_t *root = NULL;
    int64_t version = 0; /* absent: read as 1 */
    shale_code rc = shl_json_parse_first(text, &root, err);
    if (rc == SHALE_INVALID)
        err->code = rc = SHALE_CORRUPTION; /* its text says JSON, line and column */
    if (rc == SHALE_OK)
        rc = take_members(root, &m, &version, err);
    if (rc == SHALE_OK)
        rc = check(&m, version, err);
    json_decref(root);
    if (rc == SHALE_OK) {
        *out = m;
        return SHALE_OK;
    }
    shl_sql_manifest_free(&m);
    return rc;
}

/* ---- writing */

/* Go's encoder writes these so that JSON may stand in HTML. */
static bool is_escaped_by_go(const uint8_t *at, size_t left, const char **out_text, size_t *out_len)
{
    static const struct {
        const char *raw;
        const char *text;
    } table[] = {{"<", "\\u003c"},
                 {">", "\\u003e"},
                 {"&", "\\u0026"},
                 {"\xe2\x80\xa8", "\\u2028"},
                 {"\xe2\x80\xa9", "\\u2029"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t n = strlen(table[i].raw);
        if (n <= left && memcmp(at, table[i].raw, n) == 0) {
            *out_text = table[i].text;
            *out_len = n;
            return true;
        }
    }
    return false;
}

/* True if nothing of it is escaped, as in nearly all keys: a log has thousands, and is written with every commit. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < ' ' || *text == 0x7f || strchr("\"\\<>&", *text) != NULL)
            return false;
    return true;
}

/* A string as JSON, by our writer, and then what Go escapes besides. */
static shale_code put_string(struct shl_buf *out, const char *text, shale_error *err)
{
    struct shl_buf plain = {0};
    struct shl_json_writer w;
    shale_code rc;
    if (is_plain(text))
        return shl_str_printf(out, err, "\"%s\"", text);
    shl_json_begin(&w, &plain, err);
    shl_json_str(&w, text);
    SHL_TRY(shl_json_finish(&w));
    for (size_t i = 0; i < plain.len;) {
        const char *escaped;
        size_t n = 1;
        if (is_escaped_by_go(plain.data + i, plain.len - i, &escaped, &n))
            SHL_TRY(shl_str_append(out, escaped, err));
        else
            SHL_TRY(shl_buf_append(out, plain.data + i, 1, err));
        i += n;
    }
out:
    shl_buf_free(&plain);
    return rc;
}

static shale_code put_object(struct shl_buf *out, const struct shl_sql_object *o, shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_str_append(out, "{\"key\":", err));
    SHL_TRY(put_string(out, o->key, err));
    SHL_TRY(shl_str_printf(out, err, ",\"seq\":%" PRId64, o->seq));
    if (o->size != 0)
        SHL_TRY(shl_str_printf(out, err, ",\"size\":%" PRId64, o->size));
    SHL_TRY(shl_str_append(out, "}", err));
out:
    return rc;
}

shale_code shl_sql_manifest_encode(const struct shl_sql_manifest *m, struct shl_buf *out,
                                   shale_error *err)
{
    shale_code rc;
    SHL_TRY(shl_str_printf(out, err,
                           "{\"format_version\":%d,\"seq\":%" PRId64 ",\"schema_version\":%" PRId64
                           ",\"snapshot\":",
                           SHL_SQL_FORMAT_VERSION, m->seq, m->schema_version));
    SHL_TRY(put_object(out, &m->snapshot, err));
    SHL_TRY(shl_str_append(out, m->log.count > 0 ? ",\"log\":[" : ",\"log\":null", err));
    for (size_t i = 0; i < m->log.count; i++) {
        if (i > 0)
            SHL_TRY(shl_str_append(out, ",", err));
        SHL_TRY(put_object(out, &m->log.items[i], err));
    }
    SHL_TRY(shl_str_append(out, m->log.count > 0 ? "]}" : "}", err));
out:
    return rc;
}

/* ---- values */

static shale_code object_copy(const struct shl_sql_object *o, struct shl_sql_object *out,
                              shale_error *err)
{
    char *key = env_strdup(o->key);
    if (key == NULL)
        return shl_nomem(err);
    *out = (struct shl_sql_object){.key = key, .seq = o->seq, .size = o->size};
    return SHALE_OK;
}

shale_code shl_sql_manifest_copy(const struct shl_sql_manifest *m, struct shl_sql_manifest *out,
                                 shale_error *err)
{
    struct shl_sql_manifest copy = {.seq = m->seq, .schema_version = m->schema_version};
    shale_code rc;
    SHL_TRY(object_copy(&m->snapshot, &copy.snapshot, err));
    if (!shl_array_reserve(&copy.log, m->log.count + 1)) /* a commit appends one */
        SHL_TRY(shl_nomem(err));
    for (size_t i = 0; i < m->log.count; i++) {
        SHL_TRY(object_copy(&m->log.items[i], &copy.log.items[i], err));
        copy.log.count++;
    }
    *out = copy;
    return SHALE_OK;
out:
    shl_sql_manifest_free(&copy);
    return rc;
}

shale_code shl_sql_manifest_append(struct shl_sql_manifest *m, const char *key, int64_t size,
                                   shale_error *err)
{
    if (m->seq == INT64_MAX)
        return shl_fail(err, SHALE_CORRUPTION, "seq is at its end");
    char *copy = env_strdup(key);
    struct shl_sql_object e = {.key = copy, .seq = m->seq + 1, .size = size};
    if (copy == NULL || !shl_array_push(&m->log, e)) {
        env_free(copy);
        return shl_nomem(err);
    }
    m->seq++;
    return SHALE_OK;
}

shale_code shl_sql_manifest_rebase(struct shl_sql_manifest *m, const char *key, int64_t size,
                                   shale_error *err)
{
    char *copy = env_strdup(key);
    if (copy == NULL)
        return shl_nomem(err);
    object_free(&m->snapshot);
    m->snapshot = (struct shl_sql_object){.key = copy, .seq = m->seq, .size = size};
    for (size_t i = 0; i < m->log.count; i++)
        object_free(&m->log.items[i]);
    m->log.count = 0;
    return SHALE_OK;
}

const char *shl_sql_manifest_key_at(const struct shl_sql_manifest *m, int64_t seq)
{
    if (seq <= m->snapshot.seq || seq > m->seq)
        return NULL;
    return m->log.items[(size_t)(seq - m->snapshot.seq) - 1].key;
}

bool shl_sql_manifest_has(const struct shl_sql_manifest *m, const char *key)
{
    for (size_t i = m->log.count; i-- > 0;) /* ours is among the newest */
        if (strcmp(m->log.items[i].key, key) == 0)
            return true;
    return false;
}

uint64_t shl_sql_manifest_log_bytes(const struct shl_sql_manifest *m)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->log.count; i++)
        sum += m->log.items[i].size > 0 ? (uint64_t)m->log.items[i].size : 0;
    return sum;
}

struct shl_slice shl_sql_epoch(const char *snapshot_key)
{
    const char *slash = strrchr(snapshot_key, '/');
    const char *name = slash == NULL ? snapshot_key : slash + 1;
    const char *dot = strrchr(name, '.');
    return shl_slice_of(name, dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name));
}
