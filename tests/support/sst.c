#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec/endian.h"
#include "base/env/env.h"
#include "lsm/format/block.h"
#include "support/sst.h"

/* splitmix64 */
uint64_t test_rand(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t test_rand_below(uint64_t *state, uint64_t bound)
{
    return test_rand(state) % bound;
}

void test_must(shale_code rc, const shale_error *err)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err->text);
}

/* ---------------------------------------------------------------- rows */

static int compare_rows(const void *a, const void *b)
{
    return shl_row_cmp(a, b);
}

static struct shl_row make_row(struct shl_slice key, uint8_t *value, size_t value_len, uint64_t seq,
                               uint64_t *rand)
{
    static const uint8_t flags[] = {0,
                                    SHL_ROW_TOMBSTONE,
                                    SHL_ROW_HAS_CREATE,
                                    SHL_ROW_HAS_CREATE,
                                    SHL_ROW_HAS_CREATE,
                                    SHL_ROW_HAS_EXPIRE | SHL_ROW_HAS_CREATE,
                                    SHL_ROW_MERGE | SHL_ROW_HAS_CREATE};
    struct shl_row r = {
        .key = key, .seq = seq, .flags = flags[test_rand_below(rand, sizeof flags)]};
    for (size_t i = 0; i < value_len; i++)
        value[i] = (uint8_t)("abcdefgh"[test_rand_below(rand, 8)]);
    r.value = shl_slice_of(value, r.flags & SHL_ROW_TOMBSTONE ? 0 : value_len);
    if (r.flags & SHL_ROW_HAS_EXPIRE)
        r.expire_ts = (int64_t)test_rand(rand);
    if (r.flags & SHL_ROW_HAS_CREATE)
        r.create_ts = (int64_t)test_rand(rand);
    return r;
}

void test_rows_make(struct test_rows *rows, const struct test_rows_kind *kind, uint64_t *rand)
{
    const char *prefix = kind->prefix == NULL ? "" : kind->prefix;
    size_t room = strlen(prefix) + kind->key_len_max + kind->value_len_max;
    rows->items = calloc(kind->count, sizeof *rows->items);
    rows->bytes = malloc(kind->count * room + 1);
    assert_non_null(rows->items);
    assert_non_null(rows->bytes);
    size_t n = 0;
    while (n < kind->count) {
        uint8_t *key = rows->bytes + n * room;
        size_t len = strlen(prefix);
        memcpy(key, prefix, len);
        size_t key_len = 1 + test_rand_below(rand, kind->key_len_max);
        for (size_t i = 0; i < key_len; i++)
            key[len++] =
                kind->alphabet == NULL
                    ? (const uint8_t[]){0, 'a', 0xff}[test_rand_below(rand, 3)]
                    : (uint8_t)kind->alphabet[test_rand_below(rand, strlen(kind->alphabet))];
        size_t versions = 1 + test_rand_below(rand, kind->versions_max);
        for (size_t v = 0; v < versions && n < kind->count; v++, n++) {
            uint8_t *value = rows->bytes + n * room + strlen(prefix) + kind->key_len_max;
            size_t value_len =
                kind->value_len_max == 0 ? 0 : test_rand_below(rand, kind->value_len_max + 1);
            rows->items[n] = make_row(shl_slice_of(key, len), value, value_len, n + 1, rand);
        }
    }
    qsort(rows->items, n, sizeof *rows->items, compare_rows);
    rows->count = n;
}

void test_rows_free(struct test_rows *rows)
{
    free(rows->items);
    free(rows->bytes);
    *rows = (struct test_rows){0};
}

const struct shl_row *test_rows_find(const struct test_rows *rows, struct shl_slice key,
                                     uint64_t max_seq)
{
    for (size_t i = 0; i < rows->count; i++)
        if (shl_slice_eq(rows->items[i].key, key) && rows->items[i].seq <= max_seq)
            return &rows->items[i];
    return NULL;
}

bool test_row_equal(const struct shl_row *a, const struct shl_row *b)
{
    return shl_slice_eq(a->key, b->key) && shl_slice_eq(a->value, b->value) && a->seq == b->seq &&
           a->expire_ts == b->expire_ts && a->create_ts == b->create_ts && a->flags == b->flags;
}

