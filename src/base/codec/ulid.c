#include "base/codec/ulid.h"

#include "base/assert.h"

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

struct shl_ulid shl_ulid_make(uint64_t ms, uint64_t rand_hi, uint64_t rand_lo)
{
    SHL_ASSERT(ms <= SHL_ULID_MS_MAX);
    return (struct shl_ulid){.hi = ms << 16 | (rand_hi & 0xffff), .lo = rand_lo};
}

void shl_ulid_format(struct shl_ulid u, char out[SHL_ULID_TEXT])
{
    for (size_t i = SHL_ULID_TEXT - 1; i-- > 0;) {
        out[i] = crockford[u.lo & 31];
        u.lo = u.lo >> 5 | u.hi << 59;
        u.hi >>= 5;
    }
    out[SHL_ULID_TEXT - 1] = '\0';
}

/* The value of a Crockford digit, or -1. I, L, O and U are none: SlateDB never writes them. */
static int crockford_value(uint8_t c)
{
    if (c >= 'a' && c <= 'z')
        c = (uint8_t)(c - 32);
    const char *at = c == '\0' ? NULL : strchr(crockford, c);
    return at == NULL ? -1 : (int)(at - crockford);
}

bool shl_ulid_parse(struct shl_slice text, struct shl_ulid *out)
{
    if (text.len != SHL_ULID_TEXT - 1)
        return false;
    struct shl_ulid u = {0, 0};
    for (size_t i = 0; i < text.len; i++) {
        int digit = crockford_value(text.data[i]);
        if (digit < 0 ||
            (i == 0 && digit > 7)) /* 26 digits are 130 bits: the first has only three */
            return false;
        u.hi = u.hi << 5 | u.lo >> 59;
        u.lo = u.lo << 5 | (uint64_t)digit;
    }
    *out = u;
    return true;
}

struct shl_ulid shl_uuid_make(uint64_t rand_hi, uint64_t rand_lo)
{
    return (struct shl_ulid){
        .hi = (rand_hi & ~UINT64_C(0xf000)) | UINT64_C(0x4000),
        .lo = (rand_lo & UINT64_MAX >> 2) | UINT64_C(1) << 63,
    };
}

static bool is_dash_place(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void shl_uuid_format(struct shl_ulid u, char out[SHL_UUID_TEXT])
{
    for (size_t i = SHL_UUID_TEXT - 1; i-- > 0;) {
        if (is_dash_place(i)) {
            out[i] = '-';
            continue;
        }
        out[i] = "0123456789abcdef"[u.lo & 15];
        u.lo = u.lo >> 4 | u.hi << 60;
        u.hi >>= 4;
    }
    out[SHL_UUID_TEXT - 1] = '\0';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool shl_uuid_parse(struct shl_slice text, struct shl_ulid *out)
{
    if (text.len != SHL_UUID_TEXT - 1)
        return false;
    struct shl_ulid u = {0, 0};
    for (size_t i = 0; i < text.len; i++) {
        if (is_dash_place(i)) {
            if (text.data[i] != '-')
                return false;
            continue;
        }
        int digit = hex_value(text.data[i]);
        if (digit < 0)
            return false;
        u.hi = u.hi << 4 | u.lo >> 60;
        u.lo = u.lo << 4 | (uint64_t)digit;
    }
    *out = u;
    return true;
}
