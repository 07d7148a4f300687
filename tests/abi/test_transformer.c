/* Goal: an encrypted database shows nothing without its key, and says which object and why; keys come from files and the environment in three forms; a
 * transformer of the user is asked for every block. Method: databases in memory and in a folder, opened with right and wrong keys. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static shale_error err;

static void ok(shale_code rc)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err.text);
}

static shale_options *with(const char *transformer)
{
    shale_options *o = shale_options_new();
    assert_non_null(o);
    if (transformer != NULL)
        ok(shale_options_set(o, "transformer", transformer, &err));
    return o;
}

static shale_code try_read(const char *url, const shale_options *o, const char *want)
{
    shale_db *db = NULL;
    shale_pinned found = {0};
    shale_code rc = shale_db_open_reader(&db, url, o, NULL, &err);
    if (rc != SHALE_OK)
        return rc;
    rc = shale_db_get(&found, db, SHALE_STR("key"), NULL, &err);
    if (rc == SHALE_OK) {
        assert_int_equal(found.value.len, strlen(want));
        assert_memory_equal(found.value.data, want, found.value.len);
    }
    shale_pinned_release(&found);
    shale_error said = err;
    ok(shale_db_close(db, &err));
    err = said;
    return rc;
}

static void write_one(const char *url, const shale_options *o, bool flush)
{
    shale_db *db = NULL;
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_put(db, SHALE_STR("key"), SHALE_STR("plaintext-plaintext"), NULL, &err));
    if (flush)
        ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    ok(shale_db_close(db, &err));
}

/* No object may hold the value. */
static bool shows_nothing(void *ctx, const shale_object *o)
{
    shale_store *s = ctx;
    void *body = NULL;
    size_t len = 0;
    ok(shale_store_get(s, o->key, &body, &len, &err));
    for (size_t i = 0; i + 9 <= len; i++)
        if (memcmp((const char *)body + i, "plaintext", 9) == 0)
            fail_msg("%s shows a value", o->key);
    shale_store_body_free(body);
    return true;
}

static void test_without_the_key_there_is_nothing_to_read(void **state)
{
    static const char url[] = "memory://?name=sealed";
    shale_wal *wal = NULL;
    shale_wal_batch b;
    char *text = NULL;
    (void)state;
    (void)setenv("SHALE_TEST_KEY", HEX, 1);
    (void)setenv("SHALE_TEST_OTHER_KEY",
                 "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 1);
    shale_options *right = with("aes-256-gcm:env:SHALE_TEST_KEY");
    shale_options *other = with("aes-256-gcm:env:SHALE_TEST_OTHER_KEY"), *none = with(NULL);
    write_one(url, right, true);
    ok(try_read(url, right, "plaintext-plaintext"));
    assert_int_equal(try_read(url, other, ""), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "compacted/"));
    assert_non_null(strstr(err.text, "AES-256-GCM: the tag does not fit"));
    assert_int_equal(try_read(url, none, ""), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "compacted/"));
    ok(shale_wal_open(&wal, url, right, &err));
    ok(shale_wal_read(&b, wal, 2, &err));
    assert_int_equal(b.count, 1);
    shale_wal_close(wal);
    ok(shale_wal_open(&wal, url, other, &err));
    assert_int_equal(shale_wal_read(&b, wal, 2, &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "00002.sst"));
    shale_wal_close(wal);
    ok(shale_admin_wal(&text, url, right, 2, &err));
    shale_text_free(text);
    assert_int_equal(shale_admin_wal(&text, url, other, 2, &err), SHALE_CORRUPTION);
    shale_options_free(right);
    shale_options_free(other);
    shale_options_free(none);
}

