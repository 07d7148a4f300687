#!/usr/bin/env python3
"""What Shale writes with each feature of the format, SlateDB reads and goes on with; and the other way round.

usage: features.py SHALE PEER_VENV [NAME..]      (SEED in the environment)

Method: for each way of opening, one side writes changes with flushes and compactions between and leaves some rows in the WAL; both read; the
other side takes over with the same options, writes more, compacts and closes; both read again. All rows are compared with a model, and
between the two with sequence numbers, times and expiry."""
import os
import shutil
import sys
import tempfile
import time

from sides import CODECS, Model, Peer, Place, Shale, compile_writer, draw, random_rows, read_peer, read_shale, write_some

SMALL = {"l0_sst_size_bytes": 65536, "min_filter_keys": 10}
YEAR_MS = 365 * 24 * 3600 * 1000

FEATURES = {
    "plain": {},
    **{"codec " + c: {"codec": c} for c in CODECS[1:]},
    "block 1 KiB": {"block_kib": 1},
    "block 64 KiB": {"block_kib": 64, "codec": "zstd"},
    "no bloom": {"bloom_bits": 0},
    "bloom 16": {"bloom_bits": 16},
    "prefix bloom slash": {"bloom_prefix": "slash"},
    "prefix bloom 3": {"bloom_prefix": "3"},
    "a filter of its own": {"filter_policy": "first-bytes"},
    "only a filter of its own": {"filter_policy": "first-bytes", "bloom_bits": 0, "codec": "zstd"},
    "segments slash": {"segments": "slash"},
    "segments 1": {"segments": "1"},
    "merge concat": {"merge": "concat"},
    "merge sum-u64": {"merge": "sum-u64", "codec": "lz4"},
    "ttl": {"ttl": True},
    "WAL disabled": {"settings": {"wal_enabled": False}},
    "WAL elsewhere": {"wal_root": "wal"},
    "WAL elsewhere, snappy": {"wal_root": "wal", "codec": "snappy"},
}
CLOCK_TRIES = 3


def write_phase(side, rnd, model, how, last):
    """Changes; last: closed behind a compaction, else gone with rows in the WAL."""
    expire_ms = int(time.time() * 1000) + YEAR_MS if how.get("ttl") else None
    rows = random_rows(rnd, 700, merge=how.get("merge"), expire_ms=expire_ms)
    if how.get("segments") == "slash":  # every key of a segmented database has a segment
        rows = [r if b"/" in bytes.fromhex(r[1]) else [r[0], b"s/".hex() + r[1], *r[2:]] for r in rows]
    write_some(side, rnd, rows[:500])
    if last or rnd.random() < 0.5:
        side.flush("memtable") if how.get("segments") else side.compact()
    write_some(side, rnd, rows[500:])
    model.apply(rows)
    if last:
        side.close()
    else:
        side.flush("memtable" if how.get("settings", {}).get("wal_enabled") is False else "wal")
        side.die()


def differs(shale, venv, place, model):
    by_shale, by_peer = read_shale(shale, place), read_peer(venv, place)
    wrong = model.differs(by_shale)
    if wrong:
        return "shale reads: " + wrong
    wrong = model.differs(by_peer)
    if wrong:
        return "slatedb reads: " + wrong
    return next(("rows differ: %.200r and %.200r" % (a, b) for a, b in zip(by_shale, by_peer) if a != b), None)


def try_one(name, first, shale, writer, venv, where, seed):
    """None, or what is wrong."""
    how = dict(FEATURES[name])
    rnd, model = draw(seed, name + first), Model(how.get("merge"))
    root = os.path.join(where, (name + "-" + first).replace(" ", "_"))
    os.makedirs(root + "/bucket")
    if "wal_root" in how:
        how["wal_root"] = root + "/wal"
        os.mkdir(how["wal_root"])
    how["settings"] = dict(SMALL, **how.get("settings", {}))
    place = Place(root + "/bucket", **{k: v for k, v in how.items() if k != "ttl"})
    sides = [lambda: Shale(writer, place), lambda: Peer(venv, place)]
    for n, side in enumerate(sides if first == "shale" else sides[::-1]):
        try:
            write_phase(side(), rnd, model, how, last=n == 1)
            wrong = differs(shale, venv, place, model)
        except RuntimeError as e:
            wrong = str(e)
        if wrong:
            return "after writer %d: %s; kept in %s" % (n + 1, wrong, root)
    shutil.rmtree(root)
    return None


def try_it(name, first, shale, writer, venv, where, seed):
    """SlateDB refuses to write when the machine's clock was set back by some milliseconds: then from the beginning."""
    for n in range(CLOCK_TRIES):
        wrong = try_one(name, first, shale, writer, venv, tempfile.mkdtemp(dir=where), seed)
        if wrong is None or "clock tick" not in wrong:
            break
    return wrong


def main():
    shale, venv, seed = sys.argv[1], sys.argv[2], os.environ.get("SEED", "1")
    names = sys.argv[3:] or list(FEATURES)
    where = tempfile.mkdtemp(prefix="shale-features-")
    writer = compile_writer(shale, where)
    print("features: SEED=%s" % seed, flush=True)
    bad = 0
    for name in names:
        for first in ("shale", "slatedb"):
            wrong = try_it(name, first, shale, writer, venv, where, seed)
            if wrong:
                bad += 1
                print("%s, %s first: %s" % (name, first, wrong), flush=True)
    print("features: %d ways of opening, %d wrong" % (2 * len(names), bad))
    if not bad:
        shutil.rmtree(where)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
