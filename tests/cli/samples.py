"""How to run each command: what the tests of the promises (test_checklist.py, test_stores.py) share.

`shale __doc list` says what commands there are; SAMPLES says how to run each one. In the samples DB is a database with rows, OBJECT an object of
it, SST the name of an SSTable, kept the name of a checkpoint of DB, SQ a SQLite database with two commits and SQC one that was compacted, OUT a folder for files, U/doomed another database, U/clone none, NONE a database that is not there, BROKEN one with a damaged manifest, U a place where objects may be made, NEW a
bucket or folder that may be made, OLD one that is there, DEAD the options for a store that nobody answers for, and T the temporary folder. WORDS is a string store with the keys one, two and three, SPOILT one whose index is damaged.
The places are folders in one test and prefixes of a bucket in another."""


class Never(str):
    """An exit code that a command does not have, and why."""


class Sample:
    """good: succeeds; no: exit 1; failed: exit 3 (a list of words, or a Never); more: fine too. raw: what it prints is no JSON, whatever is asked.
    cost: what its help says of its requests, and whether counts of them ({"PUT": .., "LIST": ..}) keep that; None: it makes none."""

    def __init__(self, good, no, failed, more=(), data=b"", raw=False, cost=None):
        self.good, self.no, self.failed, self.more, self.data, self.raw, self.cost = good, no, failed, more, data, raw, cost

    def fails(self):
        return [] if isinstance(self.failed, Never) else [self.failed]

    def says_no(self):
        return [] if isinstance(self.no, Never) else [self.no]


DONE_OR_FAILED = Never("it is done, or it fails")
READS_ALL = Never("what is there is shown: nothing is asked that could be answered by no")
NO_CHECKPOINT = Never("a checkpoint that is not there is a failure, as a database is")
NO_ROOM = Never("it asks no store; what may fail is its stdout: see test_a_full_disk")


LATE = 2  # a machine that is busy for a second looks for a newer manifest meanwhile


def total(n):
    return sum(n.values())


