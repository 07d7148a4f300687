#!/usr/bin/env python3
"""Every role on one database at once, each played by Shale or by SlateDB: writer, compaction coordinator, worker, collector, readers, admin.

usage: matrix.py [--line RATES] SHALE PEER_VENV SECONDS [URL]      (SEED in the environment; SLATEDB = the program slatedb 0.18, for the roles that the package cannot play)

URL: an empty place, e.g. s3://bucket/prefix with the AWS_* environment; what is written there stays. Default: a folder.

--line: Shale's requests to the S3 server go through the proxy of tests/servers, which delays, throttles, fails and loses them (RATES as there, e.g. badday: answers
with a p99 of two seconds, one request in twenty fails); SlateDB's do not, so that what goes wrong is Shale's.

Method: for each cast, SECONDS of random changes with flushes, while compaction and collection go on in processes of their own. Again and again, and at the end, both
implementations read everything and must agree with a model; checkpoints made on the way by either must give back what the model was then. A cast in which nothing was
compacted, or nothing collected, proves nothing and counts as wrong."""
import contextlib
import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from sides import SHALE_ENDPOINT, Model, Peer, Place, Shale, compile_writer, shale_env, draw, random_rows, read_peer, read_shale, write_some

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "servers"))
import proxy  # noqa: E402

MIN_AGE_S = 5  # of what is collected: longer than a reader takes
POLL = {"compactor_options.poll_interval": "100ms", "compactor_options.commit_compacted_interval": "50ms", "compactor_options.worker.compactions_poll_interval": "100ms",
        "compactor_options.worker.heartbeat_interval": "200ms", "compactor_options.worker_heartbeat_timeout": "5s", "compactor_options.checkpoint_lifetime": "3s"}
FAST = ["--store-option", "local_fsync=off"]
SLATEDB = os.environ.get("SLATEDB")


class Cast:
    """Who plays what. compaction: own (the writer's process does all), shale (its coordinator and worker), shale-worker (the writer's SlateDB coordinates, Shale works),
    split (Shale coordinates in one process and works in two others), slatedb and slatedb-worker (likewise with the program slatedb)."""

    def __init__(self, writer, compaction, gc):
        self.writer, self.compaction, self.gc = writer, compaction, gc

    def __str__(self):
        return "writer %s, compaction %s, collector %s" % (self.writer, self.compaction, self.gc)


CASTS = [Cast("shale", "own", "slatedb"), Cast("shale", "shale", "slatedb"), Cast("shale", "split", "shale"), Cast("slatedb", "own", "shale"),
         Cast("slatedb", "shale", "shale"), Cast("slatedb", "shale-worker", "shale"), Cast("slatedb", "split", "slatedb")]
WITH_PROGRAM = [Cast("shale", "slatedb", "shale"), Cast("shale", "slatedb-worker", "shale")]


class Background:
    """A program that runs until it is told to stop, and must then end well."""

    def __init__(self, name, argv, env=None):
        self.name, self.log = name, tempfile.TemporaryFile("w+")
        self.p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, env=env)

    def stop(self):
        """None, or what is wrong."""
        early = self.p.poll()
        if early is None:
            self.p.send_signal(signal.SIGINT)
            try:
                self.p.wait(60)
            except subprocess.TimeoutExpired:
                self.p.kill()
                return self.name + " did not stop"
        self.log.seek(0)
        if early is not None or self.p.returncode != 0:
            return "%s ended %s: exit %s: %s" % (self.name, "early" if early is not None else "badly", self.p.returncode, self.log.read()[-400:])
        return None

    def said(self):
        self.log.seek(0)
        return self.log.read()


class PeerCollector:
    """SlateDB's collector, run again and again in a process of its own."""

    name = "slatedb's collector"

    def __init__(self, venv, place):
        self.peer, self.over, self.wrong = Peer(venv, place, open=False), threading.Event(), None
        self.thread = threading.Thread(target=self.loop)
        self.thread.start()

    def loop(self):
        while not self.over.wait(1):
            try:
                self.peer.ask("collect", min_age_ms=MIN_AGE_S * 1000)
            except Exception as e:  # told at the end
                self.wrong = "%s: %s" % (self.name, e)
                return

    def stop(self):
        self.over.set()
        self.thread.join()
        self.peer.end()
        return self.wrong


def flags(settings):
    return [x for k, v in settings.items() for x in ("--set", "%s=%s" % (k, v))]


def slatedb_program(place, *command):
    """The published program; its bucket comes from the environment."""
    env = dict(os.environ)
    if place.root.startswith("s3://"):
        bucket, _, prefix = place.root[5:].partition("/")
        env.update(CLOUD_PROVIDER="aws", AWS_BUCKET=bucket)
        path = (prefix.strip("/") + "/db").lstrip("/")
    else:
        env.update(CLOUD_PROVIDER="local", LOCAL_PATH=place.root)
        path = "db"
    return Background("slatedb " + command[0], [SLATEDB, "-e", "/dev/null", "-p", path, *command], env)


def extras(cast, shale, venv, place):
    """The roles beside the writer."""
    compactor = [shale, "compactor", place.url, *flags(POLL), *FAST]
    worker = [shale, "compactor-worker", place.url, *flags(POLL), *FAST]
    found = []
    if cast.compaction == "shale":
        found.append(Background("shale compactor", compactor, shale_env()))
    elif cast.compaction == "split":
        found += [Background("shale compactor", compactor + ["--no-worker"], shale_env()), Background("shale worker 1", worker, shale_env()), Background("shale worker 2", worker, shale_env())]
    elif cast.compaction == "shale-worker":
        found.append(Background("shale worker", worker, shale_env()))
    elif cast.compaction == "slatedb":
        found.append(slatedb_program(place, "run-compactor"))
    elif cast.compaction == "slatedb-worker":
        found += [Background("shale compactor", compactor + ["--no-worker"], shale_env()), slatedb_program(place, "run-worker")]
    if cast.gc == "shale":
        found.append(Background("shale gc", [shale, "gc", place.url, "--interval", "1s", "--min-age", "%ds" % MIN_AGE_S, *FAST], shale_env()))
    else:
        found.append(PeerCollector(venv, place))
    return found


