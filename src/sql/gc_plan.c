#include "sql/gc_plan.h"

#include <string.h>

int64_t shl_sql_gc_age(const struct shl_sql_gc_input *in, const struct shl_list *snapshots)
{
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct shl_list_item *o = &snapshots->items[i];
        if (strcmp(o->key, in->manifest->snapshot.key) == 0 && o->modified_ns > 0 &&
            o->modified_ns <= in->now_ns)
            return in->now_ns - o->modified_ns;
    }
    return -1;
}

/* The segment behind "changesets/" of a key below it; empty if there is none. */
static struct shl_slice epoch_of(const char *prefix, const char *key)
{
    static const char folder[] = "changesets/";
    size_t n = strlen(prefix);
    if (strncmp(key, prefix, n) != 0 || strncmp(key + n, folder, sizeof folder - 1) != 0)
        return shl_slice_of(NULL, 0);
    const char *at = key + n + sizeof folder - 1;
    size_t len = strcspn(at, "/");
    return at[len] == '/' ? shl_slice_of(at, len) : shl_slice_of(NULL, 0);
}

static bool epoch_is_used(const struct shl_sql_gc_input *in, struct shl_slice epoch)
{
    if (shl_slice_eq(epoch, shl_sql_epoch(in->manifest->snapshot.key)))
        return true;
    for (size_t i = 0; i < in->manifest->log.count; i++)
        if (shl_slice_eq(epoch, epoch_of(in->prefix, in->manifest->log.items[i].key)))
            return true;
    return false;
}

bool shl_sql_gc_takes_changeset(const struct shl_sql_gc_input *in, int64_t age,
                                const struct shl_list_item *item)
{
    struct shl_slice epoch = epoch_of(in->prefix, item->key);
    bool old_enough = in->grace_ns == 0 || (age >= 0 && age >= in->grace_ns);
    return epoch.len > 0 && old_enough && !epoch_is_used(in, epoch);
}

bool shl_sql_gc_takes_snapshot(const struct shl_sql_gc_input *in, const struct shl_list_item *item)
{
    if (strcmp(item->key, in->manifest->snapshot.key) == 0)
        return false;
    return in->grace_ns == 0 || (item->modified_ns > 0 && in->now_ns >= item->modified_ns &&
                                 in->now_ns - item->modified_ns >= in->grace_ns);
}
