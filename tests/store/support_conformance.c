#include "store/support_conformance.h"

#include "base/env/env.h"
#include "base/num.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

shale_error test_err;

/* ---- helpers */

void expect_code_at(shale_code expected, shale_code got, const shale_error *err, const char *what,
                    const char *file, int line)
{
    if (expected == got)
        return;
    print_error("%s:%d: %s\n  want %s, got %s (%s)\n", file, line, what, shale_code_name(expected),
                shale_code_name(got), got == SHALE_OK ? "" : err->text);
    fail();
}

shale_code put_mode(struct shl_store *s, const char *key, const char *text, enum shl_put_mode mode,
                    const char *if_match, struct shl_object *out)
{
    struct shl_slice body = shl_slice_str(text);
    struct shl_put how = {.mode = mode, .if_match = if_match};
    return shl_store_put(s, key, &body, 1, &how, out, &test_err);
}

void put_text(struct shl_store *s, const char *key, const char *text)
{
    expect_code(SHALE_OK, put_mode(s, key, text, SHL_PUT_OVERWRITE, NULL, NULL));
}

void expect_body(struct shl_store *s, const char *key, const void *data, size_t len)
{
    struct shl_buf body = {0};
    struct shl_object o;
    expect_code(SHALE_OK, shl_store_get(s, key, NULL, &body, &o, &test_err));
    assert_int_equal(body.len, len);
    assert_int_equal(o.size, len);
    if (len > 0)
        assert_memory_equal(body.data, data, len);
    shl_buf_free(&body);
}

void expect_text(struct shl_store *s, const char *key, const char *text)
{
    expect_body(s, key, text, strlen(text));
}

void expect_keys(struct shl_store *s, const struct shl_list_options *how, const char *keys)
{
    static const struct shl_list_options all = {0};
    struct shl_list l = {0};
    char got[2048] = "";
    expect_code(SHALE_OK, shl_store_list(s, how == NULL ? &all : how, &l, &test_err));
    for (size_t i = 0; i < l.count; i++) {
        assert_true(strlen(got) + strlen(l.items[i].key) + 2 < sizeof got);
        strcat(got, i == 0 ? "" : " ");
        strcat(got, l.items[i].key);
    }
    assert_string_equal(got, keys);
    shl_list_free(&l);
}

char *temp_dir_new(void)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    assert_non_null(path);
    snprintf(path, 4096, "%s/shale-store-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(path));
    return path;
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        char below[4096];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
            remove_tree(below);
        else
            unlink(below);
    }
    if (d != NULL)
        closedir(d);
    rmdir(path);
}

void temp_dir_free(char *take_dir)
{
    remove_tree(take_dir);
    free(take_dir);
}

void run_tasks(void (*fn)(void *arg), void *args, size_t arg_bytes, size_t count)
{
    struct env_task *tasks[32];
    assert_true(count <= SHL_COUNT_OF(tasks));
    for (size_t i = 0; i < count; i++)
        assert_int_equal(env_task_spawn(&tasks[i], "racer", fn, (char *)args + i * arg_bytes),
                         SHALE_OK);
    for (size_t i = 0; i < count; i++)
        env_task_join(tasks[i]);
}

/* ---- put, get, head */

static void put_then_get_and_head_agree(struct shl_store *s)
{
    struct shl_object put;
    struct shl_object head;
    struct shl_object got;
    struct shl_buf body = {0};
    expect_code(SHALE_OK, put_mode(s, "a/b/c", "first", SHL_PUT_OVERWRITE, NULL, &put));
    expect_code(SHALE_OK, shl_store_head(s, "a/b/c", &head, &test_err));
    expect_code(SHALE_OK, shl_store_get(s, "a/b/c", NULL, &body, &got, &test_err));
    assert_int_equal(put.size, 5);
    assert_int_equal(head.size, 5);
    assert_string_equal(put.etag, head.etag);
    assert_string_equal(got.etag, head.etag);
    assert_int_equal(put.etag[0], '"');
    assert_true(head.modified_ns > INT64_C(1700000000) * 1000000000);
    shl_buf_free(&body);

    put_text(s, "a/b/c", "the second one");
    expect_text(s, "a/b/c", "the second one");
    put_text(s, "a/b/c", "");
    expect_text(s, "a/b/c", "");
}

