/* Times as text: RFC 3339, HTTP dates, and the two forms that AWS signs. Pure; UTC only; years 1970 to 9999: what
 * lies outside is written as the first or last of them. Parsed times are nanoseconds, INT64_MAX from April 2262 on. */
#ifndef SHL_CODEC_TIMEFMT_H
#define SHL_CODEC_TIMEFMT_H

#include "base/bytes.h"

#define SHL_TIME_TEXT 40 /* bytes enough for each text made here */

/* "2026-01-15T08:30:00Z", with ".123" if there are milliseconds. Returns out. */
const char *shl_time_rfc3339(int64_t unix_ms, char out[SHL_TIME_TEXT]);
/* "Thu, 15 Jan 2026 08:30:00 GMT". Returns out. */
const char *shl_time_http(int64_t unix_ms, char out[SHL_TIME_TEXT]);
/* "20260115T083000Z". Returns out. */
const char *shl_time_amz(int64_t unix_ms, char out[SHL_TIME_TEXT]);

/* Date, 'T', 't' or blank, time, any fraction (cut to nanoseconds), "Z" or an offset. False if it is anything else. */
SHL_MUST bool shl_time_parse_rfc3339(struct shl_slice text, int64_t *out_unix_ns);
/* The form of RFC 9110 (IMF-fixdate), and the two obsolete ones that servers may still send. */
SHL_MUST bool shl_time_parse_http(struct shl_slice text, int64_t *out_unix_ns);

#endif