/* A writer with another key stops nobody, whether the rows are in an SSTable or only in the WAL. */
static void test_a_writer_with_another_key_is_told_at_once(void **state)
{
    (void)state;
    (void)setenv("SHALE_TEST_KEY", HEX, 1);
    (void)setenv("SHALE_TEST_OTHER_KEY",
                 "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 1);
    shale_options *right = with("aes-256-gcm:env:SHALE_TEST_KEY");
    shale_options *other = with("aes-256-gcm:env:SHALE_TEST_OTHER_KEY");
    for (unsigned flushed = 0; flushed < 2; flushed++) {
        const char *url = flushed ? "memory://?name=told-sst" : "memory://?name=told-wal";
        shale_db *db = NULL, *stranger = NULL;
        ok(shale_db_open(&db, url, right, &err));
        ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err));
        if (flushed)
            ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
        assert_int_equal(shale_db_open(&stranger, url, other, &err), SHALE_CORRUPTION);
        assert_non_null(strstr(err.text, "does not fit the transformer and was left alone"));
        assert_non_null(strstr(err.text, flushed ? "compacted/" : "wal/"));
        assert_non_null(strstr(err.text, "another key"));
        ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("w"), NULL, &err)); /* nobody fenced it */
        ok(shale_db_close(db, &err));
        ok(shale_db_open(&db, url, right, &err));
        ok(shale_db_close(db, &err));
    }
    shale_options_free(right);
    shale_options_free(other);
}

/* So is a writer without one: near, before it fences anybody; far, before it writes a row. */
static void test_a_writer_without_a_key_is_told_at_once(void **state)
{
    (void)state;
    (void)setenv("SHALE_TEST_KEY", HEX, 1);
    shale_options *right = with("aes-256-gcm:env:SHALE_TEST_KEY");
    shale_options *none = with(NULL);
    for (unsigned flushed = 0; flushed < 2; flushed++)
        for (unsigned far = 0; far < 2; far++) {
            char url[40];
            shale_db *db = NULL, *stranger = NULL;
            (void)snprintf(url, sizeof url, "memory://?name=none-%u%u", flushed, far);
            ok(shale_options_set_store(none, "latency_ms", far ? "1" : "0", &err));
            ok(shale_db_open(&db, url, right, &err));
            ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err));
            if (flushed)
                ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
            assert_int_equal(shale_db_open(&stranger, url, none, &err), SHALE_CORRUPTION);
            assert_non_null(strstr(err.text, "it may be encrypted: no transformer is set"));
            assert_non_null(strstr(err.text, flushed ? "compacted/" : "wal/"));
            if (!far)
                ok(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err));
            (void)shale_db_close(db, NULL);
            ok(shale_db_open(&db, url, right, &err)); /* all is as it was */
            ok(shale_db_close(db, &err));
        }
    shale_options_free(right);
    shale_options_free(none);
}

static void write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static void test_keys_in_files(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool good;
    } keys[] = {
        {"\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17\20\21\22\23\24\25\26\27\30\31\32\33\34\35\36\37",
         32, true},
        {HEX, 64, true},
        {HEX "\n", 65, true},
        {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 45, true},
        {"", 0, false},
        {"too short", 9, false},
        {HEX "00", 66, false},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g", 64, false},
    };
    char folder[] = "/tmp/shale-key-XXXXXX", path[64], setting[128], url[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/key", folder);
    (void)snprintf(setting, sizeof setting, "aes-256-gcm:file:%s", path);
    (void)snprintf(url, sizeof url, "file://%s/db", folder);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        shale_options *o = with(setting);
        write_file(path, keys[i].text, keys[i].len);
        if (i == 0)
            write_one(url, o, true);
        shale_code rc = try_read(url, o, "plaintext-plaintext");
        assert_int_equal(rc, keys[i].good ? SHALE_OK : SHALE_INVALID);
        if (!keys[i].good) {
            assert_non_null(strstr(err.text, path));
            assert_null(strstr(err.text, "1d1e1"));
        }
        shale_options_free(o);
    }
    shale_store *s = NULL;
    ok(shale_store_open(&s, url, NULL, &err));
    ok(shale_store_list(s, "", shows_nothing, s, &err));
    shale_store_close(s);
    shale_options *o = with("aes-256-gcm:file:/nowhere/at/all");
    assert_int_equal(try_read(url, o, ""), SHALE_INVALID);
    assert_non_null(strstr(err.text, "/nowhere/at/all cannot be read"));
    shale_options_free(o);
    o = with("aes-256-gcm:env:SHALE_TEST_NO_SUCH_KEY");
    assert_int_equal(try_read(url, o, ""), SHALE_INVALID);
    assert_non_null(strstr(err.text, "SHALE_TEST_NO_SUCH_KEY, which holds the key, is not set"));
    assert_int_equal(shale_options_set(o, "transformer", "aes-128:x", &err), SHALE_INVALID);
    assert_int_equal(shale_options_set(o, "transformer", "aes-256-gcm:file:", &err), SHALE_INVALID);
    shale_options_free(o);
    (void)snprintf(path, sizeof path, "rm -r %s", folder);
    assert_int_equal(system(path), 0);
}

