#!/usr/bin/env python3
"""Settings in their order: who said what, what it beat, and what shale config shows of it.

Goal: the order that the documents promise, and an origin for every value. Method: the same setting from every source at once, taken away from the top."""
import json
import os
import signal
import subprocess
import unittest

import bucket
from common import SHALE
from test_errors import S3Case


class Config(S3Case):
    def setUp(self):
        super().setUp()
        self.env["XDG_CONFIG_HOME"] = os.path.join(self.dir, "xdg")
        for name in list(self.env):
            if name.startswith("AWS_"):
                del self.env[name]

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path

    def show(self, *args):
        doc = json.loads(self.run_shale("config", "show", "--json", *args).stdout)
        return {o["name"]: o for group in ("settings", "store_options") for o in doc[group]}

    def test_order_of_settings(self):
        self.write("xdg/shale/config.toml", 'flush_interval = "1ms"\n')
        self.write("SlateDb.toml", '\n\nflush_interval = "2ms"\n')
        named = self.write("named.toml", 'flush_interval = "3ms"\n')
        self.env.update(SLATEDB_FLUSH_INTERVAL="4ms", SHALE_FLUSH_INTERVAL="5ms")
        args = ["--set", "flush_interval=6ms", "--settings", named]
        want = [("6ms", "--set"), ("5ms", "SHALE_FLUSH_INTERVAL"), ("4ms", "SLATEDB_FLUSH_INTERVAL"), ("3ms", named + " line 1"),
                ("2ms", "SlateDb.toml line 3"), ("1ms", os.path.join(self.dir, "xdg/shale/config.toml") + " line 1"), ("100ms", "default")]
        takes_away = [lambda: args.__delitem__(slice(0, 2)), lambda: self.env.pop("SHALE_FLUSH_INTERVAL"),
                      lambda: self.env.pop("SLATEDB_FLUSH_INTERVAL"), lambda: args.clear(), lambda: os.unlink(os.path.join(self.dir, "SlateDb.toml")),
                      lambda: os.unlink(os.path.join(self.dir, "xdg/shale/config.toml"))]
        for i, (value, origin) in enumerate(want):
            o = self.show(*args)["flush_interval"]
            self.assertEqual((o["value"], o["from"]), (value, origin))
            if i + 2 < len(want):
                self.assertEqual(o["instead_of"], {"value": want[i + 1][0], "from": want[i + 1][1]})
            else:
                self.assertNotIn("instead_of", o)
            if i < len(takes_away):
                takes_away[i]()

    def test_nested_settings_of_the_environment(self):
        """A shell cannot export a name with a dot."""
        dotted = [n for n in self.show() if "." in n]
        self.assertEqual(len({n.replace(".", "_") for n in self.show()}), len(self.show()))
        for prefix in ("SHALE_", "SLATEDB_"):
            name = prefix + "COMPACTOR_OPTIONS_POLL_INTERVAL"
            for variable in (name, prefix + "COMPACTOR_OPTIONS.POLL_INTERVAL"):
                p = self.run_shale("config", "show", "--json", env={variable: "2s"})
                o = {o["name"]: o for o in json.loads(p.stdout)["settings"]}["compactor_options.poll_interval"]
                self.assertEqual((o["value"], o["from"]), ("2s", variable))
            p = self.run_shale("config", "show", env={name: "abc"}, want=2)
            self.assertIn(("environment variable %s: compactor_options.poll_interval" % name).encode(), p.stderr)
        many = {"SLATEDB_" + n.upper().replace(".", "_"): o["value"] for n, o in self.show().items() if n in dotted}
        p = self.run_shale("config", "show", "--json", env=many)
        seen = {o["name"]: o["from"] for o in json.loads(p.stdout)["settings"]}
        self.assertEqual({n: seen[n] for n in dotted}, {n: "SLATEDB_" + n.upper().replace(".", "_") for n in dotted})
        p = self.run_shale("doctor", env={**many, "SHALE_COMPACTOR_OPTIONS_POL_INTERVAL": "1s"})
        self.assertEqual([x.split()[2] for x in p.stdout.decode().splitlines() if "is ignored" in x], ["SHALE_COMPACTOR_OPTIONS_POL_INTERVAL"])

    def test_a_broken_file_is_told_and_the_rest_is_shown(self):
        self.write("SlateDb.toml", 'flush_interval = "2ms"\ngarbage = \n')
        p = self.run_shale("config", "show", want=2)
        self.assertIn(b"SlateDb.toml: line 2: want a value", p.stderr)
        self.assertRegex(p.stdout.decode(), r"flush_interval +2ms")
        p = self.run_shale("doctor", want=1)
        self.assertRegex(p.stdout.decode(), r"FAIL  settings +SlateDb.toml: line 2: want a value")
        self.assertIn(b"ok    version", p.stdout)
        self.run_shale("get", self.db, "k", want=2)

    def test_the_later_of_slatedbs_files_wins(self):
        names = ("SlateDb.json", "SlateDb.toml", "SlateDb.yaml", "SlateDb.yml")
        for i, (name, form) in enumerate(zip(names, ('{"flush_interval": "%dms"}', 'flush_interval = "%dms"', "flush_interval: %dms", "flush_interval: %dms"))):
            self.write(name, form % (i + 1))
            said = self.run_shale("config", "show", "--changed").stdout.decode()
            self.assertRegex(said, r"flush_interval +%dms +%s\b" % (i + 1, name))
        page = " ".join(self.run_shale("help", "settings").stdout.decode().split())
        self.assertIn("./SlateDb.yml, .yaml, .toml, .json (", page)

    def test_order_of_store_options(self):
        self.write("SlateDb.toml", '[storage]\naws_region = "eu-west-1"\n')
        self.env["AWS_REGION"] = "us-east-2"
        o = self.show("s3://b/db")["aws_region"]
        self.assertEqual((o["value"], o["from"]), ("eu-west-1", "SlateDb.toml line 2"))
        self.assertEqual(o["instead_of"], {"value": "us-east-2", "from": "AWS_REGION"})
        self.env["SHALE_AWS_REGION"] = "eu-west-2"
        self.assertEqual(self.show("s3://b/db")["aws_region"]["from"], "SHALE_AWS_REGION")
        o = self.show("s3://b/db", "--region", "eu-west-3")["aws_region"]
        self.assertEqual((o["value"], o["from"]), ("eu-west-3", "--region"))
        o = self.show("s3://b/db", "--region", "eu-west-3", "--store-option", "aws_region=eu-west-4")["aws_region"]
        self.assertEqual((o["value"], o["from"], o["instead_of"]["from"]), ("eu-west-4", "--store-option", "--region"))

    def test_profiles_of_settings_files(self):
        self.write("SlateDb.toml", 'flush_interval = "2ms"\n[profile.dev]\nflush_interval = "7ms"\n[profile.dev.storage]\n'
                   'aws_region = "eu-west-1"\n[profile.other]\nno_such_setting = 1\n')
        self.assertEqual(self.show()["flush_interval"]["value"], "2ms")
        shown = self.show("--profile", "dev")
        self.assertEqual((shown["flush_interval"]["value"], shown["flush_interval"]["from"]), ("7ms", "SlateDb.toml line 3"))
        self.assertEqual(shown["aws_region"]["value"], "eu-west-1")
        self.assertEqual(shown["aws_profile"]["value"], "none")
        p = self.run_shale("config", "show", "--profile", "other", want=2)
        self.assertIn(b"no_such_setting", p.stderr)

    def test_profiles_of_aws(self):
        self.write(".aws/credentials", "[dev]\naws_access_key_id = AKIADEV\naws_secret_access_key = hush-hush-hush\nregion = eu-south-1\n")
        shown = self.show("--profile", "dev")
        self.assertEqual(shown["aws_access_key_id"]["value"], "AKIADEV")
        self.assertEqual(shown["aws_secret_access_key"]["value"], "set (14 characters)")
        self.assertIn('profile "dev"', shown["aws_secret_access_key"]["from"])
        p = self.run_shale("config", "show", "--profile", "dve", want=2)
        self.assertIn(b'dve', p.stderr)
        self.assertIn(b"try: shale config path", p.stderr)

    def test_a_profile_that_nobody_has(self):
        """Also where the store asks for no key of AWS's: with a misspelt one the settings would be others."""
        named = self.write("a.toml", '[profile.fast]\nflush_interval = "7ms"\n[profile.slow]\nflush_interval = "9ms"\n')
        for args in (["put", self.db, "k", "v"], ["config", "show"], ["scan", "s3://acme/db"]):
            for more, says in (([], b"have no [profile.NAME]"), (["--settings", named], b"have the groups [profile.fast] [profile.slow]")):
                p = self.run_shale(*args, "--profile", "fst", *more, want=2)
                self.assertIn(b'profile "fst" is neither in ', p.stderr)
                self.assertIn(says, p.stderr)
                self.assertIn(b"try: shale config path", p.stderr)
        self.assertFalse(os.path.exists(self.db))
        self.run_shale("put", self.db, "k", "v", "--profile", "fast", "--settings", named)
        self.write(".aws/config", "[profile fst]\nregion = eu-south-1\n")
        self.run_shale("put", self.db, "k", "v", "--profile", "fst")

    def test_text(self):
        p = self.run_shale("config", "show", "--changed")
        self.assertEqual(p.stdout, b"")
        self.assertIn(b"everything is as by default", p.stderr)
        self.env["SLATEDB_FLUSH_INTERVAL"] = "100ms"
        lines = self.run_shale("config", "show", "--changed", "--set", "flush_interval=50ms").stdout.decode().splitlines()
        self.assertEqual([x.split() for x in lines], [["setting", "value", "from", "instead", "of"],
                                                      ["flush_interval", "50ms", "--set", "100ms", "SLATEDB_FLUSH_INTERVAL"]])
        everything = self.run_shale("config", "show", "./db").stdout.decode()
        self.assertIn("\nlocal_fsync ", everything)
        self.assertNotIn("aws_region", everything)

    def test_path(self):
        self.write("SlateDb.toml", "")
        named = self.write("named.toml", "")
        lines = self.run_shale("config", "path", "--settings", named).stdout.decode().splitlines()
        self.assertEqual([x for x in lines if x.startswith("read")], ["read       " + named, "read       SlateDb.toml"])
        self.assertEqual(lines[-1], "not there  /etc/shale/config.toml")
        doc = json.loads(self.run_shale("config", "path", "--json").stdout)
        self.assertEqual([d["path"] for d in doc if d["exists"]], ["SlateDb.toml"])

    def test_mistakes_name_file_and_line(self):
        self.write("SlateDb.toml", "\nflush_intervall = 3\n")
        p = self.run_shale("config", "show", want=2)
        self.assertIn(b"SlateDb.toml", p.stderr)
        self.assertIn(b"line 2", p.stderr)
        self.assertIn(b"did you mean flush_interval", p.stderr)
        self.write("SlateDb.toml", '[storage]\naws_regio = "x"\n')
        p = self.run_shale("config", "show", want=2)
        self.assertIn(b"did you mean aws_region", p.stderr)