static void put_joins_its_parts(struct shl_store *s)
{
    struct shl_slice parts[40];
    uint8_t want[40];
    struct shl_put how = {.mode = SHL_PUT_CREATE};
    for (size_t i = 0; i < SHL_COUNT_OF(parts); i++) {
        want[i] = (uint8_t)i;
        parts[i] = shl_slice_of(want + i, 1);
    }
    expect_code(SHALE_OK, shl_store_put(s, "many", parts, 40, &how, NULL, &test_err));
    expect_body(s, "many", want, 40);

    struct shl_slice holes[] = {
        {NULL, 0}, shl_slice_str("x"), {NULL, 0}, shl_slice_str("yz"), {NULL, 0}};
    expect_code(SHALE_OK, shl_store_put(s, "holes", holes, 5, &how, NULL, &test_err));
    expect_text(s, "holes", "xyz");
    expect_code(SHALE_OK, shl_store_put(s, "none", NULL, 0, &how, NULL, &test_err));
    expect_text(s, "none", "");

    size_t len = 5 * 1024 * 1024 + 1;
    uint8_t *large = malloc(len);
    assert_non_null(large);
    for (size_t i = 0; i < len; i++)
        large[i] = (uint8_t)(i * 31 >> 3);
    struct shl_slice two[] = {shl_slice_of(large, 3), shl_slice_of(large + 3, len - 3)};
    expect_code(SHALE_OK, shl_store_put(s, "large", two, 2, &how, NULL, &test_err));
    expect_body(s, "large", large, len);
    free(large);
}

static void create_refuses_what_exists(struct shl_store *s)
{
    expect_code(SHALE_OK, put_mode(s, "m/1", "mine", SHL_PUT_CREATE, NULL, NULL));
    expect_code(SHALE_ALREADY_EXISTS, put_mode(s, "m/1", "other", SHL_PUT_CREATE, NULL, NULL));
    assert_non_null(strstr(test_err.text, "m/1"));
    expect_text(s, "m/1", "mine");
    expect_code(SHALE_OK, shl_store_delete(s, "m/1", &test_err));
    expect_code(SHALE_OK, put_mode(s, "m/1", "third", SHL_PUT_CREATE, NULL, NULL));
    expect_text(s, "m/1", "third");
    expect_keys(s, NULL, "m/1");
}

static void missing_objects_are_not_found(struct shl_store *s)
{
    struct shl_buf body = {0};
    struct shl_object o;
    uint8_t byte;
    struct shl_get_range range = {.offset = 0, .len = 1, .dst = &byte};
    put_text(s, "dir/there", "x");
    static const char *const keys[] = {"nope", "dir", "dir/nope", "dir/there/below", "x/y/z"};
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++) {
        expect_code(SHALE_NOT_FOUND, shl_store_get(s, keys[i], NULL, &body, &o, &test_err));
        assert_non_null(strstr(test_err.text, keys[i]));
        expect_code(SHALE_NOT_FOUND, shl_store_head(s, keys[i], &o, &test_err));
        expect_code(SHALE_NOT_FOUND, shl_store_get_ranges(s, keys[i], &range, 1, &test_err));
        expect_code(SHALE_NOT_FOUND, shl_store_copy(s, keys[i], "to", false, &test_err));
        expect_code(SHALE_NOT_FOUND, shl_store_copy(s, keys[i], "to", true, &test_err));
        expect_code(SHALE_OK, shl_store_delete(s, keys[i], &test_err));
    }
    expect_keys(s, NULL, "dir/there");
    shl_buf_free(&body);
}

static void if_match_needs_the_current_etag(struct shl_store *s)
{
    struct shl_object first;
    struct shl_object second;
    expect_code(SHALE_PRECONDITION, put_mode(s, "gc/b", "1", SHL_PUT_IF_MATCH, "\"0\"", NULL));
    expect_code(SHALE_OK, put_mode(s, "gc/b", "1", SHL_PUT_CREATE, NULL, &first));
    expect_code(SHALE_OK, put_mode(s, "gc/b", "2", SHL_PUT_IF_MATCH, first.etag, &second));
    assert_string_not_equal(first.etag, second.etag);
    expect_code(SHALE_PRECONDITION, put_mode(s, "gc/b", "3", SHL_PUT_IF_MATCH, first.etag, NULL));
    expect_text(s, "gc/b", "2");
    expect_code(SHALE_OK, put_mode(s, "gc/b", "", SHL_PUT_IF_MATCH, second.etag, NULL));
    expect_text(s, "gc/b", "");
    expect_code(SHALE_INVALID, put_mode(s, "gc/b", "4", SHL_PUT_IF_MATCH, NULL, NULL));
    expect_code(SHALE_OK, shl_store_delete(s, "gc/b", &test_err));
    expect_code(SHALE_PRECONDITION, put_mode(s, "gc/b", "5", SHL_PUT_IF_MATCH, second.etag, NULL));
}

static void etags_of_a_chain_never_repeat(struct shl_store *s)
{
    enum { UPDATES = 20 };
    struct shl_object seen[UPDATES];
    expect_code(SHALE_OK, put_mode(s, "n", "00", SHL_PUT_CREATE, NULL, &seen[0]));
    for (size_t i = 1; i < UPDATES; i++) {
        expect_code(SHALE_OK, put_mode(s, "n", "xx", SHL_PUT_IF_MATCH, seen[i - 1].etag, &seen[i]));
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(seen[i].etag, seen[j].etag);
    }
}

