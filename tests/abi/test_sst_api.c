/* Goal: <shale/sst.h> gives what was written, block by block, whatever codec and transformer stand before it, and takes damage and mistakes as errors.
 * Method: SSTables of databases in memory; the bytes of one of them are changed. */
#include <shale/shale.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka.h wants some of the above */
#include <cmocka.h>

#define ROWS 1000

static shale_error err;

static void ok(shale_code rc)
{
    if (rc != SHALE_OK)
        fail_msg("%s: %s", shale_code_name(rc), err.text);
}

/* Every fourth row is a deletion, every fifth one of the others a merge operand. */
static void write_rows(const char *url, const shale_options *o)
{
    shale_db *db = NULL;
    shale_batch *batch = shale_batch_new();
    char key[16], value[64];
    for (unsigned i = 0; i < ROWS; i++) {
        (void)snprintf(key, sizeof key, "key%05u", i);
        (void)snprintf(value, sizeof value, "value of row %u", i);
        if (i % 4 == 0)
            shale_batch_delete(batch, SHALE_STR(key));
        else if (i % 5 == 0)
            shale_batch_merge(batch, SHALE_STR(key), SHALE_STR(value));
        else
            shale_batch_put(batch, SHALE_STR(key), SHALE_STR(value));
    }
    ok(shale_db_open(&db, url, o, &err));
    ok(shale_db_write(db, batch, NULL, &err));
    shale_batch_free(batch);
    ok(shale_db_flush(db, SHALE_FLUSH_MEMTABLE, &err));
    ok(shale_db_close(db, &err));
}

static void first_sst(const char *url, const shale_options *o, char name[27])
{
    char *text;
    ok(shale_admin_manifest(&text, url, o, 0, &err));
    const char *at = strstr(text, "\"l0\":[{\"id\":\"");
    assert_non_null(at);
    memcpy(name, at + 13, 26);
    name[26] = '\0';
    shale_text_free(text);
}

static void check_row(const shale_raw_row *row, unsigned i)
{
    char key[16], value[64];
    (void)snprintf(key, sizeof key, "key%05u", i);
    (void)snprintf(value, sizeof value, "value of row %u", i);
    assert_int_equal(row->key.len, strlen(key));
    assert_memory_equal(row->key.data, key, row->key.len);
    assert_int_equal(row->kind, i % 4 == 0   ? SHALE_ROW_DELETE
                                : i % 5 == 0 ? SHALE_ROW_MERGE
                                             : SHALE_ROW_PUT);
    assert_int_equal(row->seq, 1);
    assert_int_equal(row->value.len, i % 4 == 0 ? 0 : strlen(value));
    if (row->value.len > 0)
        assert_memory_equal(row->value.data, value, row->value.len);
}

static void check_sst(const char *url, const shale_options *o, const char *codec)
{
    char name[27];
    shale_sst *sst = NULL;
    shale_sst_info info = {.struct_size = sizeof info};
    shale_sst_block block;
    const shale_raw_row *rows;
    size_t count;
    unsigned row = 0;
    uint64_t end = 0;
    first_sst(url, o, name);
    ok(shale_sst_open(&sst, url, o, name, &err));
    shale_sst_info_get(sst, &info);
    assert_non_null(strstr(info.key, name));
    assert_string_equal(info.compression, codec);
    assert_int_equal(info.format_version, 2);
    assert_int_equal(info.deletes, ROWS / 4);
    assert_int_equal(info.merges, ROWS / 5 - ROWS / 20);
    assert_int_equal(info.puts + info.deletes + info.merges, ROWS);
    assert_int_equal(info.key_bytes, ROWS * 8);
    assert_memory_equal(info.first_key.data, "key00000", 8);
    assert_memory_equal(info.last_key.data, "key00999", 8);
    assert_true(info.block_count > 5 && info.filter_bytes > 0 && info.stats_bytes > 0);
    assert_true(info.bytes > info.index_offset + info.index_bytes);
    assert_true(info.modified_ms > 0 && info.etag[0] != '\0');
    for (size_t i = 0; i < info.block_count; i++) {
        ok(shale_sst_block_get(&block, sst, i, &err));
        assert_int_equal(block.offset, end);
        end = block.offset + block.bytes;
        ok(shale_sst_read_block(&rows, &count, sst, i, &err));
        assert_true(count > 0);
        assert_true(memcmp(block.first_key.data, rows[0].key.data, block.first_key.len) <= 0);
        for (size_t k = 0; k < count; k++)
            check_row(&rows[k], row++);
    }
    assert_int_equal(row, ROWS);
    assert_int_equal(end, info.filter_offset);
    assert_int_equal(shale_sst_block_get(&block, sst, info.block_count, &err), SHALE_INVALID);
    assert_int_equal(shale_sst_read_block(&rows, &count, sst, SIZE_MAX, &err), SHALE_INVALID);
    shale_sst_close(sst);
}

