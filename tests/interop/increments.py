#!/usr/bin/env python3
"""Compactions that are committed in part while they run, beside SlateDB: its readers see a whole database at every moment, its compactor goes on with a job that Shale gave
back half done, and its coordinator commits in part what a worker of Shale's has finished.

usage: increments.py SHALE PEER_VENV      (SLATEDB = the program slatedb 0.18; without it: exit 77. SEED in the environment)

Method: a folder with three sorted runs (only what merges runs into the oldest one is committed in part); the job that makes one of them, a full compaction that was submitted, is slowed
down (each request takes a while, outputs are small), so that parts of it are committed again and again. Meanwhile the package 0.17 and the program 0.18 read everything, and must agree with a model. A job that was not committed in part proves nothing and counts as
wrong."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from matrix import SLATEDB, Background, flags, slatedb_program
from sides import Model, Place, Shale, compile_writer, draw, read_peer, read_shale

RUNS, TABLES, ROWS, VALUE_BYTES = 3, 4, 600, 300
WAIT_S = 60
SLOW = ["--store-option", "local_fsync=off", "--store-option", "latency_ms=40"]
INCREMENTAL = {"compactor_options.enable_experimental_incremental_compaction": "true", "compactor_options.poll_interval": "100ms",
               "compactor_options.commit_compacted_interval": "50ms", "compactor_options.worker.compactions_poll_interval": "100ms",
               "compactor_options.worker.heartbeat_interval": "50ms", "compactor_options.worker_heartbeat_timeout": "5s", "compactor_options.worker.max_sst_size": "32KiB",
               "compactor_options.worker.bytes_to_fetch": "16KiB", "compactor_options.worker.max_fetch_tasks": "1", "compactor_options.worker.max_subcompactions": "1"}


def compact(shale, place, *more):
    p = subprocess.run([shale, "compact", place.url, "--store-option", "local_fsync=off", *flags({"compactor_options.worker.max_sst_size": "32KiB"}), *more],
                       capture_output=True, text=True, timeout=WAIT_S)
    if p.returncode != 0:
        raise RuntimeError("shale compact: " + p.stderr)


def make(shale, program, where, rnd):
    """Three runs, with keys that meet again, and a full compaction that waits."""
    place, model = Place(where, settings={"compactor_options": "none"}), Model()
    for _ in range(RUNS):
        writer = Shale(program, place)
        for _ in range(TABLES):
            rows = []
            for _ in range(ROWS):
                key = b"%06d" % rnd.randrange(ROWS * TABLES * RUNS // 2)
                rows.append(["d", key.hex(), None, None] if rnd.random() < 0.1 else ["p", key.hex(), rnd.randbytes(VALUE_BYTES).hex(), None])
            writer.write(rows, batch=True)
            model.apply(rows)
            writer.flush("memtable")
        writer.close()
        compact(shale, place)
    compact(shale, place, "--full", "--no-wait")
    place.before = names(place)
    return place, model


def slatedb(place, *command, cwd=None):
    p = subprocess.run([SLATEDB, "-e", "/dev/null", "-p", "db", *command], capture_output=True, text=True, timeout=WAIT_S, cwd=cwd,
                       env=dict(os.environ, CLOUD_PROVIDER="local", LOCAL_PATH=place.root))
    if p.returncode != 0:
        raise RuntimeError("slatedb %s: exit %d: %s" % (command[0], p.returncode, p.stderr[-400:]))
    return p.stdout


def manifest(place):
    return json.loads(slatedb(place, "read-manifest"))


def names(place):
    """SSTables of the newest manifest, as it stands there."""
    return json.dumps([run["sst_views"] for run in manifest(place)["compacted"]])


def jobs(place):
    """Status of each job."""
    return [j["status"] for j in json.loads(slatedb(place, "read-compactions"))["recent_compactions"].values()]


def is_open(place):
    return any(s not in ("Completed", "Failed") for s in jobs(place))


def is_partial(place):
    """The job is still open, and the runs are not what they were."""
    return names(place) != place.before and is_open(place)


def read_all(shale, venv, place, model):
    """None, or what is wrong. The program counts, the others give every row."""
    counted = slatedb(place, "scan", "--count").split()
    if int(counted[0]) != len(model.rows):
        return "the program slatedb counts %s rows, not %d" % (counted[0], len(model.rows))
    for who, rows in (("shale", read_shale(shale, place)), ("slatedb", read_peer(venv, place))):
        wrong = model.differs(rows)
        if wrong:
            return "%s reads: %s" % (who, wrong)
    return None


def watch(shale, venv, place, model, to_the_end):
    """Reads everything once parts of the job are committed, and (to_the_end) again and again until it has ended. (whether parts were seen, None or what is wrong)"""
    seen, end = False, time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if is_partial(place):
            seen = True
            wrong = read_all(shale, venv, place, model) if to_the_end else None
            if wrong or not to_the_end:
                return seen, wrong
        if not is_open(place):
            return seen, None
    return seen, "the job did not end in %d s" % WAIT_S


def settle(place):
    """None, or that nobody ended the job."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if not is_open(place):
            return None
        time.sleep(0.2)
    return "the job did not end in %d s: %s" % (WAIT_S, jobs(place))


