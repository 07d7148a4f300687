#include "lsm/inspect/explain.h"

#include "lsm/db_internal.h"
#include "lsm/inspect/inspect.h"

/* The search goes on until `done`; operands of a merge are met on the way. */
struct explained {
    struct shl_lsm *db;
    struct shl_slice key;
    uint64_t hash;
    uint64_t max_seq;
    struct shl_version *version; /* counted */
    struct shl_json_writer *w;
    bool met;  /* some row */
    bool done; /* a value or tombstone */
    uint8_t flags;
    uint64_t seq;
    size_t value_bytes;
};

static const char *kind_of(uint8_t flags)
{
    return (flags & SHL_ROW_TOMBSTONE) != 0 ? "tombstone"
           : (flags & SHL_ROW_MERGE) != 0   ? "merge"
                                            : "value";
}

static void member_str(struct shl_json_writer *w, const char *name, const char *value)
{
    shl_json_key(w, name);
    shl_json_str(w, value);
}

static void member_u64(struct shl_json_writer *w, const char *name, uint64_t value)
{
    shl_json_key(w, name);
    shl_json_u64(w, value);
}

static void member_bool(struct shl_json_writer *w, const char *name, bool value)
{
    shl_json_key(w, name);
    shl_json_bool(w, value);
}

/* The newest row of all is what the answer is called after. */
static void note(struct explained *x, const struct shl_row *row)
{
    if (!x->met) {
        x->flags = row->flags;
        x->seq = row->seq;
        x->value_bytes = row->value.len;
    }
    x->met = true;
    x->done = (row->flags & SHL_ROW_MERGE) == 0;
}

static void ask_memtable(struct explained *x, const struct shl_memtable *t, bool frozen)
{
    const char *answer = "no";
    const struct shl_mem_entry *e = shl_memtable_get(t, x->key, x->max_seq);
    for (; e != NULL && !x->done; e = shl_mem_entry_older(e)) {
        struct shl_row row;
        shl_mem_entry_row(e, &row);
        note(x, &row);
        answer = kind_of(row.flags);
    }
    shl_json_object(x->w);
    member_bool(x->w, "frozen", frozen);
    member_u64(x->w, "rows", shl_memtable_rows(t));
    member_u64(x->w, "bytes", shl_memtable_encoded_bytes(t));
    member_str(x->w, "answer", answer);
    shl_json_object_end(x->w);
}

/* Probes until a row or nothing is found; writes each block that had to be fetched. */
static shale_code probe(struct explained *x, struct shl_sst *t, struct shl_sst_meta *m,
                        const char **answer, shale_error *err)
{
    struct shl_probe_state p = {.key = x->key, .hash = x->hash, .max_seq = x->max_seq, .meta = m};
    shale_code rc = SHALE_OK;
    bool more = true;
    while (more && rc == SHALE_OK) {
        struct shl_block *block = NULL;
        uint32_t token = shl_epoch_enter(x->db->epoch);
        enum shl_probe found = shl_sst_probe(t, &p, err);
        if (found == SHL_PROBE_FOUND) {
            note(x, &p.row); /* its slices are good only inside the epoch */
            *answer = kind_of(p.row.flags);
        }
        uint64_t seq = found == SHL_PROBE_FOUND ? p.row.seq : 0;
        shl_epoch_leave(x->db->epoch, token);
        switch (found) {
        case SHL_PROBE_FOUND:
            more = !x->done && seq > 0;
            p.max_seq = seq - 1;
            break;
        case SHL_PROBE_MISSING:
            more = false;
            break;
        case SHL_PROBE_CORRUPT:
        case SHL_PROBE_NEED_META: /* never: the caller holds it */
            rc = err->code;
            break;
        case SHL_PROBE_NEED_BLOCK:
            rc = shl_sst_load_block_of(t, m, p.block_index, true, &block, err);
            if (rc == SHALE_OK) {
                shl_block_unref(p.loaded);
                p.loaded = block;
                p.loaded_index = p.block_index;
                shl_json_u64(x->w, p.block_index);
            }
            break;
        }
    }
    shl_block_unref(p.loaded);
    return rc;
}

