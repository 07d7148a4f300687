/* Sizes, durations, percentages and yes/no as people write and read them. Pure; any thread. */
#ifndef SHL_BASE_UNITS_H
#define SHL_BASE_UNITS_H

#include "base/bytes.h"

#define SHL_UNITS_TEXT 48 /* bytes enough for each text made here */

/* "4096", "10MiB" and "10M" (1024), "10MB" (1000), "1.5 GiB"; K M G T P E in any case, up to 9 decimals. Errors: INVALID
 * with a text like `"10 XB" is not a size (e.g. 4096, 64MiB, 10MB)`. */
SHL_MUST shale_code shl_parse_size(struct shl_slice text, uint64_t *out_bytes, shale_error *err);

/* Nanoseconds from parts that are added: "100ms", "30s", "5m", "1h30m", "7d", "1s+500ms", "1.5s", "250us", "2w". A bare number
 * is seconds if bare_is_seconds (files, as SlateDB does), else INVALID `"5": 5 what? write 5s or 5ms`. */
SHL_MUST shale_code shl_parse_duration(struct shl_slice text, bool bare_is_seconds, uint64_t *out_ns, shale_error *err);

/* "10%" or "10.5 %" to 0.1 or 0.105; 0 to 100. */
SHL_MUST shale_code shl_parse_percent(struct shl_slice text, double *out_fraction, shale_error *err);

/* true on yes 1 / false off no 0, in any case; false if it is none of them. */
SHL_MUST bool shl_parse_bool(struct shl_slice text, bool *out);

/* For people: three digits and a unit of 1024, "0 B", "999 B", "4.00 KiB", "64.0 MiB", "1000 KiB". Returns out. */
const char *shl_format_size(uint64_t bytes, char out[SHL_UNITS_TEXT]);
/* Exact, the largest unit that divides: "64MiB", "4096KiB" never, "1000". Read back by shl_parse_size. */
const char *shl_format_size_exact(uint64_t bytes, char out[SHL_UNITS_TEXT]);
/* SlateDB's form: "5s", "100ms", "1s+500ms", "0s"; finer parts, which it drops, follow as "+250us", "+7ns". */
const char *shl_format_duration(uint64_t ns, char out[SHL_UNITS_TEXT]);
/* For people: the two largest units, "7d 2h", "1h 30m", "5m", "1.50s", "12.3ms", "980us", "17ns". */
const char *shl_format_duration_human(uint64_t ns, char out[SHL_UNITS_TEXT]);
/* "12.3 %" of a fraction. */
const char *shl_format_percent(double fraction, char out[SHL_UNITS_TEXT]);

#endif
