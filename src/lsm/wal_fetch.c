#include "lsm/wal_fetch.h"

#include "base/assert.h"
#include "base/num.h"

struct slot {
    struct shl_fan_job job;
    struct shl_wal_fetch *owner;
    struct shl_wal_item item;
    struct shl_wal_file file; /* owned until it is handed out */
    shale_code rc;
    shale_error err;
};

struct shl_wal_fetch {
    struct shl_store *store;                   /* borrowed */
    const struct shl_db_paths *paths;          /* borrowed */
    const struct shl_transformer *transformer; /* borrowed */
    struct shl_fanout *fanout;                 /* borrowed */
    struct shl_wal_item *items;                /* owned */
    size_t count;
    size_t given;   /* handed out */
    size_t started; /* items[given .. started) lie in the ring or are on their way */
    uint64_t bytes; /* of those */
    size_t slot_count;
    struct slot slots[SHL_WAL_FETCH_OBJECTS]; /* item i is in i % slot_count */
};

static struct slot *slot_of(struct shl_wal_fetch *w, size_t i)
{
    return &w->slots[i % w->slot_count];
}

static void run_slot(struct shl_fan_job *job)
{
    struct slot *s = (struct slot *)job; /* the job is the first member */
    const struct shl_wal_fetch *w = s->owner;
    s->rc = shl_wal_file_read(w->store, w->paths, s->item.id, s->item.bytes, w->transformer,
                              &s->file, &s->err);
}

static uint64_t charge(const struct shl_wal_item *item)
{
    return shl_min_u64(item->bytes, SHL_WAL_FETCH_BYTES);
}

static void start_more(struct shl_wal_fetch *w)
{
    while (w->started < w->count && w->started - w->given < w->slot_count &&
           (w->started == w->given ||
            w->bytes + charge(&w->items[w->started]) <= SHL_WAL_FETCH_BYTES)) {
        struct slot *s = slot_of(w, w->started);
        *s = (struct slot){
            .job = {.run = run_slot}, .owner = w, .item = w->items[w->started], .rc = SHALE_OK};
        w->bytes += charge(&s->item);
        w->started++;
        shl_fanout_start(w->fanout, &s->job);
    }
}

shale_code shl_wal_fetch_new(struct shl_store *store, const struct shl_db_paths *paths,
                             const struct shl_transformer *transformer, struct shl_fanout *fanout,
                             const struct shl_wal_item *items, size_t count,
                             struct shl_wal_fetch **out, shale_error *err)
{
    struct shl_wal_fetch *w = env_calloc(1, sizeof *w);
    struct shl_wal_item *copy = env_calloc(count + 1, sizeof *copy);
    if (w == NULL || copy == NULL) {
        env_free(w);
        env_free(copy);
        return shl_nomem(err);
    }
    for (size_t i = 0; i < count; i++)
        if (items[i].bytes > 0)
            copy[w->count++] = items[i];
    w->store = store;
    w->paths = paths;
    w->transformer = transformer;
    w->fanout = fanout;
    w->items = copy;
    w->slot_count = fanout != NULL ? SHL_WAL_FETCH_OBJECTS : 1;
    start_more(w);
    *out = w;
    return SHALE_OK;
}

shale_code shl_wal_fetch_next(struct shl_wal_fetch *w, uint64_t *id, struct shl_wal_file *out,
                              shale_error *err)
{
    if (w->given == w->count)
        return SHALE_DONE;
    struct slot *s = slot_of(w, w->given);
    SHL_ASSERT(w->started > w->given);
    shl_fanout_wait(w->fanout, &s->job);
    shale_code rc = s->rc;
    *id = s->item.id;
    w->bytes -= charge(&s->item);
    w->given++;
    if (rc == SHALE_OK) {
        *out = s->file;
        start_more(w);
    } else {
        *err = s->err;
        w->count = w->started; /* what is on its way is waited for, and that is all */
    }
    return rc;
}

void shl_wal_fetch_free(struct shl_wal_fetch *w)
{
    if (w == NULL)
        return;
    for (; w->given < w->started; w->given++) {
        struct slot *s = slot_of(w, w->given);
        if (shl_fanout_cancel(w->fanout, &s->job) && s->rc == SHALE_OK)
            shl_wal_file_deinit(&s->file);
    }
    env_free(w->items);
    env_free(w);
}
