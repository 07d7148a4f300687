#include "store/http/xml.h"

#include "base/assert.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <expat.h>

#define DEPTH_MAX    32
#define DOCUMENT_MAX ((size_t)64 << 20)

struct xml {
    XML_Parser parser;
    shl_xml_visit visit;
    void *ctx;
    struct shl_buf path;    /* of the innermost open element */
    struct shl_buf text;    /* of the innermost open element, as long as it has no child */
    size_t ends[DEPTH_MAX]; /* path length of each open element */
    size_t depth;
    bool is_leaf;  /* the innermost open element has no child */
    bool stood_in; /* the document had control characters: see stand_in */
    shale_code rc;
    shale_error *err;
};

/* ---- control characters
 *
 * Keys may have them, and servers write them as references like &#x1;, which XML 1.0 does not know and expat refuses. Before expat sees the
 * document each becomes one of 32 characters that mean nothing to anybody (U+FDD0 ..), and after that what it was. */

/* The control character of the reference that text begins with, and its bytes; 0: it is none, or one that XML takes. */
static unsigned control_of(struct shl_slice text, size_t *out_bytes)
{
    bool hex = text.len > 2 && text.data[2] == 'x';
    size_t i = hex ? 3 : 2;
    unsigned n = 0;
    for (; i < text.len && text.data[i] != ';' && n < 0x100; i++) {
        uint8_t c = text.data[i];
        unsigned digit = c >= '0' && c <= '9'   ? c - (unsigned)'0'
                         : c >= 'a' && c <= 'f' ? c - (unsigned)'a' + 10
                         : c >= 'A' && c <= 'F' ? c - (unsigned)'A' + 10
                                                : 16;
        if (digit >= (hex ? 16u : 10u))
            return 0;
        n = n * (hex ? 16 : 10) + digit;
    }
    *out_bytes = i + 1;
    return i < text.len && n < 0x20 && n != '\t' && n != '\n' && n != '\r' ? n : 0;
}

/* The document with stand-ins in `out`; nothing is written if it needs none. */
static shale_code stand_in(struct shl_slice document, struct shl_buf *out, shale_error *err)
{
    size_t done = 0;
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i + 3 < document.len; i++) {
        size_t bytes = 0;
        if (document.data[i] != '&' || document.data[i + 1] != '#')
            continue;
        unsigned c = control_of(shl_slice_of(document.data + i, document.len - i), &bytes);
        if (c == 0)
            continue;
        const uint8_t utf8[3] = {0xef, 0xb7, (uint8_t)(0x90 + c)};
        SHL_TRY(shl_buf_append(out, document.data + done, i - done, err));
        SHL_TRY(shl_buf_append(out, utf8, sizeof utf8, err));
        done = i + bytes;
        i = done - 1;
    }
    if (done > 0)
        SHL_TRY(shl_buf_append(out, document.data + done, document.len - done, err));
out:
    return rc;
}

/* What stands for control characters becomes them again. */
static void stand_out(struct shl_buf *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++) {
        const uint8_t *p = text->data + i;
        bool is_one =
            text->len - i >= 3 && p[0] == 0xef && p[1] == 0xb7 && p[2] >= 0x90 && p[2] < 0xb0;
        text->data[n++] = is_one ? (uint8_t)(p[2] - 0x90) : *p;
        i += is_one ? 2 : 0;
    }
    text->len = n;
}

/* ---- the parser */

/* expat may call handlers once more after it was stopped: each looks at rc first. */
static void stop(struct xml *x, shale_code rc)
{
    SHL_ASSERT(rc != SHALE_OK);
    x->rc = rc;
    (void)XML_StopParser(x->parser, XML_FALSE);
}

static shale_code bad(const struct xml *x, const char *why)
{
    return shl_fail(x->err, SHALE_CORRUPTION, "XML: line %lu: %s",
                    (unsigned long)XML_GetCurrentLineNumber(x->parser), why);
}

static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

static shale_code open_element(struct xml *x, const char *name)
{
    if (x->depth == DEPTH_MAX)
        return bad(x, "elements are nested deeper than 32");
    size_t before = x->path.len;
    shale_code rc = SHALE_OK;
    if (x->depth > 0)
        SHL_TRY(shl_str_append(&x->path, "/", x->err));
    SHL_TRY(shl_str_append(&x->path, local_name(name), x->err));
    x->ends[x->depth++] = x->path.len;
    x->text.len = 0;
    x->is_leaf = true;
out:
    if (rc != SHALE_OK)
        x->path.len = before;
    return rc;
}

