#!/usr/bin/env python3
"""kill -9 at any moment loses no acknowledged write and tears no batch; a writer that wakes up behind a newer one is fenced.

usage: kill9.py BUILD_FOLDER [ROUNDS] [--zombies N] [--url URL] [--collector VENV] [--keep]
       (SEED in the environment; BUILD_FOLDER holds libshale.a and the program shale)

Method: a writer program (writer.c) puts rows and batches durably from four threads into one database and logs what it submits and what is
acknowledged. It is killed after a random time, often while it opens, flushes or compacts. Then `shale scan` must show every
acknowledged row with its value, no acknowledged deletion undone, and each batch whole or not at all, and not more than a writer could
have written. Rounds go on with the same database, a new one comes every %d rounds.

A zombie round (each tenth, and those of --zombies at the end): a writer is stopped under load (SIGSTOP), a newer one opens, flushes, and what
SlateDB's collector would delete of the log is deleted: objects with rows below replay_after_wal_id. Then the older one wakes up
(SIGCONT). It must end fenced, nothing that either was promised may be lost, and nothing of the older one may appear that was not
there before it woke up.

--url s3://BUCKET/PREFIX: an empty place, with the AWS_* environment; default: a folder. --collector: the environment with SlateDB's package
(tests/interop/peer_env.py), whose own collector then runs in every second zombie round, on everything. Through a bad line: put
`tests/servers/proxy.py --` before the command."""
import argparse
import concurrent.futures
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "servers"), os.path.join(TOP, "tests", "interop")]
from peer_env import python_of  # noqa: E402
from s3 import Bucket, split  # noqa: E402

LIFE_MAX_S = 0.6
OPEN_MAX_S = 60
FENCED_MAX_S = 60
MOVE_ON_MAX_S = 60
DUMP_MAX_S = 300
ROUNDS_PER_DB = 25
IDS_PER_WRITER = 1000000  # as in writer.c
__doc__ %= ROUNDS_PER_DB


def compile_writer(build, where):
    program = os.path.join(where, "writer")
    libraries = ["libzstd", "liblz4", "libxxhash", "jansson", "yaml-0.1", "zlib", "libcrypto", "expat", "sqlite3", "libcurl"]
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


class Folder:
    """A database in a folder, as its collector sees it."""

    def __init__(self, path):
        self.path, self.url, self.peer = path, "file://" + path, {"root": os.path.dirname(path), "path": os.path.basename(path)}

    def logs(self):
        """(number, size) of the objects in wal/."""
        names = os.listdir(os.path.join(self.path, "wal")) if os.path.isdir(os.path.join(self.path, "wal")) else []
        return [(int(n[:-4]), os.path.getsize(os.path.join(self.path, "wal", n))) for n in sorted(names) if n.endswith(".sst") and n[:-4].isdigit()]

    def delete_log(self, number):
        os.unlink(os.path.join(self.path, "wal", "%020d.sst" % number))


class InBucket:
    """The same in a bucket."""

    def __init__(self, url):
        self.url, (name, self.prefix) = url, split(url)
        self.bucket, self.peer = Bucket(name), {"root": url.rpartition("/")[0], "path": url.rpartition("/")[2]}

    def logs(self):
        found = [(k.rpartition("/")[2], size) for k, size in self.bucket.list(self.prefix + "/wal/")]
        return [(int(n[:-4]), size) for n, size in found if n.endswith(".sst") and n[:-4].isdigit()]

    def delete_log(self, number):
        self.bucket.delete("%s/wal/%020d.sst" % (self.prefix, number))


def dump(build, url):
    p = subprocess.run([os.path.join(build, "shale"), "scan", url, "--format", "raw0"], capture_output=True, timeout=DUMP_MAX_S)
    if p.returncode != 0:
        return None, p.stderr.decode(errors="replace").strip()
    parts, rows = p.stdout.decode().split("\0"), {}
    for key, value in zip(parts[0::2], parts[1::2]):
        thread, number, n = key.split("/")
        rows.setdefault((int(thread[1:]), int(number)), {})[int(n)] = value
    return rows, ""


def kill(*processes):
    for p in processes:
        if p.poll() is None:
            p.send_signal(signal.SIGKILL)
            p.wait()


