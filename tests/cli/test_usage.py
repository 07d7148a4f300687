#!/usr/bin/env python3
"""The command line: help, misspelt words, wrong arguments, settings in their order."""
import json
import os
import re
import shutil
import unittest

from common import Case, commands, FAST, FIXTURES, SOURCE, table


class Usage(Case):
    def test_words_that_are_near_to_a_command_of_a_group(self):
        for words, meant in ((["wal", "tial", self.db], "wal tail"), (["store", "lss", "x"], "store ls"), (["checkpoint", "creat", "x"], "checkpoint create")):
            p = self.run_shale(*words, want=2)
            self.assertIn("did you mean %s?\n" % meant, p.stderr.decode())
        self.run_shale("put", os.path.join(self.dir, "tial"), "a", "1")
        self.run_shale("wal", "tial")  # a database of that name

    def test_a_number_says_what_it_must_be(self):
        p = self.run_shale("scan", self.db, "--limit", "-1", want=2)
        self.assertIn(b"--limit -1: it must be a whole number, 0 or more\n", p.stderr)

    def test_help_of_an_engine_lists_its_commands(self):
        self.assertIn(b"Opens SlateDB, s3db and s4db data", self.run_shale("help").stdout)
        for engine in ("sql", "s4"):
            out = self.run_shale("help", engine).stdout.decode()
            for command in commands():
                if command.startswith(engine + " "):
                    self.assertIn("shale %s " % command, out)
            self.assertTrue(os.path.exists(os.path.join(SOURCE, "docs", "man", "shale-%s.1" % engine)))
        self.assertNotIn(b"checkpoints", self.run_shale("sql", "push", "--help").stdout)

    def test_no_word_shows_the_overview(self):
        p = self.run_shale(want=2)
        self.assertIn(b"Usage: shale COMMAND DB", p.stdout)

    def test_help_wins_anywhere_and_opens_nothing(self):
        for command in commands():
            words = command.split()
            for args in ([*words, "-h"], [*words, "--help"], ["-h", *words], [*words, "x", "--limit", "-h"], [*words, "--nonsense", "--help"],
                         ["help", *words]):
                p = self.run_shale(*args, env={"SHALE_FLUSH_INTERVAL": "nonsense"})
                self.assertTrue(p.stdout.decode().startswith("shale %s - " % command), (args, p.stdout[:80]))
                self.assertEqual(p.stderr, b"")
        with open(os.path.join(self.dir, "SlateDb.toml"), "w") as f:
            f.write("this is no toml")
        self.run_shale("scan", "--help")
        self.assertEqual(os.listdir(self.dir), ["SlateDb.toml"])

    def test_help_fits_100_columns_and_has_examples_first(self):
        for command in commands():
            text = self.run_shale("help", *command.split()).stdout.decode()
            self.assertLessEqual(max(map(len, text.split("\n"))), 100, command)
            options = [x for x in text.split("\n") if x.startswith(("  --", "  -"))]
            self.assertTrue(not options or text.index("  shale ") < text.index(options[0]), command)
            self.assertIn("Exit: ", text)
        self.assertIn(b"flush_interval", self.run_shale("help", "settings").stdout)
        for topic in [[t] for t in table()["topics"]] + [["store"], []]:
            text = self.run_shale("help", *topic).stdout.decode()
            self.assertLessEqual(max(map(len, text.split("\n"))), 100, topic)
        self.run_shale("help", "nonsense", want=2)

    def test_misspelt_words_get_a_suggestion_and_exit_2(self):
        self.load([(b"a", b"1")])
        for args, near in ((["scna", self.db], b"scan"), (["scan", self.db, "--limt", "3"], b"--limit"), (["dmup", self.db], b"dump"),
                           (["scan", self.db, "--keys-onyl"], b"--keys-only"), (["put", self.db, "a", "b", "--set", "flush_intervall=1s"], b"flush_interval"),
                           (["get", self.db, "a", "--store-option", "local_fsnc=off"], b"local_fsync"),
                           (["bench", self.db, "--workload", "fillsq"], b"fillseq"), (["store", "lss", self.db], b"ls")):
            p = self.run_shale(*args, want=2)
            self.assertIn(near, p.stderr, args)

    def test_words_of_other_programs_and_no_wild_guesses(self):
        for word, meant in (("ls", "store ls"), ("cat", "store cat"), ("rm", "store rm"), ("mb", "store mb"), ("cp", "store cp"),
                            ("remove", "del"), ("list", "store ls or scan"), ("set", "put"), ("gte", "get")):
            self.assertIn("unknown command \"%s\": did you mean %s?\n" % (word, meant), self.run_shale(word, self.db, want=2).stderr.decode())
        for line in (["vacuum"], ["bad"], ["nope"], ["scan", self.db, "--max", "3"]):
            self.assertNotIn(b"did you mean", self.run_shale(*line, want=2).stderr, line)

    def test_words_of_slatedbs_tool(self):
        theirs = {"read-manifest": "manifest", "list-manifests": "manifest", "read-compactions": "compactions", "list-compactions": "compactions",
                  "read-compaction": "compactions", "create-checkpoint": "checkpoint create", "refresh-checkpoint": "checkpoint refresh",
                  "delete-checkpoint": "checkpoint delete", "list-checkpoints": "checkpoint list", "delete-db": "delete", "run-garbage-collection": "gc",
                  "schedule-garbage-collection": "gc", "run-compactor": "compactor", "run-worker": "compactor-worker", "submit-compaction": "compact",
                  "seq-to-ts": "when", "ts-to-seq": "when"}
        for word, ours in theirs.items():
            said = self.run_shale(word, self.db, want=2).stderr.decode()
            self.assertRegex(said, r'unknown command "%s": in Shale: %s( DB .*)?\n  try: shale help %s\n$' % (word, ours, ours))
            self.assertIn(ours, commands())

    def test_names_of_settings_files(self):
        p = self.run_shale("get", self.db, "k", "--settings", "nofile", want=2)
        self.assertIn(b"--settings nofile: the name must end in .json, .toml, .yaml or .yml\n", p.stderr)

    def test_no_time_at_all(self):
        self.assertIn(b"the shortest is 1ms", self.run_shale("gc", self.db, "--once", "--min-age", "0s", want=2).stderr)

    def test_n_where_there_is_no_dry_run(self):
        self.assertIn(b"-L N stops after N rows\n  try: shale scan --help", self.run_shale("scan", self.db, "-n", "3", want=2).stderr)
        self.assertIn(b"load has no dry run\n  try: shale load --help", self.run_shale("load", self.db, "-n", "F", want=2).stderr)
        self.assertIn(b"--yes is an option of other commands", self.run_shale("get", self.db, "a", "-y", want=2).stderr)

    def test_h_is_answered_beside_nonsense(self):
        p = self.run_shale("-h", "nonsense")
        self.assertEqual((p.stdout, p.stderr), (self.run_shale("--help").stdout, b""))

    def test_two_wishes_at_once(self):
        self.load([(b"m", b"1")])
        self.assertIn(b"which one?", self.run_shale("scan", self.db, "--format", "csv", "--json", want=2).stderr)
        self.assertEqual(self.run_shale("scan", self.db, "--format", "json", "--json").stdout, b'{"key":"m","value":"1"}\n')
        p = self.run_shale("scan", self.db, "--from", "z", "--to", "a")
        self.assertEqual((p.stdout, p.stderr), (b"", b"note: --from is not below --to: no key lies between\n"))

    def test_options_without_a_command(self):
        for args, says in ((["--foo"], b"--foo"), (["--limt=3"], b"did you mean --limit"), (["-x"], b"-x"), (["--", "scan"], b"--"),
                           (["--limit", "3", "--versoin"], b"did you mean --version")):
            self.assertIn(says, self.run_shale(*args, want=2).stderr)
            p = self.run_shale("--json", *args, want=2)
            self.assertEqual((p.stdout, json.loads(p.stderr)["error"]["code"]), (b"", "USAGE"))
        for args in (["--limit"], ["--limit=3"], ["-v"], ["-L"], ["-L3"]):
            self.assertIn(b"Usage", self.run_shale(*args, want=2).stdout)

    def test_wrong_numbers_of_arguments_open_nothing(self):
        for args in (["get"], ["get", self.db], ["get", self.db, "a", "b"], ["put", self.db, "a"], ["put", self.db, "a", "b", "c"],
                     ["del", self.db], ["scan"], ["scan", self.db, "x", "y"], ["scan", self.db, "x", "--prefix", "y"], ["scan", self.db, "x", "--to", "y"], ["load"], ["dump"], ["stat"], ["sst"], ["wal"], ["manifest"],
                     ["store"], ["store", "ls"], ["store", "cp", "a"], ["bench", self.db], ["scan", self.db, "--limit"],
                     ["scan", self.db, "--limit", "x"], ["scan", self.db, "--reverse=yes"], ["scan", self.db, "--lim", "3"],
                     ["scan", self.db, "--format", "xml"], ["scan", self.db, "-z"], ["put", self.db, "", "v"], ["get", self.db, ""],
                     ["put", self.db, "a", "b", "--set", "flush_interval"], ["put", self.db, "a", "b", "--set", "flush_interval=5"],
                     ["put", self.db, "a", "b", "--set", "sst_block_size=3KiB"], ["put", self.db, "a", "b", "--merge", "min"],
                     ["put", self.db, "a", "b", "--segments", "x"], ["put", self.db, "a", "b", "--transformer", "rot13"],
                     ["put", self.db, "a", "b", "--settings", "no.toml"], ["put", self.db, "a", "b", "--value-file", "f"],
                     ["wal", self.db, "x"], ["manifest", self.db, "--id", "0"], ["scan", self.db, "--prefix", "x", "--workload", "y"]):
            p = self.run_shale(*args, want=2)
            self.assertTrue(p.stderr.startswith(b"shale"), (args, p.stderr))
            self.assertEqual(p.stdout, b"", args)
        self.assertFalse(os.path.exists(self.db))

    def test_bad_urls_exit_2(self):
        for url in ("s3:/x/y", "file:x", "ftp://x", "memory://host/x"):
            self.run_shale("get", url, "a", want=2)

    def test_version(self):
        self.assertRegex(self.run_shale("--version").stdout, rb"^shale \d+\.\d+\.\d+\n$")
        self.assertRegex(self.run_shale("version").stdout, rb"^shale \d+\.\d+\.\d+\n$")


