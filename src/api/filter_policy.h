/* Filter policies of the user behind the engine's interface. */
#ifndef SHL_API_FILTER_POLICY_H
#define SHL_API_FILTER_POLICY_H

#include "api/options.h"

/* Lives as long as whoever uses its filters; must not be moved. */
struct shl_api_filter_policies {
    struct shl_user_filters filters; /* points into list */
    struct shl_user_filter list[SHALE_FILTER_POLICIES_MAX];
    struct shl_api_filter_policy theirs[SHALE_FILTER_POLICIES_MAX];
};

void shl_api_filter_policies_init(struct shl_api_filter_policies *out, const shale_options *o);

#endif
