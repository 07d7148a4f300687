/* The rows of the table for checkpoints, clones and garbage. */
#include "base/num.h"
#include "cli/cmd.h"
#include "cli/table_parts.h"

const struct cli_command cli_keep_commands[] = {
    {.name = "checkpoint create",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_WRITES,
     .summary = "keep the newest state, without disturbing the writer",
     .usage = "DB [--name TEXT] [--lifetime DUR] [--source C]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = PLACE | CLI_BIT(OPT_NAME) | CLI_BIT(OPT_LIFETIME) | CLI_BIT(OPT_SOURCE),
     .examples = {{"shale checkpoint create ./pkgs --name nightly", "by name"},
                  {"shale checkpoint create ./pkgs --lifetime 7d", "for a week"},
                  {"shale checkpoint create ./pkgs --name copy --source nightly",
                   "the state of another one"}},
     .notes =
         "Covers what the newest manifest has: rows that an open writer put into WAL objects "
         "since its last "
         "manifest are not in it, and a note says how many. The writer itself has "
         "shale_db_checkpoint, which flushes first; in shale shell, .write on does that. A name "
         "may be given twice, which is noted: the id is needed then.",
     .exits = "0 made. Cost: 2 LISTs, 3 GETs, 1 PUT; with --name 1 LIST and 2 GETs more.",
     .run = cmd_checkpoint_create},
    {.name = "checkpoint list",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_READS,
     .summary = "the checkpoints, oldest first",
     .usage = "DB [--name TEXT]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = PLACE | CLI_BIT(OPT_NAME),
     .examples = {{"shale checkpoint list ./pkgs", "a line each"},
                  {"shale checkpoint list ./pkgs --name nightly", "those of that name"},
                  {"shale checkpoint list ./pkgs --json | jq '.[].id'", "for programs"}},
     .exits = "0 done, also for none. Cost: 1 LIST, 2 GETs.",
     .run = cmd_checkpoint_list},
    {.name = "checkpoint refresh",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_WRITES,
     .summary = "let a checkpoint live longer",
     .usage = "DB C [--lifetime DUR]",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "CHECKPOINT"},
     .options = PLACE | CLI_BIT(OPT_LIFETIME),
     .examples = {{"shale checkpoint refresh ./pkgs nightly --lifetime 7d",
                   "it expires a week from now"},
                  {"shale checkpoint refresh ./pkgs nightly", "it does not expire any more"}},
     .notes = "C is an id or a name, the id where several have the name.",
     .exits = "0 done, 3 no such checkpoint. Cost: 1 LIST, 3 GETs, 1 PUT.",
     .run = cmd_checkpoint_refresh},
    {.name = "checkpoint delete",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_WRITES,
     .summary = "give a checkpoint up",
     .usage = "DB C",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "CHECKPOINT"},
     .options = PLACE,
     .examples = {{"shale checkpoint delete ./pkgs nightly", "by name or id"}},
     .notes = "C is an id or a name. What only it kept is deleted by the next shale gc, or by a "
              "writer's collector.",
     .exits = "0 deleted, 3 no such checkpoint. Cost: 1 LIST, 3 GETs, 1 PUT.",
     .run = cmd_checkpoint_delete},
    {.name = "clone",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_WRITES,
     .summary = "make a new database over the SSTables of others, without copying them",
     .usage = "SRC DST [--checkpoint C] [--from A] [--to B] [--only P] [--and SRC[,..]]",
     .args_min = 2,
     .args_max = 2,
     .args = {"SRC", "DST"},
     .options = PLACE | CLI_BIT(OPT_TRANSFORMER) | CLI_BIT(OPT_CHECKPOINT) | CLI_BIT(OPT_FROM) |
                CLI_BIT(OPT_TO) | CLI_BIT(OPT_PREFIX) | CLI_BIT(OPT_ONLY) | CLI_BIT(OPT_AND),
     .examples = {{"shale clone ./pkgs ./try", "try something on it"},
                  {"shale clone ./pkgs ./then --checkpoint nightly", "as it was"},
                  {"shale clone ./pkgs ./libs --from lib --to lic", "a part of it"},
                  {"shale clone ./pkgs ./both --to m --and ./a,from=m", "two databases as one"},
                  {"shale clone s3://acme-prod/orders s3://acme-prod/orders-test", "in a bucket"}},
     .notes =
         "Source and clone lie in one bucket (of a folder: beside each other, or --root). Both go "
         "on apart; a checkpoint without an end keeps in the source what is borrowed, until "
         "compactions of the clone have replaced it (shale gc lets go) or the clone is deleted "
         "(shale delete). --checkpoint, --from, --to, --prefix and --only are about SRC. Ranges of "
         "several "
         "sources must not overlap, and a source that is cut or joined must not have rows that are "
         "only in its WAL. May be repeated after a failure.",
     .exits =
         "0 made, or made before. Cost: 5 LISTs, 15 GETs and 2 PUTs a source; 2 LISTs, 4 GETs, 1 "
         "HEAD and 3 PUTs for the clone, a copy per WAL object.",
     .run = cmd_clone},
    {.name = "restore",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_WRITES,
     .summary = "make the state of a checkpoint the newest one",
     .usage = "DB --checkpoint C [--undo DUR] [--yes]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = OPENS | CLI_BIT(OPT_CHECKPOINT) | CLI_BIT(OPT_UNDO) | CLI_BIT(OPT_YES) |
                CLI_BIT(OPT_DRY_RUN),
     .examples = {{"shale restore ./pkgs --checkpoint nightly --yes", "back to it"},
                  {"shale restore ./pkgs --checkpoint nightly -n", "what that would mean"}},
     .notes =
         "Fences the writer and the compactor: start them again. What was there before is kept "
         "as checkpoint before-restore, and can be restored likewise. Asks on a terminal; "
         "elsewhere it needs --yes.",
     .exits = "0 restored, 1 the answer was no, 3 no such checkpoint. Cost: that of opening a "
              "writer, some 10 GETs and 4 PUTs, the WAL objects of the checkpoint.",
     .run = cmd_restore},
    {.name = "delete",
     .group = CLI_GROUP_KEEP,
     .effect = CLI_WRITES,
     .summary = "delete a database",
     .usage = "DB [--yes [--force]]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = PLACE | CLI_BIT(OPT_YES) | CLI_BIT(OPT_FORCE) | CLI_BIT(OPT_DRY_RUN),
     .examples = {{"shale delete ./pkgs -n", "what would go"},
                  {"shale delete ./pkgs --yes --force",
                   "for good, although checkpoints never expire"}},
     .notes = "Only the objects of the database, whatever else lies below its path; those of a "
              "clone give up what they hold in its source. Checkpoints without an end may be held "
              "by clones, which break: --yes needs --force then. Asks on a terminal for the name; "
              "-n says what would go. May be repeated after a failure.",
     .exits = "0 deleted, 1 the answer was no. Cost: 12 LISTs and two per 1,000 objects, 1 PUT, a "
              "DELETE per 1,000 objects (one each where the bucket has no bulk deletes).",
     .run = cmd_delete},
    {.name = "when",
     .group = CLI_GROUP_INSIDE,
     .effect = CLI_READS,
     .summary = "the time of a sequence number, or the sequence number of a time",
     .usage = "DB seq:N|TIME [--round down|up]",
     .args_min = 2,
     .args_max = 2,
     .args = {"DB", "WHEN"},
     .options = PLACE | CLI_BIT(OPT_ROUND),
     .examples = {{"shale when ./pkgs seq:9", "when row version 9 was written"},
                  {"shale when ./pkgs -1m --round up", "a minute ago"},
                  {"shale when ./pkgs 2026-11-20T10:00:00Z || echo 'nothing so early'",
                   "a point in time"}},
     .notes = "TIME is 2026-11-20T10:00:00Z, a number of Unix seconds, or -2h: so long ago. A "
              "database keeps a point a minute, and fewer of what is long past.",
     .exits = "0 found, 1 nothing is on record there. Cost: 1 LIST, 2 GETs.",
     .run = cmd_when},
    {.name = "gc",
     .group = CLI_GROUP_WORK,
     .effect = CLI_WRITES,
     .summary = "delete what neither the newest manifest nor a checkpoint needs",
     .usage = "DB [--once] [--dry-run] [--resource R] [...]",
     .args_min = 1,
     .args_max = 1,
     .args = {"DB"},
     .options = PLACE | CLI_BIT(OPT_ONCE) | CLI_BIT(OPT_DRY_RUN) | CLI_BIT(OPT_RESOURCE) |
                CLI_BIT(OPT_MIN_AGE) | CLI_BIT(OPT_INTERVAL),
     .examples = {{"shale gc ./pkgs --once", "one pass"},
                  {"shale gc ./pkgs --dry-run", "what would go, and how much it is"},
                  {"shale gc ./pkgs --once --resource wal,manifest --min-age 1h",
                   "only these, and only what is older"},
                  {"shale gc s3://acme-prod/orders --interval 1h", "until Ctrl-C"}},
     .notes =
         "Safe beside writers, readers, compactors and other collectors, which it does not "
         "disturb. Checkpoints that expired are taken out first. Without --once it goes on until "
         "Ctrl-C, which ends it after the batch at work. Empty WAL objects (wal-fence) are only "
         "counted unless garbage_collector_options.wal_fence_options.dry_run=false is set: a "
         "writer that slept must meet one. -v names each object.",
     .exits =
         "0 done, also after Ctrl-C or SIGTERM; 3 something could not be collected. Cost: a pass "
         "takes 2 "
         "LISTs and one per 1,000 objects of each folder (two of wal), some 6 GETs and one per "
         "new checkpoint, 1 PUT each for manifests and compactions files, a DELETE per 1,000 "
         "objects (one each where the bucket has no bulk deletes).",
     .run = cmd_gc},
};
const size_t cli_keep_command_count = SHL_COUNT_OF(cli_keep_commands);
