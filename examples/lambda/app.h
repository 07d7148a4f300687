/* What the function does; bootstrap.c is how Lambda talks to it. SPDX-License-Identifier: Apache-2.0 */
#ifndef APP_H
#define APP_H

#include <jansson.h>

#define APP_ERROR_MAX 600

struct app;
/* Once, before the first event. NULL, with `error` filled: Lambda is told, and starts anew. */
struct app *app_open(char error[APP_ERROR_MAX]);
/* An event; returns the answer, a reference that the caller releases, or NULL with `error` filled. */
json_t *app_handle(struct app *app, json_t *event, char error[APP_ERROR_MAX]);
void app_close(struct app *app);

#endif
