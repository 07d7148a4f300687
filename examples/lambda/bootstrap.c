/* A program that AWS Lambda runs on provided.al2023: asks the runtime interface for the next event, hands it to the app, sends the answer.
 * https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. SPDX-License-Identifier: Apache-2.0 */
#include "app.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URL_MAX 600
#define ID_MAX  200

static volatile sig_atomic_t stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

/* Gives up a request when the process is asked to end: Lambda waits in one of ours between events. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)ctx, (void)a, (void)b, (void)c, (void)d;
    return stopping;
}

struct answer {
    char *body;
    size_t len;
    char id[ID_MAX]; /* Lambda-Runtime-Aws-Request-Id */
};

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct answer *a = ctx;
    size_t len = size * count;
    char *grown = realloc(a->body, a->len + len + 1);
    if (grown == NULL)
        return 0;
    memcpy(grown + a->len, data, len);
    a->body = grown;
    a->len += len;
    a->body[a->len] = '\0';
    return len;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    static const char name[] = "lambda-runtime-aws-request-id:";
    struct answer *a = ctx;
    size_t len = size * count;
    if (len >= sizeof name && strncasecmp(data, name, sizeof name - 1) == 0)
        (void)snprintf(a->id, sizeof a->id, "%.*s", (int)strcspn(data + sizeof name, "\r\n"),
                       data + sizeof name);
    return len;
}

/* GET, or POST where there is a body. The time until the next event has no limit; the host is this machine. */
static int request(CURL *curl, const char *path, const char *body, struct answer *answer)
{
    char url[URL_MAX];
    const char *host = getenv("AWS_LAMBDA_RUNTIME_API");
    long status = 0;
    (void)snprintf(url, sizeof url, "http://%s/2018-06-01/runtime/%s", host, path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    if (body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    } else {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
    CURLcode rc = curl_easy_perform(curl);
    if (rc == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (rc == CURLE_OK && status / 100 == 2)
        return 0;
    if (!stopping)
        fprintf(stderr, "bootstrap: %s: %s (HTTP %ld)\n", path, curl_easy_strerror(rc), status);
    return -1;
}

static int post(CURL *curl, const char *path, const json_t *body)
{
    struct answer ignored = {0};
    char *text = json_dumps(body, JSON_COMPACT);
    int rc = text != NULL ? request(curl, path, text, &ignored) : -1;
    free(text);
    free(ignored.body);
    return rc;
}

static int post_error(CURL *curl, const char *path, const char *error)
{
    json_t *body = json_pack("{s:s, s:s}", "errorMessage", error, "errorType", "Shale");
    int rc = post(curl, path, body);
    json_decref(body);
    return rc;
}

/* One event from end to end. */
static int serve(CURL *curl, struct app *app)
{
    char path[URL_MAX];
    char error[APP_ERROR_MAX] = "the event is not JSON";
    struct answer next = {0};
    json_error_t where;
    int rc = request(curl, "invocation/next", NULL, &next);
    if (rc == 0) {
        json_t *event = json_loads(next.body != NULL ? next.body : "", JSON_DECODE_ANY, &where);
        json_t *result = event != NULL ? app_handle(app, event, error) : NULL;
        (void)snprintf(path, sizeof path, "invocation/%s/%s", next.id,
                       result != NULL ? "response" : "error");
        rc = result != NULL ? post(curl, path, result) : post_error(curl, path, error);
        json_decref(result);
        json_decref(event);
    }
    free(next.body);
    return rc;
}

int main(void)
{
    char error[APP_ERROR_MAX] = "";
    const struct sigaction on_term = {.sa_handler = stop};
    if (getenv("AWS_LAMBDA_RUNTIME_API") == NULL) {
        fputs("bootstrap: AWS_LAMBDA_RUNTIME_API is not set: AWS Lambda starts this program\n", stderr);
        return 2;
    }
    sigaction(SIGTERM, &on_term, NULL);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        return 1;
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    struct app *app = app_open(error);
    int rc = app != NULL ? 0 : post_error(curl, "init/error", error);
    while (app != NULL && rc == 0 && !stopping)
        rc = serve(curl, app);
    if (app != NULL)
        app_close(app);
    else
        fprintf(stderr, "bootstrap: %s\n", error);
    curl_easy_cleanup(curl);
    return stopping ? 0 : app == NULL || rc != 0;
}
