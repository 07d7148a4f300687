/* "did you mean file:///srv/orders?" for a database that is not there. */
#ifndef SHL_API_NEAR_H
#define SHL_API_NEAR_H

#include "api/stack.h"

/* Adds a suggestion to the error of an open if it says that there is no database and one with a near name stands beside it. One of another kind that stands there itself
 * is named instead. Costs three LISTs, and only then. */
void shl_api_suggest(const struct shl_api_stack *s, shale_error *err);

#endif