/* ---------------------------------------------------------------- files */

struct maker {
    const struct test_sst_kind *kind;
    struct shl_buf *file;
    struct shl_buf scratch;
    struct shl_sst_index index;
};

/* Stores a raw block that begins with `first`, after one that ended with `last`. */
static void end_block(struct maker *m, struct shl_slice raw, struct shl_slice first,
                      struct shl_slice last)
{
    shale_error err;
    struct shl_blob_codec codec = {.compression = m->kind->compression,
                                   .transformer = m->kind->transformer};
    struct shl_sst_index_entry e = {.offset = m->file->len, .first_key = first};
    if (!m->kind->whole_keys)
        e.first_key.len = last.data == NULL ? 0 : shl_sst_separator_len(last, first);
    test_must(shl_blob_encode(&codec, raw, &m->scratch, m->file, &err), &err);
    size_t len = m->file->len - (size_t)e.offset;
    if (m->kind->aligned && len % m->kind->block_bytes != 0) {
        e.encoded_len = (uint32_t)len;
        size_t padding = m->kind->block_bytes - len % m->kind->block_bytes;
        test_must(shl_buf_reserve(m->file, padding, &err), &err);
        memset(m->file->data + m->file->len, 0, padding);
        m->file->len += padding;
    }
    assert_true(shl_array_push(&m->index.blocks, e));
}

static void make_v2(struct maker *m, const struct test_rows *rows)
{
    shale_error err;
    struct shl_block_builder b;
    struct shl_buf raw = {0};
    struct shl_slice last = {0};
    test_must(shl_block_builder_init(
                  &b, m->kind->block_bytes - (m->kind->aligned ? SHL_CRC_BYTES : 0), &err),
              &err);
    for (size_t i = 0, first = 0; i <= rows->count; i++) {
        if (i == rows->count || !shl_block_builder_fits(&b, &rows->items[i])) {
            raw.len = 0;
            test_must(shl_block_builder_finish(&b, &raw, &err), &err);
            end_block(m, shl_buf_view(&raw), rows->items[first].key, last);
            last = rows->items[i - 1].key;
            first = i;
        }
        if (i < rows->count)
            test_must(shl_block_builder_add(&b, &rows->items[i], &err), &err);
    }
    shl_block_builder_deinit(&b);
    shl_buf_free(&raw);
}

/* Big-endian number of `bytes` bytes. */
static void put_be(struct shl_buf *out, uint64_t v, size_t bytes)
{
    shale_error err;
    uint8_t be[8];
    shl_store_u64be(be, v);
    test_must(shl_buf_append(out, be + 8 - bytes, bytes, &err), &err);
}

static void put_v1(struct shl_buf *out, const struct shl_row *r, struct shl_slice first_key)
{
    shale_error err;
    size_t shared = out->len == 0 ? 0 : shl_common_prefix(first_key, r->key);
    put_be(out, shared, 2);
    put_be(out, r->key.len - shared, 2);
    test_must(shl_buf_append(out, r->key.data + shared, r->key.len - shared, &err), &err);
    put_be(out, r->seq, 8);
    put_be(out, r->flags, 1);
    if (r->flags & SHL_ROW_HAS_EXPIRE)
        put_be(out, (uint64_t)r->expire_ts, 8);
    if (r->flags & SHL_ROW_HAS_CREATE)
        put_be(out, (uint64_t)r->create_ts, 8);
    if ((r->flags & SHL_ROW_TOMBSTONE) == 0) {
        put_be(out, r->value.len, 4);
        test_must(shl_buf_append(out, r->value.data, r->value.len, &err), &err);
    }
}

