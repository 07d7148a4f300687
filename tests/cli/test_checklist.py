#!/usr/bin/env python3
"""What is promised of every command, held against every command of the program's own table.

Goal: a new command keeps the promises from its first day. Method: `shale __doc list` says what there is; SAMPLES below says how to run
each one. A command without a sample fails. In the samples DB is a database with rows, OBJECT an object of it, SST the name of an SSTable,
NONE a folder that is not there, BROKEN a database with a damaged manifest, and T the temporary folder."""
import json
import os
import shutil
import signal
import subprocess
import unittest

from common import Case, FAST, ODD_KEYS, SHALE, table, tree

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


class Sample:
    """good: succeeds; no: exit 1; failed: exit 3; more: fine too. raw: what it prints is no JSON, whatever is asked."""

    def __init__(self, good, no=None, failed=None, more=(), data=b"", raw=False):
        self.good, self.no, self.failed, self.more, self.data, self.raw = good, no, failed, more, data, raw


SAMPLES = {
    "put": Sample(["DB", "new", "value"], failed=["BROKEN", "k", "v"]),
    "get": Sample(["DB", "0001"], no=["DB", "none"], failed=["NONE", "k"], more=(["DB", "30303031", "--hex"],)),
    "del": Sample(["DB", "0299", "none"], failed=["NONE", "k"]),
    "scan": Sample(["DB"], no=["DB", "--exists", "zz"], failed=["NONE"],
                   more=(["DB", "00", "--count"], ["DB", "--format", "csv"], ["DB", "--reverse", "-L", "3"])),
    "load": Sample(["DB", "T/rows.jsonl"], failed=["BROKEN", "T/rows.jsonl"]),
    "dump": Sample(["DB"], failed=["NONE"], more=(["DB", "--hex"],)),
    "stat": Sample(["DB"], failed=["NONE"]),
    "manifest": Sample(["DB"], failed=["NONE"], more=(["DB", "--id", "1"],)),
    "sst": Sample(["DB"], failed=["NONE"], more=(["DB", "SST"], ["DB", "SST", "--rows"])),
    "wal": Sample(["DB"], failed=["NONE"], more=(["DB", "1"],)),
    "explain": Sample(["DB", "0001"], no=["DB", "none"], failed=["NONE", "k"]),
    "store ls": Sample(["DB"]),
    "store cat": Sample(["OBJECT"], no=["DB/none"], raw=True),
    "store cp": Sample(["OBJECT", "T/copy"], no=["DB/none", "T/copy"]),
    "store rm": Sample(["-y", "T/spare"]),
    "store stat": Sample(["OBJECT"], no=["DB/none"]),
    "store mb": Sample(["T/newfolder"], no=["T"], failed=["s3://bucket-of-nobody"]),
    "store doctor": Sample(["DB"]),
    "config show": Sample([], more=(["DB"], ["s3://bucket/db", "--changed"])),
    "config path": Sample([]),
    "doctor": Sample(["DB"], failed=["s3://bucket", "--endpoint", "http://127.0.0.1:1"], more=([],)),
    "bench": Sample(["T/bench", "--workload", "fillseq,readhot", "--num", "200", "--reads", "50"],
                    failed=["BROKEN", "--workload", "fillseq", "--num", "100"]),
    "shell": Sample(["DB"], no=["DB"], failed=["NONE"], data=b"get 0001\nstat\n"),
    "completion": Sample(["bash"], raw=True, more=(["zsh"], ["fish"])),
    "help": Sample(["scan"], raw=True, more=([], ["urls"])),
    "version": Sample([]),
}
WRONG = {"help": ["nonsense"], "completion": ["tcsh"]}  # words that are no options and still wrong


