#include "lsm/compactor/file.h"

#include "base/num.h"

#include <inttypes.h>

void shl_compactions_file_init(struct shl_compactions_file *f, struct shl_store *store,
                               const struct shl_db_paths *paths, struct shl_fanout *fanout)
{
    *f = (struct shl_compactions_file){.now = NULL};
    shl_sequenced_init(&f->versions, store, paths, "compactions", fanout);
}

void shl_compactions_file_deinit(struct shl_compactions_file *f)
{
    shl_compactions_free(f->now);
    f->now = NULL;
    f->is_read = false;
}

shale_code shl_compactions_file_load(struct shl_compactions_file *f, bool *changed,
                                     shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_compactions *fresh = NULL;
    if (!f->is_read)
        f->versions.id = 0; /* whatever it was, we do not hold it */
    shale_code rc = shl_sequenced_load(&f->versions, &body, changed, err);
    if (rc == SHALE_NOT_FOUND && f->versions.id == 0) {
        *changed = false;
        f->is_read = true;
        shl_compactions_free(f->now);
        f->now = NULL;
        rc = SHALE_OK;
    } else if (rc == SHALE_OK && *changed) {
        rc = shl_compactions_decode(shl_buf_view(&body), &fresh, err);
        if (rc != SHALE_OK)
            shl_err_prefix(err, "%s/compactions/%020" PRIu64 ".compactions", f->versions.paths->r1,
                           f->versions.id);
    }
    if (fresh != NULL) {
        shl_compactions_free(f->now);
        f->now = fresh;
    }
    f->is_read = rc == SHALE_OK;
    shl_buf_free(&body);
    return rc;
}

/* Of final and partial outputs; UINT64_MAX: none. */
static uint64_t oldest_output(const struct shl_compaction *job)
{
    uint64_t oldest = UINT64_MAX;
    for (size_t k = 0; k < job->outputs.count; k++)
        oldest = shl_min_u64(oldest, shl_ulid_time_ms(job->outputs.items[k]->id));
    for (size_t k = 0; k < job->subcompactions.count; k++)
        for (size_t o = 0; o < job->subcompactions.items[k].outputs.count; o++)
            oldest = shl_min_u64(
                oldest, shl_ulid_time_ms(job->subcompactions.items[k].outputs.items[o]->id));
    return oldest;
}

/* The collector deletes by the times in ids: what is new must not be older than what was there. What others wrote is not ours to refuse. */
static shale_code check_guards(const struct shl_compactions *before,
                               const struct shl_compactions *next, shale_error *err)
{
    uint64_t mark = 0;
    if (before != NULL && before->jobs.count > 0)
        mark = shl_ulid_time_ms(before->jobs.items[before->jobs.count - 1].id);
    for (size_t i = 0; i < next->jobs.count; i++) {
        const struct shl_compaction *job = &next->jobs.items[i];
        uint64_t time = shl_ulid_time_ms(job->id);
        char name[SHL_ULID_TEXT];
        const struct shl_compaction *old = NULL;
        for (size_t k = 0; before != NULL && old == NULL && k < before->jobs.count; k++)
            if (shl_ulid_eq(before->jobs.items[k].id, job->id))
                old = &before->jobs.items[k];
        if (!(old == NULL && time < mark) &&
            oldest_output(job) >= shl_min_u64(time, old != NULL ? oldest_output(old) : time))
            continue;
        shl_ulid_format(job->id, name);
        return shl_fail(err, SHALE_INVALID,
                        "compaction %s: the job, or an output of it, would be older than what the "
                        "collector may take: is a clock wrong?",
                        name);
    }
    return SHALE_OK;
}

shale_code shl_compactions_file_write(struct shl_compactions_file *f,
                                      struct shl_compactions **take_next, shale_error *err)
{
    struct shl_buf body = {0};
    struct shl_compactions *next = *take_next;
    shale_code rc;
    *take_next = NULL;
    SHL_TRY(check_guards(f->now, next, err));
    SHL_TRY(shl_compactions_encode(next, &body, err));
    rc = shl_sequenced_write(&f->versions, shl_buf_view(&body), err);
    if (rc == SHALE_OK) {
        shl_compactions_free(f->now);
        f->now = next;
        next = NULL;
    } else if (rc == SHALE_PRECONDITION && f->versions.id != 0) {
        goto out; /* `now` is still version versions.id: the next load goes on from there */
    } else {
        f->is_read = false; /* it may be there or not */
    }
out:
    shl_compactions_free(next);
    shl_buf_free(&body);
    return rc;
}
