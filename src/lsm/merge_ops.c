/* The merge operators that need no code of the caller: all are associative, so that it does not matter which operands are folded first. */
#include "base/codec/endian.h"
#include "lsm/settings.h"

#include <string.h>

#define NUMBER_BYTES 8

enum op { SUM_U64, SUM_I64, MAX_U64, MIN_U64, MAX_I64, MIN_I64, MAX_BYTES, MIN_BYTES };

static shale_code concat(void *ctx, struct shl_slice key, const struct shl_slice *existing,
                         struct shl_slice operand, struct shl_buf *out, shale_error *err)
{
    (void)ctx;
    (void)key;
    if (existing != NULL) {
        shale_code rc = shl_buf_append(out, existing->data, existing->len, err);
        if (rc != SHALE_OK)
            return rc;
    }
    return shl_buf_append(out, operand.data, operand.len, err);
}

/* Little-endian. Unsigned: shorter values count as zero-extended. */
static uint64_t number_of(struct shl_slice s)
{
    uint8_t bytes[NUMBER_BYTES] = {0};
    if (s.len > 0)
        memcpy(bytes, s.data, s.len);
    return shl_load_u64le(bytes);
}

/* A two's complement number by the order of unsigned ones. */
static uint64_t in_order(enum op op, uint64_t n)
{
    return op == MAX_I64 || op == MIN_I64 ? n ^ (UINT64_C(1) << 63) : n;
}

static uint64_t fold(enum op op, uint64_t a, uint64_t b)
{
    if (op == SUM_U64 || op == SUM_I64)
        return a + b; /* the same bits, signed or not */
    bool max = op == MAX_U64 || op == MAX_I64;
    return (in_order(op, a) >= in_order(op, b)) == max ? a : b;
}

static const char *op_name(enum op op)
{
    static const char *const names[] = {"sum-u64", "sum-i64", "max-u64",   "min-u64",
                                        "max-i64", "min-i64", "max-bytes", "min-bytes"};
    return names[op];
}

static bool fits(enum op op, struct shl_slice s)
{
    bool is_signed = op == SUM_I64 || op == MAX_I64 || op == MIN_I64;
    return is_signed ? s.len == NUMBER_BYTES : s.len <= NUMBER_BYTES;
}

static shale_code numbers(enum op op, const struct shl_slice *existing, struct shl_slice operand,
                          struct shl_buf *out, shale_error *err)
{
    uint8_t bytes[NUMBER_BYTES];
    if (!fits(op, operand) || (existing != NULL && !fits(op, *existing)))
        return shl_fail(err, SHALE_INVALID,
                        "merge operator %s: a value of %zu bytes, %s 8 are known", op_name(op),
                        fits(op, operand) ? existing->len : operand.len,
                        op == SUM_I64 || op == MAX_I64 || op == MIN_I64 ? "exactly" : "at most");
    uint64_t n = number_of(operand);
    shl_store_u64le(bytes, existing != NULL ? fold(op, number_of(*existing), n) : n);
    return shl_buf_append(out, bytes, sizeof bytes, err);
}

static shale_code whole_bytes(enum op op, const struct shl_slice *existing,
                              struct shl_slice operand, struct shl_buf *out, shale_error *err)
{
    bool keep = existing != NULL && (op == MAX_BYTES ? shl_slice_cmp(*existing, operand) >= 0
                                                     : shl_slice_cmp(*existing, operand) <= 0);
    struct shl_slice won = keep ? *existing : operand;
    return shl_buf_append(out, won.data, won.len, err);
}

#define OPERATOR(name, op, by)                                                                     \
    static shale_code name(void *ctx, struct shl_slice key, const struct shl_slice *existing,      \
                           struct shl_slice operand, struct shl_buf *out, shale_error *err)        \
    {                                                                                              \
        (void)ctx;                                                                                 \
        (void)key;                                                                                 \
        return by(op, existing, operand, out, err);                                                \
    }
OPERATOR(sum_u64, SUM_U64, numbers)
OPERATOR(sum_i64, SUM_I64, numbers)
OPERATOR(max_u64, MAX_U64, numbers)
OPERATOR(min_u64, MIN_U64, numbers)
OPERATOR(max_i64, MAX_I64, numbers)
OPERATOR(min_i64, MIN_I64, numbers)
OPERATOR(max_bytes, MAX_BYTES, whole_bytes)
OPERATOR(min_bytes, MIN_BYTES, whole_bytes)

bool shl_merge_operator_builtin(const char *name, struct shl_merge_operator *out)
{
    static const struct {
        const char *name;
        shale_code (*merge)(void *ctx, struct shl_slice key, const struct shl_slice *existing,
                            struct shl_slice operand, struct shl_buf *out, shale_error *err);
    } all[] = {{"concat", concat},   {"sum-u64", sum_u64},     {"sum-i64", sum_i64},
               {"max-u64", max_u64}, {"min-u64", min_u64},     {"max-i64", max_i64},
               {"min-i64", min_i64}, {"max-bytes", max_bytes}, {"min-bytes", min_bytes}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(name, all[i].name) == 0) {
            *out = (struct shl_merge_operator){.merge = all[i].merge};
            return true;
        }
    return false;
}
