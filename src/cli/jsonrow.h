/* One line of shale load: a JSON object of known members, parsed strictly (RFC 8259) and, where nothing is escaped, without copying. */
#ifndef SHL_CLI_JSONROW_H
#define SHL_CLI_JSONROW_H

#include "base/bytes.h"

struct json_row {
    struct shl_slice key; /* into the line or into `scratch` */
    struct shl_slice value;
    bool is_delete; /* value null */
    bool is_base64; /* the value came as value_base64 */
    bool has_expire_ts;
    int64_t expire_ts; /* Unix ms */
};

/* A parser with its reused memory. {0} may be deinit'ed. One task. */
struct json_row_parser {
    bool empty_keys;      /* are taken */
    bool hex;             /* members k and v in hex; else key, value, key_base64, value_base64 */
    struct shl_buf key;   /* owned: decoded key */
    struct shl_buf value; /* owned: decoded value */
    struct shl_buf text;  /* owned: unescaped string */
};

/* Parses one line without its line end. The slices of *out are valid until the next call and while `line` is. INVALID with what is wrong and
 * at which byte; NOMEM. */
SHL_MUST shale_code json_row_parse(struct json_row_parser *p, struct shl_slice line,
                                   struct json_row *out, shale_error *err);
void json_row_deinit(struct json_row_parser *p);

#endif
