#!/usr/bin/env python3
"""A writer of one implementation takes over from a writer of the other: the older one learns that it is fenced, and nothing it was promised is lost.

usage: fencing.py SHALE PEER_VENV [URL]      (SEED in the environment)

URL: an empty place, e.g. s3://bucket/prefix with the AWS_* environment; what is written there stays. Default: a folder.

Method: three takeovers of a database that is being written. Shale holds and SlateDB opens; SlateDB holds and Shale opens; `shale load` reads
slowly from a pipe and SlateDB opens. Then both readers must see what was durable before the takeover, what the newer writer wrote, and of the
older writer's last changes either nothing or rows as they were written."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from sides import Fenced, Model, Peer, Place, Shale, compile_writer, draw, random_rows, read_peer, read_shale

LATE = b"late/".hex()  # keys that the older writer writes when it may be fenced already


def must_be_fenced(step):
    """True if `step` raises Fenced."""
    try:
        step()
    except Fenced:
        return True
    return False


def differs(shale, venv, place, model):
    """Both readers against the model, the late rows apart."""
    for who, rows in (("shale", read_shale(shale, place)), ("slatedb", read_peer(venv, place))):
        wrong = model.differs([r for r in rows if not r[0].startswith(LATE)])
        if wrong:
            return "%s reads: %s" % (who, wrong)
    return None


def late_rows():
    return [["p", LATE + "%04x" % n, "ff", None] for n in range(20)]


def newer_writes(side, model, rnd):
    rows = random_rows(rnd, 100)
    side.write(rows, batch=True)
    model.apply(rows)
    side.flush("wal")


def takeover(older, open_newer, rnd):
    """None, or what is wrong; the model is what must be there."""
    model, rows = Model(), random_rows(rnd, 300)
    older.write(rows, batch=True)
    older.flush("wal")  # from here on they are promised
    model.apply(rows)
    newer = open_newer()
    newer_writes(newer, model, rnd)

    def write_late():
        older.write(late_rows(), batch=True)
        older.flush("wal")

    fenced = must_be_fenced(write_late)
    again = fenced and must_be_fenced(lambda: older.flush("memtable"))
    newer_writes(newer, model, rnd)
    newer.close()
    older.die()
    if not fenced:
        return model, "%s was not told that it is fenced" % older.name
    return model, None if again else "%s forgot that it is fenced" % older.name


def load_through_a_pipe(shale, venv, place, rnd):
    model, rows = Model(), [r for r in random_rows(rnd, 400) if r[0] == "p"]
    p = subprocess.Popen([shale, "load", place.url, "-", "--hex", "--store-option", "local_fsync=off", "--set", "flush_interval=20ms", "--json"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def feed(some):
        p.stdin.write("".join(json.dumps({"k": k, "v": v}) + "\n" for _, k, v, _ in some))
        p.stdin.flush()

    feed(rows)
    # The load promises nothing before its end; what the newer writer finds there is checked as rows that were written.
    peer = Peer(venv, place)
    newer = random_rows(rnd, 100)
    peer.write(newer, batch=True, durable=True)
    try:
        for _ in range(200):
            feed(late_rows() * 200)
            if p.poll() is not None:
                break
        p.stdin.close()
    except BrokenPipeError:
        pass
    err = p.stderr.read()
    code = p.wait(60)
    peer.close()
    if code != 3 or '"FENCED"' not in err:
        return model, "shale load ended with %s: %s" % (code, err.strip()[-300:])
    # Whatever prefix of the load became durable, the newer rows lie on top of it.
    written, touched = {k: v for _, k, v, _ in rows}, {r[1] for r in newer}
    model.apply(newer)
    for k, v, *_ in read_shale(shale, place):
        if not k.startswith(LATE) and k not in touched:
            if written.get(k) is None or not any(r[1] == k and r[2] == v for r in rows):
                return model, "a row that nobody wrote: %.60s" % k
            model.rows[k] = v
    return model, None


def main():
    shale, venv, seed = sys.argv[1], sys.argv[2], os.environ.get("SEED", "1")
    where = tempfile.mkdtemp(prefix="shale-fencing-")
    writer = compile_writer(shale, where)
    scenes = [
        ("shale holds, slatedb opens", lambda place, rnd: takeover(Shale(writer, place), lambda: Peer(venv, place), rnd)),
        ("slatedb holds, shale opens", lambda place, rnd: takeover(Peer(venv, place), lambda: Shale(writer, place), rnd)),
        ("shale load in a pipe, slatedb opens", lambda place, rnd: load_through_a_pipe(shale, venv, place, rnd)),
    ]
    print("fencing: SEED=%s" % seed, flush=True)
    bad = 0
    for n, (name, scene) in enumerate(scenes):
        root = "%s/%d" % (sys.argv[3].rstrip("/") if len(sys.argv) > 3 else where, n)
        if "://" not in root:
            os.mkdir(root)
        place = Place(root)
        model, wrong = scene(place, draw(seed, name))
        wrong = wrong or differs(shale, venv, place, model)
        if wrong:
            bad += 1
            print("%s: %s; kept in %s" % (name, wrong, root))
    print("fencing: %d takeovers, %d wrong" % (len(scenes), bad))
    if not bad:
        shutil.rmtree(where)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