static void unchanged_objects_are_not_sent(struct shl_store *s)
{
    struct shl_object o;
    struct shl_buf body = {0};
    expect_code(SHALE_OK, put_mode(s, "k", "v", SHL_PUT_CREATE, NULL, &o));
    struct shl_get how = {.kind = SHL_GET_ALL, .if_none_match = o.etag};
    expect_code(SHALE_NOT_MODIFIED, shl_store_get(s, "k", &how, &body, NULL, &test_err));
    assert_int_equal(body.len, 0);
    put_text(s, "k", "changed");
    expect_code(SHALE_OK, shl_store_get(s, "k", &how, &body, NULL, &test_err));
    assert_int_equal(body.len, 7);
    shl_buf_free(&body);
}

static void gets_of_a_part_cut_as_asked(struct shl_store *s)
{
    static const struct {
        const char *name;
        const char *key;
        struct shl_get how;
        shale_code want;
        const char *body;
    } rows[] = {
        {"all", "ten", {.kind = SHL_GET_ALL}, SHALE_OK, "0123456789"},
        {"from 0", "ten", {.kind = SHL_GET_FROM, .offset = 0}, SHALE_OK, "0123456789"},
        {"from 9", "ten", {.kind = SHL_GET_FROM, .offset = 9}, SHALE_OK, "9"},
        {"from end", "ten", {.kind = SHL_GET_FROM, .offset = 10}, SHALE_INVALID_RANGE, ""},
        {"from far", "ten", {.kind = SHL_GET_FROM, .offset = UINT64_MAX}, SHALE_INVALID_RANGE, ""},
        {"suffix 1", "ten", {.kind = SHL_GET_SUFFIX, .len = 1}, SHALE_OK, "9"},
        {"suffix 10", "ten", {.kind = SHL_GET_SUFFIX, .len = 10}, SHALE_OK, "0123456789"},
        {"suffix more", "ten", {.kind = SHL_GET_SUFFIX, .len = 11}, SHALE_OK, "0123456789"},
        {"suffix 0", "ten", {.kind = SHL_GET_SUFFIX, .len = 0}, SHALE_INVALID, ""},
        {"empty all", "empty", {.kind = SHL_GET_ALL}, SHALE_OK, ""},
        {"empty from 0", "empty", {.kind = SHL_GET_FROM}, SHALE_INVALID_RANGE, ""},
        {"empty suffix", "empty", {.kind = SHL_GET_SUFFIX, .len = 5}, SHALE_OK, ""},
    };
    put_text(s, "ten", "0123456789");
    put_text(s, "empty", "");
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_buf body = {0};
        struct shl_object o;
        expect_code(SHALE_OK, shl_buf_append(&body, "ab", 2, &test_err));
        shale_code rc = shl_store_get(s, rows[i].key, &rows[i].how, &body, &o, &test_err);
        if (rc != rows[i].want)
            print_error("row \"%s\"\n", rows[i].name);
        expect_code(rows[i].want, rc);
        assert_int_equal(body.len, 2 + strlen(rows[i].body));
        assert_memory_equal(body.data, "ab", 2);
        assert_memory_equal(body.data + 2, rows[i].body, strlen(rows[i].body));
        if (rc == SHALE_OK)
            assert_int_equal(o.size, rows[i].key[0] == 't' ? 10 : 0);
        shl_buf_free(&body);
    }
}

static void ranges_arrive_where_they_belong(struct shl_store *s)
{
    uint8_t d[16];
    put_text(s, "alpha", "abcdefghijklmnopqrstuvwxyz");
    struct shl_get_range r[] = {
        {.offset = 0, .len = 2, .dst = d},
        {.offset = 2, .len = 3, .dst = d + 2}, /* touch both ways */
        {.offset = 5, .len = 1, .dst = d + 8}, /* touch in the object only */
        {.offset = 25, .len = 1, .dst = d + 9},
        {.offset = 0, .len = 3, .dst = d + 10},
        {.offset = 1, .len = 3, .dst = d + 13},
    };
    expect_code(SHALE_OK, shl_store_get_ranges(s, "alpha", r, SHL_COUNT_OF(r), &test_err));
    assert_memory_equal(d, "abcde", 5);
    assert_memory_equal(d + 8, "fzabcbcd", 8);
    expect_code(SHALE_OK, shl_store_get_ranges(s, "alpha", NULL, 0, &test_err));

    struct shl_get_range past = {.offset = 25, .len = 2, .dst = d};
    expect_code(SHALE_INVALID_RANGE, shl_store_get_ranges(s, "alpha", &past, 1, &test_err));
    past = (struct shl_get_range){.offset = 26, .len = 1, .dst = d};
    expect_code(SHALE_INVALID_RANGE, shl_store_get_ranges(s, "alpha", &past, 1, &test_err));
    past = (struct shl_get_range){.offset = UINT64_MAX, .len = 2, .dst = d};
    expect_code(SHALE_INVALID_RANGE, shl_store_get_ranges(s, "alpha", &past, 1, &test_err));
    past = (struct shl_get_range){.offset = 3, .len = 0, .dst = d};
    expect_code(SHALE_INVALID, shl_store_get_ranges(s, "alpha", &past, 1, &test_err));
}

