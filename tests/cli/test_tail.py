#!/usr/bin/env python3
"""tail: changes of a database as they become durable."""
import json
import os
import signal
import subprocess
import unittest

from common import Case, SHALE, tree


class Tail(Case):
    def rows(self, *args):
        p = self.run_shale("wal", "tail", self.db, "--no-follow", "--json", *args)
        return [json.loads(line) for line in p.stdout.splitlines()]

    def test_what_is_in_the_wal(self):
        self.run_shale("put", self.db, "a", "1")
        self.run_shale("put", self.db, "b", "2")
        self.run_shale("del", self.db, "a")
        before = tree(self.dir)
        self.assertEqual([(r["kind"], r["key"], r.get("value")) for r in self.rows("--since-id", "1")], [("put", "a", "1"), ("put", "b", "2"), ("delete", "a", None)])
        seqs = [(r["wal_id"], r["seq"]) for r in self.rows("--since-id", "1")]
        self.assertEqual(seqs, sorted(seqs))
        p = self.run_shale("wal", "tail", self.db, "--no-follow", "--since-id", str(seqs[1][0]), "--hex")
        self.assertEqual(p.stdout.splitlines()[0], b"%d\t%d\tput\t62\t32" % seqs[1])
        self.assertEqual(self.rows("--since-id", "1", "-L", "1"), self.rows("--since-id", "1")[:1])
        self.assertEqual(self.rows(), [])  # all is in SSTables
        self.assertEqual(tree(self.dir), before)

    def test_what_was_collected_is_told(self):
        self.run_shale("put", self.db, "a", "1")
        folder = os.path.join(self.db, "wal")
        os.unlink(os.path.join(folder, sorted(os.listdir(folder))[0]))
        p = self.run_shale("wal", "tail", self.db, "--since-id", "1", want=3)
        self.assertIn(b"WAL truncated: object 1 was collected", p.stderr)

    def test_a_wal_in_another_store_is_no_truncated_one(self):
        for _ in range(2):
            self.run_shale("put", self.db, "a", "1", "--wal-url", "./walb")
            for since in ([], ["--since-id", "1"]):
                p = self.run_shale("wal", "tail", self.db, "--no-follow", *since, want=3)
                self.assertIn(b"is the WAL in another store (wal_url)?\n", p.stderr)
                self.assertIn(b" --wal-url URL ", p.stderr)
                self.run_shale("wal", "tail", self.db, "--no-follow", "--wal-url", "./walb", *since)

    def test_it_follows_a_writer_until_a_signal(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            self.follow(sig)
            self.setUp()

    def follow(self, sig):
        self.run_shale("put", self.db, "a", "1")
        p = subprocess.Popen([SHALE, "wal", "tail", self.db, "--json", "--since-id", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(p.kill)
        self.assertEqual(json.loads(p.stdout.readline())["key"], "a")
        self.run_shale("put", self.db, "later", "2")
        self.assertEqual(json.loads(p.stdout.readline())["key"], "later")
        p.send_signal(sig)
        out, err = p.communicate(timeout=30)
        self.assertEqual((p.returncode, out, err), (0, b"", b""))


if __name__ == "__main__":
    unittest.main()
