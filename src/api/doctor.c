/* shale_store_doctor: what is known of a store's place, then the powers that a database needs. And what this library is made of. */
#include "api/api.h"
#include "api/store.h"
#include "base/env/env.h"
#include "base/num.h"
#include "base/units.h"
#include "store/doctor.h"
#include "store/file.h"
#include "store/s3.h"
#include "store/wrap_prefix.h"

#include <expat.h>
#include <inttypes.h>
#include <jansson.h>
#include <lz4.h>
#include <openssl/crypto.h>
#include <shale/version.h>
#include <snappy-c.h>
#include <stdio.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

struct doctor_visit {
    bool (*visit)(void *ctx, const shale_finding *finding);
    void *ctx;
    bool stopped;
};

static bool on_finding(void *ctx, const struct shl_finding *f)
{
    struct doctor_visit *v = ctx;
    const shale_finding mine = {.health = (shale_health)f->health,
                                .what = f->what,
                                .measured = f->measured,
                                .fix = f->fix,
                                .ms = (double)f->ns / 1e6};
    v->stopped = v->stopped || !v->visit(v->ctx, &mine);
    return !v->stopped;
}

#ifndef SHL_SIM
#define EXPIRY_WARN_MS    (15 * 60 * INT64_C(1000))
#define FACTS_TRIES       5
#define FACTS_DELAY_FIRST (50 * ENV_NS_PER_MS)
#define FACTS_PATIENCE    (2 * ENV_NS_PER_SEC)

static void say(struct doctor_visit *v, enum shl_health health, const char *what,
                const char *measured, const char *fix, uint64_t ns)
{
    struct shl_finding f = {.health = health, .what = what, .ns = ns};
    (void)snprintf(f.measured, sizeof f.measured, "%s", measured);
    (void)snprintf(f.fix, sizeof f.fix, "%s", fix);
    if (!v->stopped)
        (void)on_finding(v, &f);
}

static void say_identity(struct doctor_visit *v, const struct shl_s3_facts *facts)
{
    char text[320];
    char span[SHL_UNITS_TEXT];
    int64_t left_ms = facts->expires_unix_ms - env_now_wall_ms();
    bool ends = facts->expires_unix_ms != INT64_MAX;
    bool soon = ends && left_ms < EXPIRY_WARN_MS;
    if (ends)
        (void)snprintf(
            text, sizeof text, "%s, ends in %s", facts->identity,
            shl_format_duration_human((uint64_t)(left_ms > 0 ? left_ms : 0) * ENV_NS_PER_MS, span));
    else
        (void)snprintf(text, sizeof text, "%s", facts->identity);
    say(v, soon ? SHL_HEALTH_WARN : SHL_HEALTH_OK, "identity", text,
        soon ? "renew the credentials" : "", 0);
}

static void say_server(struct doctor_visit *v, const struct shl_s3_facts *facts, uint64_t ns)
{
    char text[480];
    bool safe = facts->tls && facts->verified;
    (void)snprintf(text, sizeof text, "%s, region %s, %s", facts->host, facts->region,
                   !facts->tls       ? "plain http"
                   : facts->verified ? "TLS, certificate checked"
                                     : "TLS, certificate not checked");
    bool here = strncmp(facts->host, "127.", 4) == 0 || strncmp(facts->host, "localhost", 9) == 0;
    say(v, safe || here ? SHL_HEALTH_OK : SHL_HEALTH_WARN, "server", text,
        safe || here ? "" : "others on the way can read and change what is sent: use https", ns);
}

/* The first request; it is no call of a store, so the retry wrapper does not see it. A store that fails now and then is not ill; one that is
 * waited for long is told at once. */
static shale_code ask_facts(struct shl_store *bucket, struct shl_s3_facts *facts, shale_error *err)
{
    uint64_t start_ns = env_now_mono_ns();
    uint64_t delay_ns = FACTS_DELAY_FIRST;
    for (unsigned tries = 1;; tries++) {
        shale_code rc = shl_store_s3_facts(bucket, facts, err);
        if (rc != SHALE_UNAVAILABLE || tries == FACTS_TRIES ||
            env_now_mono_ns() - start_ns > FACTS_PATIENCE)
            return rc;
        env_sleep_ns(delay_ns);
        delay_ns *= 2;
    }
}