/* ---- lists */

static void put_tree(struct shl_store *s)
{
    static const char *const keys[] = {"b",    "a/b",   "a.b",   "a/b.c/d", "a0",
                                       "a/bb", "a/c/x", "a/c/y", "ab/z"};
    for (size_t i = 0; i < SHL_COUNT_OF(keys); i++)
        put_text(s, keys[i], keys[i]);
}

static void lists_are_sorted_by_bytes(struct shl_store *s)
{
    expect_keys(s, NULL, "");
    put_tree(s);
    expect_keys(s, NULL, "a.b a/b a/b.c/d a/bb a/c/x a/c/y a0 ab/z b");
    struct shl_list l = {0};
    struct shl_list_options how = {.prefix = "a/c"};
    expect_code(SHALE_OK, shl_store_list(s, &how, &l, &test_err));
    assert_int_equal(l.count, 2);
    assert_int_equal(l.items[0].size, 5);
    assert_true(l.items[0].modified_ns > 0);
    how.prefix = "ab";
    expect_code(SHALE_OK, shl_store_list(s, &how, &l, &test_err)); /* appends */
    assert_int_equal(l.count, 3);
    assert_string_equal(l.items[0].key, "a/c/x");
    assert_string_equal(l.items[2].key, "ab/z");
    shl_list_free(&l);
}

static void lists_take_prefix_start_and_depth(struct shl_store *s)
{
    static const struct {
        const char *name;
        struct shl_list_options how;
        const char *keys;
    } rows[] = {
        {"prefix is whole segments", {.prefix = "a"}, "a/b a/b.c/d a/bb a/c/x a/c/y"},
        {"prefix is not an object", {.prefix = "a/b"}, ""},
        {"prefix below", {.prefix = "a/c"}, "a/c/x a/c/y"},
        {"no such prefix", {.prefix = "zz/y"}, ""},
        {"start is exclusive", {.start_after = "a/bb"}, "a/c/x a/c/y a0 ab/z b"},
        {"start need not exist", {.start_after = "a/c"}, "a/c/x a/c/y a0 ab/z b"},
        {"start inside", {.prefix = "a", .start_after = "a/c/x"}, "a/c/y"},
        {"start before prefix", {.prefix = "a/c", .start_after = "a"}, "a/c/x a/c/y"},
        {"start behind prefix", {.prefix = "a/c", .start_after = "b"}, ""},
        {"start at the last", {.start_after = "b"}, ""},
        {"shallow", {.shallow = true}, "a.b a/ a0 ab/ b"},
        {"shallow prefix", {.prefix = "a", .shallow = true}, "a/b a/b.c/ a/bb a/c/"},
        {"shallow start", {.start_after = "a/", .shallow = true}, "a0 ab/ b"},
        {"shallow start below", {.start_after = "a/b", .shallow = true}, "a0 ab/ b"},
    };
    put_tree(s);
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        print_message("           %s\n", rows[i].name);
        expect_keys(s, &rows[i].how, rows[i].keys);
    }
}

static void pages_make_up_the_whole(struct shl_store *s)
{
    put_tree(s);
    for (size_t depth = 0; depth < 2; depth++) {
        size_t total = depth == 0 ? 9 : 5;
        for (size_t max = 1; max <= total + 1; max++) {
            struct shl_list l = {0};
            struct shl_list_options how = {.max = max, .shallow = depth == 1};
            char last[64] = "";
            size_t seen = 0;
            do {
                how.start_after = seen == 0 ? NULL : last;
                expect_code(SHALE_OK, shl_store_list(s, &how, &l, &test_err));
                assert_true(l.count <= max);
                seen += l.count;
                if (seen < total)
                    assert_true(l.truncated);
                if (l.count > 0) {
                    assert_true(strcmp(l.items[0].key, last) > 0);
                    strcpy(last, l.items[l.count - 1].key);
                }
                bool more = l.truncated;
                shl_list_free(&l);
                if (!more)
                    break;
            } while (true);
            assert_int_equal(seen, total);
        }
    }
}

/* ---- keys */

static bool no_backslash; /* of the store that is being tried */

