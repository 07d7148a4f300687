/* The sequence tracker (slatedb-format 5):
 *
 *   u8 version | u32 LE count | seqs | seconds       each a bit stream, most significant bit first, padded to a byte:
 *   32-bit count | 64-bit first value | per further value the change of the difference:
 *     0 -> 0 | 10 + 7 bits | 110 + 9 bits | 1110 + 12 bits | 1111 + 32 bits (version 1) or 64 bits (version 2) */
#include "lsm/format/manifest.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/codec/endian.h"
#include "base/env/env.h"

#define TRACKER_HEADER_BYTES 5
#define TRACKER_STEP_S       60
/* Writers keep at most SHL_SEQ_TRACKER_MAX; more than this would let two bits of input take 16 bytes of memory. */
#define TRACKER_READ_MAX (8 * SHL_SEQ_TRACKER_MAX)

/* The widths after 1, 2, 3 leading ones; a dod of magnitude <= 2^(width-1) - 1 goes there. */
static const unsigned short_widths[] = {7, 9, 12};
#define SHORT_WIDTHS (sizeof short_widths / sizeof short_widths[0])

/* ---------------------------------------------------------------- bits */

struct bit_reader {
    const uint8_t *data; /* borrowed */
    uint64_t at;         /* bit */
    uint64_t end;        /* bit */
};

/* `width` <= 64 bits, first one highest; false past the end. */
static bool read_bits(struct bit_reader *r, unsigned width, uint64_t *out)
{
    if (r->end - r->at < width)
        return false;
    uint64_t v = 0;
    while (width > 0) {
        unsigned have = 8 - (unsigned)(r->at % 8);
        unsigned n = width < have ? width : have;
        unsigned byte = r->data[r->at / 8];
        v = (v << n) | ((byte >> (have - n)) & ((1u << n) - 1));
        r->at += n;
        width -= n;
    }
    *out = v;
    return true;
}

struct bit_writer {
    struct shl_buf *out;
    unsigned used; /* bits of the last byte; 0 or 8: none is open */
};

static shale_code write_bits(struct bit_writer *w, uint64_t value, unsigned width, shale_error *err)
{
    shale_code rc = shl_buf_reserve(w->out, 9, err);
    if (rc != SHALE_OK)
        return rc;
    while (width > 0) {
        if (w->used % 8 == 0) {
            w->out->data[w->out->len++] = 0;
            w->used = 0;
        }
        unsigned room = 8 - w->used;
        unsigned n = width < room ? width : room;
        unsigned bits = (unsigned)(value >> (width - n)) & ((1u << n) - 1);
        w->out->data[w->out->len - 1] |= (uint8_t)(bits << (room - n));
        w->used += n;
        width -= n;
    }
    return SHALE_OK;
}

static int64_t sign_extend(uint64_t v, unsigned width)
{
    return (int64_t)(v << (64 - width)) >> (64 - width);
}

/* ---------------------------------------------------------------- decode */

static bool read_dod(struct bit_reader *r, unsigned long_width, int64_t *out)
{
    uint64_t bit = 0;
    unsigned ones = 0;
    while (ones < SHORT_WIDTHS + 1) {
        if (!read_bits(r, 1, &bit))
            return false;
        if (bit == 0)
            break;
        ones++;
    }
    *out = 0;
    if (ones == 0)
        return true;
    unsigned width = ones <= SHORT_WIDTHS ? short_widths[ones - 1] : long_width;
    uint64_t v = 0;
    if (!read_bits(r, width, &v))
        return false;
    *out = sign_extend(v, width);
    return true;
}

