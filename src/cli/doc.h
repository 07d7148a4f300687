/* Manual and documents of the program, made of its tables (table.c, topics.c, the library's settings) and of texts written by hand (doc_text.c).
 * Hidden command `shale __doc`; tools/gen-docs writes the files. */
#ifndef SHL_CLI_DOC_H
#define SHL_CLI_DOC_H

#include "cli/cmd.h"

/* An example of the manual that takes more room than those of the help. */
struct doc_example {
    const char *command; /* of the table */
    const char *what;    /* a sentence */
    const char *lines;   /* what to type, with line ends */
};
/* The examples in order; NULL behind the last. */
const struct doc_example *doc_example_at(size_t index);

/* A function of the library, under a heading. */
struct doc_function {
    const char *heading; /* NULL: the same as the one before */
    const char *name;
    const char *what;
};
const struct doc_function *doc_function_at(size_t index);
/* Paragraphs, separated by '\n', about the library as a whole. */
const char *doc_library_text(void);
/* The program of libshale(3). */
const char *doc_library_example(void);

/* "store ls" as "store-ls". */
void doc_page_name(char name[64], const struct cli_command *command);
/* "store" if the command at that index is the first of a group whose name is no command; else false. */
bool doc_group_name(char name[64], size_t index);
/* Sections of the list of settings: title, and whether a setting stands below it. NULL behind the last. */
const char *doc_settings_section(size_t index);
bool doc_setting_is_in(size_t section, const char *name);

/* Each writes one page; false if there is none of that name. */
bool doc_man(struct out *o,
             const char *name); /* shale, shale-scan, shale-settings, shale-formats, libshale */
bool doc_md(struct out *o, const char *name); /* commands, scan, settings, a topic */

#endif
