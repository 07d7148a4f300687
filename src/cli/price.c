#include "cli/price.h"

#include "base/codec/settings_file.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/str.h"
#include "cli/os.h"

#include <inttypes.h>
#include <stdio.h>

#ifndef SHALE_PRICES
#define SHALE_PRICES "/usr/share/shale/prices.toml"
#endif
#define FIELD_BYTES 80

/* ---- which group of the table */

struct place {
    char scheme[16];
    char host[256]; /* of the endpoint; "" if none was named */
    char bucket[128];
    bool is_near; /* a folder or memory */
};

static bool on_store_option(void *ctx, const shale_option_info *info)
{
    struct place *p = ctx;
    if (strcmp(info->name, "aws_endpoint") != 0 || strcmp(info->value, "none") == 0)
        return true;
    const char *host = strstr(info->value, "://");
    host = host != NULL ? host + 3 : info->value;
    (void)snprintf(p->host, sizeof p->host, "%.*s", (int)strcspn(host, ":/"), host);
    return false;
}

static void find_place(struct cli *c, const char *url, struct place *p)
{
    const char *scheme = url != NULL ? strstr(url, "://") : NULL;
    shale_error ignored;
    *p = (struct place){0};
    if (url == NULL) {
        (void)snprintf(p->scheme, sizeof p->scheme, "s3");
    } else if (scheme != NULL) {
        (void)snprintf(p->scheme, sizeof p->scheme, "%.*s", (int)(scheme - url), url);
        (void)snprintf(p->bucket, sizeof p->bucket, "%.*s", (int)strcspn(scheme + 3, "/?"),
                       scheme + 3);
    }
    p->is_near =
        p->scheme[0] == '\0' || strcmp(p->scheme, "file") == 0 || strcmp(p->scheme, "memory") == 0;
    if (!p->is_near)
        shl_ignore(shale_options_each_store(c->options, url, on_store_option, p, &ignored));
    if (p->host[0] == '\0' && strncmp(p->scheme, "s3", 2) == 0)
        (void)snprintf(p->host, sizeof p->host, "s3.amazonaws.com");
}

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), t = strlen(tail);
    return t > 0 && n >= t && strcmp(text + n - t, tail) == 0;
}

/* ---- reading a table */

struct group {
    char name[FIELD_BYTES];
    struct cli_price price;
    char scheme[16], host[FIELD_BYTES], bucket[FIELD_BYTES];
};

struct reading {
    const struct place *place;
    struct group present; /* being read */
    struct group first;
    struct group chosen; /* name "": none fits yet */
    char date[16];
};

static void end_group(struct reading *r)
{
    const struct group *g = &r->present;
    const struct place *p = r->place;
    if (g->name[0] == '\0')
        return;
    if (r->first.name[0] == '\0')
        r->first = *g;
    bool fits = strcmp(g->scheme, p->scheme) == 0 || ends_with(p->host, g->host);
    /* A kind of bucket is more exact than its host. */
    if (ends_with(p->bucket, g->bucket) || (fits && r->chosen.name[0] == '\0'))
        r->chosen = *g;
}

static bool take_number(struct shl_slice text, double *out)
{
    return shl_parse_f64(text, out) && *out >= 0;
}

static bool take_field(struct group *g, struct shl_slice field, struct shl_slice value)
{
    static const struct {
        const char *name;
        size_t offset;
    } numbers[] = {{"put", offsetof(struct cli_price, put_usd)},
                   {"list", offsetof(struct cli_price, list_usd)},
                   {"get", offsetof(struct cli_price, get_usd)},
                   {"storage", offsetof(struct cli_price, storage_usd)}};
    char text[FIELD_BYTES];
    (void)snprintf(text, sizeof text, "%.*s", (int)shl_min_size(value.len, sizeof text - 1),
                   (const char *)value.data);
    for (size_t i = 0; i < SHL_COUNT_OF(numbers); i++)
        if (shl_slice_eq(field, shl_slice_str(numbers[i].name))) {
            double n = 0;
            bool fine = take_number(value, &n);
            memcpy((char *)&g->price + numbers[i].offset, &n, sizeof n);
            return fine;
        }
    if (shl_slice_eq(field, shl_slice_str("name")))
        (void)snprintf(g->price.name, sizeof g->price.name, "%.79s", text);
    else if (shl_slice_eq(field, shl_slice_str("scheme")))
        (void)snprintf(g->scheme, sizeof g->scheme, "%.15s", text);
    else if (shl_slice_eq(field, shl_slice_str("host")))
        (void)snprintf(g->host, sizeof g->host, "%.79s", text);
    else if (shl_slice_eq(field, shl_slice_str("bucket")))
        (void)snprintf(g->bucket, sizeof g->bucket, "%.79s", text);
    else
        return false;
    return true;
}