/* One series into points[i].seq or, for seconds, points[i].unix_s. `r` ends on a byte border. */
static shale_code read_series(struct bit_reader *r, unsigned long_width, struct shl_seq_tracker *t,
                              bool seconds, shale_error *err)
{
    uint64_t count = 0;
    uint64_t value = 0;
    uint64_t delta = 0;
    if (!read_bits(r, 32, &count) || count != t->points.count)
        return shl_fail(err, SHALE_CORRUPTION, "sequence tracker: series of %" PRIu64 ", want %zu",
                        count, t->points.count);
    for (size_t i = 0; i < t->points.count; i++) {
        int64_t dod = 0;
        if (!(i == 0 ? read_bits(r, 64, &value) : read_dod(r, long_width, &dod)))
            return shl_fail(err, SHALE_CORRUPTION, "sequence tracker: ends at %zu of %zu points", i,
                            t->points.count);
        delta += (uint64_t)dod;
        value += delta;
        if (seconds)
            t->points.items[i].unix_s = (int64_t)value;
        else
            t->points.items[i].seq = value;
    }
    r->at = (r->at + 7) / 8 * 8;
    return SHALE_OK;
}

static shale_code check_order(const struct shl_seq_tracker *t, shale_error *err)
{
    for (size_t i = 1; i < t->points.count; i++) {
        const struct shl_seq_point *p = &t->points.items[i];
        if (p->seq < p[-1].seq || p->unix_s < p[-1].unix_s)
            return shl_fail(err, SHALE_CORRUPTION,
                            "sequence tracker: point %zu is before point %zu", i, i - 1);
    }
    return SHALE_OK;
}

shale_code shl_seq_tracker_decode(struct shl_slice bytes, struct shl_seq_tracker *out,
                                  shale_error *err)
{
    shale_code rc = SHALE_OK;
    struct shl_seq_tracker t = {.points = {0}};
    if (bytes.len < TRACKER_HEADER_BYTES)
        return shl_fail(err, SHALE_CORRUPTION, "sequence tracker: %zu bytes, want %d", bytes.len,
                        TRACKER_HEADER_BYTES);
    unsigned version = bytes.data[0];
    uint32_t count = shl_load_u32le(bytes.data + 1);
    struct bit_reader r = {
        .data = bytes.data, .at = 8 * TRACKER_HEADER_BYTES, .end = 8 * (uint64_t)bytes.len};
    if (version != 1 && version != 2)
        return shl_fail(err, SHALE_CORRUPTION, "sequence tracker: version %u, known 1..2", version);
    if (count > TRACKER_READ_MAX || count > r.end)
        return shl_fail(err, SHALE_CORRUPTION, "sequence tracker: %" PRIu32 " points in %zu bytes",
                        count, bytes.len);
    unsigned long_width = version == 1 ? 32 : 64;
    if (count > 0 && !shl_array_reserve(&t.points, count))
        return shl_nomem(err);
    t.points.count = count;
    SHL_TRY(read_series(&r, long_width, &t, false, err));
    SHL_TRY(read_series(&r, long_width, &t, true, err));
    SHL_TRY(check_order(&t, err));
    if (r.at != r.end) {
        rc = shl_fail(err, SHALE_CORRUPTION, "sequence tracker: ends at byte %" PRIu64 " of %zu",
                      r.at / 8, bytes.len);
        goto out;
    }
    *out = t;
    t = (struct shl_seq_tracker){.points = {0}};
out:
    shl_seq_tracker_deinit(&t);
    return rc;
}

/* ---------------------------------------------------------------- encode */

static uint64_t value_of(const struct shl_seq_tracker *t, size_t i, bool seconds)
{
    return seconds ? (uint64_t)t->points.items[i].unix_s : t->points.items[i].seq;
}

/* The change of the difference at point i >= 1, wrapping. */
static int64_t dod_at(const struct shl_seq_tracker *t, size_t i, bool seconds)
{
    uint64_t delta = value_of(t, i, seconds) - value_of(t, i - 1, seconds);
    uint64_t before = i == 1 ? 0 : value_of(t, i - 1, seconds) - value_of(t, i - 2, seconds);
    return (int64_t)(delta - before);
}

