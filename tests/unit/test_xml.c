/* Goal: answers of stores become paths and texts; damage and size are refused, never followed. Method: tables of documents and
 * what is heard of them, every cut, the bounds from both sides. */
#include "store/http/xml.h"

#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static shale_code note(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    return shl_str_printf(ctx, err, "%s=%.*s|", path, (int)text.len, (const char *)text.data);
}

static void check(const char *document, const char *want)
{
    struct shl_buf heard = {0};
    shale_error err = {0};
    if (shl_xml_read(shl_slice_str(document), note, &heard, &err) != SHALE_OK ||
        !shl_slice_eq(shl_buf_view(&heard), shl_slice_str(want)))
        fail_msg("%s\nheard %.*s\nwant  %s\n%s", document, (int)heard.len, (const char *)heard.data,
                 want, err.text);
    shl_buf_free(&heard);
}

static void test_documents(void **state)
{
    (void)state;
    check("<a/>", "a=|");
    check("<a></a>", "a=|");
    check("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a x=\"1\"> t </a>\n<!-- end -->", "a= t |");
    check("<a><b>1</b><b/><c>2</c></a>", "a/b=1|a/b=|a/c=2|a=|");
    check("<a>\n  <b>1</b>\n  <c>\n    <d>2</d>\n  </c>\n</a>", "a/b=1|a/c/d=2|a/c=|a=|");
    check("<a>x<b/>y</a>", "a/b=|a=|"); /* such mixing is layout, or nothing of ours */
    check("<k>a&amp;b&lt;&gt;&quot;&apos;&#65;&#x42;&#228;</k>", "k=a&b<>\"'AB\xc3\xa4|");
    check("<k>a&#13;b&#10;c\r\nd</k>", "k=a\rb\nc\nd|");
    check("<k>a&#1;b&#x1F;c&#x001;&amp;#1;&#x7f;</k>",
          "k=a\x01"
          "b\x1f"
          "c\x01&#1;\x7f|"); /* no XML 1.0, and yet sent */
    check("<k>&#1;\xef\xb7\xb0</k><!-- U+FDF0 is a letter -->", "k=\x01\xef\xb7\xb0|");
    check("<k>\xef\xb7\x91</k>",
          "k=\xef\xb7\x91|"); /* what stands for a control stays itself where none was */
    check("<k>one<!-- no -->two<![CDATA[<three>]]></k>", "k=onetwo<three>|");
    check("<r xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><s3:k xmlns:s3=\"u\">1</s3:k></r>",
          "r/k=1|r=|");
    check("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><k>\xe4</k>", "k=\xc3\xa4|");
    check("\xef\xbb\xbf<k>1</k>", "k=1|");
}

static void test_a_list_of_objects(void **state)
{
    (void)state;
    check("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
          "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
          "<Contents><Key>a&amp;b</Key><Size>7</Size><ETag>&quot;e&quot;</ETag></Contents>"
          "<Contents><Key>c</Key><Size>0</Size></Contents>"
          "<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes></ListBucketResult>",
          "ListBucketResult/Name=b|"
          "ListBucketResult/Contents/Key=a&b|ListBucketResult/Contents/Size=7|"
          "ListBucketResult/Contents/ETag=\"e\"|ListBucketResult/Contents=|"
          "ListBucketResult/Contents/Key=c|ListBucketResult/Contents/Size=0|"
          "ListBucketResult/Contents=|ListBucketResult/CommonPrefixes/Prefix=d/|"
          "ListBucketResult/CommonPrefixes=|ListBucketResult=|");
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *document, *message;
    } cases[] = {
        {"", "XML: line 1: "},
        {"  \n", "XML: line 2: "},
        {"text", "XML: line 1: "},
        {"<a>\n<b></a>", "XML: line 2: "},
        {"<a/><b/>", "XML: line 1: "},
        {"<a/>\n\nrest", "XML: line 3: "},
        {"<a>&nbsp;</a>", "XML: line 1: "},
        {"<a>&#0;</a>", "XML: line 1: "},
        {"<a>&#1</a>", "XML: line 1: "},
        {"<a>&#x110000;</a>", "XML: line 1: "},
        {"<a>&#1;&#", "XML: line 1: "},
        {"<a>\x01</a>", "XML: line 1: "},
        {"<a>\xff</a>", "XML: line 1: "},
        {"<?xml version=\"1.0\" encoding=\"EBCDIC\"?><a/>", "XML: line 1: "},
        {"<!DOCTYPE a><a/>", "document type"},
        {"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "document type"},
        {"<!DOCTYPE a [<!ENTITY b \"cccc\"><!ENTITY d \"&b;&b;\">]><a>&d;</a>", "document type"},
        {"\n<!DOCTYPE html><html></html>", "XML: line 2: "},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_buf heard = {0};
        shale_error err = {0};
        if (shl_xml_read(shl_slice_str(cases[i].document), note, &heard, &err) !=
                SHALE_CORRUPTION ||
            strstr(err.text, cases[i].message) == NULL)
            fail_msg("%s: %s", cases[i].document, err.text);
        shl_buf_free(&heard);
    }
}

