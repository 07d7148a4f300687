/* Settings files of the three kinds behind one face. */
#ifndef SHL_CODEC_SETTINGS_FILE_H
#define SHL_CODEC_SETTINGS_FILE_H

#include "base/codec/setting_sink.h"

enum shl_settings_format { SHL_SETTINGS_JSON, SHL_SETTINGS_TOML, SHL_SETTINGS_YAML };

/* By the file name's extension: .json, .toml, .yaml, .yml; false for others (slatedb-surface 2.1). */
SHL_MUST bool shl_settings_format_of(const char *path, enum shl_settings_format *out);

/* Calls fn for each setting; JSON and YAML null are SHL_SETTING_NULL with the text "none". The caller prefixes the path. Errors as in toml.h. */
SHL_MUST shale_code shl_settings_read(enum shl_settings_format format, struct shl_slice text, shl_setting_fn fn,
                                      void *ctx, shale_error *err);

#endif