class Checklist(Case):
    def setUp(self):
        super().setUp()
        self.load([(b"%04d" % i, b"value of %d" % i) for i in range(300)])
        self.object = os.path.join(self.db, "manifest", sorted(os.listdir(os.path.join(self.db, "manifest")))[0])
        self.sst = os.listdir(os.path.join(self.db, "compacted"))[0][:-4]
        with open(os.path.join(self.dir, "rows.jsonl"), "w") as f:
            f.write('{"key":"a","value":"1"}\n{"key":"b","value":"2"}\n')
        self.set_up_again()
        broken = os.path.join(self.dir, "broken", "manifest")
        os.makedirs(broken)
        with open(os.path.join(broken, "00000000000000000001.manifest"), "w") as f:
            f.write("no manifest at all")

    def set_up_again(self):
        """What the samples delete or make is there, or not there, again."""
        with open(os.path.join(self.dir, "spare"), "w") as f:
            f.write("x")
        for name in ("newfolder", "bench"):
            shutil.rmtree(os.path.join(self.dir, name), True)

    def each(self, **only):
        for c in table()["commands"]:
            if all(c[k] == v for k, v in only.items()):
                yield c, SAMPLES[c["name"]]

    def words(self, name, args):
        self.set_up_again()
        places = {"DB": self.db, "OBJECT": self.object, "SST": self.sst, "NONE": os.path.join(self.dir, "none"),
                  "BROKEN": os.path.join(self.dir, "broken"), "T": self.dir}
        out = []
        for a in args:
            head, slash, tail = a.partition("/")
            out.append(places[head] + slash + tail if head in places else a)
        takes = {o["name"] for c in table()["commands"] if c["name"] == name for o in c["options"]}
        return [*name.split(), *out, *(FAST if "store-option" in takes else [])]

    def run_sample(self, name, args, *more, want=0, **env):
        return self.run_shale(*self.words(name, args), *more, data=SAMPLES[name].data, want=want, env=env)

    def untouched(self, *args, want=2, **env):
        before = tree(self.dir)
        p = self.run_shale(*args, want=want, env=env)
        self.assertEqual(tree(self.dir), before, args)
        return p

    def test_every_command_has_a_sample(self):
        self.assertEqual(sorted(SAMPLES), sorted(c["name"] for c in table()["commands"]))

    # 4, 19: help opens nothing, with a broken config too
    def test_help_opens_nothing(self):
        for name in ("SlateDb.toml", "SlateDb.json"):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write("this is [ no {settings file")
        for c, sample in self.each():
            for where in ([*c["name"].split(), "--help"], ["-h", *c["name"].split()], [*self.words(c["name"], sample.good), "-h"],
                          [*c["name"].split(), "--nonsense", "-h"]):
                p = self.untouched(*where, want=0, SHALE_FLUSH_INTERVAL="nonsense", XDG_CONFIG_HOME=self.dir)
                self.assertTrue(p.stdout.startswith(b"shale %s - " % c["name"].encode()))
                self.assertEqual(p.stderr, b"")
            p = self.run_shale(*c["name"].split(), "--", "-h", want=None)
            self.assertFalse(p.stdout.startswith(b"shale %s - " % c["name"].encode()))  # behind -- it is data

    # 1, 2: the help shows what there is, the commonest use first
    def test_help_names_usage_examples_options_and_exit(self):
        for c, _ in self.each():
            text = self.run_shale("help", *c["name"].split()).stdout.decode()
            self.assertIn("\nUsage: shale %s" % c["name"], text)
            self.assertIn("\nExit: ", text)
            self.assertIn("man shale-", text)
            self.assertTrue(c["examples"][0].startswith("shale ") or "| shale " in c["examples"][0])
            self.assertIn("  " + c["examples"][0], text)

    # 3: a message with a way out, exit 2, nothing opened
    def wrong_lines(self, c, sample):
        words, good = c["name"].split(), self.words(c["name"], sample.good)
        for n in range(c["args_min"]):
            yield [*words, *[self.db, "x", "y"][:n]], "is missing"
        if c["args_max"] is not None:
            yield [*words, *["a"] * (c["args_max"] + 1)], "too many"
        if c["name"] in WRONG:
            yield [*words, *WRONG[c["name"]]], ""
        yield [*good, "--no-such-option"], "unknown option"
        yield [*good, "-Z"], "unknown option -Z"
        # The parser is one: options that all commands take are tried with one of them.
        everywhere = set.intersection(*({o["name"] for o in x["options"]} for x in table()["commands"]))
        for o in c["options"]:
            name = o["name"]
            if name in everywhere and c["name"] != "scan":
                continue
            if o["type"] == "flag":
                yield [*good, "--%s=x" % name], "takes no value"
            else:
                yield [*good, "--" + name], "needs a value"
            if o["type"] in ("number", "size"):
                yield [*good, "--" + name, "x"], ""
            if o["type"] == "choice":
                yield [*good, "--" + name, "nonsense"], "what is that?"
            if len(name) > 5:
                yield [*good, "--" + name[:2] + name[3:]], "did you mean --"  # a letter is missing
                others = {x["name"] for x in c["options"]}
                for short in (name[:3], name[:len(name) - 3]):  # abbreviations are not taken
                    if short not in others:
                        yield [*good, "--" + short], "unknown option"

    def test_wrong_lines_change_nothing_and_say_what_to_do(self):
        for c, sample in self.each():
            before = tree(self.dir)
            for line, why in self.wrong_lines(c, sample):
                p = self.run_shale(*line, want=2)
                self.assertEqual(p.stdout, b"", line)
                self.assertTrue(p.stderr.startswith(b"shale"), (line, p.stderr))
                self.assertIn(why, p.stderr.decode(), line)
            self.assertEqual(tree(self.dir), before)

    def test_misspelt_commands_get_a_suggestion(self):
        for c, _ in self.each():
            words = c["name"].split()
            wrong = words[-1][:1] + words[-1][2:] if len(words[-1]) > 3 else words[-1] + "x"
            p = self.untouched(*words[:-1], wrong, self.db)
            self.assertIn(words[-1], p.stderr.decode().split("did you mean")[-1], wrong)

    # a "try:" names only what exists
    def test_ways_out_name_commands_that_exist(self):
        names = {c["name"].split()[0] for c in table()["commands"]}
        for c, sample in self.each():
            for line, want in ([self.words(c["name"], ["x"] * 9), 2], [self.words(c["name"], sample.failed or []) if sample.failed else None, 3]):
                if line is None or (want == 2 and c["args_max"] is None):
                    continue
                for text in self.run_shale(*line, want=want).stderr.decode().splitlines():
                    if text.startswith("  try: shale "):
                        word = text.split()[2].rstrip(",")
                        self.assertTrue(word in names or word.startswith("-"), text)

    # 5: stdout has data only
    def test_stdout_is_the_same_when_quiet_or_verbose(self):
        for c, sample in self.each(effect="reads"):
            if c["name"] in ("stat", "shell", "explain"):  # times, and what the cache holds
                continue
            plain = self.run_sample(c["name"], sample.good)
            self.assertEqual(plain.stderr, b"")
            self.assertEqual(self.run_sample(c["name"], sample.good, "-q").stdout, plain.stdout)
            self.assertEqual(self.run_sample(c["name"], sample.good, "-v").stdout, plain.stdout)
            self.assertEqual(self.run_sample(c["name"], sample.good).stdout, plain.stdout)  # 11: twice is the same

    def test_pipes_to_head_are_silent(self):
        for c, sample in self.each():
            p = subprocess.Popen([SHALE, *self.words(c["name"], sample.good)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=self.env, cwd=self.dir)
            p.stdout.close()
            p.stdin.write(sample.data)
            p.stdin.close()
            err = p.stderr.read()
            p.stderr.close()
            self.assertIn(p.wait(60), (0, -signal.SIGPIPE))
            if c["effect"] != "writes":  # those say what they did
                self.assertEqual(err, b"")

    # 6: --json, on errors too
    def test_json_is_json(self):
        for c, sample in self.each():
            for args in (sample.good, *sample.more):
                out = self.run_sample(c["name"], args, "--json").stdout
                if sample.raw or "--format" in args:
                    continue
                try:
                    json.loads(out or "{}")  # one document
                except ValueError:
                    for line in out.splitlines():  # or a line a row
                        self.assertIsInstance(json.loads(line), (dict, list), line)

    def test_errors_are_json_too(self):
        for c, sample in self.each():
            lines = [(self.words(c["name"], sample.failed), 3)] if sample.failed else []
            lines.append(([*c["name"].split(), "--nonsense"], 2))
            for line, want in lines:
                p = self.run_shale(*line, "-j", want=want)
                self.assertEqual(p.stderr.count(b"\n"), 1, (line, p.stderr))
                json.loads(p.stdout or "{}")  # what a doctor found before it
                error = json.loads(p.stderr)["error"]
                self.assertLessEqual({"code", "what", "where", "why", "try", "retry"}, set(error))
                self.assertIsInstance(error["try"], list)

    # 7: any bytes
    def test_odd_keys_through_every_command_that_takes_a_key(self):
        for key in ODD_KEYS:
            k = key.hex()
            self.run_shale("put", self.db, k, k[::-1] if len(k) < 100 else "00", "--hex", *FAST)
            self.assertEqual(self.run_shale("get", self.db, k, "--hex").stdout.strip().decode(), k[::-1] if len(k) < 100 else "00")
            self.assertIn(b"value", self.run_shale("explain", self.db, k, "--hex").stdout)
            self.assertEqual(self.run_shale("scan", self.db, k, "--hex", "--keys-only", "-L1").stdout.strip().decode(), k)
            shell = self.run_shale("shell", self.db, data=b"get %s --hex\n" % k.encode())
            self.assertEqual(shell.stdout.strip().decode(), k[::-1] if len(k) < 100 else "00")
            self.run_shale("del", self.db, k, "--hex", *FAST)
            self.run_shale("get", self.db, k, "--hex", want=1)
        for command in ("put", "get", "del", "explain"):
            p = self.untouched(*self.words(command, ["DB", "", *(["v"] if command == "put" else [])]))
            self.assertIn(b"key is empty", p.stderr)

    def test_a_key_and_a_value_of_a_mebibyte(self):
        key, value = os.urandom(1 << 20), os.urandom(1 << 20)
        self.load([(key, value), (b"\x00empty", b"")])
        self.assertIn((key, value), self.dump())
        self.assertIn((b"\x00empty", b""), self.dump())
        text = self.run_shale("scan", self.db, "--json").stdout
        self.assertEqual(len(text.splitlines()), 302)

    # 8: terminals
    def test_narrow_wide_and_plain_terminals(self):
        for c, sample in self.each():
            if c["name"] == "shell":
                continue  # waits for keys: test_shell
            self.env["PAGER"] = "cat"
            for columns in (40, 200):
                code, out = self.on_terminal(*self.words(c["name"], sample.good), columns=columns)
                self.assertEqual(code, 0, out[-300:])
                if c["name"] == "scan":
                    self.assertLessEqual(max(map(len, out.decode().split("\r\n"))), columns)
            for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LANG": "C", "LC_ALL": "C", "NO_COLOR": "1"}):
                code, out = self.on_terminal(*self.words(c["name"], sample.good), **env)
                self.assertEqual(code, 0, out[-300:])
                self.assertNotIn(b"\x1b", out, env)
                _, out = self.on_terminal(*c["name"].split(), "--nonsense", **env)
                self.assertNotIn(b"\x1b", out, env)

    # 12, 13: what changes what
    def test_reading_commands_leave_every_byte_and_fence_nobody(self):
        before = tree(self.dir)
        for c, sample in self.each(effect="reads"):
            for args in (sample.good, *sample.more):
                self.run_sample(c["name"], args)
            self.assertEqual(tree(self.dir), before)

    def test_local_commands_ask_no_store(self):
        before = tree(self.dir)
        for c, sample in self.each(effect="local"):
            self.run_sample(c["name"], sample.good)
            self.assertEqual(tree(self.dir), before)

    def test_dry_runs_change_nothing(self):
        before = tree(self.dir)
        dry = 0
        for c, sample in self.each():
            if "dry-run" not in {o["name"] for o in c["options"]}:
                continue
            dry += 1
            for flag in ("-n", "--dry-run"):
                p = self.run_sample(c["name"], sample.good, flag)
                self.assertIn(b"would ", p.stderr)
                self.assertEqual(tree(self.dir), before)
        self.assertGreaterEqual(dry, 2)

    # 16: secrets
    def test_secrets_are_in_no_output(self):
        keys = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SESSION_TOKEN": SECRET}
        for c, sample in self.each():
            for args, want in ((sample.good, 0), (sample.failed, 3)):
                if args is not None:
                    p = self.run_sample(c["name"], args, "-v", want=want, **keys)
                    self.assertNotIn(SECRET.encode(), p.stdout + p.stderr)

    # 17: exit codes
    def test_exit_codes(self):
        for c, sample in self.each():
            self.run_sample(c["name"], sample.good)
            for args in sample.more:
                self.run_sample(c["name"], args)
            if c["name"] == "shell":
                self.run_shale("shell", self.db, data=b"get none\n", want=1)
            elif sample.no is not None:
                p = self.run_sample(c["name"], sample.no, want=1)
                if c["effect"] == "reads":
                    self.assertEqual(p.stderr, b"")  # an answer: silent in a pipe
            if sample.failed is not None:
                p = self.run_sample(c["name"], sample.failed, want=3)
                if c["name"] == "doctor":  # what fails is a line of its report
                    self.assertIn(b"FAIL", p.stdout)
                    self.assertIn(b"  try: ", p.stderr)
                    continue
                self.assertTrue(p.stderr.startswith(b"shale %s: " % c["name"].encode()), p.stderr)
            # Raw objects in a folder: there is no failure that root would meet and that is not a wrong URL.
            self.assertTrue(sample.failed is not None or c["effect"] == "local" or c["name"].startswith("store "))


if __name__ == "__main__":
    unittest.main()
