#include "store/file_impl.h"

#include "base/assert.h"
#include "base/num.h"
#include <inttypes.h>

/* Parts come in any order and their sizes are not known before. The size of the first one to arrive is taken as the size of all:
 * part i gets the place i * slot of the staged file, where it already is when (as nearly always) all parts but the last are
 * equal. A part that is larger than the slot is kept in memory. complete looks whether the parts lie one behind the other, and if not,
 * copies them in order into a second staged file. */

struct upload_part {
    bool present;
    size_t len;
    uint8_t *bytes; /* owned; NULL: it is in the file at index * slot */
};

struct file_upload {
    struct shl_upload base;
    char *key; /* [const] owned */
    struct shl_path_buf path;
    struct file_stage st; /* the descriptor is [const] until complete */
    struct env_mutex mu;
    size_t slot;                         /* [mu] 0 until a part with bytes came */
    SHL_ARRAY(struct upload_part) parts; /* [mu] by index */
    bool repacked; /* only in complete: the stage holds the object as it is to be */
    bool finished; /* only in complete: synced and closed, `stat` is known */
    struct env_stat stat;
};

void shl_file_upload_abort(struct shl_store *s, struct shl_upload *take_u)
{
    (void)s;
    struct file_upload *u = (struct file_upload *)take_u;
    shl_file_stage_drop(&u->st);
    for (size_t i = 0; i < u->parts.count; i++)
        env_free(u->parts.items[i].bytes);
    shl_array_free(&u->parts);
    env_mutex_deinit(&u->mu);
    shl_path_buf_deinit(&u->path);
    env_free(u->key);
    env_free(u);
}

shale_code shl_file_upload_start(struct shl_store *s, const char *key, struct shl_upload **out,
                                 shale_error *err)
{
    struct file_store *f = file_of(s);
    shale_code rc = shl_file_check_sound(f, err);
    if (rc != SHALE_OK)
        return rc;
    struct file_upload *u = env_calloc(1, sizeof *u);
    if (u == NULL)
        return shl_nomem(err);
    u->base.store = s;
    u->st.fd = -1;
    env_mutex_init(&u->mu);
    u->key = env_strdup(key);
    if (u->key == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_file_path(f, key, &u->path, err));
    SHL_TRY(shl_file_stage_open(f, u->path.text, &u->st, err));
    *out = &u->base;
    u = NULL;
out:
    if (u != NULL)
        shl_file_upload_abort(s, &u->base);
    return rc;
}

/* Room for the part's record; *out_in_file: its bytes go to *out_offset of the staged file. */
static shale_code plan_part(struct file_upload *u, uint32_t index, size_t len, bool *out_in_file,
                            uint64_t *out_offset, shale_error *err)
{
    env_mutex_lock(&u->mu);
    bool room = index < u->parts.count || shl_array_reserve(&u->parts, index - u->parts.count + 1);
    if (room) {
        while (u->parts.count <= index)
            shl_array_add(&u->parts, (struct upload_part){0});
        if (u->slot == 0)
            u->slot = len;
        *out_in_file = len <= u->slot;
        *out_offset = (uint64_t)index * u->slot;
    }
    env_mutex_unlock(&u->mu);
    return room ? SHALE_OK : shl_nomem(err);
}

shale_code shl_file_upload_part(struct shl_store *s, struct shl_upload *base, uint32_t index,
                                const struct shl_slice *parts, size_t count, shale_error *err)
{
    (void)s;
    struct file_upload *u = (struct file_upload *)base;
    size_t len = shl_parts_bytes(parts, count);
    uint8_t *bytes = NULL;
    bool in_file = false;
    uint64_t offset = 0;
    shale_code rc = plan_part(u, index, len, &in_file, &offset, err);
    if (rc == SHALE_OK && in_file)
        rc = shl_file_stage_write(&u->st, parts, count, offset, err);
    if (rc != SHALE_OK)
        return rc;
    if (!in_file) {
        bytes = env_alloc(len);
        if (bytes == NULL)
            return shl_nomem(err);
        shl_parts_copy(bytes, parts, count);
    }
    env_mutex_lock(&u->mu);
    struct upload_part *p = &u->parts.items[index];
    uint8_t *old = p->bytes;
    *p = (struct upload_part){.present = true, .len = len, .bytes = bytes};
    env_mutex_unlock(&u->mu);
    env_free(old);
    return SHALE_OK;
}

