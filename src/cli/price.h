/* What requests and storage cost where a database lies. Prices are a file with a date (data/prices.toml); a built-in one stands in for it. */
#ifndef SHL_CLI_PRICE_H
#define SHL_CLI_PRICE_H

#include "cli/cmd.h"

struct cli_price {
    char name[80];                     /* "S3 Standard us-east-1" */
    char date[16];                     /* "2026-11" */
    double put_usd, list_usd, get_usd; /* per 1,000 requests */
    double storage_usd;                /* per GB (10^9 bytes) and month */
    bool
        elsewhere; /* the store itself asks no money, or its prices are not known: this is what S3 would take */
};

/* For the store that `url` names (NULL: S3), by --price-table or the installed file. c->options must be made. False after a message: only a table that was
 * asked for can be wrong. */
SHL_MUST bool cli_price_for(struct cli *c, const char *url, struct cli_price *out);
double cli_price_requests(const struct cli_price *p, const shale_store_counts *n);
double cli_price_month(const struct cli_price *p, uint64_t bytes);
void cli_add_requests(shale_store_counts *sum, const shale_store_counts *n);
/* Appends "requests":{..}: what a command asked, and its price on S3 Standard. */
void cli_json_requests(struct out *o, const shale_store_counts *n);
/* "~$0.0009 on S3 Standard us-east-1 (prices of 2026-11)", or "on S3 this would cost ~$0.0009 (...)". Returns text. */
#define CLI_PRICE_TEXT 200
const char *cli_price_text(const struct cli_price *p, double usd, const char *per,
                           char text[CLI_PRICE_TEXT]);
/* What -n says last: the requests that doing it takes, about, what they cost, and what `freed_bytes` that go cost no more. */
void cli_note_price(struct cli *c, const shale_store_counts *n, uint64_t freed_bytes);

#endif
