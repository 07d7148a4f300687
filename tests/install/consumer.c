/* Opens a database of the installed library, writes a row and reads it. */
#include <shale/shale.h>

int main(int argc, char **argv)
{
    shale_db *db = NULL;
    shale_pinned found = {0};
    if (argc != 2 || shale_db_open(&db, argv[1], NULL, NULL) != SHALE_OK)
        return 1;
    shale_code rc = shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), NULL, NULL);
    if (rc == SHALE_OK)
        rc = shale_db_get(&found, db, SHALE_STR("k"), NULL, NULL);
    int good = rc == SHALE_OK && found.value.len == 1;
    shale_pinned_release(&found);
    return shale_db_close(db, NULL) == SHALE_OK && good ? 0 : 1;
}
