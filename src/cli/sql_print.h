/* Rows of a statement as text. One task. */
#ifndef SHL_CLI_SQL_PRINT_H
#define SHL_CLI_SQL_PRINT_H

#include "base/array.h"
#include "base/str.h"
#include "cli/sql_run.h"

#include <sqlite3.h>

struct sql_cell {
    size_t at, len; /* of its text in `bytes` */
    int type;       /* SQLITE_INTEGER .. SQLITE_NULL */
};

/* Rows that are being gathered. {0} may be deinit'ed. */
struct sql_rows {
    enum sql_mode mode;
    bool headers;
    bool terminal; /* what a terminal would act on is escaped */
    int columns;
    bool begun;                       /* the head of this statement's rows is out */
    SHL_ARRAY(struct sql_cell) cells; /* names first, then rows, of what is not printed yet */
    struct shl_buf bytes;             /* owned */
    struct shl_buf text;              /* owned: printed so far */
    uint64_t rows;
};

/* A number as SQL writes a real: "5.0", "inf". */
const char *sql_real_text(double real, char out[SHL_F64_TEXT]);

/* Forgets everything. */
void sql_rows_clear(struct sql_rows *r);
void sql_rows_deinit(struct sql_rows *r);
/* A statement with columns begins; its names. */
SHL_MUST shale_code sql_rows_begin(struct sql_rows *r, sqlite3_stmt *q, shale_error *err);
/* The row that the statement is at. */
SHL_MUST shale_code sql_rows_add(struct sql_rows *r, sqlite3_stmt *q, shale_error *err);
/* The statement's rows are over. */
SHL_MUST shale_code sql_rows_end(struct sql_rows *r, shale_error *err);

#endif