static void odd_keys_survive(struct shl_store *s)
{
    static const char *const keys[] = {
        "a b",   "a%20b",   "a%2Fb",    "+&=,",      "~x",
        "x#",    "x#a",     "x#1a",     "a#b#1",     "...",
        "..a",   "a/.b",    "\xc3\xa9", "e\xcc\x81", "\xf0\x9f\x8e\x89",
        "q?r*s", "[b]{c}|", "'\"`",     "-rf",       "$HOME",
        "c:\\d",
    };
    size_t count = SHL_COUNT_OF(keys) - no_backslash; /* the last one has it */
    for (size_t i = 0; i < count; i++)
        expect_code(SHALE_OK, put_mode(s, keys[i], keys[i], SHL_PUT_CREATE, NULL, NULL));
    for (size_t i = 0; i < count; i++)
        expect_text(s, keys[i], keys[i]);
    struct shl_list l = {0};
    struct shl_list_options how = {0};
    expect_code(SHALE_OK, shl_store_list(s, &how, &l, &test_err));
    assert_int_equal(l.count, count);
    for (size_t i = 0; i < l.count; i++) {
        if (i > 0)
            assert_true(strcmp(l.items[i - 1].key, l.items[i].key) < 0);
        expect_text(s, l.items[i].key, l.items[i].key);
        expect_code(SHALE_OK, shl_store_delete(s, l.items[i].key, &test_err));
    }
    shl_list_free(&l);
    expect_keys(s, NULL, "");
}

static void bad_keys_are_refused_by_name(struct shl_store *s)
{
    static const struct {
        const char *key;
        const char *shown;
    } rows[] = {
        {"", "\"\""},
        {"/a", "/a"},
        {"a/", "a/"},
        {"a//b", "a//b"},
        {".", "\".\""},
        {"..", ".."},
        {"a/../b", "a/../b"},
        {"a/.", "a/."},
        {"a\nb", "a\\x0ab"},
        {"\x7f", "\\x7f"},
        {"\xff", "\\xff"},
        {"\xc0\x80", "\\xc0\\x80"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
    };
    struct shl_buf body = {0};
    struct shl_object o;
    struct shl_upload *u;
    uint8_t byte;
    struct shl_get_range range = {.offset = 0, .len = 1, .dst = &byte};
    put_text(s, "ok", "x");
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        const char *key = rows[i].key;
        expect_code(SHALE_INVALID, put_mode(s, key, "x", SHL_PUT_OVERWRITE, NULL, NULL));
        if (strstr(test_err.text, rows[i].shown) == NULL)
            fail_msg("\"%s\" does not show %s", test_err.text, rows[i].shown);
        expect_code(SHALE_INVALID, shl_store_get(s, key, NULL, &body, &o, &test_err));
        expect_code(SHALE_INVALID, shl_store_get_ranges(s, key, &range, 1, &test_err));
        expect_code(SHALE_INVALID, shl_store_head(s, key, &o, &test_err));
        expect_code(SHALE_INVALID, shl_store_delete(s, key, &test_err));
        expect_code(SHALE_INVALID, shl_store_copy(s, key, "to", false, &test_err));
        expect_code(SHALE_INVALID, shl_store_copy(s, "ok", key, false, &test_err));
        expect_code(SHALE_INVALID, shl_store_upload_start(s, key, &u, &test_err));
    }
    expect_keys(s, NULL, "ok");
}

/* ---- delete, copy */

static void delete_takes_many_and_missing(struct shl_store *s)
{
    static const char *const gone[] = {"a/b", "nope", "a/c/x", "b", "no/such/folder"};
    put_tree(s);
    expect_code(SHALE_OK, shl_store_delete_many(s, gone, SHL_COUNT_OF(gone), &test_err));
    expect_keys(s, NULL, "a.b a/b.c/d a/bb a/c/y a0 ab/z");
    expect_code(SHALE_OK, shl_store_delete_many(s, gone, 0, &test_err));
}

static void copies_are_independent(struct shl_store *s)
{
    put_text(s, "a/x", "one");
    expect_code(SHALE_OK, shl_store_copy(s, "a/x", "b/c/y", true, &test_err));
    expect_code(SHALE_ALREADY_EXISTS, shl_store_copy(s, "a/x", "b/c/y", true, &test_err));
    put_text(s, "a/x", "two");
    expect_text(s, "b/c/y", "one");
    expect_code(SHALE_OK, shl_store_copy(s, "a/x", "b/c/y", false, &test_err));
    expect_text(s, "b/c/y", "two");
    expect_code(SHALE_OK, shl_store_copy(s, "a/x", "b/c/y", false, &test_err)); /* same again */
    expect_code(SHALE_OK, shl_store_copy(s, "a/x", "a/x", false, &test_err));
    expect_text(s, "a/x", "two");
    expect_code(SHALE_OK, shl_store_delete(s, "a/x", &test_err));
    expect_text(s, "b/c/y", "two");
    expect_keys(s, NULL, "b/c/y");
}

/* ---- multipart */

static size_t part_unit = 1; /* of the store that is being tried */

/* Each letter part_unit times. Owned by the caller. */
static struct shl_buf unfolded(const char *text)
{
    struct shl_buf out = {0};
    size_t letters = strlen(text);
    expect_code(SHALE_OK, shl_buf_reserve(&out, letters * part_unit + 1, &test_err));
    for (size_t i = 0; i < letters; i++)
        memset(out.data + i * part_unit, text[i], part_unit);
    out.len = letters * part_unit;
    return out;
}

