#!/usr/bin/env python3
"""Kills writers of a sql database with -9, at random moments. usage: kill9_sql.py SHALE [ROUNDS]

Goal: what was acknowledged is there, once; what was not is there once or not at all; and the database opens. Method: three shells of the program write tokens and count a register up in the same
commit, each printing its token once it is committed; one after the other is killed while all write, another takes its place; in between the log is compacted and collected. At the end the
tokens are held against what was printed, and the register against their number."""
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time

FAST = ["--store-option", "local_fsync=off"]  # a process dies, not the machine
WRITERS = 3


class Writer:
    def __init__(self, shale, db, number):
        self.p = subprocess.Popen([shale, "sql", "shell", db, *FAST, "--keep-going"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.number, self.sent, self.got = number, 0, b""
        self.feed()

    def feed(self):
        """Always a few statements ahead."""
        text = ""
        for _ in range(20):
            self.sent += 1
            token = self.number * 100000 + self.sent
            text += "BEGIN; UPDATE counter SET n = n + 1; INSERT INTO tokens VALUES(%d, (SELECT n FROM counter)) RETURNING token; COMMIT;\n" % token
        try:
            self.p.stdin.write(text.encode())
            self.p.stdin.flush()
        except BrokenPipeError:
            pass

    def read(self):
        while select.select([self.p.stdout], [], [], 0)[0]:
            data = os.read(self.p.stdout.fileno(), 65536)
            if not data:
                return
            self.got += data

    def acknowledged(self):
        return {int(x) for x in self.got.split(b"\n")[:-1] if x}


def main():
    shale, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12
    random.seed(int(os.environ.get("SEED", "1")))
    top = tempfile.mkdtemp(prefix="shale-kill-sql-")
    db = os.path.join(top, "db")
    os.mkdir(os.path.join(top, "mig"))
    with open(os.path.join(top, "mig", "1_tables.sql"), "w") as f:
        f.write("CREATE TABLE counter(id INTEGER PRIMARY KEY, n INT); INSERT INTO counter VALUES(1, 0); CREATE TABLE tokens(token INTEGER PRIMARY KEY, n INT);")

    def run(*words):
        p = subprocess.run([shale, "sql", *words], capture_output=True, text=True, timeout=120)
        if p.returncode != 0:
            sys.exit("%s: %s" % (" ".join(words), p.stderr))
        return p.stdout

    run("migrate", db, os.path.join(top, "mig"), *FAST)
    number = 0
    writers, acknowledged, sent = [], set(), set()

    def end(w):
        w.p.kill()
        w.p.stdin.close() if not w.p.stdin.closed else None
        w.p.wait()
        w.read()
        w.p.stdout.close()
        acknowledged.update(w.acknowledged())
        sent.update(w.number * 100000 + i for i in range(1, w.sent + 1))

    for round_number in range(rounds):
        while len(writers) < WRITERS:
            number += 1
            writers.append(Writer(shale, db, number))
        until = time.monotonic() + random.uniform(0.05, 0.6)
        while time.monotonic() < until:
            for w in writers:
                w.read()
                if len(w.acknowledged()) > w.sent - 10:
                    w.feed()
            time.sleep(0.01)
        if round_number % 4 == 3:
            run("compact", db, *FAST)
            run("gc", db, "--grace", "1ms", *FAST)
        end(writers.pop(random.randrange(len(writers))))
    for w in writers:
        end(w)
    there = [tuple(map(int, x.split("|"))) for x in run(db, "SELECT token, n FROM tokens ORDER BY n").split()]
    tokens = [t for t, _ in there]
    if [n for _, n in there] != list(range(1, len(there) + 1)) or run(db, "SELECT n FROM counter").strip() != str(len(there)):
        sys.exit("the register does not number the commits")
    if not acknowledged <= set(tokens):
        sys.exit("lost: %s" % sorted(acknowledged - set(tokens))[:5])
    if not set(tokens) <= sent or len(acknowledged) == 0:
        sys.exit("%d acknowledged, and %s was never written" % (len(acknowledged), sorted(set(tokens) - sent)[:5]))
    shutil.rmtree(top, True)
    print("%d kills: %d commits acknowledged, %d there" % (rounds, len(acknowledged), len(tokens)))


if __name__ == "__main__":
    main()
