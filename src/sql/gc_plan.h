/* What of a database's objects nobody can need any more. Pure.
 *
 * Changesets of an epoch that ended never come into a log again: whoever uploaded them loses its swap, because the snapshot is another one, and
 * uploads anew under the new epoch. Those of the epoch in force may be on their way into the manifest: they stay, orphans too. Readers that loaded an older
 * manifest have `grace` to fetch what it names. Source: s3db at commit 55f93c7, gc.go. */
#ifndef SHL_SQL_GC_PLAN_H
#define SHL_SQL_GC_PLAN_H

#include "sql/format/manifest.h"
#include "store/store.h"

struct shl_sql_gc_input {
    const struct shl_sql_manifest *manifest;
    const char *prefix; /* "db/" */
    int64_t now_ns;     /* since the Unix epoch */
    int64_t grace_ns;   /* 0: none */
};

/* How long the snapshot in force has been there, and so everything else has been garbage; -1 if the list does not have it, or no time. */
int64_t shl_sql_gc_age(const struct shl_sql_gc_input *in, const struct shl_list *snapshots);
/* Whether an object of {prefix}changesets/ may go; `age`: of shl_sql_gc_age. */
bool shl_sql_gc_takes_changeset(const struct shl_sql_gc_input *in, int64_t age,
                                const struct shl_list_item *item);
/* Whether an object of {prefix}snapshots/ may go. */
bool shl_sql_gc_takes_snapshot(const struct shl_sql_gc_input *in, const struct shl_list_item *item);

#endif