static bool needs_version_2(const struct shl_seq_tracker *t)
{
    for (size_t i = 1; i < t->points.count; i++) {
        int64_t seq = dod_at(t, i, false);
        int64_t s = dod_at(t, i, true);
        if (seq < INT32_MIN || seq > INT32_MAX || s < INT32_MIN || s > INT32_MAX)
            return true;
    }
    return false;
}

static shale_code write_dod(struct bit_writer *w, int64_t dod, unsigned long_width,
                            shale_error *err)
{
    if (dod == 0)
        return write_bits(w, 0, 1, err);
    unsigned i = 0;
    while (i < SHORT_WIDTHS) {
        int64_t max = (INT64_C(1) << (short_widths[i] - 1)) - 1;
        if (dod >= -max && dod <= max)
            break;
        i++;
    }
    /* i + 1 ones, and a zero after them where the width is a short one. */
    shale_code rc = i < SHORT_WIDTHS ? write_bits(w, (UINT64_C(1) << (i + 2)) - 2, i + 2, err)
                                     : write_bits(w, (UINT64_C(1) << (i + 1)) - 1, i + 1, err);
    if (rc != SHALE_OK)
        return rc;
    return write_bits(w, (uint64_t)dod, i < SHORT_WIDTHS ? short_widths[i] : long_width, err);
}

static shale_code write_series(const struct shl_seq_tracker *t, bool seconds, unsigned long_width,
                               struct shl_buf *out, shale_error *err)
{
    shale_code rc;
    struct bit_writer w = {.out = out};
    SHL_TRY(write_bits(&w, t->points.count, 32, err));
    for (size_t i = 0; i < t->points.count; i++) {
        if (i == 0)
            SHL_TRY(write_bits(&w, value_of(t, 0, seconds), 64, err));
        else
            SHL_TRY(write_dod(&w, dod_at(t, i, seconds), long_width, err));
    }
out:
    return rc;
}

shale_code shl_seq_tracker_encode(const struct shl_seq_tracker *t, struct shl_buf *out,
                                  shale_error *err)
{
    SHL_ASSERT(t->points.count <= UINT32_MAX);
    shale_code rc;
    size_t start = out->len;
    uint8_t version = needs_version_2(t) ? 2 : 1;
    unsigned long_width = version == 1 ? 32 : 64;
    uint8_t header[TRACKER_HEADER_BYTES] = {version};
    shl_store_u32le(header + 1, (uint32_t)t->points.count);
    SHL_TRY(shl_buf_append(out, header, sizeof header, err));
    SHL_TRY(write_series(t, false, long_width, out, err));
    SHL_TRY(write_series(t, true, long_width, out, err));
out:
    if (rc != SHALE_OK)
        out->len = start;
    return rc;
}

/* ---------------------------------------------------------------- record */

static void thin_out(struct shl_seq_tracker *t)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->points.count; i += 2)
        t->points.items[kept++] = t->points.items[i];
    t->points.count = kept;
}

shale_code shl_seq_tracker_add(struct shl_seq_tracker *t, uint64_t seq, int64_t unix_s,
                               shale_error *err)
{
    if (t->points.count > 0) {
        struct shl_seq_point last = t->points.items[t->points.count - 1];
        if (seq < last.seq || unix_s < last.unix_s)
            return SHALE_OK;
        if ((uint64_t)unix_s - (uint64_t)last.unix_s < TRACKER_STEP_S)
            return SHALE_OK;
    }
    if (!shl_array_push(&t->points, ((struct shl_seq_point){.seq = seq, .unix_s = unix_s})))
        return shl_nomem(err);
    if (t->points.count > SHL_SEQ_TRACKER_MAX)
        thin_out(t);
    return SHALE_OK;
}

void shl_seq_tracker_deinit(struct shl_seq_tracker *t)
{
    shl_array_free(&t->points);
}