class Run:
    def __init__(self, build, where, seed, url, collector):
        self.build, self.where, self.rnd, self.base, self.collector = build, where, random.Random(seed), url, collector
        self.seed, self.writer = seed, compile_writer(build, where)
        self.started = self.opened = self.databases = self.collected = self.zombies = 0
        self.processes = []
        self.submitted = self.acknowledged = self.deleted = 0  # of the databases before
        self.new_database()

    def new_database(self):
        if self.databases > 0:
            self.add_up()
        self.databases += 1
        name = "db%d" % self.databases
        self.db = InBucket(self.base.rstrip("/") + "/" + name) if self.base else Folder(os.path.join(self.where, name))
        self.promises = Promises()

    def add_up(self):
        self.submitted += len(self.promises.count)
        self.acknowledged += len(self.promises.acked)
        self.deleted += len(self.promises.deleted)

    def start(self):
        self.started += 1
        log = os.path.join(self.where, "log%d" % self.started)
        errors = open(log + ".err", "wb")
        number = self.seed * 10000 + self.started
        p = subprocess.Popen([self.writer, self.db.url, log, str(number)], stdin=subprocess.DEVNULL, stderr=errors)
        errors.close()
        self.processes = [x for x in self.processes if x.poll() is None] + [p]
        return p, log, number

    def wait_open(self, p, log):
        """True if it has opened."""
        until = time.monotonic() + OPEN_MAX_S
        while p.poll() is None and time.monotonic() < until and not (os.path.exists(log) and os.path.getsize(log)):
            time.sleep(0.002)
        return os.path.exists(log) and os.path.getsize(log) > 0

    def note(self, log):
        if os.path.exists(log):
            self.opened += self.promises.read(log)

    def check(self):
        """What is wrong with the database, as lines."""
        rows, wrong = dump(self.build, self.db.url)
        if rows is None:
            # Before the first manifest there is nothing to open.
            return [] if not self.promises.acked and "no database" in wrong else ["dump: " + wrong]
        return self.promises.problems(rows)

    def last_words(self, log):
        with open(log + ".err", encoding="utf-8", errors="replace") as f:
            return f.read().strip()[-300:]

    def kill_round(self):
        p, log, _ = self.start()
        if self.rnd.random() < 0.8:  # else it may be killed while it opens
            self.wait_open(p, log)
        time.sleep(self.rnd.random() * self.rnd.choice([0.02, 0.1, LIFE_MAX_S]))
        early = p.poll()
        kill(p)
        self.note(log)
        wrong = self.check()
        if early is not None:
            wrong.append("the writer ended by itself: exit %d, %s" % (early, self.last_words(log)))
        return wrong

    # ---- zombies

    def manifest(self):
        p = subprocess.run([os.path.join(self.build, "shale"), "manifest", self.db.url, "--json"], capture_output=True, text=True, timeout=DUMP_MAX_S)
        if p.returncode != 0:
            raise RuntimeError("manifest: " + p.stderr.strip())
        return json.loads(p.stdout)

    def collect(self):
        """Deletes what SlateDB's collector would: objects of the log that hold rows and lie below the boundary. Fences stay."""
        boundary = self.manifest()["replay_after_wal_id"]
        useless = [number for number, size in self.db.logs() if size > 0 and number < boundary]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.db.delete_log, useless))
        self.collected += len(useless)

    def collect_by_slatedb(self):
        before = len(self.db.logs())
        peer = subprocess.run([python_of(self.collector), os.path.join(TOP, "tests", "interop", "peer.py")], capture_output=True, text=True,
                              input=json.dumps(dict(self.db.peer, do="collect")) + "\n", timeout=DUMP_MAX_S)
        answer = json.loads(peer.stdout or '{"error": "nothing said"}')
        if "error" in answer:
            raise RuntimeError("SlateDB's collector: " + answer["error"])
        self.collected += max(0, before - len(self.db.logs()))

    def wait_moved_on(self, newer, position):
        """Until the log up to this position lies below the boundary, which the newer writer's flushes move."""
        until = time.monotonic() + MOVE_ON_MAX_S
        while newer.poll() is None and time.monotonic() < until:
            if self.manifest()["replay_after_wal_id"] > position:
                return
            time.sleep(0.05)

    def rows_of(self, number):
        """{batch: count of rows} that a writer has in the database; None and why if it cannot be read."""
        rows, wrong = dump(self.build, self.db.url)
        if rows is None:
            return None, wrong
        first = number * IDS_PER_WRITER
        return {b: len(r) for b, r in rows.items() if first <= b[1] < first + IDS_PER_WRITER}, ""

    def zombie_round(self):
        self.zombies += 1
        older, older_log, older_number = self.start()
        self.wait_open(older, older_log)
        time.sleep(self.rnd.random() * self.rnd.choice([0.05, 0.5]))
        older.send_signal(signal.SIGSTOP)
        newer, newer_log, _ = self.start()
        wrong, before = [], None
        opened = self.wait_open(newer, newer_log)
        if opened and older.poll() is None:
            position = max((n for n, _ in self.db.logs()), default=0)
            self.wait_moved_on(newer, position)
            newer.send_signal(signal.SIGSTOP)  # or it writes on and on while a slow store is collected and read
            if self.collector and self.zombies % 2 == 0:
                self.collect_by_slatedb()
            else:
                self.collect()
            before, why = self.rows_of(older_number)
            if before is None:
                wrong.append("dump while the older one sleeps: " + why)
            newer.send_signal(signal.SIGCONT)
        older.send_signal(signal.SIGCONT)
        try:
            code = older.wait(FENCED_MAX_S)
        except subprocess.TimeoutExpired:
            code = None
        text = self.last_words(older_log)
        if opened and (code != 2 or "FENCED" not in text):
            wrong.append("the older writer was not fenced: exit %s, %s" % (code, text))
        if newer.poll() is not None:
            wrong.append("the newer writer ended: exit %d, %s" % (newer.poll(), self.last_words(newer_log)))
        kill(older, newer)
        after, why = self.rows_of(older_number)
        if before is not None and after != before:
            wrong.append("rows of the older writer changed after it woke up: %s" % (why or sorted(set(before.items()) ^ set(after.items()))[:5]))
        self.note(older_log)
        self.note(newer_log)
        return wrong + self.check()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build")
    p.add_argument("rounds", nargs="?", type=int, default=20)
    p.add_argument("--zombies", type=int, default=0, help="so many zombie rounds more")
    p.add_argument("--url", help="an empty place in a bucket")
    p.add_argument("--collector", metavar="VENV", help="SlateDB's package, to collect")
    p.add_argument("--keep", action="store_true")
    a = p.parse_args()
    seed = int(os.environ.get("SEED", "1"))
    where = tempfile.mkdtemp(prefix="shale-kill9-")
    run, bad = Run(os.path.abspath(a.build), where, seed, a.url, a.collector), []
    print("kill9: SEED=%d, %d rounds, %d zombies%s" % (seed, a.rounds, a.zombies, " in " + a.url if a.url else ""), flush=True)
    for n in range(a.rounds + a.zombies):
        if n > 0 and n % ROUNDS_PER_DB == 0:
            run.new_database()
        try:
            wrong = run.zombie_round() if n % 10 == 9 or n >= a.rounds else run.kill_round()
        except (RuntimeError, subprocess.TimeoutExpired) as e:
            wrong = [str(e)]
        finally:
            kill(*run.processes)
        bad += wrong
        for line in wrong[:10]:
            print("round %d: %s" % (n, line), flush=True)
        if wrong:
            break
    run.add_up()
    print("kill9: %d writers started, %d had opened; %d zombies, %d log objects collected; %d batches submitted, %d acknowledged, %d deleted; %s" % (
        run.started, run.opened, run.zombies, run.collected, run.submitted, run.acknowledged, run.deleted,
        "%d wrong, logs in %s, database %s" % (len(bad), where, run.db.url) if bad else "nothing lost, nothing torn"))
    if run.acknowledged == 0:
        print("kill9: nothing was acknowledged: no test")
    if not bad and not a.keep:
        subprocess.run(["rm", "-rf", where], check=False)
    return 1 if bad or run.acknowledged == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
