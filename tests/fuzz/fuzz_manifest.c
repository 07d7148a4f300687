/* A manifest file: what is accepted, of either version, is written and read again without a difference; so is a clone of it, and
 * every view has a range that is not empty. */
#include "base/assert.h"
#include "lsm/format/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tree(const struct shl_tree *t)
{
    struct shl_key_range range;
    for (size_t i = 0; i < t->l0.count; i++) {
        shl_sst_view_range(&t->l0.items[i], &range);
        SHL_ASSERT(!shl_key_range_empty(&range));
        SHL_ASSERT(shl_key_range_contains(&range, range.start));
    }
    for (size_t i = 1; i < t->runs.count; i++)
        SHL_ASSERT(t->runs.items[i].id < t->runs.items[i - 1].id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shale_error err;
    struct shl_manifest *m = NULL, *copy = NULL, *again = NULL;
    struct shl_buf one = {0}, two = {0};
    if (shl_manifest_decode(shl_slice_of(data, size), &m, &err) != SHALE_OK) {
        SHL_ASSERT(err.code == SHALE_CORRUPTION);
        return 0;
    }
    check_tree(&m->root);
    for (size_t i = 0; i < m->segments.count; i++)
        check_tree(&m->segments.items[i].tree);
    shale_code rc = shl_manifest_encode(m, &one, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_manifest_clone(m, &copy, &err);
    SHL_ASSERT(rc == SHALE_OK);
    rc = shl_manifest_encode(copy, &two, &err);
    SHL_ASSERT(rc == SHALE_OK);
    SHL_ASSERT(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    rc = shl_manifest_decode(shl_buf_view(&one), &again, &err);
    if (m->stored_version ==
        2) { /* version 1 may hold views of one SST twice, which version 2 forbids */
        SHL_ASSERT(rc == SHALE_OK);
        two.len = 0;
        rc = shl_manifest_encode(again, &two, &err);
        SHL_ASSERT(rc == SHALE_OK);
        SHL_ASSERT(shl_slice_eq(shl_buf_view(&one), shl_buf_view(&two)));
    }
    shl_manifest_prune_external(m);
    shl_manifest_free(m);
    shl_manifest_free(copy);
    shl_manifest_free(again);
    shl_buf_free(&one);
    shl_buf_free(&two);
    return 0;
}
