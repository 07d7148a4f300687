#include <shale/s4.h>
#include <stdio.h>
#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((rc = (call)) != SHALE_OK)                                                             \
            goto out;                                                                              \
    } while (0)
int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "memory:"; /* or file:///tmp/words, s3://bucket/words */
    const shale_s4_item items[] = {
        {.key = SHALE_STR("greeting"), .value = SHALE_STR("hello")},
        {.key = SHALE_STR("logo"), .value = SHALE_STR("\x89PNG"), .is_bytes = true}};
    const shale_slice gone = SHALE_STR("logo");
    shale_error err = {SHALE_OK, ""};
    shale_s4_value value = {.owner = NULL};
    shale_s4_item item;
    shale_s4 *store = NULL;
    shale_s4_iter *it = NULL;
    size_t deleted = 0;
    shale_code rc;

    TRY(shale_s4_open(&store, url, NULL, NULL, &err)); /* NULL: the safe defaults */
    TRY(shale_s4_put(store, items, 2, &err));          /* all or none; kept here until the upload */
    TRY(shale_s4_upload(store, false, &err));          /* durable on return, merged key by key with
                                                          what others have committed meanwhile */
    TRY(shale_s4_delete(store, &gone, 1, &deleted, &err));
    TRY(shale_s4_upload(store, false, &err));
    TRY(shale_s4_get(&value, store, SHALE_STR("greeting"),
                     &err)); /* SHALE_NOT_FOUND: no such key */
    printf("greeting is %.*s\n", (int)value.value.len, (const char *)value.value.data);
    TRY(shale_s4_scan(&it, store, NULL, &err));               /* in no order */
    while ((rc = shale_s4_next(&item, it, &err)) == SHALE_OK) /* valid until the next call */
        printf("%.*s\n", (int)item.key.len, (const char *)item.key.data);
    rc = rc == SHALE_DONE ? SHALE_OK : rc;
out:
    shale_s4_iter_close(it); /* each accepts NULL */
    shale_s4_value_release(&value);
    shale_s4_close(store);
    if (rc != SHALE_OK)
        fprintf(stderr, "%s: %s\n", shale_code_name(rc), err.text);
    return rc == SHALE_OK ? 0 : 1;
}
