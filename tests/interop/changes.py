#!/usr/bin/env python3
"""The change feed: what `shale wal tail` and SlateDB's WAL reader say of one database, written by both in turn, must be the same.

usage: changes.py SHALE PEER_VENV [ROUNDS]      (SEED in the environment)"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from sides import Peer, Place, Shale, compile_writer, draw, random_rows, write_some

KINDS = {"put": "value", "delete": "tombstone", "merge": "merge"}


def by_shale(shale, place):
    p = subprocess.run([shale, "wal", "tail", place.url, "--since-id", "1", "--no-follow", "--json", "--hex", *place.for_reader()], capture_output=True, text=True, check=True)
    return [[r["wal_id"], KINDS[r["kind"]], r["k"], r.get("v"), r["seq"], r.get("expire_ts")] for r in map(json.loads, p.stdout.splitlines())]


def by_peer(venv, place):
    peer = Peer(venv, place, open=False)
    rows = peer.ask("wal", **{"from": 1})["rows"]
    peer.end()
    return rows


def main():
    shale, venv, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 4
    seed, where = os.environ.get("SEED", "1"), tempfile.mkdtemp(prefix="shale-changes-")
    writer, rnd, place = compile_writer(shale, where), draw(seed, "changes"), Place(where + "/bucket", merge="concat")
    os.mkdir(place.root)
    print("changes: SEED=%s, %d rounds" % (seed, rounds), flush=True)
    for n in range(rounds):
        side = Shale(writer, place) if n % 2 == 0 else Peer(venv, place)
        write_some(side, rnd, random_rows(rnd, 200, merge="concat", expire_ms=10**13))
        side.flush("wal")
        side.close()
        ours, theirs = by_shale(shale, place), by_peer(venv, place)
        # Rows of a batch share a seq; their order in it is the writer's.
        if sorted(ours, key=str) != sorted(theirs, key=str) or [r[4] for r in ours] != sorted(r[4] for r in ours):
            print("round %d, written by %s: the changes differ: %d and %d; kept in %s" % (n, side.name, len(ours), len(theirs), where))
            print(next(([a, b] for a, b in zip(ours, theirs) if a != b), None))
            return 1
    print("changes: %d rounds, %d changes, the same on both sides" % (rounds, len(ours)))
    shutil.rmtree(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
