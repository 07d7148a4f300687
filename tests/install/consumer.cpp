// The same from C++: the headers compile there, and the names link.
#include <shale/shale.h>

int main(int argc, char **argv)
{
    shale_db *db = nullptr;
    shale_pinned found{};
    if (argc != 2 || shale_db_open(&db, argv[1], nullptr, nullptr) != SHALE_OK)
        return 1;
    shale_code rc = shale_db_put(db, SHALE_STR("k"), SHALE_STR("v"), nullptr, nullptr);
    if (rc == SHALE_OK)
        rc = shale_db_get(&found, db, SHALE_STR("k"), nullptr, nullptr);
    const bool good = rc == SHALE_OK && found.value.len == 1;
    shale_pinned_release(&found);
    return shale_db_close(db, nullptr) == SHALE_OK && good ? 0 : 1;
}