static shale_code on_price(void *ctx, const struct shl_setting *s, shale_error *err)
{
    struct reading *r = ctx;
    size_t dot = 0;
    while (dot < s->name.len && s->name.data[dot] != '.')
        dot++;
    struct shl_slice group = shl_slice_of(s->name.data, dot);
    if (shl_slice_eq(s->name, shl_slice_str("date"))) {
        (void)snprintf(r->date, sizeof r->date, "%.*s",
                       (int)shl_min_size(s->value.len, sizeof r->date - 1),
                       (const char *)s->value.data);
        return SHALE_OK;
    }
    if (dot == s->name.len || dot >= sizeof r->present.name)
        return shl_fail(err, SHALE_INVALID, "\"%.*s\" is no part of a price table",
                        (int)shl_min_size(s->name.len, 60), (const char *)s->name.data);
    if (!shl_slice_eq(group, shl_slice_str(r->present.name))) {
        end_group(r);
        r->present = (struct group){0};
        memcpy(r->present.name, group.data, group.len);
    }
    struct shl_slice field = shl_slice_of(s->name.data + dot + 1, s->name.len - dot - 1);
    if (!take_field(&r->present, field, s->value))
        return shl_fail(err, SHALE_INVALID, "\"%.*s\" makes no sense in a price table",
                        (int)shl_min_size(s->name.len, 60), (const char *)s->name.data);
    return SHALE_OK;
}

static shale_code read_table(struct shl_slice text, const struct place *place,
                             struct cli_price *out, shale_error *err)
{
    struct reading r = {.place = place};
    shale_code rc = shl_settings_read(SHL_SETTINGS_TOML, text, on_price, &r, err);
    if (rc != SHALE_OK)
        return rc;
    end_group(&r);
    if (r.first.name[0] == '\0')
        return shl_fail(err, SHALE_INVALID, "there is no price in it");
    bool found = r.chosen.name[0] != '\0' && !place->is_near;
    *out = found ? r.chosen.price : r.first.price;
    out->elsewhere = !found;
    (void)snprintf(out->date, sizeof out->date, "%s", r.date);
    return SHALE_OK;
}

/* ---- which table */

static const char built_in[] = "date = \"2026-11\"\n[s3-standard]\n"
                               "name = \"S3 Standard us-east-1\"\nhost = \"amazonaws.com\"\n"
                               "put = 0.005\nlist = 0.005\nget = 0.0004\nstorage = 0.023\n";

/* Beside the program (PREFIX/bin/shale, PREFIX/share), else where it was built to stand. */
static bool installed_table(char *path, size_t cap)
{
    struct env_stat st;
    char *self = NULL;
    char *slash;
    path[0] = '\0';
    if (env_realpath("/proc/self/exe", &self) == 0 && (slash = strrchr(self, '/')) != NULL) {
        *slash = '\0';
        (void)snprintf(path, cap, "%s/../share/shale/prices.toml", self);
    }
    env_free(self);
    if (path[0] != '\0' && env_stat(path, &st) == 0)
        return true;
    (void)snprintf(path, cap, "%s", SHALE_PRICES);
    return env_stat(path, &st) == 0;
}

