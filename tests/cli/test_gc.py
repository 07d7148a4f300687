#!/usr/bin/env python3
"""gc: passes over a database in a folder.

Goal: it says what it deleted and what it would, deletes nothing that is needed, and ends as it was asked to. Method: a database with a long history."""
import json
import os
import signal
import subprocess
import time
import unittest

import bucket
from common import Case, FAST, SHALE, tree


class Gc(Case):
    def setUp(self):
        super().setUp()
        for i in range(6):
            self.run_shale("put", self.db, "k%d" % i, "v", *FAST)

    def names(self, folder):
        path = os.path.join(self.db, folder)
        return sorted(os.listdir(path)) if os.path.isdir(path) else []

    def check_manifests(self):
        """The newest, and those of checkpoints (a compaction makes one, too)."""
        listed = json.loads(self.run_shale("checkpoint", "list", self.db, "--json").stdout)
        newest = json.loads(self.run_shale("manifest", self.db).stdout)["id"]
        self.assertEqual(self.names("manifest"), ["%020d.manifest" % i for i in sorted({newest, *(c["manifest_id"] for c in listed)})])

    def test_a_pass_deletes_and_says_what(self):
        rows = self.dump()
        doc = json.loads(self.run_shale("gc", self.db, "--once", "--min-age", "1ms", "--json").stdout)
        r = doc["resources"]
        self.assertEqual(list(r), ["manifest", "wal", "wal-fence", "compacted", "compactions", "detach"])
        self.assertGreater(r["manifest"]["deleted"], 10)
        self.assertGreater(r["manifest"]["size_bytes"], 1000)
        self.assertGreater(r["wal-fence"]["would_delete"], 1)
        self.assertEqual(doc["checkpoints_expired"], 0)
        self.assertGreater(doc["requests"]["list"], 3)
        self.check_manifests()
        self.assertEqual(self.dump(), rows)
        p = self.run_shale("gc", self.db, "--once", "--min-age", "1ms", "--resource", "wal", "--resource", "manifest,compacted")
        self.assertEqual((p.stdout, p.stderr), (b"", b"nothing to delete\n"))
        self.run_shale("put", self.db, "k9", "v", *FAST)
        self.assertEqual(len(self.dump()), len(rows) + 1)

    def test_words_for_people(self):
        p = self.run_shale("gc", self.db, "--once", "--min-age", "1ms")
        self.assertRegex(p.stderr.decode(), r"^deleted manifest: \d+ objects \([\d.]+ \w+\)\ndeleted wal: ")
        self.assertRegex(p.stderr.decode(), r"\nwould delete wal-fence: \d+ objects \(0 B\)\n")

    def test_a_dry_run_changes_nothing(self):
        before = tree(self.db)
        p = self.run_shale("gc", self.db, "-n", "--min-age", "1ms", "-v")
        self.assertRegex(p.stderr.decode().splitlines()[-1], r"^  about \d PUT, \d+ LIST, \d+ GET, \d DELETE, on S3 this would cost ~\$0\.0000\d+ \(")
        self.assertRegex(p.stderr.decode(), r"gc would delete db/manifest/0{19}1\.manifest\n")
        self.assertRegex(p.stderr.decode(), r"would delete manifest: \d+ objects")
        self.assertEqual(tree(self.db), before)

    def test_what_killed_processes_leave_is_swept(self):
        left = {os.path.join(self.db, *path): age for path, age in ((("compacted", "01ARZ3NDEKTSV4RRFFQ69G5FAV.sst#1"), 7200), (("manifest", "%020d.manifest#2" % 9), 7200),
                                                                     (("wal", "%020d.sst#1" % 9), 7200), (("compacted", "01ARZ3NDEKTSV4RRFFQ69G5FAV.sst#2"), 60))}
        for path, age in left.items():
            with open(path, "w") as f:
                f.write("xyz")
            os.utime(path, (time.time() - age,) * 2)
        below = os.path.join(self.db, "compacted", "inner", "compacted")
        os.makedirs(below)
        others = os.path.join(below, "01ARZ3NDEKTSV4RRFFQ69G5FAV.sst#1")
        with open(others, "w") as f:
            f.write("xyz")
        os.utime(others, (1, 1))
        before = tree(self.db)
        p = self.run_shale("gc", self.db, "-n", "--min-age", "1ms", "-v").stderr.decode()
        self.assertEqual(sorted(line.split("/")[-1] for line in p.splitlines() if "#" in line), sorted(os.path.basename(n) for n, age in left.items() if age > 3600))
        self.assertEqual(tree(self.db), before)
        self.run_shale("gc", self.db, "--once", "--min-age", "1ms")
        self.assertEqual([n for n in left if os.path.exists(n)], [n for n, age in left.items() if age < 3600])
        self.run_shale("delete", self.db, "--yes", *FAST)
        self.assertEqual([n for n in left if os.path.exists(n)], [])
        self.assertTrue(os.path.exists(others))

    def test_what_a_checkpoint_keeps(self):
        self.run_shale("checkpoint", "create", self.db, "--name", "kept")
        rows = self.dump()
        for i in range(8):
            self.run_shale("put", self.db, "k%d" % i, "later", *FAST)
        for _ in range(2):
            self.run_shale("gc", self.db, "--once", "--min-age", "1ms")
        self.assertEqual(self.dump("--checkpoint", "kept"), rows)
        self.check_manifests()
        self.run_shale("checkpoint", "delete", self.db, "kept")
        self.run_shale("gc", self.db, "--once", "--min-age", "1ms")
        self.check_manifests()

    def test_fences_only_where_that_is_asked_for(self):
        fences = [n for n in self.names("wal") if os.path.getsize(os.path.join(self.db, "wal", n)) == 0]
        self.run_shale("gc", self.db, "--once", "--min-age", "1ms")
        left = self.names("wal")
        self.assertTrue(set(fences) <= set(left))
        self.run_shale("gc", self.db, "--once", "--min-age", "1ms", "--set", "garbage_collector_options.wal_fence_options.dry_run=false")
        self.assertLess(len(self.names("wal")), len(left))
        self.assertEqual(len(self.dump()), 6)

    def test_it_goes_on_until_ctrl_c(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            p = subprocess.Popen([SHALE, "gc", self.db, "--interval", "20ms", "--min-age", "1ms", "--json"], env=self.env, cwd=self.dir,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            lines = [json.loads(p.stdout.readline()) for _ in range(3)]
            self.assertEqual([list(x["resources"]) for x in lines], [list(lines[0]["resources"])] * 3)
            p.send_signal(sig)
            out, err = p.communicate(timeout=60)
            self.assertEqual((p.returncode, err), (0, b""), out)

    def test_mistakes(self):
        p = self.run_shale("gc", self.db, "--once", "--resource", "manifests", want=2)
        self.assertIn(b'"manifests" is none of manifest, wal', p.stderr)
        self.assertIn(b"did you mean manifest?", p.stderr)
        p = self.run_shale("gc", self.db, "--interval", "1us", want=2)
        self.assertIn(b"at least 1ms", p.stderr)
        p = self.run_shale("gc", self.db + "x", "--once", want=3)
        self.assertIn(b"did you mean", p.stderr)

    def test_a_bucket_deletes_many_at_once(self):
        server = bucket.Server()
        self.addCleanup(server.close)
        env = {"AWS_ENDPOINT": server.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        for i in range(6):
            self.run_shale("put", "s3://acme/db", "k%d" % i, "v", env=env)
        doc = json.loads(self.run_shale("gc", "s3://acme/db", "--once", "--min-age", "1ms", "--json", env=env).stdout)
        gone = sum(r.get("deleted", 0) for r in doc["resources"].values())
        if gone == 0:
            self.skipTest("the small server tells no times")
        self.assertLessEqual(doc["requests"]["delete"], 4)
        self.assertEqual(len(self.run_shale("dump", "s3://acme/db", env=env).stdout.splitlines()), 6)


if __name__ == "__main__":
    unittest.main()
