#include "api/target.h"

#include "api/near.h"

shale_code
shl_api_with_target(struct shl_api_target *t, const char *url, const shale_options *options,
                    shale_code (*work)(struct shl_api_target *t, void *arg, shale_error *err),
                    void *arg, shale_error *err)
{
    shale_options *defaults = NULL;
    shale_error mine = {0}; /* on the way to a success some answer may have been "no such object" */
    shale_code rc;
    *t = (struct shl_api_target){.options = options};
    if (url == NULL)
        return shl_fail(err, SHALE_INVALID, "the URL is NULL");
    if (options == NULL) {
        defaults = shale_options_new();
        if (defaults == NULL)
            return shl_nomem(err);
        t->options = defaults;
    }
    SHL_TRY(shl_api_stack_open(&t->stack, url, t->options, true, &mine));
    SHL_TRY(shl_manifests_init(&t->manifests, t->stack.store, t->stack.path, false, &mine));
    t->manifests.clock = t->options->settings.lsm.clock;
    SHL_TRY(work(t, arg, &mine));
out:
    if (rc != SHALE_OK && t->stack.store != NULL)
        shl_api_suggest(&t->stack, &mine);
    if (rc != SHALE_OK)
        *err = mine;
    shl_manifests_deinit(&t->manifests);
    shl_api_stack_close(&t->stack);
    shl_api_transform_drop(&t->transform);
    shale_options_free(defaults);
    return rc;
}

shale_code shl_api_target_transformer(struct shl_api_target *t, const struct shl_transformer **out,
                                      shale_error *err)
{
    shale_code rc = shl_api_transform_init(&t->transform, t->options, err);
    *out = rc == SHALE_OK && t->transform.is_there ? &t->transform.transformer : NULL;
    return rc;
}