static void make_v1(struct maker *m, const struct test_rows *rows)
{
    shale_error err;
    struct shl_slice last = {0};
    struct shl_buf raw = {0};
    struct shl_buf offsets = {0};
    for (size_t i = 0; i < rows->count;) {
        size_t first = i;
        raw.len = offsets.len = 0;
        while (i < rows->count &&
               (i == first ||
                raw.len + offsets.len + 64 + rows->items[i].value.len < m->kind->block_bytes)) {
            put_be(&offsets, raw.len, 2);
            put_v1(&raw, &rows->items[i++], rows->items[first].key);
        }
        test_must(shl_buf_append(&raw, offsets.data, offsets.len, &err), &err);
        put_be(&raw, i - first, 2);
        end_block(m, shl_buf_view(&raw), rows->items[first].key, last);
        last = rows->items[i - 1].key;
    }
    shl_buf_free(&raw);
    shl_buf_free(&offsets);
}

static void put_filter(struct maker *m, const struct test_rows *rows, struct shl_sst_info *info)
{
    shale_error err;
    const struct shl_filter_policy *p = m->kind->policy;
    struct shl_blob_codec codec = {.compression = m->kind->compression,
                                   .transformer = m->kind->transformer};
    uint64_t *hashes = calloc(2 * rows->count, sizeof *hashes);
    assert_non_null(hashes);
    struct shl_buf raw = {0};
    size_t count = 0;
    struct shl_slice last = {0};
    for (size_t i = 0; i < rows->count; i++) {
        struct shl_slice key = rows->items[i].key;
        size_t len;
        if (shl_extractor_prefix(&p->extractor, key, &len)) {
            struct shl_slice prefix = shl_slice_of(key.data, len);
            if (last.data == NULL || !shl_slice_eq(prefix, last))
                hashes[count++] = shl_filter_hash(prefix);
            last = prefix;
        }
        if (p->whole_key)
            hashes[count++] = shl_filter_hash(key);
    }
    const struct shl_slice all = shl_slice_of(hashes, count * sizeof *hashes);
    test_must(shl_filter_encode(p, &all, 1, &raw, &err), &err);
    info->filter_offset = m->file->len;
    test_must(shl_blob_encode(&codec, shl_buf_view(&raw), &m->scratch, m->file, &err), &err);
    info->filter_len = m->file->len - info->filter_offset;
    free(hashes);
    shl_buf_free(&raw);
}

void test_sst_make(const struct test_sst_kind *kind, const struct test_rows *rows,
                   struct shl_buf *file, struct shl_sst_desc **out)
{
    shale_error err;
    struct maker m = {.kind = kind, .file = file};
    struct shl_blob_codec codec = {.compression = kind->compression,
                                   .transformer = kind->transformer};
    struct shl_buf raw = {0};
    file->len = 0;
    if (kind->version == 1)
        make_v1(&m, rows);
    else
        make_v2(&m, rows);
    struct shl_sst_info info = {.first_entry = rows->items[0].key,
                                .has_first_entry = true,
                                .compression = kind->compression,
                                .type = SHL_SST_COMPACTED,
                                .filter_format = SHL_FILTER_COMPOSITE};
    if (!kind->old) {
        info.has_last_entry = true;
        info.last_entry = rows->items[rows->count - 1].key;
    }
    info.filter_offset = file->len;
    if (kind->policy != NULL)
        put_filter(&m, rows, &info);
    test_must(shl_sst_index_encode(&m.index, &raw, &err), &err);
    info.index_offset = file->len;
    test_must(shl_blob_encode(&codec, shl_buf_view(&raw), &m.scratch, file, &err), &err);
    info.index_len = file->len - info.index_offset;
    test_must(shl_sst_tail_encode(&info, 0, kind->version, file, &err), &err);
    struct shl_ulid id;
    assert_true(shl_ulid_parse(shl_slice_str("01M7WY3E4EBN6K5PQZCS87KSFV"), &id));
    test_must(shl_sst_desc_new(id, kind->version, true, &info, out, &err), &err);
    shl_sst_index_deinit(&m.index);
    shl_buf_free(&m.scratch);
    shl_buf_free(&raw);
}

/* ---------------------------------------------------------------- the store */

/* Takes one of `left`. */
static bool use_up(_Atomic uint64_t *left)
{
    uint64_t n = atomic_load(left);
    while (n > 0)
        if (atomic_compare_exchange_weak(left, &n, n - 1))
            return true;
    return false;
}