/* ---- a transformer of the user: the bytes backwards, with a mark behind them */

struct calls {
    unsigned encoded, decoded;
    bool twice;
};

static shale_code turn(void *ctx, shale_slice in, void (*emit)(void *emit_ctx, shale_slice result),
                       void *emit_ctx)
{
    struct calls *c = ctx;
    char *out = malloc(in.len + 1);
    assert_non_null(out);
    for (size_t i = 0; i < in.len; i++)
        out[i] = ((const char *)in.data)[in.len - 1 - i];
    out[in.len] = '!';
    c->encoded++;
    emit(emit_ctx, shale_bytes(out, in.len + 1));
    if (c->twice)
        emit(emit_ctx, shale_bytes(out, in.len + 1));
    free(out);
    return SHALE_OK;
}

static shale_code turn_back(void *ctx, shale_slice in,
                            void (*emit)(void *emit_ctx, shale_slice result), void *emit_ctx)
{
    struct calls *c = ctx;
    const char *bytes = in.data;
    if (in.len == 0 || bytes[in.len - 1] != '!')
        return SHALE_CORRUPTION;
    char *out = malloc(in.len);
    assert_non_null(out);
    for (size_t i = 0; i + 1 < in.len; i++)
        out[i] = bytes[in.len - 2 - i];
    c->decoded++;
    emit(emit_ctx, shale_bytes(out, in.len - 1));
    free(out);
    return SHALE_OK;
}

static void test_a_transformer_of_the_user(void **state)
{
    static const char url[] = "memory://?name=turned";
    struct calls calls = {0};
    shale_db *db = NULL;
    (void)state;
    shale_options *o = with("xor:11"); /* the functions stand before it */
    shale_options *plain = with(NULL);
    shale_options_set_transformer(o, turn, turn_back, &calls);
    write_one(url, o, true);
    assert_true(calls.encoded > 3); /* block and index, of WAL and SSTable */
    ok(try_read(url, o, "plaintext-plaintext"));
    assert_true(calls.decoded > 0);
    write_one("memory://?name=straight", plain, true);
    assert_int_equal(try_read("memory://?name=straight", o, ""), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "the block transformer failed to decode: CORRUPTION"));
    calls.twice = true;
    ok(shale_db_open(&db, "memory:", o, &err));
    assert_int_equal(shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, &err), SHALE_INVALID);
    assert_non_null(strstr(err.text, "gave 2 results, want 1"));
    ok(shale_db_close(db, &err));
    shale_options_set_transformer(o, NULL, NULL, NULL);
    shale_options_free(o);
    shale_options_free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_the_key_there_is_nothing_to_read),
        cmocka_unit_test(test_a_writer_with_another_key_is_told_at_once),
        cmocka_unit_test(test_a_writer_without_a_key_is_told_at_once),
        cmocka_unit_test(test_keys_in_files),
        cmocka_unit_test(test_a_transformer_of_the_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