static void part(struct shl_store *s, struct shl_upload *u, uint32_t index, const char *text)
{
    struct shl_buf bytes = unfolded(text);
    struct shl_slice body = shl_buf_view(&bytes);
    expect_code(SHALE_OK, shl_store_upload_part(s, u, index, &body, 1, &test_err));
    shl_buf_free(&bytes);
}

static void expect_unfolded(struct shl_store *s, const char *key, const char *text)
{
    struct shl_buf want = unfolded(text);
    expect_body(s, key, want.data, want.len);
    shl_buf_free(&want);
}

static void uploads_of_any_parts(struct shl_store *s)
{
    static const struct {
        const char *name;
        struct {
            uint32_t index;
            const char *text;
        } parts[6];
        size_t count;
        const char *want;
    } rows[] = {
        {"no part", {{0, ""}}, 0, ""},
        {"one", {{0, "abc"}}, 1, "abc"},
        {"one empty", {{0, ""}}, 1, ""},
        {"equal but the last", {{0, "abc"}, {1, "def"}, {2, "g"}}, 3, "abcdefg"},
        {"backwards", {{2, "g"}, {1, "def"}, {0, "abc"}}, 3, "abcdefg"},
        {"growing", {{0, "a"}, {1, "bc"}, {2, "def"}}, 3, "abcdef"},
        {"shrinking", {{0, "abc"}, {1, "de"}, {2, "f"}}, 3, "abcdef"},
        {"empty ones", {{0, ""}, {1, "ab"}, {2, ""}, {3, "cd"}, {4, ""}}, 5, "abcd"},
        {"again shorter", {{0, "abc"}, {1, "def"}, {1, "x"}}, 3, "abcx"},
        {"again longer", {{0, "abc"}, {1, "d"}, {1, "wxyz"}, {2, "g"}}, 4, "abcwxyzg"},
        {"again, first", {{0, "abc"}, {1, "def"}, {0, "x"}}, 3, "xdef"},
        {"again, long then short", {{0, "ab"}, {1, "wxyz"}, {1, "cd"}}, 3, "abcd"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(rows); i++) {
        struct shl_upload *u;
        struct shl_object o;
        struct shl_object head;
        if (part_unit > 1 && strcmp(rows[i].name, "empty ones") == 0)
            continue;
        print_message("           %s\n", rows[i].name);
        expect_code(SHALE_OK, shl_store_upload_start(s, "up/x", &u, &test_err));
        for (size_t j = 0; j < rows[i].count; j++)
            part(s, u, rows[i].parts[j].index, rows[i].parts[j].text);
        expect_code(SHALE_OK, shl_store_upload_complete(s, u, &o, &test_err));
        expect_unfolded(s, "up/x", rows[i].want);
        assert_int_equal(o.size, strlen(rows[i].want) * part_unit);
        expect_code(SHALE_OK, shl_store_head(s, "up/x", &head, &test_err));
        assert_string_equal(o.etag, head.etag);
        expect_keys(s, NULL, "up/x");
    }
}

static void uploads_show_nothing_before_complete(struct shl_store *s)
{
    struct shl_upload *u;
    struct shl_object o;
    expect_code(SHALE_OK, shl_store_upload_start(s, "up/x", &u, &test_err));
    part(s, u, 0, "abc");
    expect_code(SHALE_NOT_FOUND, shl_store_head(s, "up/x", &o, &test_err));
    expect_keys(s, NULL, "");
    shl_store_upload_abort(s, u);
    expect_code(SHALE_NOT_FOUND, shl_store_head(s, "up/x", &o, &test_err));

    put_text(s, "up/x", "old");
    expect_code(SHALE_OK, shl_store_upload_start(s, "up/x", &u, &test_err));
    part(s, u, 1, "def");
    expect_code(SHALE_INVALID, shl_store_upload_complete(s, u, NULL, &test_err)); /* 0 is missing */
    expect_text(s, "up/x", "old");
    part(s, u, 0, "abc");
    expect_code(SHALE_OK, shl_store_upload_complete(s, u, NULL, &test_err));
    expect_unfolded(s, "up/x", "abcdef");
    shl_store_upload_abort(s, NULL);
}

struct part_task {
    struct shl_store *s;
    struct shl_upload *u;
    uint32_t index;
    shale_code rc;
};
enum { PART_BYTES = 70000, PARTS = 16 };

static size_t large_part(void)
{
    return part_unit > 1 ? part_unit : PART_BYTES;
}

static void send_part(void *arg)
{
    struct part_task *t = arg;
    static const uint8_t filler[5 << 20];
    uint8_t mark = (uint8_t)t->index;
    struct shl_slice body[] = {shl_slice_of(&mark, 1), shl_slice_of(filler, large_part() - 1)};
    shale_error err;
    t->rc = shl_store_upload_part(t->s, t->u, t->index, body, 2, &err);
}

static void parts_go_up_in_parallel(struct shl_store *s)
{
    struct part_task tasks[PARTS];
    struct shl_upload *u;
    struct shl_buf body = {0};
    expect_code(SHALE_OK, shl_store_upload_start(s, "big", &u, &test_err));
    for (uint32_t i = 0; i < PARTS; i++)
        tasks[i] = (struct part_task){.s = s, .u = u, .index = i, .rc = SHALE_INTERNAL};
    run_tasks(send_part, tasks, sizeof *tasks, PARTS);
    expect_code(SHALE_OK, shl_store_upload_complete(s, u, NULL, &test_err));
    expect_code(SHALE_OK, shl_store_get(s, "big", NULL, &body, NULL, &test_err));
    assert_int_equal(body.len, PARTS * large_part());
    for (size_t i = 0; i < PARTS; i++) {
        assert_int_equal(tasks[i].rc, SHALE_OK);
        assert_int_equal(body.data[i * large_part()], i);
    }
    shl_buf_free(&body);
}

/* ---- races */

enum { RACERS = 16, ROUNDS = 20 };

struct racer {
    struct shl_store *s;
    _Atomic unsigned *waiting; /* all start together */
    unsigned number;
    unsigned round;
    shale_code rc;
};

static void race_to_create(void *arg)
{
    struct racer *r = arg;
    char key[32];
    char text[32];
    shale_error err;
    snprintf(key, sizeof key, "race/%u", r->round);
    snprintf(text, sizeof text, "racer %u", r->number);
    struct shl_slice body = shl_slice_str(text);
    struct shl_put how = {.mode = SHL_PUT_CREATE};
    env_fetch_add(r->waiting, 1);
    while (env_load_acquire(r->waiting) < RACERS)
        env_yield();
    r->rc = shl_store_put(r->s, key, &body, 1, &how, NULL, &err);
}

static void creators_have_one_winner(struct shl_store *s)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct racer racers[RACERS];
        _Atomic unsigned waiting = 0;
        char key[32];
        char text[32] = "";
        unsigned winners = 0;
        for (unsigned i = 0; i < RACERS; i++)
            racers[i] = (struct racer){.s = s, .waiting = &waiting, .number = i, .round = round};
        run_tasks(race_to_create, racers, sizeof *racers, RACERS);
        for (unsigned i = 0; i < RACERS; i++) {
            assert_true(racers[i].rc == SHALE_OK || racers[i].rc == SHALE_ALREADY_EXISTS);
            if (racers[i].rc != SHALE_OK)
                continue;
            winners++;
            snprintf(text, sizeof text, "racer %u", i);
        }
        assert_int_equal(winners, 1);
        snprintf(key, sizeof key, "race/%u", round);
        expect_text(s, key, text);
    }
}

