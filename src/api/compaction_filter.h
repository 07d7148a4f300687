/* A compaction filter of the user behind the engine's interface. */
#ifndef SHL_API_COMPACTION_FILTER_H
#define SHL_API_COMPACTION_FILTER_H

#include "api/options.h"
#include "lsm/compactor/filter.h"

/* Lives as long as whoever uses its filter; must not be moved. */
struct shl_api_compaction_filter {
    struct shl_compaction_filter filter; /* ctx points here */
    bool is_there;
    shale_compaction_filter theirs;
};

void shl_api_compaction_filter_init(struct shl_api_compaction_filter *out, const shale_options *o);

#endif
