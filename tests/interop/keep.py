#!/usr/bin/env python3
"""Checkpoints, clones, garbage and deletion between the two: each side makes, the other reads, collects beside it, and takes it away.

usage: keep.py SHALE PEER_VENV [URL]      (SEED in the environment)

URL: an empty place, e.g. s3://bucket/prefix with the AWS_* environment; what is written there stays. Default: a folder.

Method: one database that both write in turns; after each step both readers must see the rows of a model, at the newest state and at every checkpoint and clone that was kept."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from sides import Model, Peer, Place, Shale, compile_writer, draw, random_rows, read_peer, read_shale


class Keep:
    def __init__(self, shale, venv, root, seed):
        self.shale, self.venv, self.root, self.rnd = shale, venv, root, draw(seed, "keep")
        self.where = tempfile.mkdtemp(prefix="shale-keep-")
        self.writer = compile_writer(shale, self.where)
        self.place = Place(root)
        self.model, self.kept, self.done = Model(), {}, 0

    def other(self, name):
        place = Place(self.root)
        place.url = place.url[:-len("db")] + name
        place.for_peer = lambda **more: dict(place.how, root=place.root, path=name, **more)
        return place

    def run(self, *words):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SHALE_", "SLATEDB_"))}
        p = subprocess.run([self.shale, *words], capture_output=True, text=True, env=env, timeout=300)
        if p.returncode != 0:
            raise RuntimeError("shale %s: exit %d: %s" % (" ".join(words), p.returncode, p.stderr.strip()[-400:]))
        return p.stdout

    def ask(self, do, place=None, **more):
        peer = Peer(self.venv, place or self.place, open=False)
        answer = peer.ask(do, **more)
        peer.end()
        return answer

    def same(self, what, model, rows):
        wrong = model.differs(rows)
        if wrong:
            raise RuntimeError("%s: %s" % (what, wrong))
        self.done += 1

    def both_read(self, what, model, place=None):
        place = place or self.place
        self.same(what + ": shale", model, read_shale(self.shale, place))
        self.same(what + ": slatedb", model, read_peer(self.venv, place))

    def check(self, what):
        self.both_read(what, self.model)
        for id, model in self.kept.items():
            place = Place(self.root)
            place.for_reader = lambda: ["--checkpoint", id]
            self.same("%s: shale at %s" % (what, id), model, read_shale(self.shale, place))
            self.same("%s: slatedb at %s" % (what, id), model, self.ask("read", checkpoint=id)["rows"])

    def write(self, kind, compact=False):
        side = Shale(self.writer, self.place) if kind == "shale" else Peer(self.venv, self.place)
        rows = random_rows(self.rnd, 150)
        side.write(rows, batch=True)
        self.model.apply(rows)
        side.flush("memtable")
        if compact:
            side.compact()
        side.close()

    def keep(self, id):
        model = Model()
        model.rows = dict(self.model.rows)
        self.kept[id] = model

    def checkpoints(self):
        self.keep(json.loads(self.run("checkpoint", "create", self.place.url, "--name", "ours", "--json"))["id"])
        self.write("slatedb")
        self.keep(self.ask("checkpoint", what="create", name="theirs")["id"])
        self.write("shale", compact=True)
        self.check("checkpoints")
        ours = [[c["id"], c["manifest_id"], c["name"]] for c in json.loads(self.run("checkpoint", "list", self.place.url, "--json"))]
        theirs = [c[:3] for c in self.ask("checkpoint", what="list")["list"]]
        if ours != theirs:
            raise RuntimeError("the lists differ: %s, %s" % (ours, theirs))
        self.run("checkpoint", "refresh", self.place.url, "theirs", "--lifetime", "1h")
        self.ask("checkpoint", what="refresh", id=next(iter(self.kept)), lifetime_ms=3600000)
        if any(c[3] is None for c in self.ask("checkpoint", what="list")["list"] if c[0] in self.kept):
            raise RuntimeError("a refresh did not take")

    def collect(self):
        """Each collector beside each open writer, and a managed reader of SlateDB beside ours."""
        for kind in ("shale", "slatedb"):
            reader = Peer(self.venv, self.place, open=False)
            self.same("a managed reader", self.model, reader.ask("read", hold=True)["rows"])
            side = Shale(self.writer, self.place) if kind == "shale" else Peer(self.venv, self.place)
            for n in range(4):
                rows = random_rows(self.rnd, 60)
                side.write(rows, batch=True)
                self.model.apply(rows)
                side.flush("memtable")
                if n == 2:
                    side.compact()
                self.run("gc", self.place.url, "--once", "--min-age", "1ms")
                self.ask("collect")
                reader.ask("again")  # what it reads is covered by its own checkpoint
            side.close()
            reader.ask("release")
            reader.end()
            self.check("garbage beside " + kind)

    def clones(self):
        ours, theirs = self.other("ours"), self.other("theirs")
        self.run("clone", self.place.url, ours.url)
        self.both_read("our clone", self.model, ours)
        self.ask("clone", place=theirs, **{"from": self.place.for_peer()["path"] if not self.root.startswith("s3://") else self.peer_path("db")})
        self.both_read("their clone", self.model, theirs)
        grand = self.other("grand")
        self.run("clone", theirs.url, grand.url)
        self.both_read("our clone of their clone", self.model, grand)
        for kind, place in (("shale", theirs), ("slatedb", ours)):
            model = Model()
            model.rows = dict(self.model.rows)
            side = Shale(self.writer, place) if kind == "shale" else Peer(self.venv, place)
            rows = random_rows(self.rnd, 80)
            side.write(rows, batch=True)
            model.apply(rows)
            side.flush("memtable")
            side.compact()
            side.close()
            self.run("gc", place.url, "--once", "--min-age", "1ms")
            self.ask("collect", place=place)
            self.both_read("%s wrote a clone" % kind, model, place)
        self.check("beside clones")
        self.ask("delete_db", place=ours)
        self.run("delete", theirs.url, "--yes", "--force")
        self.run("delete", grand.url, "--yes", "--force")
        pins = [c for c in self.ask("checkpoint", what="list")["list"] if c[3] is None and c[0] not in self.kept]
        if pins:
            raise RuntimeError("clones are gone, but not what they held: %s" % pins)
        self.check("after the clones")

    def peer_path(self, name):
        prefix = self.root[5:].partition("/")[2].strip("/")
        return prefix + "/" + name if prefix else name

    def restore(self):
        id, model = next(iter(self.kept.items()))
        self.run("restore", self.place.url, "--checkpoint", id, "--yes")
        self.model.rows = dict(model.rows)
        self.check("restored")
        self.write("slatedb", compact=True)
        self.write("shale", compact=True)
        self.ask("collect")
        self.check("restored and gone on")

    def end(self):
        self.ask("delete_db")
        if self.run("store", "ls", self.place.url).strip():
            raise RuntimeError("delete_db left objects")
        self.write("shale")
        self.run("delete", self.place.url, "--yes", "--force")
        if self.run("store", "ls", self.place.url).strip():
            raise RuntimeError("shale delete left objects")


def main():
    shale, venv = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    seed = os.environ.get("SEED", "1")
    where = tempfile.mkdtemp(prefix="shale-keep-root-")
    k = Keep(shale, venv, sys.argv[3] if len(sys.argv) > 3 else where, seed)
    try:
        k.write("shale")
        for step in (k.checkpoints, k.collect, k.clones, k.restore, k.end):
            step()
            print("%s: ok, %d comparisons" % (step.__name__, k.done), flush=True)
            if step == k.restore:
                k.model, k.kept = Model(), {}
    except RuntimeError as e:
        print("FAIL (seed %s): %s" % (seed, e))
        return 1
    finally:
        shutil.rmtree(where, True)
        shutil.rmtree(k.where, True)
    print("keep: everything agrees (seed %s)" % seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
