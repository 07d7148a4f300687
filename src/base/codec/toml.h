/* Settings files in TOML 1.0: tables, dotted and quoted keys, inline tables, basic and literal strings of one line, integers (with
 * 0x 0o 0b and _), floats, booleans, arrays of scalars, comments. Multi-line strings, dates, arrays of tables, nested arrays
 * and inf/nan are refused with a text that says so: no setting needs them. */
#ifndef SHL_CODEC_TOML_H
#define SHL_CODEC_TOML_H

#include "base/codec/setting_sink.h"

/* Calls fn for each setting in the order of the text. INVALID with "line N: .."; NOMEM; or what fn answered. Integers are handed on in decimal. */
SHL_MUST shale_code shl_toml_read(struct shl_slice text, shl_setting_fn fn, void *ctx, shale_error *err);

#endif