static shale_code ask_sst(struct explained *x, const struct shl_level_sst *s, const uint32_t *run,
                          shale_error *err)
{
    struct shl_sst *t = s->sst;
    bool in_range = shl_key_range_contains(&s->range, x->key);
    bool cached = shl_sst_has_meta(t);
    const char *answer = "no";
    struct shl_sst_meta *m = NULL;
    shale_code rc = SHALE_OK;
    shl_json_object(x->w);
    if (run != NULL)
        member_u64(x->w, "run", *run);
    shl_json_key(x->w, "sst");
    shl_inspect_ulid(x->w, shl_sst_describe(t)->id);
    member_bool(x->w, "in_range", in_range);
    if (in_range) {
        rc = shl_sst_hold_meta(t, &m, err);
        bool pass = rc == SHALE_OK && shl_sst_may_contain(t, x->key, x->hash);
        member_bool(x->w, "filter_and_index_cached", cached);
        member_bool(x->w, "filter_passes", pass);
        shl_json_key(x->w, "blocks_fetched");
        shl_json_array(x->w);
        if (pass)
            rc = probe(x, t, m, &answer, err);
        shl_sst_release_meta(m);
        shl_json_array_end(x->w);
        member_str(x->w, "answer", answer);
    }
    shl_json_object_end(x->w);
    return rc;
}

static shale_code ask_tree(struct explained *x, const struct shl_levels *levels,
                           const struct shl_level_tree *tree, shale_error *err)
{
    shale_code rc = SHALE_OK;
    for (size_t i = 0; i < tree->l0_count && !x->done && rc == SHALE_OK; i++)
        rc = ask_sst(x, &levels->ssts[tree->l0_first + i], NULL, err);
    for (size_t i = 0; i < tree->run_count && !x->done && rc == SHALE_OK; i++) {
        const struct shl_level_run *run = &levels->runs[tree->run_first + i];
        for (size_t k = shl_level_run_find(levels, run, x->key);
             k < run->count && !x->done && rc == SHALE_OK; k++) {
            const struct shl_level_sst *s = &levels->ssts[run->first + k];
            if (!shl_key_range_contains(&s->range, x->key))
                break;
            rc = ask_sst(x, s, &run->id, err);
        }
    }
    return rc;
}

static void hold_version(struct explained *x)
{
    uint32_t token = shl_epoch_enter(x->db->epoch);
    x->version = shl_version_ref(env_load_seq(&x->db->version));
    shl_epoch_leave(x->db->epoch, token);
    x->max_seq = env_load_acquire(&x->db->committed_seq);
}

shale_code shl_lsm_explain(struct shl_lsm *db, struct shl_slice key, struct shl_json_writer *w,
                           shale_error *err)
{
    struct explained x = {.db = db, .key = key, .w = w};
    shale_code rc = shl_lsm_check(db, err);
    if (rc != SHALE_OK)
        return rc;
    if (key.len == 0)
        return shl_fail(err, SHALE_INVALID, "key of 0 bytes");
    x.hash = shl_filter_hash(key);
    hold_version(&x);
    const struct shl_version *v = x.version;
    const struct shl_level_tree *tree = shl_levels_tree(v->levels, key);
    shl_json_key(w, "memtables");
    shl_json_array(w);
    ask_memtable(&x, v->active, false);
    for (size_t i = 0; i < v->frozen_count && !x.done; i++)
        ask_memtable(&x, v->frozen[i], true);
    shl_json_array_end(w);
    if (tree != NULL && tree->prefix.len > 0)
        shl_inspect_hex(w, "segment", tree->prefix);
    shl_json_key(w, "ssts");
    shl_json_array(w);
    if (tree != NULL && !x.done)
        rc = ask_tree(&x, v->levels, tree, err);
    shl_json_array_end(w);
    member_str(w, "answer", x.met ? kind_of(x.flags) : "no");
    if (x.met) {
        member_u64(w, "seq", x.seq);
        member_u64(w, "value_bytes", x.value_bytes);
    }
    shl_version_unref(x.version);
    return rc;
}