bool cli_price_for(struct cli *c, const char *url, struct cli_price *out)
{
    const char *asked = c->args.value[OPT_PRICE_TABLE];
    struct place place;
    struct shl_buf text = {0};
    char path[1024];
    find_place(c, url, &place);
    if (asked != NULL) {
        bool fine = cli_read_file(c, asked, &text);
        if (fine && read_table(shl_buf_view(&text), &place, out, &c->err) != SHALE_OK) {
            (void)cli_usage(c, NULL, "--price-table %s: %s", asked, c->err.text);
            fine = false;
        }
        shl_buf_free(&text);
        return fine;
    }
    shale_error err;
    bool read = installed_table(path, sizeof path) && cli_read_file(c, path, &text) &&
                read_table(shl_buf_view(&text), &place, out, &err) == SHALE_OK;
    shl_buf_free(&text);
    return read || read_table(shl_slice_str(built_in), &place, out, &err) == SHALE_OK;
}

/* ---- reckoning */

double cli_price_requests(const struct cli_price *p, const shale_store_counts *n)
{
    return ((double)(n->put + n->copy) * p->put_usd + (double)n->list * p->list_usd +
            (double)(n->get + n->head) * p->get_usd) /
           1000.0;
}

double cli_price_month(const struct cli_price *p, uint64_t bytes)
{
    return (double)bytes * p->storage_usd / 1e9;
}

const char *cli_price_text(const struct cli_price *p, double usd, const char *per,
                           char text[CLI_PRICE_TEXT])
{
    char money[OUT_UNIT_BYTES];
    (void)snprintf(text, CLI_PRICE_TEXT,
                   p->elsewhere ? "on S3 this would cost %s%s (%s, prices of %s)"
                                : "%s%s on %s (prices of %s)",
                   out_money(money, usd), per, p->name, p->date);
    return text;
}

static void add_count(char *text, size_t cap, uint64_t n, const char *kind)
{
    size_t len = strlen(text);
    if (n > 0)
        (void)snprintf(text + len, cap - len, "%" PRIu64 " %s, ", n, kind);
}

void cli_note_price(struct cli *c, const shale_store_counts *n, uint64_t freed_bytes)
{
    struct cli_price price;
    char counts[120] = "";
    char text[CLI_PRICE_TEXT];
    char money[OUT_UNIT_BYTES];
    char freed[OUT_UNIT_BYTES + 40] = "";
    if (!cli_price_for(c, c->args.positional[0], &price))
        return;
    if (cli_price_month(&price, freed_bytes) >= 0.005)
        (void)snprintf(freed, sizeof freed, "; then %s/month less to store",
                       out_money(money, cli_price_month(&price, freed_bytes)));
    add_count(counts, sizeof counts, n->put + n->copy, "PUT");
    add_count(counts, sizeof counts, n->list, "LIST");
    add_count(counts, sizeof counts, n->get + n->head, "GET");
    add_count(counts, sizeof counts, n->del, "DELETE");
    cli_note(c, "  about %s%s%s", counts,
             cli_price_text(&price, cli_price_requests(&price, n), "", text), freed);
}

void cli_add_requests(shale_store_counts *sum, const shale_store_counts *n)
{
    sum->put += n->put;
    sum->get += n->get;
    sum->head += n->head;
    sum->list += n->list;
    sum->del += n->del;
    sum->copy += n->copy;
    sum->bytes_up += n->bytes_up;
    sum->bytes_down += n->bytes_down;
    sum->cost_usd += n->cost_usd;
}

void cli_json_requests(struct out *o, const shale_store_counts *n)
{
    out_printf(o,
               "\"requests\":{\"put\":%" PRIu64 ",\"get\":%" PRIu64 ",\"head\":%" PRIu64
               ",\"list\":%" PRIu64 ",\"delete\":%" PRIu64 ",\"bytes_up\":%" PRIu64
               ",\"bytes_down\":%" PRIu64 ",\"cost_usd\":%.9g}",
               n->put, n->get, n->head, n->list, n->del, n->bytes_up, n->bytes_down, n->cost_usd);
}
