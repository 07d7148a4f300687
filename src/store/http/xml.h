/* Reading the small XML answers of object stores, with expat: a document becomes a list of (path, text) in document order.
 *
 * Names without their namespace; a path joins them with '/', e.g. "ListBucketResult/Contents/Key". An element is listed when
 * it ends, with its own text (entities decoded, blanks kept); one that holds others is listed too, with empty text (what stands
 * between them is layout), so that groups can be told apart: "ListBucketResult/Contents" comes behind its Key, Size, ...
 * Bounded: documents of 64 MiB, depth 32, no DOCTYPE (so no entities of its own, and the text is no longer than the document).
 * Any thread. */
#ifndef SHL_STORE_HTTP_XML_H
#define SHL_STORE_HTTP_XML_H

#include "base/bytes.h"

/* Called for each element as it ends; both borrowed until it returns. What it fails with ends the parse. */
typedef shale_code (*shl_xml_visit)(void *ctx, const char *path, struct shl_slice text, shale_error *err);

/* Errors: CORRUPTION (not well-formed, or beyond the bounds; the text has line and reason), NOMEM, those of visit. */
SHL_MUST shale_code shl_xml_read(struct shl_slice document, shl_xml_visit visit, void *ctx, shale_error *err);

/* Appends text with & < > " escaped, and the carriage return, which a parser would take for a line feed. */
SHL_MUST shale_code shl_xml_escape(struct shl_slice text, struct shl_buf *out, shale_error *err);

#endif