/* True if the staged file is the object already. Also checks that no part is missing. */
static shale_code check_layout(const struct file_upload *u, bool *out_in_order, shale_error *err)
{
    struct env_stat st;
    uint64_t end = 0;
    *out_in_order = true;
    for (size_t i = 0; i < u->parts.count; i++) {
        const struct upload_part *p = &u->parts.items[i];
        if (!p->present)
            return shl_fail(err, SHALE_INVALID, "upload of \"%s\": part %zu of %zu is missing",
                            u->key, i, u->parts.count);
        if (p->len > 0 && (p->bytes != NULL || end != (uint64_t)i * u->slot))
            *out_in_order = false;
        end += p->len;
    }
    int e = env_fstat(u->st.fd, &st);
    if (e != 0)
        return shl_file_fail(err, e, "look at", u->st.path);
    if (st.size != end) /* a part was given again, and is shorter now */
        *out_in_order = false;
    return SHALE_OK;
}

#define REPACK_BYTES ((size_t)1 << 20)

static shale_code copy_part(const struct file_upload *u, size_t index, struct file_stage *to,
                            uint64_t at, uint8_t *scratch, shale_error *err)
{
    const struct upload_part *p = &u->parts.items[index];
    if (p->bytes != NULL) {
        struct shl_slice whole = shl_slice_of(p->bytes, p->len);
        return shl_file_stage_write(to, &whole, 1, at, err);
    }
    uint64_t from = (uint64_t)index * u->slot;
    for (size_t done = 0; done < p->len;) {
        size_t n = shl_min_size(p->len - done, REPACK_BYTES);
        size_t got = 0;
        int e = env_pread(u->st.fd, scratch, n, from + done, &got);
        if (e != 0)
            return shl_file_fail(err, e, "read", u->st.path);
        if (got != n)
            return shl_fail(err, SHALE_UNAVAILABLE, "%s was cut by another program", u->st.path);
        struct shl_slice piece = shl_slice_of(scratch, n);
        shale_code rc = shl_file_stage_write(to, &piece, 1, at + done, err);
        if (rc != SHALE_OK)
            return rc;
        done += n;
    }
    return SHALE_OK;
}

/* Writes the parts in order into a new staged file, which takes the place of the old one. */
static shale_code repack(struct file_store *f, struct file_upload *u, shale_error *err)
{
    struct file_stage to = {.fd = -1};
    struct file_stage old;
    uint64_t at = 0;
    uint8_t *scratch = env_alloc(REPACK_BYTES);
    shale_code rc;
    if (scratch == NULL)
        SHL_TRY(shl_nomem(err));
    SHL_TRY(shl_file_stage_open(f, u->path.text, &to, err));
    for (size_t i = 0; i < u->parts.count; i++) {
        SHL_TRY(copy_part(u, i, &to, at, scratch, err));
        at += u->parts.items[i].len;
    }
    old = u->st;
    u->st = to;
    to = old;
out:
    shl_file_stage_drop(&to);
    env_free(scratch);
    return rc;
}

shale_code shl_file_upload_complete(struct shl_store *s, struct shl_upload *base,
                                    struct shl_object *out, shale_error *err)
{
    struct file_store *f = file_of(s);
    struct file_upload *u = (struct file_upload *)base;
    bool in_order = u->repacked || u->finished;
    shale_code rc;
    SHL_TRY(shl_file_check_sound(f, err));
    if (!in_order)
        SHL_TRY(check_layout(u, &in_order, err));
    if (!in_order)
        SHL_TRY(repack(f, u, err));
    u->repacked = true;
    if (!u->finished) {
        if (u->st.fd < 0) /* a sync failed before, so the bytes may be gone */
            SHL_TRY(shl_fail(err, SHALE_CORRUPTION,
                             "upload of \"%s\": its file could not be synced", u->key));
        SHL_TRY(shl_file_stage_finish(f, &u->st, &u->stat, err));
        u->finished = true;
    }
    ENV_POINT("file upload staged");
    SHL_TRY(shl_file_publish(f, u->key, &u->st, u->path.text, false, err));
    shl_file_describe(&u->stat, out);
    shl_file_upload_abort(s, base); /* what is left of it */
out:
    return rc;
}