class Settings(Case):
    def test_files_environment_and_flags_in_their_order(self):
        path = os.path.join(self.dir, "s.toml")
        with open(path, "w") as f:
            f.write('compression_codec = "Zstd"\nflush_interval = "10ms"\n[compactor_options]\npoll_interval = "1s"\n[garbage_collector_options]\nmetric_level = "Debug"\n')
        def codec(*more, env=None):
            shutil.rmtree(self.db, True)
            self.run_shale("load", self.db, *FAST, *more, data=b'{"key":"a","value":"1"}\n', env=env)
            return json.loads(self.run_shale("sst", self.db, "--json").stdout)[0]["compression"]
        self.assertIsNone(codec())
        self.assertEqual(codec("--settings", path), "Zstd")
        self.assertEqual(codec("--settings", path, env={"SLATEDB_COMPRESSION_CODEC": "lz4"}), "Lz4")
        self.assertEqual(codec(env={"SLATEDB_COMPRESSION_CODEC": "lz4", "SHALE_COMPRESSION_CODEC": "SNAPPY"}), "Snappy")
        self.assertEqual(codec("--set", "compression_codec=zlib", env={"SHALE_COMPRESSION_CODEC": "snappy"}), "Zlib")
        self.assertIsNone(codec("--settings", path, "--set", "compression_codec=none"))
        self.assertIsNone(codec(env={"SHALE_SERVERS": "x", "SLATEDB_UNKNOWN": "y"}))
        with open(os.path.join(self.dir, "SlateDb.json"), "w") as f:
            f.write('{"compression_codec":"Snappy","compactor_options":null}')
        self.assertEqual(codec(), "Snappy")
        p = self.run_shale("dump", self.db, want=2, env={"SHALE_MIN_FILTER_KEYS": "many"})
        self.assertIn(b"SHALE_MIN_FILTER_KEYS", p.stderr)

    def test_every_setting_takes_its_own_default(self):
        lines = self.run_shale("help", "settings").stdout.decode().split("\n")
        settings = [m.groups() for m in (re.match(r"^([a-z0-9_.]+) = (.*)  \(\w+\)$", x) for x in lines) if m]
        self.assertGreater(len(settings), 80)
        args = [x for name, value in settings for x in ("--set", "%s=%s" % (name, value))]
        self.run_shale("put", self.db, "a", "1", *args, *FAST)

    def test_old_words_are_taken_with_a_note(self):
        for word, new in (("flush_ms=20", "flush_interval"), ("max_unflushed_memtable=2GiB", "max_unflushed_bytes"), ("poll_interval=2s", "manifest_poll_interval")):
            p = self.run_shale("put", self.db, "a", "1", "--set", word, *FAST)
            self.assertEqual(p.stderr.count(b"\n"), 1, p.stderr)
            self.assertIn(new.encode(), p.stderr)
        p = self.run_shale("get", self.db, "a", "--durability", "committed")
        self.assertEqual((p.stdout, p.stderr.count(b"\n")), (b"1", 1))
        self.run_shale("put", self.db, "a", "1", "--set", "l0_sst_size_bytes=1MiB", "--set", "flush_interval=none", *FAST)

    def test_merge_operator(self):
        case = os.path.join(FIXTURES, "10_merge")
        if os.path.isdir(case):
            store = os.path.join(self.dir, "store")
            shutil.copytree(os.path.join(case, "store"), store)
            self.run_shale("dump", os.path.join(store, "db"), "--merge", "concat")


if __name__ == "__main__":
    unittest.main()