def by_shale(shale, venv, place, model, _where):
    """Shale commits in part, to the end."""
    compactor = Background("shale compactor", [shale, "compactor", place.url, *flags(INCREMENTAL), *SLOW])
    parts, wrong = watch(shale, venv, place, model, True)
    return compactor.stop() or wrong or settle(place) or (None if parts else "nothing was committed in part")


def handed_over(shale, venv, place, model, _where):
    """Shale stops in the middle, SlateDB goes on."""
    compactor = Background("shale compactor", [shale, "compactor", place.url, *flags(INCREMENTAL), *SLOW])
    parts, wrong = watch(shale, venv, place, model, False)
    wrong = compactor.stop() or wrong or (None if parts else "nothing was committed in part")
    if wrong:
        return wrong
    if not is_open(place):
        return "the job had ended before it could be handed over"
    wrong = read_all(shale, venv, place, model)
    other = slatedb_program(place, "run-compactor")
    wrong = wrong or settle(place)
    return other.stop() or wrong


def by_slatedb(shale, venv, place, model, where):
    """SlateDB coordinates and commits in part, Shale works."""
    with open(os.path.join(where, "SlateDb.json"), "w", encoding="utf-8") as f:
        json.dump({"compactor_options": {"enable_experimental_incremental_compaction": True, "poll_interval": "100ms", "worker": None, "worker_heartbeat_timeout": "5s",
                                         "commit_compacted_interval": "50ms"}}, f)
    here = os.getcwd()
    os.chdir(where)  # where the program looks for its settings
    try:
        coordinator = slatedb_program(place, "run-compactor", "--no-embedded-worker")
    finally:
        os.chdir(here)
    worker = Background("shale worker", [shale, "compactor-worker", place.url, *flags(INCREMENTAL), *SLOW])
    _parts, wrong = watch(shale, venv, place, model, True)
    wrong = wrong or settle(place)
    return worker.stop() or coordinator.stop() or wrong


def main():
    shale, venv = sys.argv[1:3]
    if not SLATEDB:
        print("increments: no program slatedb (SLATEDB)")
        return 77
    seed = os.environ.get("SEED", "1")
    where = tempfile.mkdtemp(prefix="shale-increments-")
    program = compile_writer(shale, where)
    print("increments: SEED=%s" % seed, flush=True)
    bad = 0
    for case in (by_shale, handed_over, by_slatedb):
        root = os.path.join(where, case.__name__)
        os.mkdir(root)
        place, model = make(shale, program, root, draw(seed, case.__name__))
        wrong = case(shale, venv, place, model, where) or read_all(shale, venv, place, model)
        bad += wrong is not None
        print("%s %s" % (case.__doc__, wrong or "Fine."), flush=True)
    if bad:
        print("kept in " + where)
    else:
        shutil.rmtree(where)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
