#!/usr/bin/env python3
"""Kills writers of a string store with -9, at random moments. usage: kill9_s4.py SHALE [ROUNDS]

Goal: what a command has said is safe, uploaded or only flushed to its folder (--no-upload), is there until that writer writes the key again; what a killed one was about to do is there or
not, whole, and never comes back later; and nothing can be read that was not written. Method: three writers with a folder and keys of their own run one command of the program after the other,
put, load, del, upload, flush, compact, gc, at the same time; some are killed after a random time. In between, and at the end, a reader without a folder compares."""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

FAST = ["--store-option", "local_fsync=off"]  # a process dies, not the machine
WRITERS, KEYS = 3, 4


class Writer:
    """`may`: the values that each key may have for this writer's folder; None: it is not there."""

    def __init__(self, top, shale, db, number):
        self.shale, self.db, self.number, self.count = shale, db, number, 0
        self.folder = os.path.join(top, "folder%d" % number)
        os.mkdir(self.folder)
        self.may = {"w%d/%d" % (number, i): {None} for i in range(KEYS)}
        self.p, self.does = None, {}

    def start(self):
        """Begins a command; `does`: what it makes of which keys."""
        here, what = ["--local-dir", self.folder], random.random()
        keep, small = ["--no-upload"] if random.random() < 0.5 else [], ["--max-file-size", "200"]
        key, data = random.choice(sorted(self.may)), b""
        self.count += 1
        value = "%d.%d" % (self.number, self.count) + "x" * random.randrange(100)
        self.does = {}
        if what < 0.4:
            words, self.does = ["put", self.db, key, value, *here, *keep, *small], {key: value}
        elif what < 0.6:
            self.does = {k: "%s %s" % (value, k) for k in random.sample(sorted(self.may), 3)}
            data = "".join(json.dumps({"key": k, "value": v}) + "\n" for k, v in self.does.items()).encode()
            words = ["load", self.db, *here, *keep, *small]
        elif what < 0.75:
            words, self.does = ["del", self.db, key, *here, *keep], {key: None}
        elif what < 0.85:
            words = ["upload", self.db, *here]
        elif what < 0.9:
            words = ["flush", self.db, *here]
        elif what < 0.97:
            words = ["compact", self.db, *here, *small, "--min-age", "1ms"]
        else:
            words = ["gc", self.db, *here, "--min-age", "1h"]
        self.words = words
        self.p = subprocess.Popen([self.shale, "s4", *words, *FAST], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self.p.stdin.write(data)
            self.p.stdin.close()
        except BrokenPipeError:
            pass

    def end(self, kills):
        if kills:
            try:
                self.p.wait(random.uniform(0, 0.04))
            except subprocess.TimeoutExpired:
                self.p.kill()
        said = self.p.stderr.read().decode()
        self.p.stderr.close()
        code = self.p.wait()
        if code not in (0, -9):
            sys.exit("%s: %d: %s" % (" ".join(self.words), code, said))
        for key, value in self.does.items():
            self.may[key] = {value} if code == 0 else self.may[key] | {value}
        return code != 0


def main():
    shale, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 60
    random.seed(int(os.environ.get("SEED", "1")))
    top = tempfile.mkdtemp(prefix="shale-kill-s4-")
    db = os.path.join(top, "db")

    def run(*words):
        p = subprocess.run([shale, "s4", *words, *FAST], capture_output=True, text=True, timeout=120)
        if p.returncode != 0:
            sys.exit("%s: %s" % (" ".join(words), p.stderr))
        return p.stdout

    run("put", db, "first", "x")
    writers, killed = [Writer(top, shale, db, i) for i in range(WRITERS)], 0
    for round_number in range(rounds):
        for w in writers:
            w.start()
        for w in writers:
            killed += w.end(random.random() < 0.5)
        if round_number % 10 != 9 and round_number != rounds - 1:
            continue
        for w in writers:
            run("upload", db, "--local-dir", w.folder)
        there = {r["key"]: r["value"] for r in map(json.loads, run("dump", db).splitlines())}
        for w in writers:
            for key, may in w.may.items():
                if there.get(key) not in may:
                    sys.exit("%s is %r in round %d, may be %r" % (key, there.get(key), round_number, may))
                w.may[key] = {there.get(key)}  # and stays
        if set(there) - {"first"} - {k for w in writers for k in w.may}:
            sys.exit("keys of nobody: %s" % sorted(there))
    shutil.rmtree(top, True)
    print("%d rounds of %d writers, %d kills" % (rounds, WRITERS, killed))


if __name__ == "__main__":
    main()
