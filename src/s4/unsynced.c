#include "s4/unsynced.h"

#include "base/codec/crc32.h"
#include "base/env/env.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>

#define FIRST      "shale s4 unsynced 1"
#define TRIED      "tried"
#define TRIED_LINE 3

shale_code shl_s4_unsynced_encode(const struct shl_s4_unsynced *u, struct shl_buf *out,
                                  shale_error *err)
{
    char name[SHL_S4_NAME_BYTES];
    size_t start = out->len;
    shale_code rc;
    SHL_TRY(shl_str_printf(out, err, FIRST "\ngeneration %" PRIu64 "\n", u->generation));
    if (u->tried)
        SHL_TRY(shl_str_append(out, TRIED "\n", err));
    for (size_t i = 0; i < u->ranges.count; i++) {
        const struct shl_s4_range *r = &u->ranges.items[i];
        shl_s4_name(r->file, name);
        SHL_TRY(
            shl_str_printf(out, err, "file %s %" PRIu64 " %" PRIu64 "\n", name, r->from, r->to));
    }
    SHL_TRY(shl_str_printf(out, err, "end %08" PRIx32 "\n",
                           shl_crc32(out->data + start, out->len - start)));
out:
    return rc;
}

/* ---- reading: words of lines */

struct lines {
    struct shl_slice rest;
    struct shl_slice line;
    uint64_t number;
};

static bool next_line(struct lines *l)
{
    const uint8_t *end = l->rest.len > 0 ? memchr(l->rest.data, '\n', l->rest.len) : NULL;
    if (end == NULL)
        return false;
    l->line = shl_slice_of(l->rest.data, (size_t)(end - l->rest.data));
    l->rest = shl_slice_of(end + 1, l->rest.len - l->line.len - 1);
    l->number++;
    return true;
}

/* The next word of the line, without its blank; empty at the end. */
static struct shl_slice word(struct lines *l)
{
    size_t n = 0;
    while (n < l->line.len && l->line.data[n] != ' ')
        n++;
    struct shl_slice w = shl_slice_of(l->line.data, n);
    n += n < l->line.len;
    l->line = shl_slice_of(l->line.data + n, l->line.len - n);
    return w;
}

static bool number(struct lines *l, uint64_t *out)
{
    return shl_parse_u64(word(l), out);
}

static bool hex32(struct lines *l, uint32_t *out)
{
    struct shl_slice w = word(l);
    *out = 0;
    for (size_t i = 0; i < w.len; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = w.data[i] != 0 ? strchr(digits, w.data[i]) : NULL;
        if (at == NULL)
            return false;
        *out = *out << 4 | (uint32_t)(at - digits);
    }
    return w.len == 8;
}

static bool take_range(struct lines *l, struct shl_s4_range *out)
{
    char name[SHL_S4_NAME_BYTES] = "";
    struct shl_slice text = word(l);
    if (text.len >= sizeof name)
        return false;
    if (text.len > 0)
        memcpy(name, text.data, text.len);
    return shl_s4_name_parse(name, &out->file) && number(l, &out->from) && number(l, &out->to) &&
           out->from >= SHL_S4_HEADER_BYTES && out->from <= out->to;
}

static shale_code bad_line(const struct lines *l, const char *what, shale_error *err)
{
    return shl_fail(err, SHALE_CORRUPTION, "line %" PRIu64 ": %s", l->number, what);
}

static shale_code take_line(struct lines *l, struct shl_s4_unsynced *out, shale_error *err)
{
    struct shl_s4_range r;
    struct shl_slice first = word(l);
    if (shl_slice_eq(first, shl_slice_str(TRIED)) && l->number == TRIED_LINE && l->line.len == 0) {
        out->tried = true;
        return SHALE_OK;
    }
    if (shl_slice_eq(first, shl_slice_str("file"))) {
        if (!take_range(l, &r))
            return bad_line(l, "want file NAME FROM TO, with FROM <= TO", err);
        return shl_array_push(&out->ranges, r) ? SHALE_OK : shl_nomem(err);
    }
    return bad_line(l, "want file or end", err);
}

static shale_code take(struct shl_slice text, struct shl_s4_unsynced *out, shale_error *err)
{
    struct lines l = {.rest = text};
    uint32_t want;
    if (!next_line(&l) || !shl_slice_eq(l.line, shl_slice_str(FIRST)))
        return bad_line(&l, "want \"" FIRST "\"", err);
    if (!next_line(&l) || !shl_slice_eq(word(&l), shl_slice_str("generation")) ||
        !number(&l, &out->generation))
        return bad_line(&l, "want generation NUMBER", err);
    for (;;) {
        size_t before = (size_t)(l.rest.data - text.data);
        if (!next_line(&l))
            return bad_line(&l, "the end is missing", err);
        if (shl_slice_has_prefix(l.line, shl_slice_str("end "))) {
            uint32_t crc = shl_crc32(text.data, before);
            (void)word(&l);
            if (!hex32(&l, &want) || want != crc || l.rest.len > 0)
                return bad_line(&l, "the checksum is not that of the lines before", err);
            return SHALE_OK;
        }
        shale_code rc = take_line(&l, out, err);
        if (rc != SHALE_OK)
            return rc;
    }
}

shale_code shl_s4_unsynced_decode(struct shl_slice text, struct shl_s4_unsynced *out,
                                  shale_error *err)
{
    *out = (struct shl_s4_unsynced){0};
    shale_code rc = take(text, out, err);
    if (rc != SHALE_OK)
        shl_s4_unsynced_free(out);
    return rc;
}

void shl_s4_unsynced_free(struct shl_s4_unsynced *u)
{
    shl_array_free(&u->ranges);
    *u = (struct shl_s4_unsynced){0};
}

#define NAME_FRONT "writer_"
#define NAME_END   ".unsynced"

void shl_s4_unsynced_name(uint32_t writer, const char *ending, char out[SHL_S4_NAME_BYTES])
{
    (void)snprintf(out, SHL_S4_NAME_BYTES, NAME_FRONT "%08" PRIx32 "%s", writer, ending);
}

bool shl_s4_unsynced_name_parse(const char *name, uint32_t *out_writer)
{
    char same[SHL_S4_NAME_BYTES];
    uint32_t writer = 0;
    if (strncmp(name, NAME_FRONT, sizeof NAME_FRONT - 1) != 0)
        return false;
    const char *p = name + sizeof NAME_FRONT - 1;
    for (unsigned i = 0; i < 8; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = p[i] != '\0' ? strchr(digits, p[i]) : NULL;
        if (at == NULL)
            return false;
        writer = writer << 4 | (uint32_t)(at - digits);
    }
    shl_s4_unsynced_name(writer, NAME_END, same);
    if (strcmp(name, same) != 0)
        return false;
    *out_writer = writer;
    return true;
}
