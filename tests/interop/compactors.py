#!/usr/bin/env python3
"""Compactors of one implementation work for writers, coordinators and administrators of the other.

usage: compactors.py SHALE PEER_VENV [URL]      (SEED in the environment)

URL: an empty place, e.g. s3://bucket/prefix with the AWS_* environment; what is written there stays. Default: a folder.

Method: each case has a database of its own, random rows in many L0 SSTables, and must end with the same rows for both readers, all L0 merged and no job
left open: a SlateDB writer without compactor beside `shale compactor` and two `shale compactor-worker`; jobs that SlateDB's administrator submits beside
a Shale writer without compactor; a SlateDB coordinator whose jobs a Shale worker merges; jobs that a Shale coordinator scheduled, for SlateDB's own
worker; and two equal submissions, on which SlateDB stumbles whenever it is opened, repaired by `shale compactor`."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from sides import Model, Peer, Place, Shale, compile_writer, draw, random_rows, read_peer, read_shale

QUICK = {"compactor_options.poll_interval": "50ms", "compactor_options.commit_compacted_interval": "20ms", "compactor_options.worker_heartbeat_timeout": "500ms",
         "compactor_options.worker.compactions_poll_interval": "50ms", "compactor_options.worker.heartbeat_interval": "100ms",
         "compactor_options.worker.max_sst_size": "20KiB"}
ENV = {k: v for k, v in os.environ.items() if not k.startswith(("SHALE_", "SLATEDB_"))}
STEP_S, STEPS = 0.05, 1200
ROUNDS = 9


def quick():
    return [x for k, v in QUICK.items() for x in ("--set", "%s=%s" % (k, v))]


def shale_json(shale, *words):
    p = subprocess.run([shale, *words], capture_output=True, text=True, env=ENV, timeout=300)
    return json.loads(p.stdout) if p.returncode == 0 else None


def state(shale, place):
    """L0 views, sorted runs, statuses of jobs by id."""
    manifest = shale_json(shale, "manifest", place.url)
    jobs = shale_json(shale, "compactions", place.url, "--json")
    found = {} if jobs is None else {k: v["status"] for k, v in jobs["recent_compactions"].items()}
    return [v["id"] for v in manifest["l0"]], [r["id"] for r in manifest["compacted"]], found


def wait_for(what, ready):
    for _ in range(STEPS):
        if ready():
            return
        time.sleep(STEP_S)
    raise RuntimeError("this did not come about: " + what)


class Running:
    """A shale command that runs until it is stopped."""

    def __init__(self, shale, *words):
        self.words = words
        self.p = subprocess.Popen([shale, *words, *quick()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)

    def stop(self):
        self.p.send_signal(signal.SIGINT)
        _, err = self.p.communicate(timeout=60)
        if self.p.returncode != 0:
            raise RuntimeError("shale %s: exit %d: %s" % (" ".join(self.words), self.p.returncode, err.strip()[-400:]))

    def kill(self):
        self.p.kill()
        self.p.communicate(timeout=60)


def once(shale, place, *words):
    p = subprocess.run([shale, "compactor", place.url, "--once", *words, *quick()], capture_output=True, text=True, env=ENV, timeout=300)
    if p.returncode != 0:
        raise RuntimeError("shale compactor --once: exit %d: %s" % (p.returncode, p.stderr.strip()[-400:]))


def write_tables(side, model, rnd, count):
    for _ in range(count):
        rows = random_rows(rnd, 60)
        side.write(rows, batch=True)
        model.apply(rows)
        side.flush("memtable")


def is_settled(shale, place):
    l0, runs, jobs = state(shale, place)
    return len(l0) < 4 and runs and not set(jobs.values()) - {"Completed", "Failed"}


def differs(shale, venv, place, model):
    for who, rows in (("shale", read_shale(shale, place)), ("slatedb", read_peer(venv, place))):
        wrong = model.differs(rows)
        if wrong:
            raise RuntimeError("%s reads: %s" % (who, wrong))
    l0, runs, jobs = state(shale, place)
    if not runs or set(jobs.values()) - {"Completed", "Failed"}:
        raise RuntimeError("not compacted: L0 %d, runs %s, jobs %s" % (len(l0), runs, jobs))


def beside_slatedb(shale, venv, place, writer, rnd):
    """A SlateDB writer without compactor; one worker is killed on the way."""
    model, side = Model(), Peer(venv, place, open=False)
    side.ask("open", settings={"compactor_options": None})
    write_tables(side, model, rnd, 2)
    workers = [Running(shale, "compactor-worker", place.url) for _ in range(2)]
    coordinator = Running(shale, "compactor", place.url, "--no-worker")
    write_tables(side, model, rnd, ROUNDS)
    workers.pop().kill()
    write_tables(side, model, rnd, ROUNDS)
    wait_for("all L0 merged", lambda: is_settled(shale, place))
    coordinator.stop()
    workers.pop().stop()
    wrong = model.differs(side.ask("own_read")["rows"])
    if wrong:
        raise RuntimeError("the writer itself reads: " + wrong)
    side.close()
    return model


def submitted_by_slatedb(shale, venv, place, writer, rnd):
    """SlateDB's administrator asks, beside a Shale writer that is open and compacts nothing itself."""
    model = Model()
    side = Shale(writer, Place(place.root, **dict(place.how, settings={"compactor_options": "none"})))
    admin = Peer(venv, place, open=False)
    once(shale, place)  # SlateDB submits only where a coordinator has been
    for _ in range(2):
        write_tables(side, model, rnd, 3)
        l0, runs, _ = state(shale, place)
        made = admin.ask("submit", sources=l0 + runs, destination=min(runs, default=0))["id"]
        once(shale, place, "--set", "compactor_options.scheduler_options.min_compaction_sources=8")
        l0, runs, _ = state(shale, place)
        if l0 or runs != [0] or admin.ask("jobs")["jobs"].get(made, "COMPLETED") != "COMPLETED":
            raise RuntimeError("the submitted job %s: L0 %s, runs %s, %s" % (made, l0, runs, admin.ask("jobs")))
    admin.end()
    side.close()
    return model


