#include <shale/shale.h>
#include <stdio.h>
#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((rc = (call)) != SHALE_OK)                                                             \
            goto out;                                                                              \
    } while (0)
int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "memory:"; /* or file:///tmp/db, s3://bucket/prefix */
    shale_error err = {SHALE_OK, ""};
    shale_options *options = shale_options_new();
    shale_batch *batch = shale_batch_new();
    shale_db *db = NULL;
    shale_iter *it = NULL;
    shale_pinned apple = {0};
    shale_row row;
    shale_code rc;

    TRY(shale_options_set(options, "flush_interval", "50ms", &err));
    TRY(shale_db_open(&db, url, options, &err));
    TRY(shale_db_put(db, SHALE_STR("fruit/apple"), SHALE_STR("red"), NULL,
                     &err)); /* durable on return */
    shale_batch_put(batch, SHALE_STR("fruit/lime"), SHALE_STR("green"));
    shale_batch_delete(batch, SHALE_STR("fruit/kiwi"));
    TRY(shale_db_write(db, batch, NULL, &err)); /* all or nothing */
    TRY(shale_db_get(&apple, db, SHALE_STR("fruit/apple"), NULL,
                     &err)); /* SHALE_NOT_FOUND: no such key */
    printf("apple is %.*s\n", (int)apple.value.len, (const char *)apple.value.data);
    TRY(shale_db_scan(&it, db, shale_range_prefix(SHALE_STR("fruit/")), NULL, &err));
    while ((rc = shale_iter_next(&row, it, &err)) ==
           SHALE_OK) /* row is valid until the next call */
        printf("%.*s\n", (int)row.key.len, (const char *)row.key.data);
    rc = rc == SHALE_DONE ? SHALE_OK : rc;
out:
    shale_iter_close(it); /* each accepts NULL */
    shale_pinned_release(&apple);
    shale_batch_free(batch);
    if (rc == SHALE_OK)
        rc = shale_db_close(db, &err); /* flushes; can fail, so it is checked */
    else
        (void)shale_db_close(db, NULL);
    shale_options_free(options);
    if (rc != SHALE_OK)
        fprintf(stderr, "%s: %s\n", shale_code_name(rc), err.text);
    return rc == SHALE_OK ? 0 : 1;
}
