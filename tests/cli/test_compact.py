#!/usr/bin/env python3
"""compact, compactor, compactor-worker and compactions from outside.

Goal: they do what their help says, alone and beside an open writer; Ctrl-C is a safe stop; wrong requests say why and change nothing. Method: small
databases in a folder, with quick poll intervals."""
import json
import os
import shutil
import signal
import subprocess
import unittest

from common import Case, FAST, FIXTURES, SHALE, tree

QUICK = [x for k, v in {"poll_interval": "30ms", "commit_compacted_interval": "20ms", "worker_heartbeat_timeout": "500ms",
                        "worker.compactions_poll_interval": "30ms", "worker.heartbeat_interval": "100ms"}.items()
         for x in ("--set", "compactor_options.%s=%s" % (k, v))]
NONE = ["--set", "compactor_options=none"]


class Compact(Case):
    def tables(self, count, first=0):
        for i in range(first, first + count):
            self.run_shale("put", self.db, "k%03d" % i, "v%d" % i, *NONE, *FAST)

    def shape(self):
        m = json.loads(self.run_shale("manifest", self.db).stdout)
        return len(m["l0"]), [r["id"] for r in m["compacted"]]

    def jobs(self):
        return json.loads(self.run_shale("compactions", self.db, "--json").stdout)["recent_compactions"]

    def check_rows(self, count):
        self.assertEqual(self.dump(), [(b"k%03d" % i, b"v%d" % i) for i in range(count)])

    def start(self, *args, sets=QUICK):
        p = subprocess.Popen([SHALE, *args, *sets, *FAST], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir, env=self.env)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        return p

    def wait_for(self, ready):
        for _ in range(600):  # each look is a program's start: no sleep
            if ready():
                return
        self.fail("it did not come about")

    def end(self, p, code=0, how=signal.SIGINT):
        p.send_signal(how)
        out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, code, err)
        return out

    def epoch(self):
        return json.loads(self.run_shale("manifest", self.db).stdout)["compactor_epoch"]

    def kill_a_coordinator(self, ready=lambda: True):
        """Nobody is there then, but nothing says so."""
        before = self.epoch()
        p = self.start("compactor", self.db, "--no-worker")
        self.wait_for(lambda: before < self.epoch() == json.loads(self.run_shale("compactions", self.db, "--json").stdout)["compactor_epoch"])
        self.wait_for(ready)
        p.kill()
        p.wait()

    def test_nothing_was_ever_compacted(self):
        self.tables(1)
        before = tree(self.db)
        self.assertEqual(self.run_shale("compactions", self.db, want=1).stdout, b"")
        p = self.run_shale("compactions", self.db, "--json", want=1)
        self.assertEqual((p.stdout, json.loads(p.stderr)["error"]["code"]), (b"", "NOT_FOUND"))
        p = self.run_shale("compact", self.db, "--full", "-n")
        self.assertEqual(p.stderr.decode(), "would do nothing: there is no sorted run yet (shale compact %s merges L0 when enough is there)\n" % self.db)
        self.assertEqual(tree(self.db), before)
        self.assertIn(b"no database here", self.run_shale("compactions", os.path.join(self.dir, "none"), want=3).stderr)

    def test_compact_does_what_is_due(self):
        self.tables(3)
        self.run_shale("compact", self.db, *FAST)
        self.assertEqual(self.shape(), (3, []))  # four sources are the least
        self.tables(1, 3)
        p = self.run_shale("compact", self.db, *QUICK, *FAST)
        self.assertEqual(self.shape(), (0, [0]))
        self.check_rows(4)
        self.assertRegex(p.stderr.decode(), r"^merged 1 compaction, committed 1 in \d+\.\d s, \d+ PUT \d+ GET\n$")
        self.assertEqual(self.run_shale("compact", self.db, *QUICK, *FAST).stderr, b"nothing was due by the settings (shale help settings)\n")
        done = json.loads(self.run_shale("compact", self.db, "--json", *QUICK, *FAST).stdout)
        self.assertEqual((done["committed"], done["executed"]), (0, 0))

    def test_full_merges_all_runs_and_leaves_l0(self):
        self.tables(4)
        self.run_shale("compact", self.db, *FAST)
        self.tables(4, 4)
        self.run_shale("compact", self.db, *QUICK, *FAST)
        self.tables(1, 8)
        self.assertEqual(self.shape(), (1, [1, 0]))
        made = json.loads(self.run_shale("compact", self.db, "--full", "--json", *QUICK, *FAST).stdout)
        self.assertEqual([(j["status"], j["spec"]["Tiered"]["destination"]) for j in made], [("Completed", 0)])
        self.assertEqual(made[0]["spec"]["Tiered"]["sources"], [{"SortedRun": 1}, {"SortedRun": 0}])
        self.assertEqual(self.shape(), (1, [0]))
        self.check_rows(9)
        one = json.loads(self.run_shale("compactions", self.db, made[0]["id"], "--json").stdout)
        self.assertEqual(one, made[0])

    def test_nobody_waits_for_a_compactor_that_has_ended(self):
        """Neither a second one by hand, nor the one after a failure, which gave its job back; and the failure denies nothing that it did."""
        for how in ([], ["--full"], ["--full"]):
            self.tables(0 if how else 4)
            p = self.run_shale("compact", self.db, *how, *FAST)
            self.assertNotIn(b"waiting", p.stderr)
        self.assertEqual(self.shape(), (0, [0]))
        self.tables(4, 4)
        self.run_shale("compactor", self.db, "--once", *QUICK, *FAST)
        self.assertNotIn(b"waiting", self.run_shale("compact", self.db, "--full", *FAST).stderr)
        self.assertEqual(self.shape(), (0, [0]))
        self.check_rows(8)
        with open(os.path.join(self.dir, "key"), "wb") as f:
            f.write(b"k" * 32)
        key = ["--transformer", "aes-256-gcm:file:key"]
        for i in range(5):
            self.run_shale("put", "safe", "k%d" % i, "v", *key, *NONE, *FAST)
        p = self.run_shale("compact", "safe", *FAST, want=3)
        self.assertNotIn(b"Nothing was changed", p.stderr)
        self.assertIn(b"No row was changed; what was begun is on record (shale compactions), and is begun anew.\n  try: shale compact safe --transformer", p.stderr)
        p = self.run_shale("compact", "safe", "--json", *key, *FAST)
        told = json.loads(p.stdout)
        self.assertEqual((told["executed"], told["committed"]), (1, 1))
        self.assertIn(b"Nothing was changed", self.run_shale("get", "safe", "k1", want=3).stderr)

    def test_one_that_was_killed_is_given_up_in_one_patience(self):
        """Its job was merged by us as a worker, and waits for nobody's heartbeat but for a coordinator."""
        self.tables(4)
        self.run_shale("compact", self.db, *QUICK, *FAST)
        self.tables(4, 4)
        self.kill_a_coordinator(lambda: "Scheduled" in [j["status"] for j in self.jobs().values()])
        slow = [x for x in QUICK if "heartbeat_timeout" not in x and x != "--set"]
        sets = [y for x in slow for y in ("--set", x)]
        told = json.loads(self.run_shale("compact", self.db, "--json", *sets, "--set", "compactor_options.worker_heartbeat_timeout=1000s", *FAST).stdout)
        self.assertEqual((told["executed"], told["committed"]), (1, 1))
        self.check_rows(8)

    def codecs(self):
        return {(s["compression"] or "none").lower() for s in json.loads(self.run_shale("sst", self.db, "--json").stdout)}

    def test_a_few_rows_without_compression_do_not_unpack_a_database(self):
        self.load([(b"k%05d" % i, b"value %d of a table" % i) for i in range(2000)], "--set", "compression_codec=zstd", *NONE)
        for i in range(3):
            self.run_shale("put", self.db, "k%05d" % i, "new", *NONE, *FAST)
        self.run_shale("compact", self.db, *QUICK, *FAST)
        self.assertEqual((self.shape(), self.codecs()), ((0, [0]), {"zstd"}))

    def test_outputs_keep_the_codec_of_the_largest_input(self):
        def tables(codec, first, end):
            for i in range(first, end):
                self.run_shale("put", self.db, "k%03d" % i, "v%d" % i, "--set", "compression_codec=" + codec, *NONE, *FAST)
        tables("zstd", 0, 4)
        self.run_shale("compact", self.db, *QUICK, *FAST)
        self.assertEqual((self.shape(), self.codecs()), ((0, [0]), {"zstd"}))
        tables("lz4", 4, 10)
        self.run_shale("compactor", self.db, "--once", *QUICK, *FAST)
        self.assertEqual((self.shape(), self.codecs()), ((0, [1, 0]), {"lz4", "zstd"}))
        self.run_shale("compact", self.db, "--full", "--no-wait", *QUICK, *FAST)
        coordinator = self.start("compactor", self.db, "--no-worker")
        worker = self.start("compactor-worker", self.db)
        self.wait_for(lambda: self.shape() == (0, [0]))
        self.end(worker)
        self.end(coordinator)
        self.assertEqual(self.codecs(), {"lz4"})
        for name, codec in (("compression_codec", "snappy"), ("compactor_options.worker.compression_codec", "zlib"), ("compression_codec", "none")):
            self.run_shale("compact", self.db, "--full", "--set", "%s=%s" % (name, codec), *QUICK, *FAST)
            self.assertEqual(self.codecs(), {codec})
        self.check_rows(10)

    def test_a_dry_run_says_what_it_would_begin_with(self):
        self.tables(3)
        self.assertEqual(self.run_shale("compact", self.db, "-n").stderr, b"would do nothing: nothing is due by the settings (shale help settings)\n")
        self.tables(1, 3)
        before = tree(self.db)
        p = self.run_shale("compact", self.db, "--dry-run")
        self.assertEqual(p.stdout, b"")
        self.assertRegex(p.stderr.decode(), r"^would merge 4 L0 -> SR 0, \d+ B\n  about 8 PUT, 30 GET, on S3 this would cost ~\$0\.0000\d+ \(.*\)\n$")
        (job,) = json.loads(self.run_shale("compact", self.db, "-n", "--json").stdout)
        sizes = [s["bytes"] for s in json.loads(self.run_shale("sst", self.db, "--json").stdout)]
        self.assertEqual((len(job["spec"]["Tiered"]["sources"]), job["status"]), (4, None))
        self.assertTrue(0 < job["source_bytes"] <= sum(sizes), (job, sizes))
        self.assertEqual(json.loads(self.run_shale("compact", self.db, "--full", "-n", "--json").stdout), [])
        self.assertEqual(tree(self.db), before)
        self.run_shale("compact", self.db, *QUICK, *FAST)
        (job,) = json.loads(self.run_shale("compact", self.db, "--full", "-n", "--json").stdout)
        self.assertEqual(job["spec"]["Tiered"]["sources"], [{"SortedRun": 0}])
        self.run_shale("compact", self.db, "--full", "--no-wait", *FAST)
        self.assertIn(b"has a source or the destination of it", self.run_shale("compact", self.db, "--full", "-n", want=3).stderr)
        self.assertIn(b"(submitted already)\n", self.run_shale("compact", self.db, "-n").stderr)

    def test_full_without_a_run_does_nothing(self):
        self.tables(2)
        self.assertEqual(json.loads(self.run_shale("compact", self.db, "--full", "--json", *FAST).stdout), [])
        self.assertEqual(self.shape(), (2, []))

    def test_requests_that_cannot_be_done(self):
        self.tables(4)
        self.run_shale("compact", self.db, *FAST)
        before = tree(self.db)
        spec = '{"Spec":{"Tiered":{"segment":[],"sources":[{"SortedRun":%d}],"destination":%d}}}'
        for args, want, why in (
                (["--spec", "{"], 2, "compaction request"), (["--spec", '"Fullest"'], 2, "none that is known"),
                (["--spec", spec % (7, 7)], 2, "not there"), (["--spec", spec % (0, 1)], 2, "oldest source run"),
                (["--segment", "s"], 2, 'there is no segment "s"'), (["--full", "--segment", "s"], 2, "which one?"), (["--no-wait"], 2, "nothing to submit")):
            p = self.run_shale("compact", self.db, *args, *FAST, want=want)
            self.assertIn(why, p.stderr.decode(), args)
            self.assertEqual(p.stdout, b"")
        self.assertEqual(tree(self.db), before)

    def test_a_second_equal_request_is_refused(self):
        self.tables(4)
        self.run_shale("compact", self.db, *FAST)
        self.assertNotIn(b"work ", self.run_shale("stat", self.db).stdout)
        first = json.loads(self.run_shale("compact", self.db, "--full", "--no-wait", "--json", *FAST).stdout)[0]
        self.assertEqual(first["status"], "Submitted")
        self.assertIn(b"work     1 compaction open, 0 running", self.run_shale("stat", self.db).stdout)
        (job,) = json.loads(self.run_shale("stat", self.db, "--json").stdout)["compactions"]
        self.assertEqual((job["id"], job["status"], job["run_count"]), (first["id"], "Submitted", 1))
        p = self.run_shale("compact", self.db, "--full", "--no-wait", *FAST, want=3)
        self.assertIn(first["id"], p.stderr.decode())
        self.assertIn("try: shale compactions ", p.stderr.decode())
        self.run_shale("compactor", self.db, "--once", *FAST)
        self.assertEqual(self.jobs()[first["id"]]["status"], "Completed")
        self.check_rows(4)

    def test_a_coordinator_and_a_worker_of_their_own(self):
        self.tables(1)
        coordinator = self.start("compactor", self.db, "--no-worker")
        worker = self.start("compactor-worker", self.db)
        self.tables(8, 1)
        self.wait_for(lambda: self.shape()[0] < 4 and self.shape()[1])
        made = self.start("compact", self.db, "--full", "--json", sets=["--set", "compactor_options.poll_interval=5s"])
        out, err = made.communicate(timeout=60)
        self.assertEqual(made.returncode, 0, err)
        self.assertEqual([j["status"] for j in json.loads(out)], ["Completed"])  # by them: this one would wait for 11 s
        self.assertEqual(self.end(coordinator), b"")
        self.assertEqual(self.end(worker, how=signal.SIGTERM), b"")
        self.check_rows(9)

    def test_it_says_what_it_did(self):
        self.tables(4)
        done = json.loads(self.run_shale("compactor", self.db, "--once", "--json", *FAST).stdout)
        self.assertEqual((done["compactor_epoch"], done["committed"], done["executed"]), (1, 1, 1))
        done = json.loads(self.run_shale("compactor", self.db, "--once", "--json", *FAST).stdout)
        self.assertEqual((done["compactor_epoch"], done["committed"], done["executed"]), (2, 0, 0))

    def test_the_younger_coordinator_wins(self):
        self.tables(1)
        older = self.start("compactor", self.db)
        self.wait_for(lambda: self.run_shale("compactions", self.db, want=None).returncode == 0)
        self.run_shale("compactor", self.db, "--once", *FAST)
        _, err = older.communicate(timeout=60)
        self.assertEqual(older.returncode, 3, err)
        self.assertIn(b"another compactor took over", err)
        self.assertIn(b"try: shale compactions ", err)

    def test_an_interrupted_compaction_of_slatedb_is_resumed(self):
        """What SlateDB had finished of a job stays; the rest is done."""
        shutil.copytree(os.path.join(FIXTURES, "43_compaction_interrupted", "store", "db"), self.db)
        rows = self.dump()
        (name, job), = [x for x in self.jobs().items() if x[1]["status"] == "Running"]
        kept = [s["id"]["Compacted"] for part in job["ctx"]["subcompactions"] for s in part["output_ssts"]]
        self.assertGreater(len(job["ctx"]["subcompactions"]), 1)
        self.run_shale("compactor", self.db, "--once", "--set", "sst_block_size=1KiB", *QUICK, *FAST)
        done = self.jobs()[name]
        self.assertEqual(done["status"], "Completed")
        outputs = [s["id"]["Compacted"] for s in done["output_ssts"]]
        self.assertTrue(kept and set(kept) < set(outputs), (kept, outputs))
        self.assertEqual([x for x in outputs if x in kept], kept)
        blocks = [b for x in outputs for b in json.loads(self.run_shale("sst", self.db, x, "--rows").stdout)["blocks"]]
        merged = [(r["k"], -r["seq"]) for b in blocks for r in b["rows"]]
        self.assertEqual(merged, sorted(set(merged)))  # where it went on, no row is there twice
        self.assertEqual(self.dump(), rows)

    def test_ctrl_c_leaves_the_request_for_others(self):
        self.tables(4)
        self.run_shale("compact", self.db, *FAST)
        self.kill_a_coordinator()
        waiting = self.start("compact", self.db, "--full", sets=[])  # waits for a coordinator that is not there
        self.wait_for(lambda: "Submitted" in [j["status"] for j in self.jobs().values()])
        out = self.end(waiting, 130)
        self.assertIn(b"Submitted", out)
        self.run_shale("compactor", self.db, "--once", *FAST)
        self.assertEqual(set(j["status"] for j in self.jobs().values()), {"Completed"})
        self.check_rows(4)

    def test_compactions_of_an_older_file(self):
        self.tables(4)
        self.run_shale("compact", self.db, *FAST)
        first = json.loads(self.run_shale("compactions", self.db, "--id", "1", "--json").stdout)
        self.assertEqual((first["id"], first["recent_compactions"]), (1, {}))
        self.assertIn(b"no compactions file 99 in ", self.run_shale("compactions", self.db, "--id", "99", want=3).stderr)
        self.assertEqual(self.run_shale("compactions", self.db, "01J79B0000000000000000C0Q2", want=1).stderr, b"")
        p = self.run_shale("compactions", self.db, "01J79B0000000000000000C0Q2", "--json", want=1)
        self.assertEqual(json.loads(p.stderr)["error"]["code"], "NOT_FOUND")
        self.assertIn(b"ULID", self.run_shale("compactions", self.db, "job", want=2).stderr)
        line = self.run_shale("compactions", self.db).stdout.decode()
        self.assertRegex(line, r"^[0-9A-Z]{26}  Completed  4 L0 -> SR 0 .* written .*worker [0-9A-Z]{26}\n$")


if __name__ == "__main__":
    unittest.main()
