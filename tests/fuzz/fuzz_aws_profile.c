/* Profile files. First byte odd: config file, even: credentials file. Values without control characters, or INVALID with a line. */
#include "base/assert.h"
#include "store/creds_aws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const char *value, size_t size)
{
    if (value == NULL)
        return;
    SHL_ASSERT(value[0] != '\0' && strlen(value) < size);
    for (const char *p = value; *p != '\0'; p++)
        SHL_ASSERT((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct shl_slice text = shl_slice_of(data + 1, size - 1);
    struct shl_aws_profile p = {0};
    shale_error err = {0};
    bool found = false;
    for (int round = 0; round < 2; round++) { /* the second adds to what the first left */
        bool is_config = (data[0] + round) % 2 != 0;
        shale_code rc = shl_aws_profile_parse(text, is_config, round == 0 ? "default" : "dev", &p,
                                              &found, &err);
        SHL_ASSERT(rc == SHALE_OK || (rc == SHALE_INVALID && strncmp(err.text, "line ", 5) == 0));
        check_value(p.creds.access_key, size);
        check_value(p.creds.secret_key, size);
        check_value(p.creds.token, size);
        check_value(p.region, size);
        check_value(p.endpoint_url, size);
    }
    shl_aws_profile_deinit(&p);
    return 0;
}
