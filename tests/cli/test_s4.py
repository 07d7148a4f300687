#!/usr/bin/env python3
"""String stores: what s4db wrote is read to its expected keys and values, damage is told with its place, and the commands do what they say.

Goal: the program and s4db mean the same by the same files. Method: the stores of tests/fixtures/s4db, each with its expected.json; then commands on stores of our own."""
import base64
import hashlib
import json
import os
import shutil
import signal
import struct
import subprocess
import time
import unittest

from common import Case, FAST, SHALE, SOURCE, tree

FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "s4db")


class Golden(Case):
    def store(self, case):
        place = os.path.join(self.dir, case)
        shutil.copytree(os.path.join(FIXTURES, case, "store", "db"), place)
        return place

    def expected(self, case):
        with open(os.path.join(FIXTURES, case, "expected.json"), encoding="utf-8") as f:
            return json.load(f)

    def rows(self, place, *more):
        out = {}
        for line in self.run_shale("s4", "dump", place, *more).stdout.splitlines():
            o = json.loads(line)
            out[o["key"]] = ("str", o["value"].encode()) if "value" in o else ("bytes", base64.b64decode(o["value_base64"]))
        return out

    def check(self, case, got):
        want = self.expected(case)["live"]
        self.assertEqual(sorted(got), sorted(want), case)
        for key, w in want.items():
            kind, value = got[key]
            self.assertEqual(kind, w["type"], (case, key[:20]))
            if "sha256" in w:
                self.assertEqual((len(value), hashlib.sha256(value).hexdigest()), (w["len"], w["sha256"]), (case, key[:20]))
            else:
                self.assertEqual(value, w["value"].encode() if "value" in w else base64.b64decode(w["b64"]), (case, key[:20]))

    def test_every_store_is_read_as_expected(self):
        seen = 0
        for case in sorted(os.listdir(FIXTURES)):
            if "corrupt" in case or case == "lost-index":
                continue
            place = self.store(case)
            before = tree(place)
            self.check(case, self.rows(place))
            self.check(case, self.rows(place, "--local", "--local-dir", place + "-mirror"))
            for key in self.expected(case).get("deleted", []):
                if "\0" not in key:
                    self.run_shale("s4", "get", place, "--", key, want=1)
            self.assertEqual(tree(place), before)
            self.run_shale("s4", "compact", place, "--min-age", "1ms", *FAST)
            self.check(case, self.rows(place))
            seen += 1
        self.assertGreater(seen, 9)

    def test_a_lost_index_is_rebuilt(self):
        place = self.store("lost-index")
        p = self.run_shale("s4", "dump", place, want=3)
        self.assertIn(b"shale s4 rebuild-index", p.stderr)
        p = self.run_shale("s4", "rebuild-index", place, *FAST)
        self.assertIn(b"could not be read to the end", p.stderr)
        self.check("lost-index", self.rows(place))

    def test_damage_names_the_object_and_the_place(self):
        place = self.store("corrupt-index")
        for command in ("get", "put"):
            p = self.run_shale("s4", command, place, "k", *(["v"] if command == "put" else []), want=3)
            self.assertRegex(p.stderr, rb"index\.idx: index at offset \d+: crc 0x")
        place = self.store("corrupt-entry")
        p = self.run_shale("s4", "dump", place, want=3)
        self.assertRegex(p.stderr, rb"data_14ef46c8_000001\.s4db at offset \d+: ")
        errors = self.expected("corrupt-entry")["errors"]
        for key in errors:
            self.run_shale("s4", "get", place, key, want=3)
        for key in self.expected("corrupt-entry").get("live", {}):
            self.run_shale("s4", "get", place, key)

    def test_any_cut_or_flip_is_told_or_harmless(self):
        case = "basic"
        want = self.expected(case)["live"]
        for n, name in enumerate(sorted(os.listdir(os.path.join(FIXTURES, case, "store", "db")))):
            size = os.path.getsize(os.path.join(FIXTURES, case, "store", "db", name))
            for at in range(0, size, max(1, size // 25)):
                place = os.path.join(self.dir, "hurt")
                shutil.rmtree(place, True)
                shutil.copytree(os.path.join(FIXTURES, case, "store", "db"), place)
                with open(os.path.join(place, name), "r+b") as f:
                    data = bytearray(f.read())
                    data[at] ^= 1 << (at + n) % 8
                    f.seek(0)
                    f.write(data if at % 2 else data[:at])
                    f.truncate()
                p = self.run_shale("s4", "dump", place, want=None)
                self.assertIn(p.returncode, (0, 3))
                if p.returncode == 0:
                    self.assertEqual(len(p.stdout.splitlines()), len(want), (name, at))
                else:
                    self.assertIn(name.encode(), p.stderr, (name, at))


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.place = os.path.join(self.dir, "words")
        self.mirror = os.path.join(self.dir, "mirror")

    def s4(self, command, *args, want=0, data=b"", **more):
        fast = FAST if command != "get" else []
        return self.run_shale("s4", command, self.place, *fast, *args, want=want, data=data, **more)

    def get(self, key, want=0):
        return self.s4("get", "--", key, want=want).stdout

    def test_values_come_back_as_they_were(self):
        for key, value in (("text", "é\n"), ("", "empty key"), ("-dash", "v"), ("k" * 65535, "long")):
            self.s4("put", "--", key, value)
            self.assertEqual(self.get(key), value.encode())
        self.s4("put", "raw", "-", data=b"\xff\x00")
        self.assertEqual(self.get("raw"), b"\xff\x00")
        self.s4("put", "forced", "text", "--bytes")
        rows = [json.loads(x) for x in self.s4("dump").stdout.splitlines()]
        self.assertIn({"key": "forced", "value_base64": "dGV4dA=="}, rows)
        self.assertIn({"key": "raw", "value_base64": "/wA="}, rows)
        self.assertEqual(json.loads(self.s4("get", "text", "--json").stdout), {"key": "text", "value": "é\n"})
        self.s4("del", "text", "raw", "none")
        self.get("text", want=1)
        copy = os.path.join(self.dir, "copy")
        self.run_shale("s4", "load", copy, *FAST, data=self.s4("dump").stdout)
        self.assertEqual(sorted(self.run_shale("s4", "dump", copy).stdout.splitlines()), sorted(self.s4("dump").stdout.splitlines()))

    def test_wrong_words_open_nothing(self):
        for args, why in ((["put", "k"], b"VALUE is missing"), (["put", "k" * 65536, "v"], b"longer than 65535"), (["put", b"\xff", "v"], b"not UTF-8"),
                          (["put", "k", "v", "--no-upload"], b"--no-upload needs --local-dir"), (["upload"], b"--local-dir is missing"),
                          (["download"], b"--local-dir is missing"), (["flush"], b"--local-dir is missing"), (["rebuild-index", "--local"], b"--local-dir is missing"),
                          (["put", "k", "v", "--format", "3"], b"what is that?")):
            p = self.s4(*args, want=2)
            self.assertIn(why, p.stderr)
            self.assertFalse(os.path.exists(self.place))

    def test_a_mistyped_folder_makes_nothing(self):
        for command in (["upload"], ["flush"], ["rebuild-index", "--local"]):
            self.assertIn(b"no such folder", self.s4(*command, "--local-dir", "nothere", want=2).stderr)
            self.assertFalse(os.path.exists(self.place) or os.path.exists(os.path.join(self.dir, "nothere")))

    def test_rebuilding_keeps_the_order_of_commits(self):
        for i in range(12):  # each a writer with a random name
            self.s4("put", "k", "v%d" % i)
        self.s4("put", "gone", "1")
        self.s4("del", "gone")
        before = tree(self.place)
        p = self.s4("rebuild-index", want=2)
        self.assertIn(b"the index can be read", p.stderr)
        self.assertIn(b"--yes", p.stderr)
        self.assertIn(b"would make an index of 1 key from 14 data files", self.s4("rebuild-index", "-n").stderr)
        self.assertEqual(tree(self.place), before)
        self.s4("rebuild-index", "--yes")
        self.assertEqual(self.get("k"), b"v11")
        self.assertEqual(self.s4("keys").stdout, b"k\n")
        os.unlink(os.path.join(self.place, "index.idx"))
        self.s4("rebuild-index")
        self.assertEqual(self.get("k"), b"v11")

    def test_the_folder_of_the_store_is_no_local_folder(self):
        self.s4("put", "a", "1")
        for folder in (self.place, self.place + "/.", os.path.relpath(self.place, self.dir)):
            self.assertIn(b"is the folder of the store itself", self.s4("put", "b", "2", "--local-dir", folder, "--no-upload", want=2).stderr)
        self.assertEqual(self.s4("keys").stdout, b"a\n")

    def test_load_takes_what_is_before_a_bad_line(self):
        p = self.s4("load", want=3, data=b'{"key":"a","value":"1"}\n{"key":"b","value":null}\n{"key":"c","value":"3"}\n{"key":7}\n')
        self.assertIn(b"stdin:4:", p.stderr)
        self.assertIn(b"uploaded", p.stderr)
        self.assertEqual(self.get("c"), b"3")
        p = self.s4("load", want=3, data=b'{"key":"d","value":"1","expire_ts":5}\n')
        self.assertIn(b"no expire_ts", p.stderr)
        self.assertEqual(json.loads(self.s4("load", "--json", data=b'{"key":"e","value":"1"}\n').stdout)["keys"], 1)

    def test_no_upload_keeps_writes_in_the_folder(self):
        self.s4("put", "a", "1")
        local = ["--local-dir", self.mirror]
        self.s4("put", "b", "2", "--no-upload", *local)
        self.s4("del", "a", "--no-upload", *local)
        self.s4("load", "--no-upload", *local, data=b'{"key":"c","value":"3"}\n')
        self.get("b", want=1)
        self.assertEqual(self.s4("get", "b", *local).stdout, b"2")
        self.s4("get", "a", *local, want=1)
        self.assertEqual(json.loads(self.s4("stat", "--json", *local).stdout)["unsynced_keys"], 3)
        self.s4("download", *local, want=2)  # in a bucket 3: the index was asked for
        self.assertEqual(json.loads(self.s4("upload", "--json", *local).stdout)["keys"], 3)
        self.assertEqual((self.get("b"), self.get("c")), (b"2", b"3"))
        self.get("a", want=1)
        self.assertEqual([x for x in os.listdir(self.mirror) if x.startswith("writer_")], [])
        self.s4("put", "d", "4", "--no-upload", *local)
        self.s4("download", "--force", *local)
        self.s4("get", "d", *local, want=1)

    def test_generation_1(self):
        self.s4("put", "a", "1", "--format", "1")
        self.s4("put", "b", "2", "--format", "1")
        self.assertEqual(sorted(os.listdir(self.place)), ["data_000001.s4db", "data_000002.s4db", "index.idx"])
        with open(os.path.join(self.place, "index.idx"), "rb") as f:
            self.assertEqual(struct.unpack(">BII", f.read(9)), (1, 3, 2))
        self.assertIn(b"generation 1 has text only", self.s4("put", "c", "1", "--bytes", "--format", "1", want=2).stderr)
        self.s4("put", "c", "3")
        self.assertIn(b"generation 2", self.s4("put", "d", "4", "--format", "1", want=2).stderr)
        self.assertEqual((self.get("a"), self.get("c")), (b"1", b"3"))

    def test_names_with_a_prefix(self):
        self.s4("put", "a", "1", "--object-prefix", "team-")
        self.assertTrue(all(x.startswith("team-") for x in os.listdir(self.place)))
        self.get("a", want=3)
        self.assertEqual(self.s4("get", "a", "--object-prefix", "team-").stdout, b"1")

    def test_gc_and_compact(self):
        for i in range(4):
            self.s4("put", "k", "v%d" % i)
        stat = json.loads(self.s4("stat", "--json").stdout)
        self.assertEqual((stat["files"], stat["unreferenced"], stat["writers"]), (4, 3, 4))
        p = self.s4("gc", "-n", "--min-age", "1ms")
        self.assertIn(b"would delete 3 data files", p.stderr)
        self.assertIn(b"deleted 0 data files", self.s4("gc").stderr)
        for name, age in (("left#3", 3 * 86400), ("new#1", 60)):  # what a killed writer leaves
            with open(os.path.join(self.place, name), "w") as f:
                f.write("x")
            os.utime(os.path.join(self.place, name), (time.time() - age,) * 2)
        self.assertIn(b"left#3", self.s4("gc", "-v").stderr)
        self.assertFalse(os.path.exists(os.path.join(self.place, "left#3")))
        self.assertTrue(os.path.exists(os.path.join(self.place, "new#1")))
        self.assertEqual(json.loads(self.s4("gc", "--min-age", "1ms", "--json").stdout)["deleted"], 3)
        self.assertIn(b"1 replaced file younger than --min-age stays", self.s4("compact").stderr)
        self.assertEqual(json.loads(self.s4("compact", "--min-age", "1ms", "--json").stdout)["files_deleted"], 1)
        self.assertEqual(self.get("k"), b"v3")

    def test_kill_9_while_loading_loses_nothing_that_was_there(self):
        rows = b"".join(b'{"key":"k%d","value":"%s"}\n' % (i, b"x" * 2000) for i in range(3000))
        self.s4("put", "first", "1")
        for wait in (0.0, 0.02, 0.05, 0.1):
            p = subprocess.Popen([SHALE, "s4", "load", self.place, "--max-file-size", "100KiB", *FAST], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env)
            try:
                p.stdin.write(rows)
            except BrokenPipeError:
                pass
            time.sleep(wait)
            p.send_signal(signal.SIGKILL)
            p.wait(60)
            try:
                p.stdin.close()
            except BrokenPipeError:
                pass
            self.assertEqual(self.get("first"), b"1")
            self.assertIn(len(self.s4("keys").stdout.splitlines()), (1, 3001))


if __name__ == "__main__":
    unittest.main()
