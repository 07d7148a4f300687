/* Goal: object names as SlateDB makes them, and only those are parsed. Method: tables of roots and names (slatedb-format 1). */
#include "lsm/format/names.h"

#include "support_format.h"

#include "base/env/env.h"
#include "base/num.h"

static shale_error err;

#define OK(call) assert_int_equal((call), SHALE_OK)

static void test_roots_are_escaped_once_and_twice(void **state)
{
    (void)state;
    static const struct {
        const char *path, *r1, *r2;
    } cases[] = {
        {"", "", ""},
        {"/", "", ""},
        {"db", "db", "db"},
        {"/a//b/", "a/b", "a/b"},
        {"my db=1/v=2 x+y&z@w:1", "my db=1/v=2 x+y&z@w:1", "my db=1/v=2 x+y&z@w:1"},
        {"t~x", "t%7Ex", "t%257Ex"},
        {"100%", "100%25", "100%2525"},
        {"./a/../b", "%2E/a/%2E%2E/b", "%252E/a/%252E%252E/b"},
        {"...", "...", "..."},
        {".a", ".a", ".a"},
        {"\\{}^`[]\"<>#|*?", "%5C%7B%7D%5E%60%5B%5D%22%3C%3E%23%7C%2A%3F",
         "%255C%257B%257D%255E%2560%255B%255D%2522%253C%253E%2523%257C%252A%253F"},
        {"\xc3\xa9\x01\x7f", "%C3%A9%01%7F", "%25C3%25A9%2501%257F"},
        {"'!$(),;-_", "'!$(),;-_", "'!$(),;-_"},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        struct shl_db_paths p;
        OK(shl_db_paths_init(&p, cases[i].path, &err));
        assert_string_equal(p.r1, cases[i].r1);
        assert_string_equal(p.r2, cases[i].r2);
        shl_db_paths_deinit(&p);
        OK(shl_db_paths_init_escaped(&p, cases[i].r1, &err));
        assert_string_equal(p.r1, cases[i].r1);
        assert_string_equal(p.r2, cases[i].r2);
        shl_db_paths_deinit(&p);
    }
}

static void expect_name(char *take_name, const char *want)
{
    assert_non_null(take_name);
    assert_string_equal(take_name, want);
    env_free(take_name);
}

static void test_names_of_all_objects(void **state)
{
    (void)state;
    struct shl_db_paths p;
    struct shl_ulid id = {UINT64_C(0x01a1f9e1b88e5d4d), UINT64_C(0x32daff665079e5fb)};
    OK(shl_db_paths_init(&p, "a/t~x", &err));
    expect_name(shl_name_manifest(&p, 1), "a/t%7Ex/manifest/00000000000000000001.manifest");
    expect_name(shl_name_compactions(&p, 22),
                "a/t%7Ex/compactions/00000000000000000022.compactions");
    expect_name(shl_name_wal(&p, UINT64_MAX), "a/t%257Ex/wal/18446744073709551615.sst");
    expect_name(shl_name_sst(&p, id), "a/t%257Ex/compacted/01M7WY3E4EBN6K5PQZCS87KSFV.sst");
    expect_name(shl_name_boundary(&p, "manifest"), "a/t%7Ex/gc/manifest.boundary");
    expect_name(shl_name_boundary(&p, "compactions"), "a/t%7Ex/gc/compactions.boundary");
    expect_name(shl_name_dir(&p, "manifest"), "a/t%7Ex/manifest");
    expect_name(shl_name_dir(&p, "gc"), "a/t%7Ex/gc");
    expect_name(shl_name_dir(&p, "wal"), "a/t%257Ex/wal");
    expect_name(shl_name_dir(&p, "compacted"), "a/t%257Ex/compacted");
    shl_db_paths_deinit(&p);
    OK(shl_db_paths_init(&p, "", &err));
    expect_name(shl_name_manifest(&p, 1), "manifest/00000000000000000001.manifest");
    shl_db_paths_deinit(&p);
}

static void test_numbers_are_parsed_from_names(void **state)
{
    (void)state;
    static const struct {
        const char *key, *extension;
        bool valid;
        uint64_t id;
    } cases[] = {
        {"db/manifest/00000000000000000012.manifest", "manifest", true, 12},
        {"12.manifest", "manifest", true, 12},
        {"db/wal/18446744073709551615.sst", "sst", true, UINT64_MAX},
        {"db/wal/18446744073709551616.sst", "sst", false, 0},
        {"db/wal/99999999999999999999.sst", "sst", false, 0},
        {"db/wal/000000000000000000001.sst", "sst", false, 0},
        {"db/manifest/12.compactions", "manifest", false, 0},
        {"db/manifest/12.manifest.tmp", "manifest", false, 0},
        {"db/manifest/12.manifes", "manifest", false, 0},
        {"db/manifest/12", "manifest", false, 0},
        {"db/manifest/.manifest", "manifest", false, 0},
        {"db/manifest/1a.manifest", "manifest", false, 0},
        {"db/manifest/-1.manifest", "manifest", false, 0},
        {"12.manifest/x", "manifest", false, 0},
        {"", "manifest", false, 0},
    };
    for (size_t i = 0; i < SHL_COUNT_OF(cases); i++) {
        uint64_t id = 0;
        if (shl_name_parse_id(cases[i].key, cases[i].extension, &id) != cases[i].valid)
            fail_msg("%s", cases[i].key);
        assert_true(id == cases[i].id);
    }
}

static void test_ulids_are_parsed_from_names(void **state)
{
    (void)state;
    struct shl_ulid id;
    assert_true(shl_name_parse_ulid("db/compacted/01M7WY3E4EBN6K5PQZCS87KSFV.sst", &id));
    assert_true(id.hi == UINT64_C(0x01a1f9e1b88e5d4d));
    assert_false(shl_name_parse_ulid("db/compacted/01M7WY3E4EBN6K5PQZCS87KSFV.tmp", &id));
    assert_false(shl_name_parse_ulid("db/compacted/01M7WY3E4EBN6K5PQZCS87KSF.sst", &id));
    assert_false(shl_name_parse_ulid("db/compacted/readme.sst", &id));
    assert_false(shl_name_parse_ulid("db/compacted/", &id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots_are_escaped_once_and_twice),
        cmocka_unit_test(test_names_of_all_objects),
        cmocka_unit_test(test_numbers_are_parsed_from_names),
        cmocka_unit_test(test_ulids_are_parsed_from_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
