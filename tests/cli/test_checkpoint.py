#!/usr/bin/env python3
"""checkpoint create, list, refresh, delete.

Goal: states are kept and found by name and id, and the answers are those that scripts expect. Method: a database in a folder that is written on
between them."""
import json
import re
import unittest

from common import Case, FAST, tree

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


class Checkpoints(Case):
    def setUp(self):
        super().setUp()
        self.put("1")

    def put(self, value):
        self.run_shale("put", self.db, "k", value, *FAST)

    def create(self, *args):
        return json.loads(self.run_shale("checkpoint", "create", self.db, "--json", *args).stdout)

    def listed(self, *args):
        return json.loads(self.run_shale("checkpoint", "list", self.db, "--json", *args).stdout)

    def test_a_state_is_kept_under_id_and_name(self):
        made = self.create("--name", "first")
        self.assertEqual(sorted(made), ["id", "manifest_id"])
        self.put("2")
        for c in ("first", made["id"]):
            self.assertEqual(self.run_shale("get", self.db, "k", "--checkpoint", c).stdout, b"1")
        self.assertEqual(self.run_shale("get", self.db, "k").stdout, b"2")
        again = self.create("--source", "first")
        self.assertEqual(again["manifest_id"], made["manifest_id"])
        self.assertEqual(self.run_shale("get", self.db, "k", "--checkpoint", again["id"]).stdout, b"1")

    def test_lists_in_slatedbs_shape(self):
        made = self.create("--name", "first", "--lifetime", "1h")
        self.create()
        one, two = self.listed()
        self.assertEqual(list(one), ["id", "manifest_id", "expire_time", "create_time", "name"])
        self.assertEqual((one["id"], one["manifest_id"], one["name"]), (made["id"], made["manifest_id"], "first"))
        self.assertRegex(one["expire_time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual((two["expire_time"], two["name"]), (None, None))
        self.assertEqual([c["id"] for c in self.listed("--name", "first")], [made["id"]])
        self.assertEqual([c["id"] for c in self.listed("--name", "")], [two["id"]])
        text = self.run_shale("checkpoint", "list", self.db).stdout.decode().splitlines()
        self.assertRegex(text[0], "^id +manifest +made +expires +name$")
        self.assertRegex(text[1], "^%s +%d +" % (UUID, made["manifest_id"]))
        self.assertEqual(self.run_shale("checkpoint", "list", self.db, "--name", "none").stdout, b"")

    def test_the_id_is_what_a_pipe_gets(self):
        p = self.run_shale("checkpoint", "create", self.db)
        self.assertRegex(p.stdout.decode(), "^%s\n$" % UUID)
        self.assertRegex(p.stderr.decode(), r"^made checkpoint %s of manifest \d+\n$" % UUID)

    def test_refresh_and_delete(self):
        made = self.create("--name", "first", "--lifetime", "1h")
        self.run_shale("checkpoint", "refresh", self.db, "first")
        self.assertIsNone(self.listed()[0]["expire_time"])
        self.run_shale("checkpoint", "refresh", self.db, made["id"], "--lifetime", "2d")
        self.assertIsNotNone(self.listed()[0]["expire_time"])
        self.run_shale("checkpoint", "delete", self.db, "first")
        self.assertEqual(self.listed(), [])
        for words in (["delete", self.db, "first"], ["refresh", self.db, made["id"]]):
            p = self.run_shale("checkpoint", *words, want=3)
            self.assertIn(b"has none of that id or name", p.stderr)
            self.assertTrue(re.search(rb"\n  try: shale ", p.stderr), p.stderr)

    def test_a_name_given_twice_is_noted(self):
        args = ("checkpoint", "create", self.db, "--name", "same")
        self.assertNotIn(b"note:", self.run_shale(*args).stderr)
        self.assertIn(b'note: 2 checkpoints are named "same" now: other commands need the id\n', self.run_shale(*args).stderr)

    def test_a_long_list_is_whole(self):
        for i in range(12):
            self.create("--name", "a checkpoint with a name that takes its room, number %d" % i)
        self.assertEqual(len(self.listed()), 12)

    def test_a_narrow_terminal_gets_two_lines_each(self):
        self.create("--name", "nightly run of the shop")
        out = self.on_terminal("checkpoint", "list", self.db, columns=60)[1].decode().replace("\r", "").splitlines()
        self.assertRegex(out[0], "^id +manifest$")
        self.assertRegex(out[1], "^    made +expires +name$")
        self.assertRegex(out[2], r"^%s +\d+$" % UUID)
        self.assertEqual(out[1].index("name"), out[3].index("nightly"))
        self.assertLessEqual(max(map(len, out)), 60)
        self.assertEqual(" ".join(out[3].split()[2:] + out[4].split()), "nightly run of the shop")

    def test_mistakes(self):
        self.create("--name", "same")
        self.create("--name", "same")
        for words in (["checkpoint", "delete", self.db, "same"], ["checkpoint", "refresh", self.db, "same"],
                      ["restore", self.db, "--checkpoint", "same", "--yes"], ["restore", self.db, "--checkpoint", "same", "-n"],
                      ["get", self.db, "k", "--checkpoint", "same"], ["scan", self.db, "--checkpoint", "same"],
                      ["dump", self.db, "--checkpoint", "same"], ["explain", self.db, "k", "--checkpoint", "same"],
                      ["clone", self.db, self.db + "2", "--checkpoint", "same"], ["shell", self.db, "--checkpoint", "same"],
                      ["checkpoint", "create", self.db, "--source", "same"]):
            before = tree(self.dir)
            p = self.run_shale(*words, want=2)
            self.assertIn(b"checkpoint \"same\": 2 of \"db\" have that name: give the id", p.stderr, words)
            self.assertIn(b"\n  try: shale checkpoint list ", p.stderr, words)
            self.assertEqual(tree(self.dir), before, words)
        p = self.run_shale("checkpoint", "create", self.db, "--name", "", want=2)
        self.assertIn(b"--name", p.stderr)
        p = self.run_shale("checkpoint", "create", self.db, "--lifetime", "5ms", want=2)
        self.assertIn(b"at least 1s", p.stderr)
        p = self.run_shale("checkpoint", "create", self.db, "--source", "none", want=3)
        self.assertIn(b"checkpoint \"none\"", p.stderr)
        for words in (["create"], ["list"], ["delete", "x"], ["refresh", "x"]):
            p = self.run_shale("checkpoint", words[0], self.db + "x", *words[1:], want=3)
            self.assertIn(b"did you mean", p.stderr)


if __name__ == "__main__":
    unittest.main()
