#!/usr/bin/env python3
"""kill -9 at any moment loses no acknowledged write and tears no batch.

usage: kill9.py BUILD_FOLDER [ROUNDS] [--keep]    (SEED in the environment; the folder holds libshale.a and the program shale)

Method: a writer program (writer.c) puts rows and batches durably from four threads into one folder and logs what it submits and what is
acknowledged. It is killed after a random time, often while it opens, flushes or compacts. Then `shale dump` must show every
acknowledged row with its value, no acknowledged deletion undone, and each batch whole or not at all, and not more than a writer could
have written. Rounds go on with the same database. A stopped writer (SIGSTOP) that wakes up behind a newer one is the zombie round."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIFE_MAX_S = 0.6
OPEN_MAX_S = 20


def compile_writer(build, where):
    program = os.path.join(where, "writer")
    libraries = ["libzstd", "liblz4", "libxxhash", "jansson", "yaml-0.1", "zlib", "libcrypto", "expat", "libcurl"]
    flags = subprocess.run(["pkg-config", "--libs", *libraries], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-O1", "-g", "-D_POSIX_C_SOURCE=200809L", "-I", os.path.join(TOP, "include"),
                    os.path.join(TOP, "tests", "kill", "writer.c"), os.path.join(build, "libshale.a"), *flags, "-lsnappy", "-lpthread",
                    "-o", program], check=True)
    return program


class Promises:
    """What the logs say: batches by (thread, id)."""

    def __init__(self):
        self.count, self.acked, self.deleting, self.deleted = {}, set(), set(), set()

    def read(self, path):
        """Adds a log; True if the writer got as far as opening."""
        opened = False
        with open(path, encoding="utf-8") as f:
            for line in f:
                word = line.split()
                if word[0] == "open":
                    opened = True
                    continue
                batch, delete = (int(word[1]), int(word[2])), word[-1] == "d"
                if word[0] == "s" and not delete:
                    self.count[batch] = int(word[3])
                elif word[0] == "s":
                    self.deleting.add(batch)
                else:
                    (self.deleted if delete else self.acked).add(batch)
        return opened

    def problems(self, rows):
        """rows: (thread, id) -> {n: value}. What is wrong, as lines."""
        found = []
        for batch, have in rows.items():
            if batch not in self.count:
                found.append("%s was never written" % (batch,))
                continue
            if len(have) != self.count[batch]:
                found.append("%s is torn: %d of %d rows" % (batch, len(have), self.count[batch]))
            head = "%d:%d:" % (batch[1], self.count[batch])
            pad = chr(97 + batch[1] % 26)
            for n, value in have.items():
                if not value.startswith(head) or value[len(head):].strip(pad):
                    found.append("%s row %d has another value: %.40r" % (batch, n, value))
            if batch in self.deleted:
                found.append("%s is back although its deletion was acknowledged" % (batch,))
        found += ["%s was acknowledged and is lost" % (b,) for b in self.acked - self.deleting if b not in rows]
        return found


def dump(build, url):
    p = subprocess.run([os.path.join(build, "shale"), "scan", url, "--format", "raw0"], capture_output=True, timeout=120)
    if p.returncode != 0:
        return None, p.stderr.decode(errors="replace").strip()
    parts, rows = p.stdout.decode().split("\0"), {}
    for key, value in zip(parts[0::2], parts[1::2]):
        thread, number, n = key.split("/")
        rows.setdefault((int(thread[1:]), int(number)), {})[int(n)] = value
    return rows, ""


class Run:
    def __init__(self, build, where, seed):
        self.build, self.where, self.rnd = build, where, random.Random(seed)
        self.seed, self.writer = seed, compile_writer(build, where)
        self.url, self.promises, self.started, self.opened = "file://%s/db" % where, Promises(), 0, 0

    def start(self):
        self.started += 1
        log = os.path.join(self.where, "log%d" % self.started)
        errors = open(log + ".err", "wb")
        p = subprocess.Popen([self.writer, self.url, log, str(self.seed * 10000 + self.started)], stdin=subprocess.DEVNULL, stderr=errors)
        errors.close()
        return p, log

    def wait_open(self, p, log):
        until = time.monotonic() + OPEN_MAX_S
        while p.poll() is None and time.monotonic() < until and not (os.path.exists(log) and os.path.getsize(log)):
            time.sleep(0.002)

    def after(self, log):
        """Takes a dead writer's log in and checks the database; lines of what is wrong."""
        if os.path.exists(log):
            self.opened += self.promises.read(log)
        rows, wrong = dump(self.build, self.url)
        if rows is None:
            # Before the first manifest there is nothing to open.
            return [] if not self.promises.acked and "no manifest" in wrong else ["dump: " + wrong]
        return self.promises.problems(rows)

    def kill_round(self):
        p, log = self.start()
        if self.rnd.random() < 0.8:  # else it may be killed while it opens
            self.wait_open(p, log)
        time.sleep(self.rnd.random() * self.rnd.choice([0.02, 0.1, LIFE_MAX_S]))
        early = p.poll()
        if early is None:
            p.send_signal(signal.SIGKILL)
            p.wait()
        wrong = self.after(log)
        if early is not None:
            with open(log + ".err", encoding="utf-8", errors="replace") as f:
                wrong.append("the writer ended by itself: exit %d, %s" % (early, f.read().strip()[-300:]))
        return wrong

    def zombie_round(self):
        """A writer sleeps through the start of a newer one: it must end fenced, and nothing acknowledged by either is lost."""
        older, older_log = self.start()
        self.wait_open(older, older_log)
        time.sleep(self.rnd.random() * 0.2)
        older.send_signal(signal.SIGSTOP)
        newer, newer_log = self.start()
        self.wait_open(newer, newer_log)
        time.sleep(self.rnd.random() * 0.2)
        older.send_signal(signal.SIGCONT)
        wrong = []
        try:
            code = older.wait(20)
        except subprocess.TimeoutExpired:
            code = None
        with open(older_log + ".err", encoding="utf-8", errors="replace") as f:
            text = f.read()
        opened = os.path.exists(newer_log) and os.path.getsize(newer_log) > 0
        if opened and (code != 2 or "FENCED" not in text):
            wrong.append("the older writer was not fenced: exit %s, %s" % (code, text[-300:]))
        for p in (older, newer):
            if p.poll() is None:
                p.send_signal(signal.SIGKILL)
                p.wait()
        if os.path.exists(newer_log):
            self.opened += self.promises.read(newer_log)
        return wrong + self.after(older_log)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build, rounds = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2].isdigit() else 20
    seed = int(os.environ.get("SEED", "1"))
    where = tempfile.mkdtemp(prefix="shale-kill9-")
    run, bad = Run(build, where, seed), []
    print("kill9: SEED=%d, %d rounds" % (seed, rounds), flush=True)
    for n in range(rounds):
        wrong = run.zombie_round() if n % 10 == 9 else run.kill_round()
        bad += wrong
        for line in wrong[:10]:
            print("round %d: %s" % (n, line), flush=True)
        if wrong:
            break
    acked = len(run.promises.acked)
    print("kill9: %d writers started, %d had opened; %d batches submitted, %d acknowledged, %d deleted; %s" % (
        run.started, run.opened, len(run.promises.count), acked, len(run.promises.deleted),
        "%d wrong, kept in %s" % (len(bad), where) if bad else "nothing lost, nothing torn"))
    if acked == 0:
        print("kill9: nothing was acknowledged: no test")
    if not bad and "--keep" not in sys.argv:
        subprocess.run(["rm", "-rf", where], check=False)
    return 1 if bad or acked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