class Prices(S3Case):
    def test_tables(self):
        self.load([(b"%03d" % i, b"x" * 100) for i in range(200)])
        text = self.run_shale("stat", self.db).stdout.decode()
        self.assertIn("on S3 this would cost ~$0.0000011/month (S3 Standard us-east-1, prices of 2026-11)", text)
        path = os.path.join(self.dir, "prices.toml")
        with open(path, "w") as f:
            f.write('date = "2030-01"\n[mine]\nname = "My store"\nput = 1\nlist = 1\nget = 1\nstorage = 100000\n[here]\nname = "Here"\n'
                    'host = "127.0.0.1"\nput = 2\nlist = 2\nget = 2\nstorage = 200000\n')
        self.assertRegex(self.run_shale("stat", self.db, "--price-table", path).stdout.decode(), r"on S3 this would cost ~\$\d+\.\d+/month \(My store, prices of 2030-01\)")
        self.serve()
        self.run_shale("put", "s3://acme/db", "k", "v")
        self.assertRegex(self.run_shale("stat", "s3://acme/db", "--price-table", path).stdout.decode(), r"~\$\d\.\d+/month on Here \(prices of 2030-01\)")
        for bad in ("nonsense", "[x]\nprice = 1\n", "[x]\nput = -1\n", ""):
            with open(path, "w") as f:
                f.write(bad)
            self.assertIn(b"--price-table", self.run_shale("stat", self.db, "--price-table", path, want=None).stderr)

    def test_watch_ends_by_a_signal_as_it_is_meant_to(self):
        self.load([(b"a", b"1")])
        for sig in (signal.SIGINT, signal.SIGTERM):
            p = subprocess.Popen([SHALE, "stat", self.db, "--watch", "50ms", "--json"], env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(json.loads(p.stdout.readline())["l0_count"], 1)
            p.send_signal(sig)
            self.assertEqual(p.communicate(timeout=60)[1], b"")
            self.assertEqual(p.returncode, 0)

    def test_watch(self):
        self.load([(b"a", b"1")])
        p = self.run_shale("stat", self.db, "--watch", "100ms", "--timeout", "1200ms", "--json", want=None)
        lines = p.stdout.splitlines()
        self.assertGreater(len(lines), 1)
        for line in lines:
            json.loads(line)


if __name__ == "__main__":
    unittest.main()
