#!/usr/bin/env python3
"""bench: the workloads, which are the same as those of the peers."""
import json
import unittest

from common import Case, FAST


class Bench(Case):
    def test_every_workload_gives_its_line(self):
        works = "fillseq,fillrandom,settle,readcold,readhot,multiget,readmissing,scan,shortscan,overwrite+settle,settle,filldurable"
        p = self.run_shale("bench", self.db, "--workload", works, "--num", "2000", "--reads", "1000", "--scans", "20", "--clients", "2",
                           "--durable-ops", "5", "--json", *FAST)
        lines = [json.loads(x) for x in p.stdout.splitlines()]
        self.assertEqual([x["w"] for x in lines], works.split(","))
        for line in lines:
            self.assertLessEqual({"w", "n", "vlen", "threads", "ops", "s", "ops_s", "cpu_s", "cpu_per_mop", "p50us", "p99us", "rss_mb", "puts",
                                  "put_mb", "gets", "get_mb"}, set(line))
        ops = {x["w"]: x["ops"] for x in lines}
        self.assertEqual((ops["fillseq"], ops["readhot"], ops["multiget"], ops["scan"], ops["shortscan"], ops["filldurable"]), (2000, 1000, 1000, 2000, 20, 5))
        rows = self.dump()
        self.assertEqual(len(rows), 2000)
        self.assertEqual(rows[7][0], b"0000000000000007")

    def test_what_is_not_measured_is_a_dash(self):
        lines = self.run_shale("bench", self.db, "--workload", "fillseq,settle,scan", "--num", "200", *FAST).stdout.decode().splitlines()
        self.assertRegex(lines[1], r"^settle +- ops/s .* p50 +- us  p99 +- us ")
        self.assertRegex(lines[2], r"^scan +\d+ ops/s .* p50 +- us ")
        self.assertRegex(lines[0], r" p50 +\d+\.\d\d us ")

    def test_values_come_from_the_pool_of_the_peers(self):
        self.run_shale("bench", self.db, "--workload", "fillrandom", "--num", "20", "--value-size", "24", *FAST)
        pool, state, mask = bytearray(), 42, (1 << 64) - 1
        while len(pool) < 1 << 13:
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            pool += (z ^ (z >> 31)).to_bytes(8, "little")
        self.assertEqual(self.dump(), [(b"%016d" % i, bytes(pool[131 * i:131 * i + 24])) for i in range(20)])

    def test_memory_keeps_its_rows_between_workloads(self):
        p = self.run_shale("bench", "memory:", "--workload", "fillseq,readhot", "--num", "500", "--reads", "100", "--json")
        self.assertEqual(p.stdout.count(b"\n"), 2)

    def test_a_wrong_database_is_reported(self):
        self.load([(b"a", b"1")])
        self.run_shale("bench", self.db, "--workload", "scan", "--num", "100", want=3)

    def test_rows_of_somebody_else_are_left_alone(self):
        self.load([(b"0000000000000003", b"mine")])
        for work in ("fillseq", "settle,fillrandom", "overwrite", "overwrite+settle", "filldurable"):
            p = self.run_shale("bench", self.db, "--workload", work, "--num", "20", *FAST, want=2)
            self.assertIn(b"--yes", p.stderr)
        self.assertEqual(self.dump(), [(b"0000000000000003", b"mine")])
        self.run_shale("bench", self.db, "--workload", "fillseq", "--num", "20", "--yes", *FAST)
        for work in ("overwrite,settle", "overwrite+settle", "fillrandom", "overwrite", "fillseq"):  # what a bench made needs no word
            self.run_shale("bench", self.db, "--workload", work, "--num", "20", "--value-size", "30", *FAST)


if __name__ == "__main__":
    unittest.main()
