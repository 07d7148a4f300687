#!/usr/bin/env python3
"""clone, restore, delete, when, --as-of.

Goal: whole databases are copied, put back and taken away as the help says. Method: databases in folders beside each other; golden ones of SlateDB."""
import gzip
import json
import os
import re
import shutil
import subprocess
import time
import unittest

from common import Case, FAST, FIXTURES, SHALE, tree


def expected(case, name):
    for suffix, how in ((".jsonl.gz", gzip.open), (".jsonl", open)):
        path = os.path.join(FIXTURES, case, "expected.%s%s" % (name, suffix))
        if os.path.exists(path):
            with how(path, "rt") as f:
                return [(bytes.fromhex(r["k"]), bytes.fromhex(r["v"])) for r in map(json.loads, f)]
    raise FileNotFoundError(name)


class Manage(Case):
    def setUp(self):
        super().setUp()
        self.load([(b"k%d" % i, b"1") for i in range(9)])
        self.run_shale("checkpoint", "create", self.db, "--name", "first")
        self.run_shale("put", self.db, "k1", "2", *FAST)
        self.run_shale("put", self.db, "k9", "2", *FAST)
        self.now = self.dump()
        self.then = [(b"k%d" % i, b"1") for i in range(9)]

    def at(self, name):
        return os.path.join(self.dir, name)

    def checkpoints(self, db=None):
        return json.loads(self.run_shale("checkpoint", "list", db or self.db, "--json").stdout)

    def test_clones(self):
        doc = json.loads(self.run_shale("clone", self.db, self.at("copy"), "--json").stdout)
        self.assertEqual((doc["clone"], doc["was_there"]), (self.at("copy"), False))
        self.assertGreater(doc["ssts"], 0)
        self.assertEqual(self.dump(db=self.at("copy")), self.now)
        p = self.run_shale("clone", self.db, self.at("copy"))
        self.assertIn(b"is a clone of it already, and stays as it is", p.stderr)
        self.run_shale("clone", self.db, self.at("old"), "--checkpoint", "first")
        self.assertEqual(self.dump(db=self.at("old")), self.then)
        self.run_shale("put", self.at("old"), "k0", "mine", *FAST)
        self.assertEqual(self.dump(), self.now)
        self.run_shale("clone", self.db, self.at("part"), "--from", "k2", "--to", "k4")
        self.assertEqual([k for k, _ in self.dump(db=self.at("part"))], [b"k2", b"k3"])
        self.run_shale("clone", self.db, self.at("pre"), "--prefix", "k9")
        self.assertEqual(self.dump(db=self.at("pre")), [(b"k9", b"2")])
        self.load([(b"z", b"1")], db=self.at("other"))
        self.run_shale("clone", self.db, self.at("both"), "--to", "k2", "--and", self.at("other") + ",from=y", "--and", self.at("old") + ",from=k5,to=k7")
        self.assertEqual(self.dump(db=self.at("both")), [(b"k0", b"1"), (b"k1", b"2"), (b"k5", b"1"), (b"k6", b"1"), (b"z", b"1")])

    def test_clones_of_segments(self):
        parts, slash = self.at("parts"), ("--segments", "slash")
        self.load([(b"%s/%d" % (s, i), b"1") for s in (b"a", b"b", b"c") for i in range(3)], *slash, db=parts)
        self.run_shale("clone", parts, self.at("two"), "--only", "a/", "--only", "c/")
        self.assertEqual([k for k, _ in self.dump(db=self.at("two"))], [b"a/0", b"a/1", b"a/2", b"c/0", b"c/1", b"c/2"])
        self.run_shale("clone", parts, self.at("joined"), "--only", "a/", "--and", self.at("two") + ",only=c/")
        self.assertEqual([k for k, _ in self.dump(db=self.at("joined"))], [b"a/0", b"a/1", b"a/2", b"c/0", b"c/1", b"c/2"])
        p = self.run_shale("clone", parts, self.at("none"), "--only", "x/", want=3)
        self.assertIn(b'has no segment with prefix "x/"', p.stderr)
        p = self.run_shale("clone", self.db, self.at("none"), "--only", "x/", want=2)
        self.assertIn(b"has no segments to choose from", p.stderr)

    def let_go(self, db):
        """Rewrites what a clone borrows, and collects, until it has no parent any more."""
        self.run_shale("compact", db)
        for line in self.run_shale("checkpoint", "list", db).stdout.decode().splitlines()[1:]:
            self.run_shale("checkpoint", "delete", db, line.split()[0])

    def test_a_clone_that_no_writer_has_opened_outlives_its_parents(self):
        for i in range(5):
            self.run_shale("put", "src", "k%d" % i, "v", "--set", "compactor_options=none", *FAST)
        for db, cut in (("cut", ["--from", "k0", "--to", "k9"]), ("whole", [])):
            self.run_shale("clone", "src", db, *cut)
            self.let_go(db)
            self.assertIn(b"let go of 1 parent", self.run_shale("gc", db, "--once", "--min-age", "1ms").stderr)
            self.assertEqual(self.run_shale("scan", db, "--count").stdout[:6], b"5 rows")
            self.run_shale("put", db, "x", "y", *FAST)

    def test_restoring_needs_no_parent_that_the_checkpoint_has_nothing_of(self):
        none = ["--set", "compactor_options=none", *FAST]
        for i in range(5):
            self.run_shale("put", "src", "k%d" % i, "v", *none)
        self.run_shale("clone", "src", "clone")
        self.let_go("clone")
        self.run_shale("checkpoint", "create", "clone", "--name", "whole")
        self.run_shale("put", "clone", "new", "1", *none)
        self.run_shale("gc", "clone", "--once", "--min-age", "1ms")
        self.run_shale("restore", "clone", "--checkpoint", "whole", "--yes")
        self.assertEqual(self.run_shale("scan", "clone", "--count").stdout[:6], b"5 rows")

    def test_a_clone_of_a_database_whose_wal_is_elsewhere_leaves_nothing(self):
        self.run_shale("put", "src", "a", "1", "--wal-url", "wal", *FAST)
        writer = subprocess.Popen([SHALE, "shell", "src", "--wal-url", "wal"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self.env, cwd=self.dir)
        writer.stdin.write(b".write on\nput b 2\n")
        writer.stdin.flush()
        before = len(os.listdir(self.at("wal/src/wal")))
        while len(os.listdir(self.at("wal/src/wal"))) < before + 2:  # a fence and the row
            time.sleep(0.02)
        writer.kill()
        writer.wait()
        writer.stdin.close()
        checkpoints = self.run_shale("checkpoint", "list", "src").stdout
        p = self.run_shale("clone", "src", "made", want=3)
        self.assertIn(b"is the WAL in another store", p.stderr)
        self.assertEqual(self.run_shale("checkpoint", "list", "src").stdout, checkpoints)
        self.assertFalse(os.path.exists(self.at("made/manifest")))

    def test_clones_that_cannot_be(self):
        for more, why, code in ((["--checkpoint", "none"], b"has none of that id or name", 3), (["--and", self.db], b"is given twice", 2),
                                (["--and", self.at("x") + ",form=a"], b"is none of checkpoint=C", 2), (["--prefix", "a", "--to", "b"], b"give one or the others", 2)):
            p = self.run_shale("clone", self.db, self.at("new"), *more, want=code)
            self.assertIn(why, p.stderr)
            self.assertFalse(os.path.exists(self.at("new/manifest")))
        p = self.run_shale("clone", self.db, os.path.join(self.dir, "elsewhere", "new"), want=2)
        self.assertIn(b"lies in the bucket of its source", p.stderr)
        self.load([(b"z", b"1")], db=self.at("other"))
        p = self.run_shale("clone", self.db, self.at("other"), want=3)
        self.assertIn(b"is a database already", p.stderr)

    def test_a_restored_database(self):
        before = self.now
        p = self.run_shale("restore", self.db, "--checkpoint", "first", want=2)
        self.assertIn(b"say --yes", p.stderr)
        self.assertEqual(json.loads(self.run_shale("restore", self.db, "--checkpoint", "first", "-n", "--json").stdout),
                         {"would_restore": self.db, "checkpoint": "first"})
        self.assertRegex(self.run_shale("restore", self.db, "--checkpoint", "first", "-n").stderr.decode(),
                         r"^would take .*\n  about 4 PUT, 6 LIST, 13 GET, on S3 this would cost ~\$0\.00\d+ \(.*\n$")
        self.assertEqual(self.dump(), before)
        doc = json.loads(self.run_shale("restore", self.db, "--checkpoint", "first", "--yes", "--json").stdout)
        self.assertEqual(self.dump(), self.then)
        self.run_shale("put", self.db, "new", "1", *FAST)
        self.assertEqual(self.dump(), self.then + [(b"new", b"1")])
        self.assertEqual(self.dump("--checkpoint", "before-restore"), before)
        self.run_shale("restore", self.db, "--checkpoint", doc["undo_checkpoint"], "--yes", "--undo", "1h")
        self.assertEqual(self.dump(), before)
        self.run_shale("restore", self.db, "--checkpoint", "none", "--yes", want=3)
        self.run_shale("restore", self.db, "--yes", want=2)

    def test_delete(self):
        self.run_shale("clone", self.db, self.at("copy"))
        self.assertEqual(sum(c["expire_time"] is None and c["name"] is None for c in self.checkpoints()), 1)
        p = self.run_shale("delete", self.at("copy"), "-n", "-v")
        self.assertRegex(p.stderr.decode(), r"copy/manifest/0{19}1\.manifest \(\d+ B\)\n")
        self.assertRegex(p.stderr.decode(), r"would delete 3 objects \(.*\n  and what this clone holds in 1 other place\n"
                                            r"  about 2 PUT, 12 LIST, 8 GET, 1 DELETE, on S3 this would cost ~")
        self.run_shale("delete", self.at("copy"), want=2)
        doc = json.loads(self.run_shale("delete", self.at("copy"), "--yes", "--json").stdout)
        self.assertEqual((doc["deleted"], doc["parents"]), (3, 1))
        self.assertEqual(sum(c["expire_time"] is None and c["name"] is None for c in self.checkpoints()), 0)
        self.assertEqual(self.dump(), self.now)
        p = self.run_shale("delete", self.db, "-n")
        self.assertIn(b"1 of its checkpoints never expire", p.stderr)
        p = self.run_shale("delete", self.db, "-y", want=2)
        self.assertIn(b"never expires, and clones that stand on it would break", p.stderr)
        self.run_shale("delete", self.db, "-y", "--force")
        self.run_shale("dump", self.db, want=3)
        self.run_shale("delete", self.db, "-y", want=3)

    def test_delete_with_the_wal_in_another_store(self):
        """Whoever forgets it would leave objects that nothing points to; and no other database is named in a line that may be pasted."""
        self.run_shale("put", "sw", "a", "1", "--wal-url", "./walb", *FAST)
        self.run_shale("put", "sw2", "a", "1", *FAST)
        before, wal = tree(self.at("sw")), tree(self.at("walb"))
        self.assertGreater(len(wal), 0)
        p = self.run_shale("put", "sw", "a", "2", *FAST, want=3)
        self.assertIn(b"is the WAL in another store (wal_url)?\n  Nothing was changed.\n  try: shale put sw a 2 --wal-url URL --store-option local_fsync=off  ", p.stderr)
        self.assertIn(b"note: its WAL objects (up to 2) are in another store, which was not named, and stay there: --wal-url URL",
                      self.run_shale("delete", "sw", "-n").stderr)
        p = self.run_shale("delete", "sw", "--yes", want=2)
        self.assertIn(b"its WAL objects (up to 2) are in another store, and would stay there: name it, or say --force\n"
                      b"  try: shale delete --wal-url URL -y sw\n", p.stderr)
        self.assertEqual(tree(self.at("sw")), before)
        self.run_shale("clone", "sw", "copy", "--wal-url", "./walb")
        self.assertIn(b"are in another store, which was not named", self.run_shale("delete", "copy", "-n").stderr)
        self.assertNotIn(b"another store", self.run_shale("delete", "copy", "-n", "--wal-url", "./walb").stderr)
        self.run_shale("delete", "copy", "--yes", "--wal-url", "./walb")
        shutil.copytree(self.at("sw"), self.at("sw3"))
        p = self.run_shale("delete", "sw3", "--yes", "--force")
        self.assertIn(b"are in another store, which was not named, and stay there: shale store rm -r URL/sw3/wal deletes them, "
                      b"URL being the --wal-url of its writers", p.stderr)
        p = self.run_shale("delete", "sw3", "--yes", "--force", "--wal-url", "./walb", want=3)
        self.assertEqual([x for x in p.stderr.decode().splitlines() if "try:" in x], ["  try: shale store ls sw3"])
        for args in (["del", "sw3", "k"], ["restore", "sw3", "--checkpoint", "c", "--yes"], ["gc", "sw3", "--once"]):
            self.assertNotRegex(self.run_shale(*args, want=3).stderr.decode(), r"try: .*sw2?\b", args)
        self.assertEqual(tree(self.at("walb")), wal)
        shutil.copytree(self.at("walb/sw"), self.at("walb/sw3"))
        p = self.run_shale("clone", "sw", "sw3", "--wal-url", "./walb", want=2)
        self.assertIn(b'"sw3" has no manifest, but its WAL has rows (sw3/wal/0', p.stderr)
        shutil.rmtree(self.at("walb/sw3"))
        self.run_shale("clone", "sw", "sw3", "--wal-url", "./walb")
        self.run_shale("delete", "sw3", "--yes", "--wal-url", "./walb")
        self.run_shale("delete", "sw", "--yes", "--wal-url", "./walb")
        self.assertEqual(tree(self.at("walb")), {})
        for root in ([], ["--root", "."]):
            name = "deep/er" if root else "./deep/er"
            self.run_shale("put", name, "a", "1", "--wal-url", "./walb", *root, *FAST)
            p = self.run_shale("delete", name, "--yes", "--force", *root)
            way = re.search(r"stay there: shale (store rm -r) URL/(.*) deletes them", p.stderr.decode())
            self.run_shale(*way[1].split(), "./walb/" + way[2], "--yes")
            self.assertEqual(tree(self.at("walb")), {})

    def test_a_clone_that_fails_names_what_is_in_the_way(self):
        self.run_shale("put", "one", "a", "1", *FAST)
        self.run_shale("put", "two", "z", "1", *FAST)
        for args, way in ((["one", "three", "--and", "./two,checkpoint=nope"], ["  try: shale checkpoint list ./two"]),
                          (["one", "three", "--checkpoint", "nope", "--and", "two"], ["  try: shale checkpoint list one"]),
                          (["one", "./two"], ["  try: shale stat ./two          (the database; a clone needs a place of its own)"]),
                          (["one", "three", "--and", "ane"], ["  try: shale store ls ane          (a new database: shale load, shale put)"])):
            p = self.run_shale("clone", *args, want=3)
            self.assertEqual([x for x in p.stderr.decode().splitlines() if "try:" in x], way, p.stderr)
            self.assertFalse(os.path.exists(self.at("three")))

    def test_the_wal_of_a_clone(self):
        """Whoever forgets where it is, or names a store where it is not, is told before and after the first rows of the clone."""
        for source, name, how in (("ws", "wc", ["--wal-url", "./walb"]), ("pl", "pc", [])):
            wrong = [] if how else ["--wal-url", "./walb"]
            self.run_shale("put", source, "a", "1", *how, *FAST)
            self.run_shale("clone", source, name, *how)
            for rows in (b"1 row,", b"2 rows,"):
                for args in (["put", name, "b", "2", *FAST], ["scan", name, "--count"], ["get", name, "a"]):
                    self.assertIn(b"is the WAL in another store (wal_url)?", self.run_shale(*args, *wrong, want=3).stderr)
                self.assertIn(rows, self.run_shale("scan", name, "--count", *how).stdout)
                self.run_shale("put", name, "b", "2", *how, *FAST)

    def test_readers_with_a_wal_store_that_is_not(self):
        """Nothing of a young database but its WAL tells where that is."""
        self.run_shale("put", "young", "a", "1", *FAST)
        shutil.rmtree(self.at("young/compacted"), ignore_errors=True)
        for f in sorted(os.listdir(self.at("young/manifest"))):
            if f.endswith(".manifest") and int(f.split(".")[0]) > 2:
                os.unlink(self.at("young/manifest/" + f))
        for args in (["put", "young", "b", "2", *FAST], ["scan", "young", "--count"]):
            p = self.run_shale(*args, "--wal-url", "./walb", want=2)
            self.assertRegex(p.stderr, rb"has its WAL beside it \(\d objects?\), not in another store: set no wal_url")
        self.assertIn(b"1 row,", self.run_shale("scan", "young", "--count").stdout)

    def test_a_range_without_keys(self):
        """The clone would be empty, and its source keep a checkpoint for ever."""
        for more in (["--from", "z", "--to", "a"], ["--from", "a", "--to", "a"], ["--to", "b", "--and", self.db + ",from=z,to=c"]):
            p = self.run_shale("clone", self.db, self.at("none"), *more, want=2)
            self.assertRegex(p.stderr.decode(), r'from "\w" is not below to "\w": no key lies between')
        self.assertFalse(os.path.exists(self.at("none")))
        self.assertEqual([c for c in self.checkpoints() if c["expire_time"] is None and c["name"] is None], [])

    def test_ways_out_keep_the_other_options(self):
        for name in ("key", "other"):
            with open(self.at(name), "wb") as f:
                f.write(name.encode().ljust(32, b"."))
        key = ["--transformer", "aes-256-gcm:file:key"]
        self.run_shale("put", "safe", "a", "1", *key, *FAST)
        self.run_shale("checkpoint", "create", "safe", "--name", "c")
        p = self.run_shale("restore", "safe", "--checkpoint", "c", "--yes", want=3)
        self.assertIn(b"try: shale restore safe --transformer aes-256-gcm:file:PATH --checkpoint c --yes ", p.stderr)
        p = self.run_shale("restore", "safe", "--checkpoint", "c", "--yes", "--transformer", "aes-256-gcm:file:other", want=3)
        self.assertIn(b"try: shale restore safe --transformer aes-256-gcm:file:PATH --checkpoint c --yes ", p.stderr)
        p = self.run_shale("restore", "safe", "--checkpoint", "c", "--yes", *key)
        again = re.search(r"back again: shale (.*)", p.stderr.decode())[1].split()
        self.assertEqual(again[-2:], key)
        self.run_shale(*again, "--yes")
        p = self.run_shale("get", "safe", "a", "--transformer", "aes-256-gcm:file:other", want=3)
        self.assertIn(b"try: shale get safe a --transformer aes-256-gcm:file:PATH ", p.stderr)
        p = self.run_shale("stat", "safe")
        self.assertIn(b"rows unknown (their stats cannot be read)", p.stdout)
        self.assertIn(b"try: shale stat safe --transformer aes-256-gcm:file:PATH ", p.stderr)
        self.assertEqual(json.loads(self.run_shale("stat", "safe", "--json").stdout)["unread_stats_sst_count"], 1)
        p = self.run_shale("stat", "safe", *key)
        self.assertIn(b", about 1 row (from SST stats)", p.stdout)
        self.assertEqual(p.stderr, b"")

    def test_segments_are_named_as_the_option_takes_them(self):
        self.run_shale("put", "seg", "abc1", "1", "--segments", "3", *FAST)
        self.run_shale("put", "dirs", "abc/1", "1", "--segments", "slash", *FAST)
        for db, words in (("seg", "3"), ("dirs", "slash")):
            for more in ([], ["--segments", "5"]):
                p = self.run_shale("put", db, "abc/1", "v", *more, want=None)
                self.assertIn(("try: shale put %s abc/1 v --segments %s\n" % (db, words)).encode(), p.stderr)
        p = self.run_shale("clone", "seg", "none", "--only", "zzz", want=3)
        self.assertIn(b"try: shale stat seg  ", p.stderr)
        p = self.run_shale("compact", "seg", "--segment", "foo", want=2)
        self.assertIn(b'there is no segment "foo"\n  try: shale stat seg  ', p.stderr)

    def test_moments_after_a_restore(self):
        self.run_shale("restore", self.db, "--checkpoint", "first", "--yes")
        undo = [c for c in self.checkpoints() if c["name"] == "before-restore"][0]
        later = "2999-01-01T00:00:00Z"
        p = self.run_shale("get", self.db, "k1", "--as-of", later, want=3)
        self.assertRegex(p.stderr.decode(), r"another state was restored at \d{4}-.*Z, and none was made since")
        self.assertRegex(self.run_shale("get", self.db, "k1", "--as-of", "seq:99", want=3).stderr.decode(), "another state was restored")
        made = undo.get("created") or undo.get("create_time") or undo.get("made")
        self.assertEqual(self.run_shale("get", self.db, "k1", "--as-of", made).stdout, b"2")  # as it was when it was replaced
        self.run_shale("checkpoint", "create", self.db, "--name", "after")
        self.assertEqual(self.run_shale("get", self.db, "k1", "--as-of", later).stdout, b"1")
        self.assertEqual(self.run_shale("get", self.db, "k1", "--as-of", "seq:99").stdout, b"1")

    def test_another_name_than_the_one_asked_for(self):
        code, out = self.on_terminal("delete", self.db, typed=b"db\n")
        self.assertEqual(code, 1)
        self.assertIn(b'nothing was deleted: typed was "db", and the name is "%s"\r\n' % self.db.encode(), out)
        code, out = self.on_terminal("store", "rm", "-r", self.db, typed=b"other\n")
        self.assertEqual(code, 1)
        self.assertIn(b'nothing was deleted: typed was "other", and the name is "%s"\r\n' % self.db.encode(), out)
        self.assertEqual(self.dump(), self.now)
        self.assertEqual(self.on_terminal("delete", self.db, typed=self.db.encode() + b"\n")[0], 0)

    def test_stat_of_a_cut_clone_and_of_its_source(self):
        self.run_shale("clone", self.db, self.at("part"), "--from", "k1", "--to", "k2")
        doc = json.loads(self.run_shale("stat", self.at("part"), "--json").stdout)
        self.assertGreater(doc["cut_sst_count"], 0)
        self.assertEqual(json.loads(self.run_shale("stat", self.db, "--json").stdout)["cut_sst_count"], 0)
        text = self.run_shale("stat", self.at("part")).stdout.decode()
        self.assertRegex(text, r"\nsize     at most .* in \d+ SSTables?, at most \d+ rows? \(from SST stats: a part of some is visible here\)")
        self.assertIn(" stored of its own in SSTables and WAL\n", text)
        text = self.run_shale("stat", self.db).stdout.decode()
        self.assertRegex(text, r"\nkept     .*1 without a name that never expires: clones may stand on it")
        self.assertRegex(text, r", about \d+ rows")

    def test_a_clone_of_itself(self):
        p = self.run_shale("clone", self.db, self.db, want=2)
        self.assertEqual(p.stderr, b'shale clone: "db" is both source and target\n')

    def test_moments(self):
        when = self.run_shale("when", self.db, "seq:1").stdout.decode().strip()
        self.assertRegex(when, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(self.run_shale("when", self.db, when).stdout, b"1\n")
        self.assertEqual(json.loads(self.run_shale("when", self.db, when, "--json").stdout), {"seq": 1})
        self.assertEqual(self.run_shale("when", self.db, "--round", "up", "--", "-1h").stdout, b"1\n")
        self.assertEqual(self.run_shale("when", self.db, "-1h", "--round", "up").stdout, b"1\n")
        self.assertEqual(self.run_shale("when", self.db, "1000", want=1).stderr, b"")
        for args in (["1000"], ["seq:100", "--round", "up"]):
            p = self.run_shale("when", self.db, *args, "--json", want=1)
            self.assertEqual((p.stdout, json.loads(p.stderr)["error"]["code"]), (b"", "NOT_FOUND"))
        self.run_shale("when", self.db, "yesterday", want=2)
        p = self.run_shale("get", self.db, "k1", "--as-of", "seq:9")
        self.assertEqual(p.stdout, b"1")
        self.assertRegex(p.stderr.decode(), r"^note: as of checkpoint [0-9a-f-]{36}, made .* at seq \d+\n$")
        self.assertEqual(self.run_shale("get", self.db, "k1", "--as-of", "2999-01-01T00:00:00Z").stdout, b"1")
        p = self.run_shale("get", self.db, "k1", "--as-of", "-1h", want=3)
        self.assertRegex(p.stderr.decode(), r"no checkpoint covers that moment: the oldest is of \d{4}-")
        self.run_shale("get", self.db, "k1", "--as-of", "-1h", "--checkpoint", "first", want=2)

    def test_golden_databases_are_cut_and_joined_as_slatedb_does(self):
        shutil.copytree(os.path.join(FIXTURES, "16_clone_projected", "store"), self.at("s"))
        self.run_shale("clone", self.at("s/a"), self.at("s/p"), "--from", "x0100", "--to", "x0300")
        self.assertEqual(self.dump(db=self.at("s/p")), expected("16_clone_projected", "part"))
        self.run_shale("clone", self.at("s/a"), self.at("s/u"), "--to", "x0250", "--and", self.at("s/b") + ",from=x0250")
        self.assertEqual(self.dump(db=self.at("s/u")), expected("16_clone_projected", "both"))
        shutil.copytree(os.path.join(FIXTURES, "50_clone_ranges", "store"), self.at("r"))
        self.run_shale("clone", self.at("r/both"), self.at("r/g"), "--from", "k0250", "--to", "k0350")
        self.assertEqual(self.dump(db=self.at("r/g")), expected("50_clone_ranges", "grand"))
        shutil.copytree(os.path.join(FIXTURES, "15_clone", "store"), self.at("c"))
        self.run_shale("clone", self.at("c/copy"), self.at("c/again"))
        self.assertEqual(self.dump(db=self.at("c/again")), expected("15_clone", "copy"))


if __name__ == "__main__":
    unittest.main()
