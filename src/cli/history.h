/* The history of the shell: a text file of lines, $XDG_STATE_HOME/shale/history, readable by its owner only. */
#ifndef SHL_CLI_HISTORY_H
#define SHL_CLI_HISTORY_H

#include "base/bytes.h"

#define HISTORY_LINES 1000

/* False: there is no place for it. */
bool history_path(char *dst, size_t cap);
/* Calls each with every line, oldest first; a file that has grown is cut to HISTORY_LINES. */
void history_load(const char *path, void (*each)(void *ctx, const char *line), void *ctx);
/* Whether a line may be kept: not empty, no blank at its head, no secret named in it. */
bool history_may_keep(const char *line);
void history_add(const char *path, const char *line);

#endif
