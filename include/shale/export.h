/* Visibility and attribute macros of the public headers. SPDX-License-Identifier: Apache-2.0 */
#ifndef SHALE_EXPORT_H
#define SHALE_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define SHALE_API __attribute__((visibility("default")))
#define SHALE_MUST __attribute__((warn_unused_result))
#else
#define SHALE_API
#define SHALE_MUST
#endif

struct shale_error; /* strict C forbids an empty header */

#ifdef __cplusplus
#define SHALE_BEGIN_DECLS extern "C" {
#define SHALE_END_DECLS   }
#else
#define SHALE_BEGIN_DECLS
#define SHALE_END_DECLS
#endif

#endif