def open_writer(cast, program, venv, where):
    settings = {"l0_sst_size_bytes": 131072, "manifest_poll_interval": "100ms", **POLL}
    none = None if cast.writer == "slatedb" else "none"
    if cast.compaction == "shale-worker":
        settings["compactor_options.worker"] = none
    elif cast.compaction != "own":
        settings = {k: v for k, v in settings.items() if not k.startswith("compactor_options")}
        settings["compactor_options"] = none
    if cast.writer == "shale":
        settings = {k: v if isinstance(v, str) else str(v) for k, v in settings.items()}
    place = Place(where, settings=settings)
    return place, Shale(program, place) if cast.writer == "shale" else Peer(venv, place)


def compare(shale, venv, place, model):
    for who, rows in (("shale", read_shale(shale, place)), ("slatedb", read_peer(venv, place))):
        wrong = model.differs(rows)
        if wrong:
            return "%s reads: %s" % (who, wrong)
    return None


def make_checkpoint(shale, venv, place, number):
    """An id; by each in turn."""
    if number % 2 == 0:
        p = subprocess.run([shale, "checkpoint", "create", place.url, "--name", "n%d" % number, "--json", *FAST], capture_output=True, text=True, timeout=120, env=shale_env())
        if p.returncode != 0:
            raise RuntimeError("shale checkpoint create: " + p.stderr)
        return json.loads(p.stdout)["id"]
    peer = Peer(venv, place, open=False)
    made = peer.ask("checkpoint", what="create", name="n%d" % number)["id"]
    peer.end()
    return made


def names_of(shale, place):
    p = subprocess.run([shale, "store", "ls", place.url, "--json"], capture_output=True, text=True, timeout=300, env=shale_env())
    return {json.loads(line)["key"] for line in p.stdout.splitlines()}


def play(cast, shale, program, venv, where, seconds, seed):
    """None, or what is wrong."""
    rnd, model, pinned = draw(seed, str(cast)), Model(), []
    place, writer = open_writer(cast, program, venv, where)
    others = extras(cast, shale, venv, place)
    seen, wrong, rounds = set(), None, 0
    end = time.monotonic() + seconds
    try:
        while not wrong and (time.monotonic() < end or rounds < 3):
            rounds += 1
            for _ in range(4):
                rows = random_rows(rnd, 250)
                write_some(writer, rnd, rows)
                model.apply(rows)
                writer.flush("memtable")
                seen |= names_of(shale, place)
            writer.flush("wal")
            wrong = compare(shale, venv, place, model)
            if not wrong and rounds % 2 == 0:
                writer.flush("memtable")
                pinned.append((make_checkpoint(shale, venv, place, len(pinned)), copy.deepcopy(model)))
    finally:
        ended = [o.stop() for o in others]
    wrong = wrong or next((e for e in ended if e), None)
    writer.close()
    left = names_of(shale, place)
    wrong = wrong or compare(shale, venv, place, model)
    for checkpoint, then in pinned:
        wrong = wrong or compare(shale, venv, Place(where, settings=place.how["settings"], checkpoint=checkpoint), then)
    print("  %d rounds, %d rows, %d checkpoints, %d objects seen, %d collected" % (rounds, len(model.rows), len(pinned), len(seen), len(seen - left)), flush=True)
    if not wrong and not any(n.startswith("compactions/") for n in seen | left):
        wrong = "nothing was compacted"
    if not wrong and seconds > 3 * MIN_AGE_S and not seen - left:
        wrong = "nothing was collected"
    return wrong


@contextlib.contextmanager
def bad_line(rates, seed):
    """Shale's way to the S3 server is a bad one."""
    line = proxy.Proxy(os.environ["AWS_ENDPOINT"], seed, proxy.rates_of(rates))
    with proxy.running(line) as url:
        SHALE_ENDPOINT.append(url)
        try:
            yield
        finally:
            SHALE_ENDPOINT.pop()
            print(line.summary(), flush=True)


def main():
    words = sys.argv[1:]
    rates = words.pop(0) if words[0] == "--line" and words.pop(0) else None
    with bad_line(rates, os.environ.get("SEED", "1")) if rates else contextlib.nullcontext():
        return run(*words)


def run(shale, venv, seconds, url=None):
    seconds, seed = float(seconds), os.environ.get("SEED", "1")
    where = tempfile.mkdtemp(prefix="shale-matrix-")
    program = compile_writer(shale, where)
    casts = CASTS + (WITH_PROGRAM if SLATEDB else [])
    print("matrix: SEED=%s" % seed, flush=True)
    bad = 0
    for n, cast in enumerate(casts):
        root = "%s/%d" % (url.rstrip("/") if url else where, n)
        if "://" not in root:
            os.mkdir(root)
        print(cast, flush=True)
        wrong = play(cast, shale, program, venv, root, seconds, seed)
        if wrong:
            bad += 1
            print("%s: %s; kept in %s" % (cast, wrong, root), flush=True)
    print("matrix: %d casts, %d wrong" % (len(casts), bad))
    if not bad:
        shutil.rmtree(where)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
