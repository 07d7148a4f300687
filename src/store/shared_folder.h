/* A folder as the Go program s3db keeps one, so that its processes and ours may use it at the same time. Keys are paths below the root.
 *
 * ETags are the MD5 of the content. A write is staged as .s3db-tmp-<16 hex digits> beside its final name, and renamed under an exclusive flock
 * on <root>/.s3db.lock, which also holds conditional puts and deletes apart; reads take no lock. Folders are 0700, files 0600. Nothing
 * outside of the root is reached, whatever links there are. A delete removes folders that became empty. Names of either kind above are no keys, in
 * any letter case. Network file systems are not supported. Source: s3db at commit 55f93c7, blob_fs.go and LOCAL_BACKEND.md. */
#ifndef SHL_STORE_SHARED_FOLDER_H
#define SHL_STORE_SHARED_FOLDER_H

#include "store/file.h"

/* `root_path` is copied; it should be absolute. options: fsync (of files and folders) and create_root are used. No I/O. Errors: NOMEM. */
SHL_MUST shale_code shl_store_shared_folder_new(struct shl_store **out, const char *root_path,
                                                const struct shl_file_options *options,
                                                shale_error *err);

#endif