enum { COUNTERS = 16, INCREMENTS = 6 };

struct counter_task {
    struct shl_store *s;
    shale_code rc;
};

/* Adds one to a two-digit number by compare and swap: text of constant size, the worst case for ETags made of sizes and times. */
static shale_code increment(struct shl_store *s, shale_error *err)
{
    for (;;) {
        struct shl_buf body = {0};
        struct shl_object o;
        char text[16];
        shale_code rc = shl_store_get(s, "counter", NULL, &body, &o, err);
        if (rc == SHALE_OK) {
            snprintf(text, sizeof text, "%02d",
                     (body.data[0] - '0') * 10 + (body.data[1] - '0') + 1);
            struct shl_slice next = shl_slice_str(text);
            struct shl_put how = {.mode = SHL_PUT_IF_MATCH, .if_match = o.etag};
            rc = shl_store_put(s, "counter", &next, 1, &how, NULL, err);
        }
        shl_buf_free(&body);
        if (rc != SHALE_PRECONDITION)
            return rc;
    }
}

static void count_up(void *arg)
{
    struct counter_task *t = arg;
    shale_error err;
    t->rc = SHALE_OK;
    for (int i = 0; i < INCREMENTS && t->rc == SHALE_OK; i++)
        t->rc = increment(t->s, &err);
}

static void if_match_loses_no_update(struct shl_store *s)
{
    struct counter_task tasks[COUNTERS];
    char want[16];
    put_text(s, "counter", "00");
    for (size_t i = 0; i < COUNTERS; i++)
        tasks[i] = (struct counter_task){.s = s};
    run_tasks(count_up, tasks, sizeof *tasks, COUNTERS);
    for (size_t i = 0; i < COUNTERS; i++)
        assert_int_equal(tasks[i].rc, SHALE_OK);
    snprintf(want, sizeof want, "%02d", COUNTERS * INCREMENTS);
    expect_text(s, "counter", want);
}

enum { OVERWRITES = 60, VERSION_BYTES = 30000 };

struct overwriter {
    struct shl_store *s;
    bool writes;
    const char *fault; /* what was seen that may not be */
};

