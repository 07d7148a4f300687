/* Bytes as text: hex, base64, percent-encoding, UTF-8, escapes for people. Pure; encoders append to a buffer (NOMEM leaves it as it
 * was), decoders too, and answer INVALID with the offset of the first bad byte. */
#ifndef SHL_CODEC_TEXT_H
#define SHL_CODEC_TEXT_H

#include "base/bytes.h"

/* Lower case. */
SHL_MUST shale_code shl_hex_encode(struct shl_slice in, struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_hex_decode(struct shl_slice text, struct shl_buf *out, shale_error *err); /* either case */

/* RFC 4648 section 4, with padding; decoding is strict (padding wanted, unused bits zero). */
SHL_MUST shale_code shl_base64_encode(struct shl_slice in, struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_base64_decode(struct shl_slice text, struct shl_buf *out, shale_error *err);

/* RFC 3986: all but letters, digits and "-._~" become %XX in upper case; '/' stays if keep_slash. */
SHL_MUST shale_code shl_percent_encode(struct shl_slice in, bool keep_slash, struct shl_buf *out, shale_error *err);
SHL_MUST shale_code shl_percent_decode(struct shl_slice text, struct shl_buf *out, shale_error *err);

/* Length of the valid UTF-8 character at the front of s (1 to 4), 0 if there is none. No surrogates, no overlong forms. */
size_t shl_utf8_char(struct shl_slice s, uint32_t *out_code_point);
/* True for characters that do not show what they are: terminals act on them, lines end with them, or what follows is turned around. */
bool shl_utf8_misleads(uint32_t code_point);
bool shl_utf8_valid(struct shl_slice s);

/* For one line on a terminal or in a file: \t \n \r \\ and \xNN for control characters and bytes that are not UTF-8. */
SHL_MUST shale_code shl_text_escape(struct shl_slice in, struct shl_buf *out, shale_error *err);
/* The way back; a '\' before anything else is INVALID. */
SHL_MUST shale_code shl_text_unescape(struct shl_slice text, struct shl_buf *out, shale_error *err);

#endif
