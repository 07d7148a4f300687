/* What requests and storage cost. Prices are data with a date; money is always an estimate. */
#ifndef SHL_STORE_PRICE_H
#define SHL_STORE_PRICE_H

#include "store/wrap_count.h"

struct shl_price_table {
    const char *name;   /* "S3 Standard us-east-1" */
    const char *date;   /* "2026-11": prices as of */
    double write_usd;   /* per 1000 PUT, COPY, POST, LIST: multipart requests too */
    double read_usd;    /* per 1000 GET, HEAD */
    double storage_usd; /* per GB (10^9 bytes) and month; DELETE is free */
};

/* S3 Standard, us-east-1, 2026-11. Static. */
const struct shl_price_table *shl_price_s3(void);

/* What the requests of `counts` cost, without storage and transfer. */
double shl_price_requests(const struct shl_price_table *table,
                          const struct shl_store_counts *counts);
/* Requests of the two classes, to be shown beside the money. */
uint64_t shl_price_writes(const struct shl_store_counts *counts);
uint64_t shl_price_reads(const struct shl_store_counts *counts);
/* What keeping `bytes` for a month costs. */
double shl_price_storage(const struct shl_price_table *table, uint64_t bytes);

#endif
