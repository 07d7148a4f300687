/* Objects as files of a folder: the layout of object-stores 4, which SlateDB shares, so both may use one folder at once.
 *
 * Reserved: keys whose last segment ends in '#' and digits (after its first '#') are INVALID; files named so are unfinished writes. */
#ifndef SHL_STORE_FILE_H
#define SHL_STORE_FILE_H

#include "store/store.h"

struct shl_file_options {
    bool
        fsync; /* a write is acknowledged when it is on disk: file, folder, and new folders above */
    bool
        create_root; /* the first write makes the root folder (and those above it) if it is missing; else it fails */
    /* Keep up to 64 compacted/ *.sst files open between reads: such objects are never written twice. A file that another
     * process has deleted may stay readable for a while. */
    bool cache_descriptors;
    bool stays_below; /* lists follow no links to folders, and no others that lead out of the root: see shared_folder */
};

/* `root_path` is copied; it should be absolute, for a later chdir would move a relative one. No I/O. Errors: NOMEM. */
SHL_MUST shale_code shl_store_file_new(struct shl_store **out, const char *root_path,
                                       const struct shl_file_options *options, shale_error *err);

/* Makes the folder and those above it that are missing. `path` is absolute; changed and put back. ALREADY_EXISTS: it is there. */
SHL_MUST shale_code shl_file_make_root(char *path, shale_error *err);

/* Its folder, borrowed, or NULL if the store is none of these (or a wrapper around one). */
const char *shl_store_file_root(const struct shl_store *s);

#endif