static shale_code close_element(struct xml *x)
{
    SHL_ASSERT(x->depth > 0);
    if (x->stood_in)
        stand_out(&x->text);
    struct shl_slice text = x->is_leaf ? shl_buf_view(&x->text) : shl_slice_of("", 0);
    shale_code rc;
    SHL_TRY(shl_str_terminate(&x->path, x->err));
    SHL_TRY(x->visit(x->ctx, (const char *)x->path.data, text, x->err));
    x->depth--;
    x->path.len = x->depth > 0 ? x->ends[x->depth - 1] : 0;
    x->text.len = 0;
    x->is_leaf = false; /* the one around it has a child */
out:
    return rc;
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct xml *x = data;
    shale_code rc = x->rc == SHALE_OK ? open_element(x, name) : SHALE_OK;
    if (rc != SHALE_OK)
        stop(x, rc);
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
    (void)name;
    struct xml *x = data;
    shale_code rc = x->rc == SHALE_OK ? close_element(x) : SHALE_OK;
    if (rc != SHALE_OK)
        stop(x, rc);
}

static void XMLCALL on_text(void *data, const XML_Char *text, int len)
{
    struct xml *x = data;
    if (x->rc != SHALE_OK || !x->is_leaf)
        return;
    shale_code rc = shl_buf_append(&x->text, text, (size_t)len, x->err);
    if (rc != SHALE_OK)
        stop(x, rc);
}

static void XMLCALL on_doctype(void *data, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    struct xml *x = data;
    if (x->rc == SHALE_OK)
        stop(x, bad(x, "a document type is not taken"));
}

static shale_code parse(struct xml *x, struct shl_slice document)
{
    static const XML_Memory_Handling_Suite memory = {env_alloc, env_realloc, env_free};
    x->parser = XML_ParserCreate_MM(NULL, &memory, NULL);
    if (x->parser == NULL)
        return shl_nomem(x->err);
    /* Without it expat would ask the system for chance. */
    if (XML_SetHashSalt(x->parser, (unsigned long)(env_rand64() | 1)) != 1)
        return shl_fail(x->err, SHALE_INTERNAL, "XML: the hash salt is not taken");
    XML_SetUserData(x->parser, x);
    XML_SetElementHandler(x->parser, on_start, on_end);
    XML_SetCharacterDataHandler(x->parser, on_text);
    XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
    const char *bytes = document.len > 0 ? (const char *)document.data : "";
    if (XML_Parse(x->parser, bytes, (int)document.len, XML_TRUE) == XML_STATUS_OK)
        return x->rc;
    if (x->rc != SHALE_OK)
        return x->rc;
    enum XML_Error why = XML_GetErrorCode(x->parser);
    return why == XML_ERROR_NO_MEMORY ? shl_nomem(x->err) : bad(x, XML_ErrorString(why));
}

shale_code shl_xml_read(struct shl_slice document, shl_xml_visit visit, void *ctx, shale_error *err)
{
    if (document.len > DOCUMENT_MAX)
        return shl_fail(err, SHALE_CORRUPTION, "XML: %zu bytes, at most %zu", document.len,
                        DOCUMENT_MAX);
    struct xml x = {.visit = visit, .ctx = ctx, .err = err};
    struct shl_buf safe = {0};
    shale_code rc = stand_in(document, &safe, err);
    x.stood_in = safe.len > 0;
    if (rc == SHALE_OK)
        rc = parse(&x, x.stood_in ? shl_buf_view(&safe) : document);
    shl_buf_free(&safe);
    if (x.parser != NULL)
        XML_ParserFree(x.parser);
    shl_buf_free(&x.path);
    shl_buf_free(&x.text);
    return rc;
}

shale_code shl_xml_escape(struct shl_slice text, struct shl_buf *out, shale_error *err)
{
    static const struct {
        char c;
        const char *escaped;
    } special[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\r', "&#13;"}};
    size_t before = out->len;
    shale_code rc = SHALE_OK;
    size_t done = 0; /* bytes of text that are in out */
    for (size_t i = 0; i < text.len; i++) {
        for (size_t k = 0; k < SHL_COUNT_OF(special); k++) {
            if (text.data[i] != (uint8_t)special[k].c)
                continue;
            SHL_TRY(shl_buf_append(out, text.data + done, i - done, err));
            SHL_TRY(shl_str_append(out, special[k].escaped, err));
            done = i + 1;
        }
    }
    if (done < text.len)
        SHL_TRY(shl_buf_append(out, text.data + done, text.len - done, err));
out:
    if (rc != SHALE_OK)
        out->len = before;
    return rc;
}
