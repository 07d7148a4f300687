#include "store/price.h"

const struct shl_price_table *shl_price_s3(void)
{
    static const struct shl_price_table table = {.name = "S3 Standard us-east-1",
                                                 .date = "2026-11",
                                                 .write_usd = 0.005,
                                                 .read_usd = 0.0004,
                                                 .storage_usd = 0.023};
    return &table;
}

enum price_class { PRICE_FREE, PRICE_READ, PRICE_WRITE };

static const enum price_class class_of[SHL_KINDS] = {
    [SHL_KIND_PUT] = PRICE_WRITE,
    [SHL_KIND_GET] = PRICE_READ,
    [SHL_KIND_HEAD] = PRICE_READ,
    [SHL_KIND_LIST] = PRICE_WRITE,
    [SHL_KIND_DELETE] = PRICE_FREE,
    [SHL_KIND_COPY] = PRICE_WRITE,
    [SHL_KIND_UPLOAD_START] = PRICE_WRITE,
    [SHL_KIND_UPLOAD_PART] = PRICE_WRITE,
    [SHL_KIND_UPLOAD_COMPLETE] = PRICE_WRITE,
};

static uint64_t requests_of(const struct shl_store_counts *counts, enum price_class class)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SHL_KINDS; i++) {
        if (class_of[i] == class)
            sum += counts->kinds[i].requests;
    }
    return sum;
}

uint64_t shl_price_writes(const struct shl_store_counts *counts)
{
    return requests_of(counts, PRICE_WRITE);
}

uint64_t shl_price_reads(const struct shl_store_counts *counts)
{
    return requests_of(counts, PRICE_READ);
}

double shl_price_requests(const struct shl_price_table *table,
                          const struct shl_store_counts *counts)
{
    return (double)shl_price_writes(counts) * table->write_usd / 1000.0 +
           (double)shl_price_reads(counts) * table->read_usd / 1000.0;
}

double shl_price_storage(const struct shl_price_table *table, uint64_t bytes)
{
    return (double)bytes * table->storage_usd / 1e9;
}
