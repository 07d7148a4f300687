/* Makes a store fail on demand: for tests. Rules match by kind and key, and fire at the n-th match, from then on, or by chance. */
#ifndef SHL_STORE_WRAP_FAULT_H
#define SHL_STORE_WRAP_FAULT_H

#include "store/backend.h"

#define SHL_FAULT_RULES_MAX 16
#define SHL_FAULT_KEY_BYTES 64

enum shl_fault_effect {
    SHL_FAULT_BEFORE,   /* fails, and nothing was done */
    SHL_FAULT_AFTER,    /* it was done, and the answer is lost */
    SHL_FAULT_TRUNCATE, /* half of the body comes; ranges fail as a cut connection does */
    SHL_FAULT_CORRUPT   /* one bit of the received bytes is wrong, and nobody says so */
};

struct shl_fault_rule {
    unsigned kinds; /* SHL_KIND_BIT of the kinds it is for; 0: all */
    char key_part
        [SHL_FAULT_KEY_BYTES]; /* in the key; "": any, also calls without key (parts, complete) */
    enum shl_fault_effect effect;
    shale_code code; /* for BEFORE and AFTER; SHALE_OK stands for SHALE_UNAVAILABLE */
    uint64_t nth;    /* fires at this match, counted from 0 ... */
    bool sticky;     /* ... and at all later ones */
    uint32_t
        chance_ppm; /* if > 0: fires by chance, in so many of a million matches, and nth, sticky are not looked at */
};

/* Takes a reference to `inner`. The seed is for chances and for the bit that is flipped. Errors: NOMEM. */
SHL_MUST shale_code shl_store_fault_new(struct shl_store **out, struct shl_store *inner,
                                        uint64_t seed, shale_error *err);

/* Adds a rule and returns its number; at most SHL_FAULT_RULES_MAX. The first rule that fires is the one that counts. Any thread. */
unsigned shl_store_fault_add(struct shl_store *s, const struct shl_fault_rule *rule);
/* Removes all rules and their counts. */
void shl_store_fault_clear(struct shl_store *s);
/* How often the rule matched (fired or not), and fired. */
uint64_t shl_store_fault_matched(struct shl_store *s, unsigned rule);
uint64_t shl_store_fault_fired(struct shl_store *s, unsigned rule);

#endif
