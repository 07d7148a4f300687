#!/usr/bin/env python3
"""The same as bench/s4_ops.c through the published s4db, in a virtual environment that has it: the same words, the same keys and values.

usage: s4db_ops.py write|read BUCKET PREFIX DIR KEYS VALUE_BYTES [local|remote|scan]"""
import json
import os
import resource
import sys
import time

import s4db

POOL = 1 << 20
BATCH = 1000
GETS = {"local": 20000, "remote": 1000}


def make_pool():
    state, out = 42, bytearray()
    for _ in range(POOL):
        state = z = (state + 0x9e3779b97f4a7c15) & (1 << 64) - 1
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & (1 << 64) - 1
        out.append(97 + (z >> 40) % 26)
    return out.decode()


def now():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return time.monotonic(), u.ru_utime + u.ru_stime


def resident_kib():
    with open("/proc/self/status") as f:
        return next(int(x.split()[1]) for x in f if x.startswith("VmRSS:"))


def show(what, ops, start, **more):
    w, c = now()
    print(json.dumps(dict(more, w=what, ops=ops, wall_s=w - start[0], cpu_s=c - start[1])), flush=True)


def open_store(bucket, prefix, folder):
    return s4db.S4DB(bucket, prefix, None if folder == "-" else folder, endpoint_url=os.environ["AWS_ENDPOINT"], region_name="us-east-1",
                     aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"])


def main():
    what, bucket, prefix, folder, keys, size = sys.argv[1:7]
    keys, size = int(keys), int(size)
    name = sys.argv[7] if len(sys.argv) > 7 else ""
    pool = make_pool()

    def value(i):
        at = 131 * i % (POOL - size)
        return pool[at:at + size]
    if what == "write":
        db = open_store(bucket, prefix, folder)
        start = now()
        for i in range(0, keys, BATCH):
            db.put({"%016d" % k: value(k) for k in range(i, min(keys, i + BATCH))})
        show("put", keys, start)
        start = now()
        db.upload()
        show("upload", keys, start)
        db.close()
        return
    before, start = resident_kib(), now()
    db = open_store(bucket, prefix, folder)
    show("open", keys, start, rss_kib=resident_kib() - before)
    if name == "local":
        db.download()
    if name in GETS:
        start = now()
        for i in range(GETS[name]):
            k = i * 2654435761 % keys
            assert db.get("%016d" % k) == value(k)
        show("get " + name, GETS[name], start)
    elif name == "scan":
        start = now()
        assert sum(1 for _ in db.iter(local=False)) == keys
        show("scan", keys, start)


main()
