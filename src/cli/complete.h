/* What a word on the command line could become. One path for `shale __complete`, which the completion scripts ask, and for Tab in a shell. */
#ifndef SHL_CLI_COMPLETE_H
#define SHL_CLI_COMPLETE_H

#include "cli/cmd.h"
#include "cli/lookup.h"

/* Instead of a word: let the asking shell complete names of files, or of folders. */
#define COMPLETE_FILES   ":files"
#define COMPLETE_FOLDERS ":folders"

struct complete_ask {
    const char *const *words; /* behind "shale"; the last one is completed and may be "" */
    size_t count;             /* at least 1 */
    const char *shell_db;     /* of a shell: commands take no DB there; else NULL */
    struct lookup *lookup;    /* NULL: keys and checkpoints are not looked up */
    shale_db *db;             /* to look into; NULL: the one that is named, if it is a folder */
    /* Gets each candidate with a short explanation (may be NULL), both borrowed. */
    void (*emit)(void *ctx, const char *word, const char *what);
    void *ctx;
};

void complete(struct cli *c, const struct complete_ask *ask);
/* Offers `word` if it begins with what is being typed. */
void complete_offer(const struct complete_ask *ask, const char *typed, const char *word,
                    const char *what);

#endif