SAMPLES = {
    "put": Sample(["DB", "new", "value"], DONE_OR_FAILED, ["BROKEN", "k", "v"],
                  cost=("15 requests, 6 of them PUTs", lambda n: 15 <= total(n) <= 15 + LATE and n["PUT"] == 6)),
    "get": Sample(["DB", "0001"], ["DB", "none"], ["NONE", "k"], more=(["DB", "30303031", "--hex"],),
                  cost=("2 LISTs and a few GETs to open, 1 or 2 GETs", lambda n: n["LIST"] == 2 and n["GET"] <= 8 and total(n) == n["LIST"] + n["GET"])),
    "del": Sample(["DB", "0299", "none"], DONE_OR_FAILED, ["NONE", "k"],
                  cost=("19 requests, 6 of them PUTs", lambda n: 19 <= total(n) <= 19 + LATE and n["PUT"] == 6)),
    "scan": Sample(["DB"], ["DB", "--exists", "zz"], ["NONE"],
                   more=(["DB", "00", "--count"], ["DB", "--format", "csv"], ["DB", "--reverse", "-L", "3"]),
                   cost=("2 LISTs and a few GETs to open, a GET per read-ahead window plus one per SSTable", lambda n: n["GET"] <= 12 and total(n) == n["LIST"] + n["GET"])),
    "load": Sample(["DB", "T/rows.jsonl"], DONE_OR_FAILED, ["BROKEN", "T/rows.jsonl"],
                   cost=("that of a put, and 1 PUT per WAL object and SSTable", lambda n: n["PUT"] <= 8)),
    "dump": Sample(["DB"], READS_ALL, ["NONE"], more=(["DB", "--hex"],), cost=("that of a scan", lambda n: total(n) == n["LIST"] + n["GET"])),
    "stat": Sample(["DB"], READS_ALL, ["NONE"],
                   cost=("4 LISTs, 2 GETs (the manifest, and whether there is a newer one), 2 more if it was ever compacted, 1 or 2 GETs per SSTable", lambda n: n["LIST"] == 4 and 4 <= n["GET"] <= 8 and total(n) <= 12)),
    "manifest": Sample(["DB"], READS_ALL, ["NONE"], more=(["DB", "--id", "1"],),
                       cost=("1 LIST, 2 GETs", lambda n: (n["LIST"], n["GET"], total(n)) == (1, 2, 3))),
    "sst": Sample(["DB"], READS_ALL, ["NONE"], more=(["DB", "SST"], ["DB", "SST", "--rows"]), cost=("1 LIST, 2 GETs", lambda n: (n["LIST"], n["GET"], total(n)) == (1, 2, 3))),
    "wal": Sample(["DB"], READS_ALL, ["NONE"], more=(["DB", "1"],),
                  cost=("2 LISTs, 2 GETs", lambda n: (n["LIST"], n["GET"], total(n)) == (2, 2, 4))),
    "wal tail": Sample(["DB", "--no-follow", "--since-id", "1"], READS_ALL, ["NONE"], more=(["DB", "--no-follow"], ["DB", "--no-follow", "--hex"]),
                   cost=("1 LIST and 2 GETs to begin, then 1 GET per WAL object, 1 LIST when all", lambda n: n["LIST"] == 2 and total(n) == n["LIST"] + n["GET"] <= 14)),
    "explain": Sample(["DB", "0001"], ["DB", "none"], ["NONE", "k"], cost=("that of the get", lambda n: total(n) == n["LIST"] + n["GET"])),
    "compactions": Sample(["PACKED"], ["DB", "01J79B0000000000000000C0Q2"], ["NONE"], more=(["PACKED", "--id", "1"],),
                          cost=("1 LIST, 2 GETs", lambda n: (n["LIST"], n["GET"], total(n)) == (1, 2, 3))),
    "compact": Sample(["DB"], DONE_OR_FAILED, ["NONE"], more=(["DB", "--full"], ["PACKED", "--full"]),
                      cost=("about 20 requests a job", lambda n: total(n) <= 30)),
    "compactor": Sample(["DB", "--once"], DONE_OR_FAILED, ["NONE", "--once"], more=(["DB", "--once", "--no-worker"],),
                        cost=("4 GETs each poll_interval", lambda n: total(n) <= 30)),
    "compactor-worker": Sample(["DB", "--once"], DONE_OR_FAILED, ["NONE", "--once"],
                               cost=("2 GETs each compactions_poll_interval", lambda n: n["PUT"] == 0 and total(n) <= 10)),
    "checkpoint create": Sample(["DB", "--name", "one"], DONE_OR_FAILED, ["NONE"], more=(["DB", "--lifetime", "1h"],),
                                cost=("2 LISTs, 3 GETs, 1 PUT; with --name 1 LIST and 2 GETs more", lambda n: (n["LIST"], n["GET"], n["PUT"]) == (3, 5, 1))),
    "checkpoint list": Sample(["DB"], READS_ALL, ["NONE"], more=(["DB", "--name", "one"],),
                              cost=("1 LIST, 2 GETs", lambda n: (n["LIST"], n["GET"], total(n)) == (1, 2, 3))),
    "checkpoint refresh": Sample(["DB", "kept", "--lifetime", "1h"], NO_CHECKPOINT, ["DB", "none"],
                                 cost=("1 LIST, 3 GETs, 1 PUT", lambda n: (n["LIST"], n["GET"], n["PUT"], total(n)) == (1, 3, 1, 5))),
    "checkpoint delete": Sample(["DB", "kept"], NO_CHECKPOINT, ["DB", "none"],
                                cost=("1 LIST, 3 GETs, 1 PUT", lambda n: (n["LIST"], n["GET"], n["PUT"], total(n)) == (1, 3, 1, 5))),
    "clone": Sample(["DB", "U/clone"], DONE_OR_FAILED, ["NONE", "U/clone"], more=(["DB", "U/clone", "--checkpoint", "kept"],),
                    cost=("5 LISTs, 15 GETs and 2 PUTs a source; 2 LISTs, 4 GETs, 1 HEAD and 3 PUTs", lambda n: n["LIST"] <= 7 and n["GET"] <= 20 and n["PUT"] <= 5 and n["HEAD"] == 1)),
    "restore": Sample(["DB", "--checkpoint", "kept", "--yes"], NO_CHECKPOINT, ["NONE", "--checkpoint", "kept", "--yes"],
                      cost=("that of opening a writer, some 10 GETs and 4 PUTs", lambda n: n["PUT"] <= 7 and total(n) <= 40)),
    "delete": Sample(["U/doomed", "--yes", "--force"], Never("what is not there cannot be deleted: a failure"), ["NONE", "--yes"],
                     cost=("12 LISTs and two per 1,000 objects", lambda n: n["LIST"] <= 12 and n["PUT"] <= 1)),
    "when": Sample(["DB", "seq:9"], ["DB", "1"], ["NONE", "seq:9"], more=(["DB", "--round", "up", "1"],),
                   cost=("1 LIST, 2 GETs", lambda n: (n["LIST"], n["GET"], total(n)) == (1, 2, 3))),
    "gc": Sample(["DB", "--once", "--min-age", "1ms"], Never("nothing to delete is no failure"), ["NONE", "--once"], more=(["DB", "--once", "--resource", "wal"],),
                 cost=("2 LISTs and one per 1,000 objects", lambda n: n["LIST"] <= 8 and n["GET"] <= 10 and n["PUT"] <= 2)),
    "sql": Sample(["SQ", "SELECT * FROM items"], DONE_OR_FAILED, ["NONE", "SELECT 1"], more=(["SQ", "INSERT INTO items(name) VALUES('x')"], ["SQ", "SELECT 1", "--mode", "csv"]),
                  cost=("2 GETs and one per entry of the log to open, 1 GET a query", lambda n: n["GET"] == total(n) == 5)),
    "sql shell": Sample(["SQ"], DONE_OR_FAILED, ["NONE"], data=b"SELECT count(*) FROM items;\n.tables\n",
                        cost=("that of shale sql", lambda n: n["GET"] == total(n) == 6)),
    "sql init": Sample(["U/fresh"], ["SQ"], ["s3://bucket/x", "DEAD"], more=(["U/fresh", "T/push.sqlite"],),
                       cost=("1 GET, 1 LIST, 2 PUTs", lambda n: (n["GET"], n["LIST"], n["PUT"], total(n)) == (1, 1, 2, 4))),
    "sql pull": Sample(["SQ", "-o", "OUT/pulled.sqlite"], READS_ALL, ["NONE", "-o", "OUT/none.sqlite"], more=(["SQ", "-o", "OUT/then.sqlite", "--at", "1"],),
                       cost=("1 GET, 1 for the snapshot (one per 4 MiB), one per entry of the log", lambda n: n["GET"] == total(n) == 4)),
    "sql push": Sample(["SQ", "T/push.sqlite", "--force"], ["SQ", "T/push.sqlite", "--seq", "99"], ["NONE", "T/push.sqlite", "--force"],
                       cost=("1 GET, 2 PUTs", lambda n: (n["GET"], n["PUT"], total(n)) == (1, 2, 3))),
    "sql status": Sample(["SQ"], READS_ALL, ["NONE"],
                         cost=("that of opening, which replays the log", lambda n: n["GET"] == total(n) == 4)),
    "sql log": Sample(["SQ"], ["SQC", "--after", "0"], ["NONE"], more=(["SQ", "--changes"], ["SQ", "--after", "1"]),
                      cost=("that of opening, 1 LIST", lambda n: (n["GET"], n["LIST"], total(n)) == (5, 1, 6))),
    "sql compact": Sample(["SQ"], DONE_OR_FAILED, ["NONE"],
                          cost=("that of opening, 1 GET, 2 PUTs", lambda n: (n["GET"], n["PUT"], total(n)) == (5, 2, 7))),
    "sql gc": Sample(["SQ", "--grace", "1ms"], DONE_OR_FAILED, ["NONE"],
                     cost=("that of opening, 1 GET, 2 LISTs", lambda n: (n["GET"], n["LIST"], total(n)) == (5, 2, 8))),
    "sql migrate": Sample(["U/fresh", "T/migrations"], DONE_OR_FAILED, ["s3://bucket/x", "T/migrations", "DEAD"],
                          cost=("that of opening, and 2 GETs and 2 PUTs a file", lambda n: n["PUT"] == 4 and n["GET"] <= 5 and total(n) <= 9)),
    "store ls": Sample(["DB"], Never("a prefix without objects is listed too: a note says that there are none"), ["s3://bucket/db", "DEAD"],
                       cost=("1 LIST per 1,000", lambda n: (n["LIST"], total(n)) == (1, 1))),
    "store cat": Sample(["OBJECT"], ["DB/none"], ["s3://bucket/db/o", "DEAD"], raw=True, cost=("1 GET", lambda n: n["GET"] == total(n) == 1)),
    "store cp": Sample(["OBJECT", "U/copy"], ["DB/none", "U/copy"], ["OBJECT", "s3://bucket/copy", "DEAD"],
                       cost=("1 GET and 1 PUT", lambda n: (n["GET"], n["PUT"], total(n)) == (1, 1, 2))),
    "store rm": Sample(["-y", "U/spare"], ["-y", "U/none"], ["-y", "s3://bucket/spare", "DEAD"], more=(["-y", "-r", "U/heap"],),
                       cost=("1 HEAD and 1 DELETE", lambda n: n["HEAD"] == 1 and n["DELETE"] + n["POST"] == 1)),
    "store stat": Sample(["OBJECT"], ["DB/none"], ["s3://bucket/o", "DEAD"], cost=("1 HEAD", lambda n: n["HEAD"] == total(n) == 1)),
    "store mb": Sample(["NEW"], ["OLD"], ["s3://bucket-of-nobody", "DEAD"], cost=("1 HEAD, 1 PUT", lambda n: (n["HEAD"], n["PUT"], total(n)) == (1, 1, 2))),
    "store doctor": Sample(["DB"], ["LIAR"], ["s3://bucket", "DEAD"], cost=("some 200 requests", lambda n: 100 <= total(n) <= 300)),
    "s4 put": Sample(["WORDS", "new", "value"], DONE_OR_FAILED, ["SPOILT", "k", "v"], more=(["WORDS", "", "v", "--bytes"],),
                     cost=("1 GET, 2 PUTs", lambda n: (n["GET"], n["PUT"], total(n)) == (1, 2, 3))),
    "s4 get": Sample(["WORDS", "one"], ["WORDS", "none"], ["NONE", "k"],
                     cost=("1 GET for the index, 1 GET for the value", lambda n: n["GET"] == total(n) == 2)),
    "s4 del": Sample(["WORDS", "two", "none"], DONE_OR_FAILED, ["NONE", "k"],
                     cost=("1 GET, 2 PUTs", lambda n: (n["GET"], n["PUT"], total(n)) == (1, 2, 3))),
    "s4 keys": Sample(["WORDS"], READS_ALL, ["NONE"], more=(["WORDS", "--prefix", "o"],), cost=("1 GET", lambda n: n["GET"] == total(n) == 1)),
    "s4 dump": Sample(["WORDS"], READS_ALL, ["NONE"], more=(["WORDS", "--prefix", "o"],),
                      cost=("1 GET for the index, 1 GET per 4 MiB", lambda n: n["GET"] == total(n) <= 3)),
    "s4 load": Sample(["WORDS", "T/rows.jsonl"], DONE_OR_FAILED, ["SPOILT", "T/rows.jsonl"],
                      cost=("1 GET, 1 PUT per data file, 1 PUT of the index", lambda n: (n["GET"], n["PUT"], total(n)) == (1, 2, 3))),
    "s4 download": Sample(["WORDS", "--local-dir", "T/mirror"], DONE_OR_FAILED, ["NONE", "--local-dir", "T/mirror"],
                          cost=("1 LIST, 1 GET per data file, 2 GETs for the index", lambda n: n["LIST"] == 1 and 3 <= n["GET"] <= 5)),
    "s4 upload": Sample(["WORDS", "--local-dir", "T"], DONE_OR_FAILED, ["SPOILT", "--local-dir", "T"],
                        cost=("1 GET, 1 PUT per data file, 1 PUT", lambda n: n["GET"] == total(n) == 1)),
    "s4 flush": Sample(["WORDS", "--local-dir", "T"], DONE_OR_FAILED, ["SPOILT", "--local-dir", "T"], cost=("1 GET", lambda n: n["GET"] == total(n) == 1)),
    "s4 compact": Sample(["WORDS", "--min-age", "1ms"], DONE_OR_FAILED, ["NONE"], more=(["WORDS"],),
                         cost=("2 GETs for the index, 1 GET per 4 MiB, 1 PUT per data file, 1 PUT", lambda n: n["GET"] <= 5 and n["PUT"] == 2 and n["LIST"] == 1)),
    "s4 rebuild-index": Sample(["WORDS", "--yes"], DONE_OR_FAILED, ["NONE"], cost=("2 GETs, 1 LIST, 1 GET per data file, 1 PUT", lambda n: n["LIST"] == 1 and n["PUT"] == 1 and n["GET"] <= 5)),
    "s4 gc": Sample(["WORDS", "--min-age", "1ms"], Never("nothing to delete is no failure"), ["NONE"], cost=("2 GETs, 1 LIST", lambda n: (n["GET"], n["LIST"], n["PUT"]) == (2, 1, 0))),
    "s4 stat": Sample(["WORDS"], READS_ALL, ["NONE"], cost=("1 GET, 1 LIST", lambda n: (n["GET"], n["LIST"], total(n)) == (1, 1, 2))),
    "config show": Sample([], READS_ALL, NO_ROOM, more=(["DB"], ["s3://bucket/db", "--changed"])),
    "config path": Sample([], READS_ALL, NO_ROOM),
    "doctor": Sample(["DB"], ["LIAR"], ["s3://bucket", "DEAD"], more=([],), cost=("that of shale store doctor", lambda n: 100 <= total(n) <= 300)),
    "bench": Sample(["U/bench", "--workload", "fillseq,readhot", "--num", "200", "--reads", "50"], DONE_OR_FAILED,
                    ["BROKEN", "--workload", "fillseq", "--num", "100"], cost=("what the columns puts and gets say", lambda n: n["PUT"] > 6)),
    "shell": Sample(["DB"], ["DB"], ["NONE"], data=b"get 0001\nstat\n", cost=("2 LISTs and a few GETs to open", lambda n: total(n) == n["LIST"] + n["GET"])),
    "completion": Sample(["bash"], READS_ALL, NO_ROOM, raw=True, more=(["zsh"], ["fish"])),
    "help": Sample(["scan"], READS_ALL, NO_ROOM, raw=True, more=([], ["urls"])),
    "version": Sample([], READS_ALL, NO_ROOM),
}
NEEDS_DATABASE = {"del", "gc", "compact", "compactor", "compactor-worker", "clone", "restore", "checkpoint create", "checkpoint refresh", "checkpoint delete",
                  "sql", "sql shell", "sql push", "sql compact", "sql gc", "s4 del", "s4 download", "s4 compact", "s4 gc", "s4 rebuild-index"}  # they write, but make none
NOTHING_HERE = (b"no database here", b"no string store here", b"no data files here")
NO_DATA = {"shell": b"get none\n"}  # stdin where the answer is no
WORDS = b'{"key":"one","value":"first"}\n{"key":"two","value":"second"}\n{"key":"three","value_base64":"//8="}\n'
DEAD = ["--endpoint", "http://127.0.0.1:1", "--set", "object_store_max_retries=0"]


def takes(table, name):
    """The options of a command."""
    return {o["name"] for c in table["commands"] if c["name"] == name for o in c["options"]}


def words(name, args, places):
    """The command line: places in the samples' words become what they are here."""
    out = name.split()
    for a in args:
        head, slash, tail = a.partition("/")
        found = places.get(head, head)
        out += found if isinstance(found, list) else [found + slash + tail]
    return out
