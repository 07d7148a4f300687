/* What a server says goes into messages and logs, and it may repeat what it was sent. Pure. */
#ifndef SHL_STORE_MASK_H
#define SHL_STORE_MASK_H

#include <stddef.h>

/* Puts "***" in the place of secrets, in place:
 *   - the given ones, as they are or percent-encoded, also a beginning of one at the end of the text, which may have been cut; NULL and those of
 *     fewer than 8 characters are passed over, for they would be found in innocent words
 *   - the word behind "Signature=", "Security-Token=" and "Security-Token:", whatever the letters' case
 *   - runs of 64 or more hex digits: signatures. */
void shl_mask(char *text, const char *const *secrets, size_t count);

#endif
