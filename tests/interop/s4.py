#!/usr/bin/env python3
"""Shale and the published s4db (0.10.0 and 0.8.0) on one string store in a bucket.

usage: s4.py SHALE VENVS [ROUNDS] [URL]     URL: an empty s3:// place [that of SHALE_TEST_URL]; AWS_* in the environment; SEED draws another run

golden: the stores of tests/fixtures/s4db in the bucket, read by Shale and s4db. turns: both write, delete, compact, collect and rebuild in turn; after each turn each reads what a model has.
old: Shale writes generation 1, s4db 0.8 reads and continues, Shale reads and continues; 0.10 takes it over, then Shale.
race: writers of both commit at once; nobody's key is lost. crash: what was flushed comes back after kill -9."""
import base64
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import s4_env

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(os.path.dirname(HERE), "fixtures", "s4db")
SEED = int(os.environ.get("SEED", "7"))


class Peer:
    def __init__(self, venvs, version):
        self.p = subprocess.Popen([s4_env.python_of(venvs, version), os.path.join(HERE, "s4_peer.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do, **more):
        self.p.stdin.write(json.dumps(dict(more, do=do)) + "\n")
        self.p.stdin.flush()
        answer = json.loads(self.p.stdout.readline())
        if "error" in answer:
            raise RuntimeError("s4db %s: %s: %s" % (do, answer["error"], answer["text"]))
        return answer["ok"]

    def end(self):
        self.p.stdin.close()
        self.p.wait(60)
        self.p.stdout.close()


class World:
    def __init__(self, shale, venvs, url):
        self.shale, self.venvs, self.url = shale, venvs, url
        self.bucket, _, self.prefix = url[len("s3://"):].partition("/")
        self.dir = tempfile.mkdtemp(prefix="shale-s4-")

    def run(self, *args, data=None, want=0):
        p = subprocess.run([self.shale, "s4", *args], input=data, capture_output=True, timeout=120)
        if p.returncode != want:
            raise RuntimeError("shale s4 %s: exit %d: %s" % (" ".join(args[:2]), p.returncode, p.stderr.decode(errors="replace")))
        return p.stdout

    def open(self, place, version, **more):
        peer = Peer(self.venvs, version)
        peer.ask("open", bucket=self.bucket, prefix="%s/%s/" % (self.prefix, place), **more)
        return peer

    def rows(self, place, *more):
        out = {}
        for line in self.run("dump", "%s/%s" % (self.url, place), *more).splitlines():
            o = json.loads(line)
            out[o["key"]] = ["s", o["value"]] if "value" in o else ["b", o["value_base64"]]
        return out

    def load(self, place, puts, deletes=(), *more):
        lines = [json.dumps({"key": k, "value": v[1]} if v[0] == "s" else {"key": k, "value_base64": v[1]}) for k, v in puts.items()]
        lines += [json.dumps({"key": k, "value": None}) for k in deletes]
        self.run("load", "%s/%s" % (self.url, place), *more, data="\n".join(lines).encode())


def drawn(r, texts=False):
    kind = r.randrange(6)
    text = ["", "x" * r.randrange(1, 3000), "é" * r.randrange(1, 50), "%x" % r.getrandbits(800), "a\u0000b\n\"\\" * r.randrange(1, 9), "word " * r.randrange(1, 200)][kind]
    if texts or r.random() < .7:
        return ["s", text]
    return ["b", base64.b64encode(r.randbytes(r.randrange(0, 2000)) if r.random() < .5 else b"\0" * r.randrange(0, 5000)).decode()]


KEYS = ["", "\u0000", "k" * 65535, "e\u0301", "\u00e9", "a/b", " ", "\U0001f600", "{\"key\"}"] + ["key%03d" % i for i in range(60)]


def same(got, model, who):
    if got == model:
        return
    for k in sorted(set(got) | set(model)):
        if got.get(k) != model.get(k):
            raise AssertionError("%s: key %r is %.80r, not %.80r (SEED=%d)" % (who, k[:40], got.get(k), model.get(k), SEED))


def digest(v):
    raw = v[1].encode() if v[0] == "s" else base64.b64decode(v[1])
    return len(raw), hashlib.sha256(raw).hexdigest()


def golden(w):
    cases = sorted(os.listdir(FIXTURES))
    for case in cases:
        folder, place = os.path.join(FIXTURES, case, "store", "db"), "%s/golden-%s" % (w.url, case)
        for name in os.listdir(folder):
            subprocess.run([w.shale, "store", "cp", os.path.join(folder, name), "%s/%s" % (place, name)], check=True, capture_output=True)
        with open(os.path.join(FIXTURES, case, "expected.json"), encoding="utf-8") as f:
            live = json.load(f).get("live", {})
        if "corrupt" in case:
            w.run("dump", place, want=3)
            continue
        if case == "lost-index":
            w.run("rebuild-index", place, "--yes")
        got = {k: digest(v) for k, v in w.rows("golden-" + case).items()}
        want = {k: (v["len"], v["sha256"]) if "sha256" in v else digest(["s", v["value"]] if "value" in v else ["b", v["b64"]]) for k, v in live.items()}
        same(got, want, "Shale on " + case)
        peer = w.open("golden-" + case, "0.10.0")
        same({k: digest(v) for k, v in peer.ask("all").items()}, want, "s4db on " + case)
        peer.end()
    print("golden: %d stores in a bucket" % len(cases))


def turns(w, rounds):
    r = random.Random(SEED)
    model = {}
    for n in range(rounds):
        puts = {k: drawn(r) for k in r.sample(KEYS, r.randrange(1, 25))}
        deletes = r.sample(KEYS, r.randrange(0, 10))
        model.update(puts)
        for k in deletes:
            model.pop(k, None)
        size = r.choice([256, 5000, 64 << 20])
        if n % 2 == 0:
            w.load("turns", puts, deletes, "--max-file-size", str(size))
        else:
            peer = w.open("turns", "0.10.0", max=size)
            peer.ask("put", items={k: v[1] for k, v in puts.items() if v[0] == "s"})
            peer.ask("bytes", items={k: v[1] for k, v in puts.items() if v[0] == "b"})
            peer.ask("delete", keys=deletes)
            peer.ask("upload")
            peer.ask("close")
            peer.end()
        chore = r.choice(["none", "shale compact", "compact", "shale rebuild", "shale gc", "rebuild", "gc"])
        if "rebuild" in chore:  # replays by writer: only sure where one file set has one history
            w.run("compact", w.url + "/turns", "--min-age", "1ms")
            w.run("gc", w.url + "/turns", "--min-age", "1ms")
        if chore.startswith("shale "):
            word = chore[6:]
            w.run({"rebuild": "rebuild-index"}.get(word, word), w.url + "/turns", *(["--yes"] if word == "rebuild" else ["--min-age", "1ms"]))
        elif chore != "none":
            peer = w.open("turns", "0.10.0", dir=os.path.join(w.dir, "peer%d" % n))
            peer.ask(chore)
            peer.end()
        same(w.rows("turns"), model, "Shale after turn %d (%s)" % (n, chore))
        peer = w.open("turns", "0.10.0")
        same(peer.ask("all"), model, "s4db 0.10 after turn %d (%s)" % (n, chore))
        peer.end()
    print("turns: %d, %d keys, both read the model" % (rounds, len(model)))


def old(w):
    r = random.Random(SEED)
    model = {k: drawn(r, True) for k in KEYS}
    w.load("old", model, (), "--format", "1", "--max-file-size", "4000")
    peer = w.open("old", "0.8.0", max=4000)
    same(peer.ask("all"), model, "s4db 0.8 reads Shale's")
    more = {k: drawn(r, True) for k in r.sample(KEYS, 20)}
    gone = r.sample(KEYS, 10)
    peer.ask("put", items={k: v[1] for k, v in more.items()})
    peer.ask("delete", keys=gone)
    peer.ask("upload")
    peer.end()
    model.update(more)
    for k in gone:
        model.pop(k, None)
    same(w.rows("old"), model, "Shale reads what 0.8 continued")
    more = {k: drawn(r, True) for k in r.sample(KEYS, 20)}
    w.load("old", more, (), "--format", "1", "--max-file-size", "4000")
    model.update(more)
    w.run("compact", w.url + "/old", "--format", "1", "--min-age", "1ms")
    peer = w.open("old", "0.8.0")
    same(peer.ask("all"), model, "s4db 0.8 after Shale's compaction")
    peer.ask("compact")
    peer.end()
    same(w.rows("old"), model, "Shale after 0.8's compaction")
    peer = w.open("old", "0.10.0")
    peer.ask("bytes", items={"new": base64.b64encode(b"\xff").decode()})
    peer.ask("upload")
    peer.end()
    model["new"] = ["b", base64.b64encode(b"\xff").decode()]
    w.load("old", {"newer": ["b", ""]})
    model["newer"] = ["b", ""]
    same(w.rows("old"), model, "Shale on mixed generations")
    w.run("put", w.url + "/old", "k", "v", "--format", "1", want=3)
    peer = w.open("old", "0.10.0")
    same(peer.ask("all"), model, "s4db 0.10 on mixed generations")
    peer.end()
    print("old: generation 1 written, read and continued on both sides")


def race(w):
    model = {}
    jobs = []
    for n in range(4):
        lines = []
        for i in range(30):
            model["shale%d-%d" % (n, i)] = ["s", "v%d" % i]
            lines.append([w.shale, "s4", "put", w.url + "/race", "shale%d-%d" % (n, i), "v%d" % i])
        script = "import subprocess,sys,json\nfor c in json.loads(sys.argv[1]): subprocess.run(c, check=True)"
        jobs.append(subprocess.Popen([sys.executable, "-c", script, json.dumps(lines)]))
    peer = w.open("race", "0.10.0")
    for i in range(30):
        peer.ask("put", items={"peer-%d" % i: "v%d" % i})
        peer.ask("upload", tries=50)
        model["peer-%d" % i] = ["s", "v%d" % i]
    for job in jobs:
        if job.wait(300) != 0:
            raise AssertionError("a writer failed")
    same(w.rows("race"), model, "Shale after the race")
    peer.ask("close")
    peer.end()
    peer = w.open("race", "0.10.0")
    same(peer.ask("all"), model, "s4db 0.10 after the race")
    peer.end()
    print("race: 5 writers, %d commits, no key lost" % len(model))


def crash(w, rounds):
    """Loads that are killed: whole lines of what was told as safe are there, and nothing is half there."""
    r = random.Random(SEED)
    place = w.url + "/crash"
    model = {}
    for n in range(rounds):
        folder = os.path.join(w.dir, "crash")
        rows = {"k%03d" % r.randrange(200): ["s", "round %d " % n + "x" * r.randrange(500)] for _ in range(100)}
        lines = "\n".join(json.dumps({"key": k, "value": v[1]}) for k, v in rows.items()).encode()
        if n % 3 == 2:
            w.run("load", place, "--local-dir", folder, "--no-upload", data=lines)
            model.update(rows)
            p = subprocess.Popen([w.shale, "s4", "upload", place, "--local-dir", folder], stderr=subprocess.DEVNULL)
            time.sleep(r.random() * .03)
            p.send_signal(signal.SIGKILL)
            p.wait()
            w.run("upload", place, "--local-dir", folder)
        else:
            p = subprocess.Popen([w.shale, "s4", "load", place, "--local-dir", folder, "--max-file-size", "3000"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                p.stdin.write(lines)
                p.stdin.close()
            except BrokenPipeError:
                pass
            time.sleep(r.random() * .04)
            p.send_signal(signal.SIGKILL)
            p.wait()
            got = w.rows("crash") if n or p.returncode == 0 else {}
            if got != model:  # all or nothing
                model.update(rows)
        if model:
            same(w.rows("crash"), model, "Shale after crash %d" % n)
    peer = w.open("crash", "0.10.0")
    same(peer.ask("all"), model, "s4db 0.10 after the crashes")
    peer.end()
    print("crash: %d kills, %d keys, none lost" % (rounds, len(model)))


def main():
    shale, venvs = os.path.abspath(sys.argv[1]), sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 10
    url = sys.argv[4] if len(sys.argv) > 4 else os.environ["SHALE_TEST_URL"]
    w = World(shale, venvs, url.rstrip("/"))
    print("SEED=%d" % SEED)
    golden(w)
    turns(w, rounds)
    old(w)
    race(w)
    w.run("put", w.url + "/crash", "first", "value")
    w.run("del", w.url + "/crash", "first")
    crash(w, rounds)
    shutil.rmtree(w.dir, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
