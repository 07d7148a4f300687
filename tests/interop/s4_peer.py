#!/usr/bin/env python3
"""The published s4db as a process: one JSON object a line in, one out. Runs in a virtual environment of s4_env.py.

{"do":"open","bucket":..,"prefix":..,"dir":..,"max":N} {"do":"put","items":{..}} {"do":"bytes","items":{key:base64}} {"do":"delete","keys":[..]}
{"do":"upload"} {"do":"all","local":bool} {"do":"get","key":..} {"do":"compact"} {"do":"rebuild"} {"do":"gc"} {"do":"close"}"""
import base64
import json
import os
import sys

import s4db


def client():
    return {"endpoint_url": os.environ["AWS_ENDPOINT"], "region_name": os.environ.get("AWS_REGION", "us-east-1"),
            "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"]}


def shown(value):
    return None if value is None else ["b", base64.b64encode(value).decode()] if isinstance(value, bytes) else ["s", value]


def handle(db, q):
    do = q["do"]
    if do == "put":
        db.put(q["items"])
    elif do == "bytes":
        db.put({k: base64.b64decode(v) for k, v in q["items"].items()})
    elif do == "delete":
        db.delete(q["keys"])
    elif do == "upload":
        tries = 0
        while True:  # 0.10 gives up after 8 lost races
            try:
                db.upload()
                return tries
            except Exception as e:
                if type(e).__name__ != "ConflictError" or tries == q.get("tries", 0):
                    raise
                tries += 1
    elif do == "all":
        return {k: shown(v) for k, v in db.iter(local=q.get("local", False))}
    elif do == "get":
        return shown(db.get(q["key"]))
    elif do == "compact":
        db.download()
        db.compact()
    elif do == "rebuild":
        db.rebuild_index(**({"from_s3": True} if hasattr(db, "gc") else {}))
        db.upload()
    elif do == "gc":
        return db.gc(grace_seconds=q.get("grace", 0))
    else:
        raise ValueError(do)
    return None


def main():
    db = None
    for line in sys.stdin:
        q = json.loads(line)
        try:
            if q["do"] == "open":
                db = s4db.S4DB(q["bucket"], q["prefix"], q.get("dir"), max_file_size=q.get("max", 64 << 20), **client())
                answer = {"ok": None}
            elif q["do"] == "close":
                if hasattr(db, "close"):
                    db.close()
                answer = {"ok": None}
            else:
                answer = {"ok": handle(db, q)}
        except Exception as e:
            answer = {"error": type(e).__name__, "text": str(e)}
        print(json.dumps(answer), flush=True)


main()
