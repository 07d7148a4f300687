/* For tests: a filter as an application brings it, which notes the first bytes of keys, with memory of the env. */
#ifndef SUPPORT_OWN_FILTER_H
#define SUPPORT_OWN_FILTER_H

#include "lsm/format/sst.h"

extern const struct shl_user_filters test_own_filter; /* one, named "first-bytes" */

#endif
