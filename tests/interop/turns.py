#!/usr/bin/env python3
"""Shale and SlateDB take turns as the writer of one database; after each turn both read what a model says.

usage: turns.py SHALE PEER_VENV [ROUNDS] [URL]      (SEED in the environment)

URL: an empty place, e.g. s3://bucket/prefix with the AWS_* environment; what is written there stays. Default: a folder.

Method: each turn writes some hundred changes (overwrites, deletes, empty and 1 MiB values, keys of 0x00 and 0xff) with a codec of its own, and
ends in one of the ways a process ends: closed, closed behind a compaction, or gone with rows that are only in the WAL. Rows are compared
whole between the two: sequence numbers and times as well."""
import os
import shutil
import sys
import tempfile

from sides import CODECS, Model, Peer, Place, Shale, compile_writer, draw, random_rows, read_peer, read_shale, write_some

ENDS = ["close", "compact", "die"]
SETTINGS = {"l0_sst_size_bytes": 262144}  # tables stay small, so that there are some


def turn(side, rnd, model, end):
    rows = random_rows(rnd, rnd.randint(100, 900), big=True)
    write_some(side, rnd, rows)
    model.apply(rows)
    side.flush("wal")
    if end == "compact":
        side.compact()
    if end == "die":
        side.die()
    else:
        side.close()


def main():
    shale, venv, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 12
    seed = os.environ.get("SEED", "1")
    where = tempfile.mkdtemp(prefix="shale-turns-")
    rnd, model, writer = draw(seed, "turns"), Model(), compile_writer(shale, where)
    print("turns: SEED=%s, %d rounds" % (seed, rounds), flush=True)
    root = sys.argv[4].rstrip("/") if len(sys.argv) > 4 else where + "/bucket"
    if "://" not in root:
        os.mkdir(root)
    for n in range(rounds):
        place = Place(root, codec=CODECS[n // 2 % len(CODECS)], settings=SETTINGS)
        end = rnd.choice(ENDS)
        side = Shale(writer, place) if n % 2 == 0 else Peer(venv, place)
        turn(side, rnd, model, end)
        by_shale, by_peer = read_shale(shale, place), read_peer(venv, place)
        wrong = model.differs(by_shale) or model.differs(by_peer) or next(
            ("rows differ: %.200r and %.200r" % (a, b) for a, b in zip(by_shale, by_peer) if a != b), None)
        if wrong:
            print("round %d, written by %s with %s, ended by %s: %s; kept in %s" % (n, side.name, place.how["codec"], end, wrong, root))
            return 1
    print("turns: %d turns, %d rows, both sides equal to the model" % (rounds, len(model.rows)))
    shutil.rmtree(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
