/* Settings files in YAML, by libyaml: one document of mappings, scalars and sequences of scalars. Anchors, aliases and tags are
 * refused. Plain scalars are read as YAML 1.2 does: null ~ and nothing, true false, decimal numbers; all else is text. */
#ifndef SHL_CODEC_YAML_H
#define SHL_CODEC_YAML_H

#include "base/codec/setting_sink.h"

/* Calls fn for each setting in the order of the text. INVALID with "line N: .."; NOMEM; or what fn answered. libyaml takes its memory from
 * the C library. */
SHL_MUST shale_code shl_yaml_read(struct shl_slice text, shl_setting_fn fn, void *ctx, shale_error *err);

#endif