def worker_for_slatedb(shale, venv, place, writer, rnd):
    """A SlateDB coordinator without worker inside its writer."""
    model, side = Model(), Peer(venv, place, open=False)
    side.ask("open", settings={"compactor_options.worker": None})
    worker = Running(shale, "compactor-worker", place.url)
    write_tables(side, model, rnd, 2 * ROUNDS)
    wait_for("all L0 merged", lambda: is_settled(shale, place))
    worker.stop()
    side.close()
    return model


def slatedb_works_for_shale(shale, venv, place, writer, rnd):
    """A Shale coordinator schedules and goes away; SlateDB's own worker merges when it is opened."""
    model = Model()
    side = Peer(venv, place, open=False)
    side.ask("open", settings={"compactor_options": None})
    write_tables(side, model, rnd, 5)
    side.close()
    coordinator = Running(shale, "compactor", place.url, "--no-worker")
    wait_for("a scheduled job", lambda: "Scheduled" in state(shale, place)[2].values())
    job = [k for k, v in state(shale, place)[2].items() if v == "Scheduled"][0]
    coordinator.stop()
    side = Peer(venv, place)
    wait_for("the job done", lambda: state(shale, place)[2].get(job, "Completed") == "Completed")
    wait_for("all L0 merged", lambda: is_settled(shale, place))
    write_tables(side, model, rnd, 1)
    side.close()
    return model


def two_equal_submissions(shale, venv, place, writer, rnd):
    """What makes SlateDB close whenever it is opened with its worker: the later job is refused, the first one done."""
    model = Model()
    side = Peer(venv, place, open=False)
    side.ask("open", settings={"compactor_options": None})
    write_tables(side, model, rnd, 4)
    once(shale, place)
    write_tables(side, model, rnd, 2)
    runs = state(shale, place)[1]
    jobs = [side.ask("submit", sources=runs, destination=min(runs))["id"] for _ in range(2)]
    side.close()
    once(shale, place)
    l0, runs, found = state(shale, place)
    if found.get(jobs[0], "Completed") != "Completed" or found.get(jobs[1], "Failed") != "Failed":
        raise RuntimeError("the jobs %s: %s" % (jobs, found))
    side = Peer(venv, place)  # with its worker
    write_tables(side, model, rnd, 4)
    wait_for("all L0 merged", lambda: is_settled(shale, place))
    side.close()
    return model


CASES = [beside_slatedb, submitted_by_slatedb, worker_for_slatedb, slatedb_works_for_shale, two_equal_submissions]


def main():
    shale, venv = os.path.abspath(sys.argv[1]), sys.argv[2]
    seed = os.environ.get("SEED", "1")
    print("seed %s" % seed)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="shale-compactors-") as where:
        writer = compile_writer(shale, where)
        for case in CASES:
            root = "%s/%s" % (sys.argv[3].rstrip("/"), case.__name__) if len(sys.argv) > 3 else os.path.join(where, case.__name__)
            if "://" not in root:
                os.makedirs(root)
            place = Place(root, settings={})
            try:
                model = case(shale, venv, place, writer, draw(seed, case.__name__))
                differs(shale, venv, place, model)
                print("ok    %s: %d rows" % (case.__name__, len(model.rows)))
            except Exception as e:  # each case says what went wrong with it
                bad += 1
                print("FAIL  %s: %s" % (case.__name__, e))
            if "://" not in root:
                shutil.rmtree(root, True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
