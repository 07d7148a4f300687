#!/usr/bin/env python3
"""Damaged objects give an error that names the object, or the right rows; never wrong rows, a crash or a hang.

usage: damage.py SHALE CASE_FOLDER [TRIALS]      (SEED in the environment)

Method: each trial copies a golden database, changes one object (a bit, a few bytes, the end cut off, bytes put in, two ranges swapped) and
dumps it. A manifest has no checksum in this format, so other rows after a changed manifest are counted and let pass."""
import os
import sys
import tempfile
from random import Random

from cases import Case, rows_of, run, short

LIMIT_S = 30


def bit(data, rnd):
    data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)


def some_bytes(data, rnd):
    at = rnd.randrange(len(data))
    data[at:at + 8] = rnd.randbytes(len(data[at:at + 8]))


def cut(data, rnd):
    del data[max(1, rnd.randrange(len(data))):]  # one byte stays: an empty object in wal/ is a fence and means something


def put_in(data, rnd):
    at = rnd.randrange(len(data) + 1)
    data[at:at] = rnd.randbytes(rnd.randint(1, 9))


def swap(data, rnd):
    half = len(data) // 2
    if half > 0:
        n = rnd.randint(1, half)
        a, b = rnd.randrange(half - n + 1), half + rnd.randrange(len(data) - half - n + 1)
        data[a:a + n], data[b:b + n] = data[b:b + n], data[a:a + n]


WAYS = [bit, bit, bit, some_bytes, cut, put_in, swap]


def objects(store):
    return sorted(p for d, _, fs in os.walk(store) for p in (os.path.join(d, f) for f in fs) if os.path.getsize(p) > 0)


def trial(shale, case, view, want, rnd, where):
    """(what came of it, the object, the way)"""
    path = rnd.choice(objects(case.copy(where)))
    way = rnd.choice(WAYS)
    with open(path, "rb") as f:
        data = bytearray(f.read())
    way(data, rnd)
    with open(path, "wb") as f:
        f.write(data)
    code, out, err = run(shale, "dump", *case.arguments(view, where), "--hex", limit_s=LIMIT_S)
    name = os.path.relpath(path, where)
    if code is None:
        return "hang", name, way
    if code == 0:
        if [short(r) for r in rows_of(out)] == want:
            return "unharmed", name, way
        return "manifest" if "/manifest/" in name else "wrong", name, way
    if code != 3:
        return "crash", name, way
    # A changed manifest may name an object that is not there; that one is then the right one to name.
    named = os.path.basename(path).split(".")[0] in err or ("/manifest/" in name and "/" in err)
    return "error" if named else "vague", name, way


def main():
    shale, trials = sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 100
    case, seed = Case(sys.argv[2]), os.environ.get("SEED", "1")
    view = case.facts["views"][0]
    want, rnd, count = [short(r) for r in case.expected(view)], Random("%s %s" % (seed, case.name)), {}
    for n in range(trials):
        with tempfile.TemporaryDirectory(prefix="shale-damage-") as where:
            what, name, way = trial(shale, case, view, want, rnd, where)
        count[what] = count.get(what, 0) + 1
        if what in ("hang", "crash", "wrong", "vague"):
            print("%s, trial %d: %s of %s: %s" % (case.name, n, way.__name__, name, what))
    bad = sum(count.get(what, 0) for what in ("hang", "crash", "wrong", "vague"))
    print("damage: SEED=%s, %s, %d trials: %s" % (seed, case.name, trials, ", ".join("%d %s" % (v, k) for k, v in sorted(count.items()))))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
