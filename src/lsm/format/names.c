/* Object names (slatedb-format 1). The two folders of SSTs lie under a root that is escaped twice: an upstream oddity that readers
 * and writers must share. */
#include "lsm/format/names.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"

#define ID_DIGITS_MAX 20

/* ---------------------------------------------------------------- roots */

static bool must_escape(uint8_t c)
{
    return c < 0x20 || c >= 0x7f || strchr("\\{}^%`[]\"<>~#|*?", c) != NULL;
}

static size_t segment_len(const char *path)
{
    return strcspn(path, "/");
}

static char *put_escaped(char *p, uint8_t c)
{
    static const char hex[] = "0123456789ABCDEF";
    *p++ = '%';
    *p++ = hex[c >> 4];
    *p++ = hex[c & 15];
    return p;
}

/* One segment; "." and ".." are escaped whole. */
static char *put_segment(char *p, const char *segment, size_t len)
{
    bool dots = (len == 1 || len == 2) && segment[0] == '.' && segment[len - 1] == '.';
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)segment[i];
        if (dots || must_escape(c))
            p = put_escaped(p, c);
        else
            *p++ = (char)c;
    }
    return p;
}

/* Owned; without empty segments. NULL if out of memory. */
static char *escape_path(const char *path)
{
    size_t bytes = 0;
    if (!shl_mul_size(strlen(path), 3, &bytes))
        return NULL;
    char *out = env_alloc(bytes + 1);
    if (out == NULL)
        return NULL;
    char *p = out;
    while (*path != '\0') {
        size_t len = segment_len(path);
        if (len > 0) {
            if (p != out)
                *p++ = '/';
            p = put_segment(p, path, len);
        }
        path += len;
        path += *path == '/';
    }
    *p = '\0';
    return out;
}

/* Takes r1, which may be NULL. */
static shale_code init_from_r1(struct shl_db_paths *p, char *take_r1, shale_error *err)
{
    struct shl_db_paths paths = {.r1 = take_r1};
    paths.r2 = take_r1 == NULL ? NULL : escape_path(take_r1);
    if (paths.r2 == NULL) {
        shl_db_paths_deinit(&paths);
        return shl_nomem(err);
    }
    *p = paths;
    return SHALE_OK;
}

shale_code shl_db_paths_init(struct shl_db_paths *p, const char *path, shale_error *err)
{
    return init_from_r1(p, escape_path(path), err);
}

shale_code shl_db_paths_init_escaped(struct shl_db_paths *p, const char *r1, shale_error *err)
{
    return init_from_r1(p, env_strdup(r1), err);
}

void shl_db_paths_deinit(struct shl_db_paths *p)
{
    env_free(p->r1);
    env_free(p->r2);
    *p = (struct shl_db_paths){.r1 = NULL};
}

/* ---------------------------------------------------------------- to names */

/* root/name, or name alone under an empty root. */
static char *join(const char *root, const char *name)
{
    size_t root_len = strlen(root);
    size_t name_len = strlen(name);
    char *out = env_alloc(root_len + 1 + name_len + 1);
    if (out == NULL)
        return NULL;
    char *p = out;
    if (root_len > 0) {
        memcpy(p, root, root_len);
        p += root_len;
        *p++ = '/';
    }
    memcpy(p, name, name_len + 1);
    return out;
}

static char *numbered(const char *root, const char *dir, uint64_t id, const char *extension)
{
    char name[SHL_NAME_BYTES];
    int len = snprintf(name, sizeof name, "%s/%020" PRIu64 ".%s", dir, id, extension);
    SHL_ASSERT(len > 0 && (size_t)len < sizeof name);
    return join(root, name);
}

char *shl_name_manifest(const struct shl_db_paths *p, uint64_t id)
{
    return numbered(p->r1, "manifest", id, "manifest");
}

char *shl_name_compactions(const struct shl_db_paths *p, uint64_t id)
{
    return numbered(p->r1, "compactions", id, "compactions");
}

char *shl_name_wal(const struct shl_db_paths *p, uint64_t id)
{
    return numbered(p->r2, "wal", id, "sst");
}

char *shl_name_sst(const struct shl_db_paths *p, struct shl_ulid id)
{
    char text[SHL_ULID_TEXT];
    char name[SHL_NAME_BYTES];
    shl_ulid_format(id, text);
    int len = snprintf(name, sizeof name, "compacted/%s.sst", text);
    SHL_ASSERT(len > 0 && (size_t)len < sizeof name);
    return join(p->r2, name);
}

char *shl_name_boundary(const struct shl_db_paths *p, const char *what)
{
    char name[SHL_NAME_BYTES];
    int len = snprintf(name, sizeof name, "gc/%s.boundary", what);
    SHL_ASSERT(len > 0 && (size_t)len < sizeof name);
    return join(p->r1, name);
}

char *shl_name_dir(const struct shl_db_paths *p, const char *dir)
{
    bool sst_dir = strcmp(dir, "wal") == 0 || strcmp(dir, "compacted") == 0;
    return join(sst_dir ? p->r2 : p->r1, dir);
}

/* ---------------------------------------------------------------- from names */

/* The part of the last segment before its first '.', if what follows that is `extension`. */
static bool split_name(const char *key, const char *extension, struct shl_slice *out_stem)
{
    const char *slash = strrchr(key, '/');
    const char *name = slash == NULL ? key : slash + 1;
    const char *dot = strchr(name, '.');
    if (dot == NULL || strcmp(dot + 1, extension) != 0)
        return false;
    *out_stem = shl_slice_of(name, (size_t)(dot - name));
    return true;
}

bool shl_name_parse_id(const char *key, const char *extension, uint64_t *out)
{
    struct shl_slice stem;
    if (!split_name(key, extension, &stem) || stem.len == 0 || stem.len > ID_DIGITS_MAX)
        return false;
    uint64_t id = 0;
    for (size_t i = 0; i < stem.len; i++) {
        uint8_t c = stem.data[i];
        if (c < '0' || c > '9')
            return false;
        if (__builtin_mul_overflow(id, UINT64_C(10), &id) ||
            !shl_add_u64(id, (uint64_t)(c - '0'), &id))
            return false;
    }
    *out = id;
    return true;
}

bool shl_name_parse_ulid(const char *key, struct shl_ulid *out)
{
    struct shl_slice stem;
    return split_name(key, "sst", &stem) && shl_ulid_parse(stem, out);
}
