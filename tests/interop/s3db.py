#!/usr/bin/env python3
"""Shale and the real s3db on one database, at the same time. usage: s3db.py SHALE [ROUNDS]

Goal: processes of both write one database together, compact and collect, and neither loses or doubles a commit, nor sees money made. Method: rounds of writers of both kinds on a folder,
at the same time on rows of their own and in turns on shared ones; every commit that was acknowledged is counted; both read the end.

Rows that s3db shares with a writer beside it are left out: in 55f93c7 a commit that first rebases cleanly and then conflicts leaves the handle with a seq that its copy is not at (commit.go
sets localSeq before the savepoint is released), and its next sync fails, or it commits what nobody can apply. Shale's own rebase is held to that case by tests/sim/test_sql_sim.c."""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

import s3db_env

FAST = ["--store-option", "local_fsync=off"]


def main():
    shale, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    peer, why = s3db_env.peer()
    if peer is None:
        print("skipped:", why)
        return 0
    top = tempfile.mkdtemp(prefix="shale-s3db-")
    store = os.path.join(top, "store")
    db = os.path.join(store, "db")

    def run(*words):
        p = subprocess.run(words, capture_output=True, text=True, timeout=300)
        if p.returncode != 0:
            sys.exit("%s: %s%s" % (" ".join(words), p.stdout, p.stderr))
        return p.stdout

    def sql(*words):
        return run(shale, "sql", db, *words, *FAST)

    run(peer, store, "db/", "migrate", "1", "CREATE TABLE counters(id TEXT PRIMARY KEY, n INT); CREATE TABLE accounts(id INTEGER PRIMARY KEY, n INT); CREATE TABLE t(id INTEGER PRIMARY KEY, a, b)")
    sql("INSERT INTO counters VALUES('both', 0), ('ours', 0), ('theirs', 0)",
        "WITH RECURSIVE x(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM x WHERE i < 17) INSERT INTO accounts SELECT i, 50 FROM x")
    want = {"both": 0, "ours": 0, "theirs": 0}
    random.seed(int(os.environ.get("SEED", "1")))
    for number in range(rounds):
        script = "UPDATE counters SET n = n + 1 WHERE id = 'ours';\n" * 12
        moves = "".join("BEGIN; UPDATE accounts SET n = n - 1 WHERE id = %d; UPDATE accounts SET n = n + 1 WHERE id = %d; COMMIT;\n" % (random.randrange(10, 18), random.randrange(10, 18)) for _ in range(8))
        want["both"] += 5 + 5
        want["ours"] += 12
        want["theirs"] += 15
        running = [subprocess.Popen(w, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for w in (
            [peer, store, "db/", "add", "15", "theirs"], [peer, store, "db/", "move", "20", str(number)])]
        failed = []
        for text, more in ((script, []), (moves, ["--by-column"])):
            for line in text.splitlines():
                while True:
                    p = subprocess.run([shale, "sql", db, line, *more, *FAST], capture_output=True, text=True)
                    if p.returncode == 0:
                        break
                    if "others committed first" not in p.stderr:
                        failed.append(p.stderr)
                        break
            run(shale, "sql", "compact", db, *FAST)
        for p in running:
            out, err = p.communicate(timeout=300)
            if p.returncode != 0:
                failed.append(err)
        run(peer, store, "db/", "add", "5", "both")
        sql(*["UPDATE counters SET n = n + 1 WHERE id = 'both'"] * 5)
        run(peer, store, "db/", "compact") if number % 2 else None
        run(peer, store, "db/", "gc")
        run(shale, "sql", "gc", db, *FAST)
        if failed:
            sys.exit("round %d: %s" % (number, failed[0]))
        ours = dict(x.split("|") for x in sql("SELECT id, n FROM counters").split())
        theirs = dict(x.split("|") for x in run(peer, store, "db/", "exec", "SELECT id, n FROM counters").split())
        if ours != theirs or {k: int(v) for k, v in ours.items()} != want:
            sys.exit("round %d: counters are %s and %s, want %s" % (number, ours, theirs, want))
        for total in (sql("SELECT sum(n) FROM accounts"), run(peer, store, "db/", "exec", "SELECT sum(n) FROM accounts")):
            if total.strip() != "900":
                sys.exit("round %d: the accounts hold %s" % (number, total))
        if sql("PRAGMA integrity_check").strip() != "ok":
            sys.exit("round %d: the database is damaged" % number)
    # A change of ours that no client of theirs could replay is refused; theirs go on.
    run(peer, store, "db/", "migrate", "2", "CREATE TABLE audit(id INTEGER PRIMARY KEY, what); CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO audit(what) VALUES('x'); END")
    p = subprocess.run([shale, "sql", db, "INSERT INTO t VALUES(1, 2, 3)", "--allow-triggers", *FAST], capture_output=True, text=True)
    if p.returncode != 3 or "cannot be replayed" not in p.stderr:
        sys.exit("a change that bricks was not refused: %s" % p.stderr)
    run(peer, store, "db/", "exec", "UPDATE counters SET n = 0")
    if json.loads(run(shale, "sql", "status", db, "--json"))["schema_version"] != 2:
        sys.exit("the schema's version is lost")
    if sql("SELECT max(n) FROM counters").strip() != "0":
        sys.exit("the last commit of theirs is not seen")
    shutil.rmtree(top, True)
    print("%d rounds: %s" % (rounds, want))
    return 0


if __name__ == "__main__":
    sys.exit(main())
