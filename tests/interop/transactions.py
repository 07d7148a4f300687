#!/usr/bin/env python3
"""The same transactions on Shale and on SlateDB: every read, and the outcome of every commit, must be the same.

usage: transactions.py SHALE PEER_VENV [ROUNDS]      (SEED in the environment)

Method: a random script of some hundred steps over a dozen keys, with up to five transactions open at a time, of both isolation levels, with plain writes, merges
and flushes between, marks of reads and unmarked writes; each step is done on a database of either side. At the end both databases, read by both, must
hold the same rows."""
import os
import shutil
import sys
import tempfile

from sides import Peer, Place, Shale, compile_writer, draw, read_peer, read_shale

TXNS, KEYS, STEPS = 5, 12, 400


def key(rnd):
    return (b"k%02d" % rnd.randrange(KEYS)).hex()


def step(rnd, sides, open_txns):
    """Does one step on both sides; what they answered, and the words of it."""
    n, p = rnd.randrange(TXNS), rnd.random()
    if p < 0.15:
        row = [rnd.choice("ppdm"), key(rnd), rnd.randbytes(1).hex(), None]
        for side in sides:
            side.write([row])
        return None, None, "write %s" % row
    if p < 0.18:
        what = rnd.choice(["wal", "memtable"])
        for side in sides:
            side.flush(what)
        return None, None, "flush " + what
    if n not in open_txns:
        words, more = ("begin",), {"level": rnd.choice(["snapshot", "serializable"])}
        open_txns.add(n)
    else:
        op, more = rnd.choice(["get", "get", "scan", "put", "put", "put", "merge", "delete", "mark", "unmark", "commit", "rollback"] + ["commit"] * 2), {}
        words = (op, key(rnd)) if op in ("get", "delete", "mark", "unmark") else (op, key(rnd), rnd.randbytes(1).hex()) if op in ("put", "merge") else (op,)
        if op == "scan":
            first = rnd.randrange(KEYS)
            words = (op, (b"k%02d" % first).hex(), (b"k%02d" % (first + rnd.randint(1, 4))).hex())
        if op in ("commit", "rollback"):
            open_txns.discard(n)
    a, b = [side.txn(n, *words, **more) for side in sides]
    return a, b, "txn %d %s %s" % (n, words, more)


def main():
    shale, venv, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 8
    seed, where = os.environ.get("SEED", "1"), tempfile.mkdtemp(prefix="shale-txns-")
    writer, conflicts, commits = compile_writer(shale, where), 0, 0
    print("transactions: SEED=%s, %d rounds" % (seed, rounds), flush=True)
    for n in range(rounds):
        rnd, open_txns, done = draw(seed, "txns %d" % n), set(), []
        places = [Place(os.path.join(where, "%d-%s" % (n, name)), merge="concat") for name in ("shale", "slatedb")]
        for place in places:
            os.mkdir(place.root)
        sides = [Shale(writer, places[0]), Peer(venv, places[1])]
        for _ in range(STEPS):
            a, b, said = step(rnd, sides, open_txns)
            done.append(said)
            conflicts += a == "conflict"
            commits += "commit" in said and a is None
            if a != b:
                print("round %d, %s: shale says %s, slatedb %s; the last steps:\n  %s" % (n, said, a, b, "\n  ".join(done[-25:])))
                return 1
        for side in sides:
            side.close()
        rows = [[r[:2] for r in read(place)] for place in places for read in (lambda p: read_shale(shale, p), lambda p: read_peer(venv, p))]
        if any(r != rows[0] for r in rows):
            print("round %d: the rows differ in the end; kept in %s" % (n, where))
            return 1
    print("transactions: %d rounds of %d steps: %d commits, %d conflicts, the same on both sides" % (rounds, STEPS, commits, conflicts))
    shutil.rmtree(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