static void overwrite_or_watch(void *arg)
{
    struct overwriter *o = arg;
    static const char letters[] = "abcdefgh";
    char *text = malloc(VERSION_BYTES);
    struct shl_buf body = {0};
    shale_error err;
    o->fault = text == NULL ? "no memory" : NULL;
    for (size_t i = 0; i < OVERWRITES && o->fault == NULL; i++) {
        size_t len = VERSION_BYTES - i % 8 * 1000;
        memset(text, letters[i % 8], len);
        struct shl_slice slice = shl_slice_of(text, len);
        struct shl_put how = {.mode = SHL_PUT_OVERWRITE};
        if (o->writes) {
            if (shl_store_put(o->s, "hot", &slice, 1, &how, NULL, &err) != SHALE_OK)
                o->fault = "put failed";
            continue;
        }
        body.len = 0;
        if (shl_store_get(o->s, "hot", NULL, &body, NULL, &err) != SHALE_OK) {
            o->fault = "get failed";
            continue;
        }
        const char *letter = strchr(letters, body.data[0]);
        if (letter == NULL || body.len != VERSION_BYTES - (size_t)(letter - letters) * 1000)
            o->fault = "a length of another version";
        for (size_t j = 1; j < body.len; j++) {
            if (body.data[j] != body.data[0])
                o->fault = "bytes of two versions";
        }
    }
    shl_buf_free(&body);
    free(text);
}

static void readers_see_whole_versions(struct shl_store *s)
{
    struct overwriter tasks[8];
    char *first = malloc(VERSION_BYTES + 1);
    assert_non_null(first);
    memset(first, 'a', VERSION_BYTES);
    first[VERSION_BYTES] = '\0';
    put_text(s, "hot", first);
    free(first);
    for (size_t i = 0; i < 8; i++)
        tasks[i] = (struct overwriter){.s = s, .writes = i < 4};
    run_tasks(overwrite_or_watch, tasks, sizeof *tasks, 8);
    for (size_t i = 0; i < 8; i++)
        assert_null(tasks[i].fault);
}

/* ---- all of it */

typedef void (*check_fn)(struct shl_store *s);
#define CHECK(fn)                                                                                  \
    {                                                                                              \
#fn, fn                                                                                    \
    }
static const struct {
    const char *name;
    check_fn run;
} checks[] = {
    CHECK(put_then_get_and_head_agree),
    CHECK(put_joins_its_parts),
    CHECK(create_refuses_what_exists),
    CHECK(missing_objects_are_not_found),
    CHECK(if_match_needs_the_current_etag),
    CHECK(etags_of_a_chain_never_repeat),
    CHECK(unchanged_objects_are_not_sent),
    CHECK(gets_of_a_part_cut_as_asked),
    CHECK(ranges_arrive_where_they_belong),
    CHECK(lists_are_sorted_by_bytes),
    CHECK(lists_take_prefix_start_and_depth),
    CHECK(pages_make_up_the_whole),
    CHECK(odd_keys_survive),
    CHECK(bad_keys_are_refused_by_name),
    CHECK(delete_takes_many_and_missing),
    CHECK(copies_are_independent),
    CHECK(uploads_of_any_parts),
    CHECK(uploads_show_nothing_before_complete),
    CHECK(parts_go_up_in_parallel),
    CHECK(creators_have_one_winner),
    CHECK(if_match_loses_no_update),
    CHECK(readers_see_whole_versions),
};

struct check_case {
    const struct store_maker *maker;
    check_fn run;
    char name[96];
};

static void run_check(void **state)
{
    const struct check_case *c = *state;
    if (c->maker->etag_is_digest && c->run == etags_of_a_chain_never_repeat)
        return; /* such a store cannot promise it */
    char *dir = temp_dir_new();
    struct shl_store *s = c->maker->make(c->maker, dir);
    assert_non_null(s);
    part_unit = c->maker->part_unit > 0 ? c->maker->part_unit : 1;
    no_backslash = c->maker->no_backslash;
    c->run(s);
    shl_store_unref(s);
    temp_dir_free(dir);
}

int conformance_main(const char *group, const struct store_maker *makers, size_t maker_count,
                     const struct CMUnitTest *tests, size_t test_count)
{
    size_t count = maker_count * SHL_COUNT_OF(checks);
    struct check_case *cases = calloc(count, sizeof *cases);
    struct CMUnitTest *all = calloc(count + test_count, sizeof *all);
    if (cases == NULL || all == NULL)
        return 1;
    for (size_t i = 0; i < count; i++) {
        struct check_case *c = &cases[i];
        c->maker = &makers[i / SHL_COUNT_OF(checks)];
        c->run = checks[i % SHL_COUNT_OF(checks)].run;
        snprintf(c->name, sizeof c->name, "%s: %s", c->maker->name,
                 checks[i % SHL_COUNT_OF(checks)].name);
        all[i] = (struct CMUnitTest){.name = c->name, .test_func = run_check, .initial_state = c};
    }
    if (test_count > 0)
        memcpy(all + count, tests, test_count * sizeof *all);
    int failed = _cmocka_run_group_tests(group, all, count + test_count, NULL, NULL);
    free(cases);
    free(all);
    return failed;
}
