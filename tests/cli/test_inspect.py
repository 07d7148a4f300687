#!/usr/bin/env python3
"""stat, manifest, sst, wal, store, and what errors say."""
import gzip
import json
import os
import shutil
import unittest

from common import Case, FAST, FIXTURES, tree


class Errors(Case):
    def test_a_manifest_on_a_terminal_is_read_by_people(self):
        self.load([(b"app\x01le", b"1"), (b"pear", b"2")])
        text = self.on_terminal("manifest", self.db)[1].decode().replace("\r", "")
        self.assertRegex(text, r"^id \d+\nexternal_dbs -\ninitialized true\n")
        self.assertIn("\n      info\n        first_entry app\\x01le\n        last_entry pear\n", text)
        self.assertRegex(text, r"\nsequence_tracker \(\d+ bytes\)\n")
        doc = json.loads(self.run_shale("manifest", self.db).stdout)
        self.assertEqual(json.loads(self.on_terminal("manifest", self.db, "--json")[1]), doc)
        self.assertEqual(doc["l0"][0]["sst"]["info"]["last_entry"], list(b"pear"))

    def test_several_versions(self):
        self.load([(b"a", b"1")])
        self.load([(b"b", b"1")])
        newest = json.loads(self.run_shale("manifest", self.db).stdout)
        ids = [m["id"] for m in json.loads(self.run_shale("manifest", self.db, "--versions", "..").stdout)]
        self.assertEqual((ids, ids[-1]), (sorted(ids), newest["id"]))
        last = json.loads(self.run_shale("manifest", self.db, "--versions", "%d.." % newest["id"]).stdout)
        self.assertEqual(last, [newest])
        part = json.loads(self.run_shale("manifest", self.db, "--versions", "2..%d" % newest["id"]).stdout)
        self.assertEqual([m["id"] for m in part], ids[1:-1])
        self.assertEqual(json.loads(self.run_shale("manifest", self.db, "--versions", "1000..").stdout), [])
        self.assertEqual(json.loads(self.run_shale("compactions", self.db, "--versions", "..").stdout), [])
        self.run_shale("manifest", self.db + "-none", "--versions", "..", want=3)
        for bad in ("3", "7..3", "a..b", "..0"):
            self.run_shale("manifest", self.db, "--versions", bad, want=2)
        self.run_shale("manifest", self.db, "--versions", "..", "--id", "1", want=2)

    def test_one_of_a_kind_is_no_plural(self):
        self.load([(b"a", b"1")])
        said = self.run_shale("stat", self.db).stdout.decode()
        for words in (" in 1 SSTable, about 1 row ", "no checkpoint\n", " 1 SST  "):
            self.assertIn(words, said)
        self.assertRegex(self.run_shale("stat", self.db, "--json").stdout.decode(), r'"cost_usd":0\.\d{9}\b')

    def test_no_database_is_3_and_makes_no_folder(self):
        for args in (["get", self.db, "a"], ["scan", self.db], ["dump", self.db], ["stat", self.db], ["manifest", self.db], ["sst", self.db],
                     ["wal", self.db]):
            p = self.run_shale(*args, want=3)
            self.assertTrue(p.stderr.startswith(b"shale %s: " % args[0].encode()), p.stderr)
            self.assertIn(b"\n  try: ", p.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_json_errors_are_one_line_of_json(self):
        for args, code in ((["get", self.db, "a", "--json"], 3), (["scan", "--json"], 2), (["scna", "-j"], 2),
                           (["scan", self.db, "--set", "x=1", "-j"], 2), (["scan", self.db, "--json", "--checkpoint", "none"], 3)):
            p = self.run_shale(*args, want=code)
            self.assertEqual(p.stderr.count(b"\n"), 1, p.stderr)
            error = json.loads(p.stderr)["error"]
            self.assertEqual({"code", "what", "where", "why", "try", "retry"}, set(error))
            self.assertIn(error["retry"], ("no", "later", "now"))

    def test_damage_is_3_and_names_the_object(self):
        self.load([(b"%04d" % i, os.urandom(100)) for i in range(2000)])
        folder = os.path.join(self.db, "compacted")
        name = os.listdir(folder)[0]
        with open(os.path.join(folder, name), "r+b") as f:
            f.seek(5000)
            f.write(b"\0\1\2\3")
        for args in (["dump", self.db], ["scan", self.db, "--count"], ["sst", self.db, name[:-4]]):
            p = self.run_shale(*args, want=3)
            self.assertIn(name[:-4].encode(), p.stderr, args)

    def test_reading_commands_leave_the_folder_byte_equal(self):
        self.load([(b"%04d" % i, b"x" * 100) for i in range(500)])
        before = tree(self.dir)
        sst = os.listdir(os.path.join(self.db, "compacted"))[0][:-4]
        for args in (["get", self.db, "0001"], ["scan", self.db], ["dump", self.db], ["stat", self.db], ["manifest", self.db], ["sst", self.db],
                     ["sst", self.db, sst, "--rows"], ["wal", self.db], ["wal", self.db, "1"], ["store", "ls", self.db],
                     ["store", "rm", "-n", self.db + "/manifest/00000000000000000001.manifest"]):
            self.run_shale(*args)
            self.assertEqual(tree(self.dir), before, args)


class Inspection(Case):
    def test_documents_are_json_and_agree(self):
        self.load([(b"%04d" % i, b"x" * 100) for i in range(1500)])
        manifest = json.loads(self.run_shale("manifest", self.db).stdout)
        names = {"id", "external_dbs", "initialized", "last_compacted_l0_sst_view_id", "last_compacted_l0_sst_id", "l0", "compacted", "segments",
                 "segment_extractor_name", "next_wal_sst_id", "replay_after_wal_id", "last_l0_clock_tick", "last_l0_seq", "recent_snapshot_min_seq",
                 "sequence_tracker", "checkpoints", "wal_object_store_uri", "writer_epoch", "compactor_epoch"}
        self.assertEqual(set(manifest), names)
        stat = json.loads(self.run_shale("stat", self.db, "--json").stdout)
        self.assertEqual((stat["manifest_id"], stat["rows_put"], stat["l0_count"]), (manifest["id"], 1500, len(manifest["l0"])))
        ssts = json.loads(self.run_shale("sst", self.db, "--json").stdout)
        self.assertEqual(len(ssts), stat["sst_count"])
        sst = json.loads(self.run_shale("sst", self.db, ssts[0]["sst"], "--rows").stdout)
        self.assertEqual(sum(len(b["rows"]) for b in sst["blocks"]), 1500)
        self.assertEqual(sst["blocks"][0]["rows"][0]["k"], b"0000".hex())
        self.assertEqual(json.loads(self.run_shale("manifest", self.db, "--id", "1").stdout)["id"], 1)
        self.run_shale("manifest", self.db, "--id", "99", want=3)
        self.run_shale("sst", self.db, "nonsense", want=2)
        for args in (["stat", self.db], ["sst", self.db], ["sst", self.db, ssts[0]["sst"]], ["wal", self.db]):
            self.assertTrue(self.run_shale(*args).stdout is not None)

    def test_keys_that_are_no_text_and_what_a_size_is_of(self):
        self.load([(b"\x00\xff", b"1")])
        line = self.run_shale("sst", self.db).stdout.decode()
        self.assertRegex(line, r" B of data  .* \\x00\\xff \.\. \\x00\\xff\n$")
        name = os.listdir(os.path.join(self.db, "compacted"))[0]
        size = os.path.getsize(os.path.join(self.db, "compacted", name))
        self.assertIn("  object of %d B, " % size, self.run_shale("sst", self.db, name[:-4]).stdout.decode())

    def test_checkpoints_are_told_by_name_and_number(self):
        db = os.path.join(FIXTURES, "14_checkpoints", "store", "db")
        lines = [x for x in self.run_shale("stat", db).stdout.decode().splitlines() if x.startswith("kept ")]
        self.assertRegex(lines[0], r"^kept     4 checkpoints: after-first \(never expires\), with-wal \(never expires\), timed \(expires in \d+d( \d+h)?\), "
                                   r"1 of readers or compactions \(the last expired .* ago\)$")

    def test_stat_fits_the_terminal(self):
        for case in ("05_l0_and_runs", "14_checkpoints"):
            link = os.path.join(self.dir, "d")  # a short name
            os.symlink(os.path.join(FIXTURES, case, "store", "db"), link)
            for columns in (40, 60, 80, 200):
                code, out = self.on_terminal("stat", "d", columns=columns)
                self.assertEqual(code, 0)
                self.assertLessEqual(max(map(len, out.decode().split("\r\n"))), columns, out)
                self.assertIn(b"overlap", out)
            os.unlink(link)

    def test_wal_with_nothing_says_so_on_a_terminal(self):
        self.load([(b"a", b"1")])
        self.assertIn(b"note: no WAL object is there", self.on_terminal("wal", self.db)[1])
        p = self.run_shale("wal", self.db)
        self.assertEqual((p.stdout, p.stderr), (b"", b""))

    def test_golden_wal_rows(self):
        case = os.path.join(FIXTURES, "03_wal_many")
        store = os.path.join(self.dir, "store")
        shutil.copytree(os.path.join(case, "store"), store)
        path = next(os.path.join(case, f) for f in sorted(os.listdir(case)) if f.startswith("wal."))
        with (gzip.open if path.endswith(".gz") else open)(path, "rt") as f:
            want = [json.loads(x) for x in f if x.strip()]
        for wal in sorted({r["wal"] for r in want}):
            got = json.loads(self.run_shale("wal", os.path.join(store, "db"), str(wal), "--json").stdout)["rows"]
            rows = [r for r in want if r["wal"] == wal]
            self.assertEqual([(r["kind"], r["k"], r["seq"], r.get("create_ts")) for r in got],
                             [(r["kind"], r["k"], r["seq"], r.get("create_ts")) for r in rows])

    def test_every_golden_manifest_prints(self):
        for case in sorted(os.listdir(FIXTURES)):
            if not os.path.isdir(os.path.join(FIXTURES, case)):
                continue
            with open(os.path.join(FIXTURES, case, "case.json")) as f:
                meta = json.load(f)
            store = os.path.join(FIXTURES, case, "store")
            for db in meta["databases"]:
                p = self.run_shale("manifest", os.path.join(store, db), "--root", store)
                name = "manifest.json" if len(meta["databases"]) == 1 else "manifest.%s.json" % db
                path = os.path.join(FIXTURES, case, name)
                if not os.path.exists(path):
                    continue
                with open(path) as f:
                    want = json.load(f)
                got = json.loads(p.stdout)
                for field in ("id", "writer_epoch", "compactor_epoch", "next_wal_sst_id", "replay_after_wal_id", "last_l0_seq", "last_l0_clock_tick"):
                    self.assertEqual(got[field], want[field], (case, field))
                self.assertEqual([v["sst"]["id"]["Compacted"] for v in got["l0"]], [v["sst_id"] for v in want["l0"]], case)


class Store(Case):
    def test_objects(self):
        self.load([(b"a", b"1")])
        listed = [json.loads(x) for x in self.run_shale("store", "ls", self.db, "--json").stdout.splitlines()]
        self.assertEqual(sorted(o["key"] for o in listed), sorted(tree(self.db)))
        key = listed[0]["key"]
        with open(os.path.join(self.db, key), "rb") as f:
            raw = f.read()
        self.assertEqual(self.run_shale("store", "cat", self.db + "/" + key).stdout, raw)
        copy = os.path.join(self.dir, "saved")
        self.run_shale("store", "cp", self.db + "/" + key, copy, "-n")
        self.assertFalse(os.path.exists(copy))
        self.run_shale("store", "cp", self.db + "/" + key, copy)
        stat = json.loads(self.run_shale("store", "stat", copy, "--json").stdout)
        self.assertEqual(stat["size_bytes"], len(raw))
        self.run_shale("store", "rm", copy, want=2)  # not a terminal: needs --yes
        self.assertTrue(os.path.exists(copy))
        self.run_shale("store", "rm", "-y", copy)
        self.assertFalse(os.path.exists(copy))
        self.run_shale("store", "cat", copy, want=1)
        self.run_shale("store", "stat", copy, want=1)


class StrayObjects(Case):
    """Objects whose numbers no database has come to, or that no number of 64 bits names: a hand, a tool, an attack."""

    MOST = 2**64 - 1

    def stray(self, name, body=b""):
        path = os.path.join(self.db, name)
        with open(path, "wb") as f:
            f.write(body)
        self.addCleanup(lambda: os.path.exists(path) and os.unlink(path))
        return path

    def setUp(self):
        super().setUp()
        self.load([(b"a", b"1"), (b"b", b"2")])

    def test_a_wal_object_with_a_number_from_2_to_the_63_on(self):
        for n in (2**63 - 1, 2**63, self.MOST):
            path = self.stray("wal/%020d.sst" % n)
            stat = json.loads(self.run_shale("stat", self.db, "--json").stdout)
            self.assertEqual(stat["wal_last_id"], n)
            self.assertIn(b"..%d (" % n, self.run_shale("stat", self.db).stdout)
            self.assertEqual(json.loads(self.run_shale("wal", self.db, "--json").stdout)["objects"][-1]["id"], n)
            self.assertEqual(self.run_shale("wal", self.db).stdout.split()[0], b"%d" % n)
            self.run_shale("wal", self.db, str(n))
            self.assertEqual(self.run_shale("get", self.db, "a").stdout, b"1")
            self.assertEqual(json.loads(self.run_shale("shell", self.db, data=b"stat --json\n").stdout)["wal_last_id"], n)
            os.unlink(path)

    def test_names_that_are_no_numbers_of_64_bits_are_passed_over(self):
        want = {c: self.run_shale(c, self.db, "--json").stdout for c in ("manifest", "sst", "wal")}
        for name in ("wal/%d.sst" % (self.MOST + 1), "manifest/99999999999999999999.manifest", "wal/x.sst", "manifest/-1.manifest",
                     "compacted/none.sst", "wal/00000000000000000009.txt"):
            self.stray(name)
        for command, text in want.items():
            self.assertEqual(self.run_shale(command, self.db, "--json").stdout, text)
        self.run_shale("stat", self.db)
        self.run_shale("put", self.db, "c", "3", *FAST)
        self.assertEqual([k for k, _ in self.dump()], [b"a", b"b", b"c"])

    def test_a_manifest_above_which_there_is_no_number(self):
        newest = sorted(os.listdir(os.path.join(self.db, "manifest")))[-1]
        with open(os.path.join(self.db, "manifest", newest), "rb") as f:
            self.stray("manifest/%d.manifest" % self.MOST, f.read())
        self.assertEqual(json.loads(self.run_shale("stat", self.db, "--json").stdout)["manifest_id"], self.MOST)
        self.assertIn(b"manifest 18,446,744,073,709,551,615 ", self.run_shale("stat", self.db).stdout)
        self.assertEqual(self.run_shale("get", self.db, "a").stdout, b"1")
        before = tree(self.db)
        p = self.run_shale("put", self.db, "c", "3", *FAST, want=3)
        self.assertIn(b"there is no id above it", p.stderr)
        self.assertEqual(tree(self.db), before)


if __name__ == "__main__":
    unittest.main()