static void test_depth_limit_is_exact(void **state)
{
    (void)state;
    for (int depth = 32; depth <= 33; depth++) {
        struct shl_buf document = {0}, heard = {0};
        shale_error err = {0};
        for (int i = 0; i < depth; i++)
            assert_int_equal(shl_str_append(&document, "<a>", &err), SHALE_OK);
        for (int i = 0; i < depth; i++)
            assert_int_equal(shl_str_append(&document, "</a>", &err), SHALE_OK);
        shale_code rc = shl_xml_read(shl_buf_view(&document), note, &heard, &err);
        assert_int_equal(rc, depth == 32 ? SHALE_OK : SHALE_CORRUPTION);
        if (depth == 33)
            assert_non_null(strstr(err.text, "deeper than 32"));
        shl_buf_free(&document);
        shl_buf_free(&heard);
    }
}

static shale_code count(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    (void)path;
    (void)err;
    *(size_t *)ctx += text.len;
    return SHALE_OK;
}

static void test_size_limit_is_exact(void **state)
{
    (void)state;
    size_t max = (size_t)64 << 20;
    for (size_t size = max; size <= max + 1; size++) {
        uint8_t *document = env_alloc(size);
        size_t len = 0;
        shale_error err = {0};
        assert_non_null(document);
        memset(document, 'x', size);
        memcpy(document, "<a>", 3);
        memcpy(document + size - 4, "</a>", 4);
        shale_code rc = shl_xml_read(shl_slice_of(document, size), count, &len, &err);
        assert_int_equal(rc, size == max ? SHALE_OK : SHALE_CORRUPTION);
        assert_int_equal(len, size == max ? size - 7 : 0);
        env_free(document);
    }
}

static void test_no_cut_is_whole(void **state)
{
    (void)state;
    static const char document[] = "<?xml version=\"1.0\"?><a><b>1&amp;</b><c x='y'/></a>";
    for (size_t len = 0; len < sizeof document - 1; len++) {
        uint8_t *copy = env_alloc(len);
        struct shl_buf heard = {0};
        shale_error err = {0};
        assert_non_null(copy);
        memcpy(copy, document, len);
        if (shl_xml_read(shl_slice_of(copy, len), note, &heard, &err) != SHALE_CORRUPTION)
            fail_msg("%zu bytes are taken", len);
        shl_buf_free(&heard);
        env_free(copy);
    }
}

/* A visitor that counts down to a failure of its own. */
static shale_code give_up(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    (void)text;
    int *left = ctx;
    assert_true(*left >= 0); /* nobody is called after a failure */
    return (*left)-- > 0 ? SHALE_OK : shl_fail(err, SHALE_NOT_SUPPORTED, "no more after %s", path);
}

static void test_a_failing_visitor_ends_the_parse(void **state)
{
    (void)state;
    static const char *const last[] = {"a/b", "a/c/d", "a/c", "a"};
    for (int n = 0; n < 4; n++) {
        int left = n;
        shale_error err = {0};
        assert_int_equal(
            shl_xml_read(shl_slice_str("<a><b/><c><d/></c></a>"), give_up, &left, &err),
            SHALE_NOT_SUPPORTED);
        assert_string_equal(err.text + strlen("no more after "), last[n]);
    }
}

static shale_code keep_text(void *ctx, const char *path, struct shl_slice text, shale_error *err)
{
    (void)path;
    return shl_buf_set(ctx, text, err);
}

static void test_what_is_escaped_reads_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"",       "plain",     "a&b<c>d\"e",
                                        "&&amp;", "\r\n\t \r", "\xc3\xa4\xf0\x9f\x98\x80'"};
    for (size_t i = 0; i < SHL_COUNT_OF(texts); i++) {
        struct shl_buf document = {0}, back = {0};
        shale_error err = {0};
        assert_int_equal(shl_str_append(&document, "<k>", &err), SHALE_OK);
        assert_int_equal(shl_xml_escape(shl_slice_str(texts[i]), &document, &err), SHALE_OK);
        assert_int_equal(shl_str_append(&document, "</k>", &err), SHALE_OK);
        assert_int_equal(shl_xml_read(shl_buf_view(&document), keep_text, &back, &err), SHALE_OK);
        if (!shl_slice_eq(shl_buf_view(&back), shl_slice_str(texts[i])))
            fail_msg("%s: %.*s", texts[i], (int)document.len, (const char *)document.data);
        shl_buf_free(&document);
        shl_buf_free(&back);
    }
    struct shl_buf out = {0};
    shale_error err;
    assert_int_equal(shl_xml_escape(shl_slice_str("a&b<c>d\"e'"), &out, &err), SHALE_OK);
    assert_true(shl_slice_eq(shl_buf_view(&out), shl_slice_str("a&amp;b&lt;c&gt;d&quot;e'")));
    size_t before = out.len;
    assert_int_equal(shl_xml_escape(shl_slice_of(NULL, 0), &out, &err), SHALE_OK);
    assert_int_equal(out.len, before);
    shl_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_a_list_of_objects),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_depth_limit_is_exact),
        cmocka_unit_test(test_size_limit_is_exact),
        cmocka_unit_test(test_no_cut_is_whole),
        cmocka_unit_test(test_a_failing_visitor_ends_the_parse),
        cmocka_unit_test(test_what_is_escaped_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