static void test_all_that_an_sst_holds(void **state)
{
    (void)state;
    static const char *const codecs[] = {"none", "snappy", "zlib", "lz4", "zstd"};
    for (unsigned coded = 0; coded < 2; coded++)
        for (unsigned i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
            char url[40];
            shale_options *o = shale_options_new();
            (void)snprintf(url, sizeof url, "memory:///d?name=sst-%s-%u", codecs[i], coded);
            ok(shale_options_set(o, "compression_codec", codecs[i], &err));
            ok(shale_options_set(o, "sst_block_size", "1KiB", &err));
            ok(shale_options_set(o, "merge_operator", "concat", &err));
            ok(shale_options_set(o, "transformer", coded ? "xor:5a" : "none", &err));
            write_rows(url, o);
            check_sst(url, o, codecs[i]);
            shale_options_free(o);
        }
}

static void test_an_sst_that_a_clone_borrows(void **state)
{
    (void)state;
    shale_options *o = shale_options_new();
    char name[27];
    shale_sst *sst = NULL;
    shale_sst_info info = {.struct_size = sizeof info};
    char folder[] = "/tmp/shale-sst-XXXXXX", parent[64], clone[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(parent, sizeof parent, "%s/parent", folder);
    (void)snprintf(clone, sizeof clone, "%s/clone", folder);
    ok(shale_options_set(o, "merge_operator", "concat", &err));
    write_rows(parent, o);
    const shale_clone_source source = {.url = parent};
    ok(shale_clone(NULL, clone, &source, 1, o, &err));
    first_sst(clone, o, name);
    ok(shale_sst_open(&sst, clone, o, name, &err));
    shale_sst_info_get(sst, &info);
    assert_non_null(strstr(info.key, "parent/compacted/"));
    shale_sst_close(sst);
    ok(shale_delete(NULL, clone, o, false, NULL, NULL, &err));
    ok(shale_delete(NULL, parent, o, false, NULL, NULL, &err));
    shale_options_free(o);
    (void)remove(folder);
}

static void test_damage_and_mistakes(void **state)
{
    (void)state;
    static const char url[] = "memory:///d?name=sst-damaged";
    shale_options *o = shale_options_new();
    char name[27], key[60];
    shale_sst *sst = NULL;
    shale_store *store = NULL;
    void *bytes;
    size_t len;
    const shale_raw_row *rows;
    size_t count;
    ok(shale_options_set(o, "merge_operator", "concat", &err));
    write_rows(url, o);
    first_sst(url, o, name);
    assert_int_equal(shale_sst_open(&sst, url, o, "sst", &err), SHALE_INVALID);
    assert_int_equal(shale_sst_open(&sst, url, o, NULL, &err), SHALE_INVALID);
    assert_int_equal(shale_sst_open(&sst, url, o, "01HZZZZZZZZZZZZZZZZZZZZZZZ", &err),
                     SHALE_NOT_FOUND);
    assert_int_equal(shale_sst_open(&sst, "memory:///none?name=sst-damaged", o, name, &err),
                     SHALE_NOT_FOUND);
    ok(shale_store_open(&store, "memory:///?name=sst-damaged", o, &err));
    (void)snprintf(key, sizeof key, "d/compacted/%s.sst", name);
    ok(shale_store_get(store, key, &bytes, &len, &err));
    for (size_t cut = 1; cut < 40; cut += 3) { /* each end but the right one */
        ok(shale_store_put(store, key, shale_bytes(bytes, len - cut), false, &err));
        assert_int_equal(shale_sst_open(&sst, url, o, name, &err), SHALE_CORRUPTION);
        assert_non_null(strstr(err.text, name));
    }
    ((unsigned char *)bytes)[10] ^= 1; /* of the first block */
    ok(shale_store_put(store, key, shale_bytes(bytes, len), false, &err));
    ok(shale_sst_open(&sst, url, o, name, &err));
    assert_int_equal(shale_sst_read_block(&rows, &count, sst, 0, &err), SHALE_CORRUPTION);
    assert_non_null(strstr(err.text, "block 0 at offset 0"));
    ok(shale_sst_read_block(&rows, &count, sst, 1, &err));
    shale_sst_close(sst);
    shale_store_body_free(bytes);
    shale_store_close(store);
    shale_options_free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_an_sst_holds),
        cmocka_unit_test(test_an_sst_that_a_clone_borrows),
        cmocka_unit_test(test_damage_and_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