static shale_code store_get_ranges(struct shl_store *base, const char *key,
                                   const struct shl_get_range *ranges, size_t count,
                                   shale_error *err)
{
    struct test_store *s = (struct test_store *)base;
    atomic_fetch_add(&s->gets, 1u);
    if (s->delay_ns > 0)
        env_sleep_ns(s->delay_ns);
    if (s->object.data == NULL || strcmp(key, TEST_SST_KEY) != 0)
        return shl_fail(err, SHALE_NOT_FOUND, "no %s", key);
    if (use_up(&s->failing_gets))
        return shl_fail(err, SHALE_UNAVAILABLE, "test: %s", key);
    bool damage = use_up(&s->damaged_gets);
    for (size_t i = 0; i < count; i++) {
        const struct shl_get_range *r = &ranges[i];
        if (r->offset > s->object.len || r->len > s->object.len - r->offset)
            return shl_fail(err, SHALE_INVALID_RANGE, "range of %s", key);
        memcpy(r->dst, s->object.data + r->offset, r->len);
        if (damage)
            r->dst[r->len / 2] ^= 1;
        atomic_fetch_add(&s->ranges_bytes, r->len);
    }
    return SHALE_OK;
}

static shale_code store_head(struct shl_store *base, const char *key, struct shl_object *out,
                             shale_error *err)
{
    const struct test_store *s = (const struct test_store *)base;
    if (s->object.data == NULL)
        return shl_fail(err, SHALE_NOT_FOUND, "no %s", key);
    *out = (struct shl_object){.size = s->object.len};
    return SHALE_OK;
}

static const struct shl_store_ops test_store_ops = {.get_ranges = store_get_ranges,
                                                    .head = store_head};

void test_store_init(struct test_store *s, struct shl_slice object)
{
    shale_error err;
    *s = (struct test_store){.object = object};
    test_must(shl_store_init(&s->base, &test_store_ops, 0, "test://", &err), &err);
}

void test_store_deinit(struct test_store *s)
{
    shl_store_deinit(&s->base);
}

/* ---------------------------------------------------------------- a lookup */

/* Inside the epoch once; true if the lookup is over. */
static enum shl_probe probe_once(struct shl_epoch *epoch, struct shl_sst *t,
                                 struct shl_probe_state *p, struct shl_row *row,
                                 struct shl_buf *value, shale_error *err)
{
    uint32_t token = shl_epoch_enter(epoch);
    enum shl_probe answer = shl_sst_probe(t, p, err);
    if (answer == SHL_PROBE_FOUND) {
        shale_error oom;
        *row = p->row;
        test_must(shl_buf_set(value, p->row.value, &oom), &oom);
        row->value = shl_buf_view(value);
    }
    shl_epoch_leave(epoch, token);
    return answer;
}

bool test_sst_get(struct shl_epoch *epoch, struct shl_sst *t, struct shl_slice key,
                  uint64_t max_seq, bool keep, struct shl_row *row, struct shl_buf *value,
                  shale_code *rc, shale_error *err)
{
    struct shl_probe_state p = {.key = key, .hash = shl_filter_hash(key), .max_seq = max_seq};
    shale_code got = SHALE_OK;
    enum shl_probe answer = SHL_PROBE_MISSING;
    while (got == SHALE_OK) {
        answer = probe_once(epoch, t, &p, row, value, err);
        if (answer == SHL_PROBE_CORRUPT) {
            got = err->code;
        } else if (answer == SHL_PROBE_NEED_META) {
            got = shl_sst_hold_meta(t, &p.meta, err);
        } else if (answer == SHL_PROBE_NEED_BLOCK) {
            struct shl_block *b = NULL;
            if (p.meta == NULL)
                got = shl_sst_hold_meta(t, &p.meta, err);
            if (got == SHALE_OK)
                got = shl_sst_load_block_of(t, p.meta, p.block_index, keep, &b, err);
            shl_block_unref(p.loaded);
            p.loaded = b;
            p.loaded_index = p.block_index;
        } else {
            break;
        }
    }
    shl_block_unref(p.loaded);
    shl_sst_release_meta(p.meta);
    if (rc != NULL)
        *rc = got;
    else
        test_must(got, err);
    return got == SHALE_OK && answer == SHL_PROBE_FOUND;
}