/* Who asks whom. A bucket that may not be looked at as a whole may still be written. */
static shale_code look_at_bucket(struct shl_store *bucket, struct doctor_visit *v, shale_error *err)
{
    struct shl_s3_facts facts = {0};
    uint64_t start_ns = env_now_mono_ns();
    shale_code rc = ask_facts(bucket, &facts, err);
    if (rc == SHALE_PERMISSION_DENIED) {
        say(v, SHL_HEALTH_WARN, "bucket", err->text, "allow s3:ListBucket", 0);
        return SHALE_OK;
    }
    if (rc != SHALE_OK)
        return rc;
    say_identity(v, &facts);
    say_server(v, &facts, env_now_mono_ns() - start_ns);
    char text[120];
    int64_t off_s =
        (facts.clock_ahead_ms < 0 ? -facts.clock_ahead_ms : facts.clock_ahead_ms) / 1000;
    bool far = off_s > 60;
    (void)snprintf(text, sizeof text, "the server's is %" PRId64 " s %s ours", off_s,
                   facts.clock_ahead_ms < 0 ? "behind" : "ahead of");
    if (far)
        say(v, SHL_HEALTH_WARN, "clock of the server", text, "set this machine's clock (NTP)", 0);
    return SHALE_OK;
}
#endif

shale_code shale_store_doctor(shale_store *store,
                              bool (*visit)(void *ctx, const shale_finding *finding), void *ctx,
                              shale_error *err)
{
    SHL_API_ERR(err);
    struct doctor_visit v = {.visit = visit, .ctx = ctx};
    shale_code rc = SHALE_OK;
    if (store == NULL || visit == NULL)
        return shl_fail(err, SHALE_INVALID, "doctor: the %s is NULL",
                        store == NULL ? "store" : "callback");
    struct shl_store *bottom = shl_store_prefix_inner(store->stack.backend);
    const char *folder = shl_store_file_root(bottom);
    const struct shl_doctor doctor = {
        .store = store->stack.store, .folder = folder, .visit = on_finding, .ctx = &v};
    struct env_stat st;
    bool made = folder != NULL && env_stat(folder, &st) != 0;
#ifndef SHL_SIM
    if (strcmp(bottom->name, "s3://") == 0)
        SHL_TRY(shl_fail(err, SHALE_INVALID,
                         "bad URL: \"s3://\" names no bucket; write it like s3://bucket"));
    if (shl_store_is_s3(bottom))
        SHL_TRY(look_at_bucket(bottom, &v, err));
#endif
    if (folder != NULL)
        shl_doctor_folder(folder, on_finding, &v);
    if (!v.stopped)
        rc = shl_store_doctor(&doctor, err);
    if (made)
        (void)env_rmdir(folder); /* only if nothing is in it */
#ifndef SHL_SIM
out:
#endif
    return rc;
}

void shale_libraries_each(void (*visit)(void *ctx, const char *name, const char *version),
                          void *ctx)
{
    char text[256];
    if (visit == NULL)
        return;
#ifndef SHL_SIM
    shl_store_s3_library(text, sizeof text);
    visit(ctx, "libcurl", text);
#endif
    (void)snprintf(text, sizeof text, "%d.%d.%d", XML_MAJOR_VERSION, XML_MINOR_VERSION,
                   XML_MICRO_VERSION);
    visit(ctx, "libcrypto", OpenSSL_version(OPENSSL_VERSION));
    visit(ctx, "expat", text);
    visit(ctx, "jansson", jansson_version_str());
    visit(ctx, "libyaml", yaml_get_version_string());
    (void)snprintf(text, sizeof text, "%u", XXH_versionNumber());
    visit(ctx, "xxhash", text);
    visit(ctx, "codec zlib", zlibVersion());
    visit(ctx, "codec zstd", ZSTD_versionString());
    visit(ctx, "codec lz4", LZ4_versionString());
    visit(ctx, "codec snappy", "linked");
}
