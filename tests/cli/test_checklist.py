#!/usr/bin/env python3
"""What is promised of every command, held against every command of the program's own table.

Goal: a new command keeps the promises from its first day. Method: `shale __doc list` says what there is, samples.py how to run each one. A command
without a sample fails. Here on a folder; on other stores in test_stores.py."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import bucket
import samples
from common import Case, FAST, ODD_KEYS, SHALE, table, tree
from samples import Never, SAMPLES

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"


WRONG = {"help": ["nonsense"], "completion": ["tcsh"]}  # words that are no options and still wrong


class Checklist(Case):
    def setUp(self):
        super().setUp()
        self.load([(b"%04d" % i, b"value of %d" % i) for i in range(300)])
        self.run_shale("checkpoint", "create", self.db, "--name", "kept")
        self.object = os.path.join(self.db, "manifest", sorted(os.listdir(os.path.join(self.db, "manifest")))[0])
        self.sst = os.listdir(os.path.join(self.db, "compacted"))[0][:-4]
        with open(os.path.join(self.dir, "rows.jsonl"), "w") as f:
            f.write('{"key":"a","value":"1"}\n{"key":"b","value":"2"}\n')
        for i in range(4):
            self.run_shale("put", "packed", "k%d" % i, "v", *FAST)
        self.run_shale("compact", "packed", *FAST)
        self.run_shale("s4", "load", "words", *FAST, data=samples.WORDS)
        os.makedirs(os.path.join(self.dir, "spoilt"))
        with open(os.path.join(self.dir, "spoilt", "index.idx"), "w") as f:
            f.write("no index at all")
        os.makedirs(os.path.join(self.dir, "migrations"))
        with open(os.path.join(self.dir, "migrations", "001_items.sql"), "w") as f:
            f.write("CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT);")
        self.out = tempfile.mkdtemp(prefix="shale-out-")
        self.addCleanup(shutil.rmtree, self.out, True)
        self.run_shale("sql", "migrate", "sqc", "migrations", *FAST)
        self.run_shale("sql", "sqc", "INSERT INTO items(name) VALUES('a')", "INSERT INTO items(name) VALUES('b')", *FAST)
        self.run_shale("sql", "pull", "sqc", "-o", "push.sqlite")
        self.run_shale("sql", "compact", "sqc", *FAST)
        self.set_up_again()
        broken = os.path.join(self.dir, "broken", "manifest")
        os.makedirs(broken)
        with open(os.path.join(broken, "00000000000000000001.manifest"), "w") as f:
            f.write("no manifest at all")

    def set_up_again(self):
        """What the samples delete or make is there, or not there, again."""
        with open(os.path.join(self.dir, "spare"), "w") as f:
            f.write("x")
        for name in ("newfolder", "bench", "clone", "fresh"):
            shutil.rmtree(os.path.join(self.dir, name), True)
        if self.sql_manifest() is None or (self.sql_manifest()["seq"], len(self.sql_manifest()["log"] or ())) != (2, 2):
            shutil.rmtree(os.path.join(self.dir, "sq"), True)
            self.run_shale("sql", "migrate", "sq", "migrations", *FAST)
            self.run_shale("sql", "sq", "INSERT INTO items(name) VALUES('a')", "INSERT INTO items(name) VALUES('b')", *FAST)
        doomed = os.path.join(self.dir, "doomed")
        if not os.path.isdir(os.path.join(doomed, "manifest")) or not os.listdir(os.path.join(doomed, "manifest")):
            shutil.rmtree(doomed, True)
            shutil.copytree(self.db, doomed)
        os.makedirs(os.path.join(self.dir, "heap"), exist_ok=True)
        with open(os.path.join(self.dir, "heap", "one"), "w") as f:
            f.write("x")

    def sql_manifest(self):
        path = os.path.join(self.dir, "sq", "manifest.json")
        return json.load(open(path)) if os.path.exists(path) else None

    def each(self, **only):
        for c in table()["commands"]:
            if all(c[k] == v for k, v in only.items()):
                yield c, SAMPLES[c["name"]]

    def words(self, name, args):
        self.set_up_again()
        if "kept" in args and self.run_shale("checkpoint", "list", self.db, "--name", "kept", "--json", want=None).stdout == b"[]\n":
            self.run_shale("checkpoint", "create", self.db, "--name", "kept")
        places = {"DB": self.db, "PACKED": os.path.join(self.dir, "packed"), "OBJECT": self.object, "SST": self.sst, "NONE": os.path.join(self.dir, "none"), "DEAD": samples.DEAD,
                  "BROKEN": os.path.join(self.dir, "broken"), "WORDS": os.path.join(self.dir, "words"), "SPOILT": os.path.join(self.dir, "spoilt"), "T": self.dir, "U": self.dir, "NEW": os.path.join(self.dir, "newfolder"), "OLD": self.dir,
                  "SQ": os.path.join(self.dir, "sq"), "SQC": os.path.join(self.dir, "sqc"), "OUT": self.out}
        if "LIAR" in args:
            places["LIAR"] = ["s3://acme/x", "--endpoint", self.liar()]
        fast = FAST if "store-option" in samples.takes(table(), name) and not {"DEAD", "LIAR"} & set(args) else []
        return [*samples.words(name, args, places), *fast]

    def liar(self):
        """A store that breaks a promise."""
        server = bucket.Server(ignore=("if-none-match",))
        self.addCleanup(server.close)
        return server.url

    def run_sample(self, name, args, *more, want=0, data=None, **env):
        return self.run_shale(*self.words(name, args), *more, data=SAMPLES[name].data if data is None else data, want=want, env=env)

    def bucket_env(self, server):
        return {"AWS_ENDPOINT": server.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}

    def untouched(self, *args, want=2, **env):
        before = tree(self.dir)
        p = self.run_shale(*args, want=want, env=env)
        self.assertEqual(tree(self.dir), before, args)
        return p

    def test_every_command_has_a_sample(self):
        self.assertEqual(sorted(SAMPLES), sorted(c["name"] for c in table()["commands"]))

    # 4, 19: help opens nothing, with a broken config too
    def test_help_opens_nothing(self):
        server = bucket.Server()
        self.addCleanup(server.close)
        for name in ("SlateDb.toml", "SlateDb.json"):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write("this is [ no {settings file")
        for c, sample in self.each():
            for where in ([*c["name"].split(), "--help"], ["-h", *c["name"].split()], [*self.words(c["name"], sample.good), "-h"],
                          [*c["name"].split(), "--nonsense", "-h"]):
                p = self.untouched(*where, want=0, SHALE_FLUSH_INTERVAL="nonsense", XDG_CONFIG_HOME=self.dir)
                self.assertTrue(p.stdout.startswith(b"shale %s - " % c["name"].encode()))
                self.assertEqual(p.stderr, b"")
            self.untouched(*c["name"].split(), "s3://acme/x", "a", "-h", want=0, **self.bucket_env(server))
            p = self.run_shale(*c["name"].split(), "--", "-h", want=None)
            self.assertFalse(p.stdout.startswith(b"shale %s - " % c["name"].encode()))  # behind -- it is data
        self.assertEqual(server.requests, [])

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
        names = {c["name"] for c, _ in self.each()}
        for c, _ in self.each():
            words = c["name"].split()
            if len(words) > 1 and words[0] in names:
                continue  # "wal til" looks into the log of til
            wrong = words[-1][:1] + words[-1][2:] if len(words[-1]) > 3 else words[-1] + "x"
            p = self.untouched(*words[:-1], wrong, self.db)
            self.assertIn(words[-1], p.stderr.decode().split("did you mean")[-1], wrong)

    # a "try:" names only what exists
    def test_ways_out_name_commands_that_exist(self):
        names = {c["name"].split()[0] for c in table()["commands"]}
        for c, sample in self.each():
            for line, want in [(self.words(c["name"], ["x"] * 9), 2), *((self.words(c["name"], f), 3) for f in sample.fails())]:
                if want == 2 and c["args_max"] is None:
                    continue
                for text in self.run_shale(*line, want=want).stderr.decode().splitlines():
                    if text.startswith("  try: shale "):
                        word = text.split()[2].rstrip(",")
                        self.assertTrue(word in names or word.startswith("-"), text)

    # 5: stdout has data only
    def test_stdout_is_the_same_when_quiet_or_verbose(self):
        for c, sample in self.each(effect="reads"):
            if c["name"] in ("stat", "shell", "explain", "sql status"):  # times, and what the cache holds
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
                if "--format" in args:  # two wishes
                    self.assertIn(b"which one?", self.run_sample(c["name"], args, "--json", want=2).stderr)
                    continue
                out = self.run_sample(c["name"], args, "--json").stdout
                if sample.raw:
                    continue
                try:
                    json.loads(out or "{}")  # one document
                except ValueError:
                    for line in out.splitlines():  # or a line a row
                        self.assertIsInstance(json.loads(line), (dict, list), line)

    def test_errors_are_json_too(self):
        for c, sample in self.each():
            lines = [(self.words(c["name"], f), 3) for f in sample.fails()]
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

    def odd_database(self):
        """One whose every key and value is odd, partly in a WAL object alone."""
        rows = sorted((k, bytes(reversed(k))) for k in (*ODD_KEYS, b"\x1b[2J\x1b]0;x\x07", "\u202e\u2028\u0085".encode(), b"\xc2\x9b31m"))
        shutil.rmtree(self.db)
        self.load(rows)
        self.object = os.path.join(self.db, "manifest", sorted(os.listdir(os.path.join(self.db, "manifest")))[-1])
        self.sst = os.listdir(os.path.join(self.db, "compacted"))[0][:-4]
        return rows

    def odd_lines(self, rows):
        """Every way to look at them: the samples of the reading commands with odd keys instead of their own."""
        for c, sample in self.each(effect="reads"):
            for args in (sample.good, *sample.more):
                if "0001" in args and c["name"] != "shell":
                    for key, _ in rows:
                        yield c["name"], [*["DB" if a == "DB" else key.hex() if a == "0001" else a for a in args], "--hex"]
                elif c["name"] != "shell" and "30303031" not in args and not sample.raw:
                    yield c["name"], [a for a in args if a != "00"]

    def test_odd_keys_in_every_output(self):
        rows = self.odd_database()
        for name, args in self.odd_lines(rows):
            if "--format" not in args:
                for line in self.run_sample(name, args, "--json").stdout.decode().strip("\n").split("\n"):  # UTF-8, whatever the keys are
                    json.loads(line or "{}")
            text = self.run_sample(name, args).stdout
            self.assertNotRegex(text, rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]" if "--format" not in args else rb"$^", (name, args))
        self.assertEqual(self.dump(), rows)
        copy = os.path.join(self.dir, "copy of db")
        self.run_shale("load", copy, "-", "--hex", *FAST, data=self.run_shale("dump", self.db, "--hex").stdout)
        self.assertEqual(self.dump(db=copy), rows)
        self.run_shale("del", copy, *(k.hex() for k, _ in rows), "--hex", *FAST)
        self.assertEqual(self.dump(db=copy), [])

    def test_no_key_commands_the_terminal(self):
        rows = self.odd_database()
        self.env.update(NO_COLOR="1", PAGER="cat")
        for name, args in self.odd_lines([x for x in rows if x[0][:1] in (b"\x1b", b"\xc2", b"\xe2")]):
            code, out = self.on_terminal(*self.words(name, args))
            self.assertEqual(code, 0, out[-300:])
            if "--format" not in args and "--hex" not in args:
                self.assertNotRegex(out, rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2\x9b|\xe2\x80\xae", (name, args))
        for key in (b"\x1b[2J", b"\xc2\x9b31m"):  # in messages, too
            for command in ("get", "explain"):
                _, out = self.on_terminal(command, self.db, key + b"none")
                self.assertNotRegex(out, rb"\x1b|\xc2\x9b", command)

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
            self.env["PAGER"] = "cat"
            typed = b".quit\n" if c["name"] in ("shell", "sql shell") else b""  # the rest of it: test_shell
            for columns in (40, 200):
                code, out = self.on_terminal(*self.words(c["name"], sample.good), columns=columns, typed=typed)
                self.assertEqual(code, 0, out[-300:])
                if c["name"] == "scan":
                    self.assertLessEqual(max(map(len, out.decode().split("\r\n"))), columns)
            for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"LANG": "C", "LC_ALL": "C", "NO_COLOR": "1"}):
                code, out = self.on_terminal(*self.words(c["name"], sample.good), typed=typed, **env)
                self.assertEqual(code, 0, out[-300:])
                if not typed or env.get("TERM") == "dumb":  # an editor of lines moves the cursor
                    self.assertNotIn(b"\x1b", out, env)
                if "LANG" in env and not sample.raw:
                    self.assertTrue(out.isascii(), out)
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
            for args, want in ((sample.good, 0), *((f, 3) for f in sample.fails())):
                p = self.run_sample(c["name"], args, "-v", want=want, **keys)
                self.assertNotIn(SECRET.encode(), p.stdout + p.stderr)

    # 17: exit codes; 2 is that of the wrong lines above
    def test_exit_codes(self):
        keys = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ALLOW_HTTP": "true"}
        for c, sample in self.each():
            for args in (sample.good, *sample.more):
                self.run_sample(c["name"], args)
            for args in sample.says_no():
                p = self.run_sample(c["name"], args, want=1, data=samples.NO_DATA.get(c["name"]), **keys)
                if c["effect"] == "reads":
                    self.assertEqual(p.stderr, b"")  # an answer: silent in a pipe
            for args in sample.fails():
                p = self.run_sample(c["name"], args, want=3, **keys)
                if c["name"].endswith("doctor"):  # what fails is a line of its report
                    self.assertIn(b"FAIL", p.stdout)
                    self.assertIn(b"  try: ", p.stderr)
                    continue
                self.assertTrue(p.stderr.startswith(b"shale %s: " % c["name"].encode()), p.stderr)

    def test_each_exit_code_has_a_sample_or_a_reason(self):
        for c, sample in self.each():
            for it in (sample.no, sample.failed):
                self.assertTrue(it, c["name"])
                self.assertTrue(not isinstance(it, Never) or len(it) > 10, c["name"])
            self.assertTrue(sample.failed is not samples.NO_ROOM or c["effect"] == "local", c["name"])

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_full_disk_under_stdout_is_exit_3(self):
        for c, sample in self.each():
            if c["effect"] == "writes" and c["name"] not in ("doctor", "store doctor", "bench"):
                continue  # they print nothing
            with open("/dev/full", "wb") as full:
                p = subprocess.run([SHALE, *self.words(c["name"], sample.good), "-j"], input=sample.data, stdout=full, stderr=subprocess.PIPE,
                                   env=self.env, cwd=self.dir, timeout=60)
            self.assertEqual(p.returncode, 3, c["name"])
            self.assertIn(b"No space left on device", p.stderr)

    # 11: twice is the same, or says why not
    def test_writing_twice(self):
        for c, sample in self.each(effect="writes"):
            args = sample.good
            line = self.words(c["name"], args)
            first = self.run_shale(*line, want=0)
            again = self.run_shale(*line, want=None)  # without a set_up_again
            if c["name"] == "store rm":
                self.assertEqual((again.returncode, b"no such object" in again.stderr), (1, True))
            elif c["name"] == "store mb":
                self.assertEqual((again.returncode, b"there already" in again.stderr), (1, True))
            elif c["name"] == "checkpoint delete":
                self.assertEqual((again.returncode, b"has none of that" in again.stderr), (3, True))
            elif c["name"] == "sql init":
                self.assertEqual((again.returncode, b"already exists" in again.stderr), (1, True))
            elif c["name"] == "delete":
                self.assertEqual((again.returncode, b"no database here" in again.stderr), (3, True))
            elif c["name"] == "checkpoint create":  # another one, with an id of its own
                self.assertEqual((again.returncode, len(again.stdout)), (0, len(first.stdout)))
            elif c["name"] == "bench" or c["name"].endswith("doctor"):  # what they measure differs
                self.assertEqual(again.returncode, 0)
            else:
                self.assertEqual((again.returncode, again.stdout), (0, first.stdout), c["name"])
        rows = self.dump()
        self.run_sample("put", SAMPLES["put"].good)
        self.run_sample("del", SAMPLES["del"].good)
        self.run_sample("load", SAMPLES["load"].good)
        self.assertEqual(self.dump(), rows)


if __name__ == "__main__":
    unittest.main()
