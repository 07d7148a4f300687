/* A line of the shell as words. Pure. What scan prints can be typed: \n \t \r \\ \xNN, and a backslash before any other byte takes it as it is;
 * '..' takes everything as it is, ".." all but backslashes. '#' at the head of a word begins a comment. */
#ifndef SHL_CLI_WORDS_H
#define SHL_CLI_WORDS_H

#include "base/bytes.h"

struct words {
    char *text;         /* owned: the words, each with its NUL */
    const char **items; /* owned array, into text */
    size_t count;
    size_t last_at; /* where the last word begins in the line */
    bool open;      /* the line ends inside of the last word, or of its quotes: it may go on */
};

/* {0} may be deinit'ed. INVALID: a quote that is not closed (not with `half`: a line that is still being typed), a bad \x, \x00 (a word cannot hold it: --hex);
 * NOMEM. */
SHL_MUST shale_code words_split(struct words *w, const char *line, bool half, shale_error *err);
void words_deinit(struct words *w);

/* Appends `word` as it has to be typed. */
SHL_MUST shale_code words_quote(struct shl_buf *out, const char *word, shale_error *err);

#endif
