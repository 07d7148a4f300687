#!/usr/bin/env python3
"""Completion: what `shale __complete` offers, and the scripts under the shells that are there."""
import os
import shutil
import subprocess
import unittest

from common import Case, commands, SHALE, table, tree


class Complete(Case):
    def offers(self, *words, **more):
        p = self.run_shale("__complete", *words, **more)
        self.assertEqual(p.stderr, b"")
        return [x.split("\t")[0] for x in p.stdout.decode().splitlines()]

    def test_codecs_are_all_offered(self):
        self.assertEqual(self.offers("put", "x", "--set", "compression_codec="), ["compression_codec=" + w for w in ("none", "snappy", "zlib", "lz4", "zstd")])

    def test_commands_and_their_second_words(self):
        first = list(dict.fromkeys(c.split()[0] for c in commands()))
        self.assertEqual(self.offers(""), first)
        self.assertEqual(self.offers(), first)
        self.assertEqual(self.offers("sc"), ["scan"])
        self.assertEqual(self.offers("--json", "sc"), ["scan"])
        self.assertEqual(self.offers("store", "c"), ["cat", "cp"])
        self.assertEqual(self.offers("nonsense", ""), first)

    def test_options_of_every_command(self):
        for c in table()["commands"]:
            want = sorted("--" + o["name"] for o in c["options"])
            self.assertEqual(sorted(self.offers(*c["name"].split(), "--")), want, c["name"])
        self.assertIn("--help", self.offers("-"))
        self.assertNotIn("--limit", self.offers("scan", "--limit", "3", "--l"))
        self.assertIn("--set", self.offers("scan", "--set", "a=b", "--s"))
        self.assertEqual(self.offers("scan", "x", "--", "--l"), [])

    def test_values(self):
        self.assertEqual(self.offers("scan", "--format", ""), ["text", "json", "csv", "tsv", "raw0"])
        self.assertEqual(self.offers("scan", "--format=c"), ["--format=csv"])
        self.assertEqual(self.offers("scan", "--set", "flush_i"), ["flush_interval="])
        self.assertEqual(self.offers("scan", "--set=flush_i"), ["--set=flush_interval="])
        self.assertEqual(self.offers("scan", "--set", "wal_enabled="), ["wal_enabled=true", "wal_enabled=false"])
        self.assertEqual(self.offers("completion", ""), ["bash", "zsh", "fish"])
        self.assertEqual(self.offers("help", "cred"), ["credentials"])

    def test_files_and_folders_are_left_to_the_shell(self):
        self.assertEqual(self.offers("scan", ""), [":folders"])
        self.assertEqual(self.offers("load", "x", ""), [":files"])
        self.assertEqual(self.offers("store", "cat", ""), [":files"])
        self.assertEqual(self.offers("put", "x", "k", "--value-file", ""), [":files"])
        self.assertEqual(self.offers("stat", "x", ""), [])

    def test_a_url_gets_no_folders_of_this_machine(self):
        os.mkdir(os.path.join(self.dir, "here"))
        for words in (["scan", "s3://"], ["scan", "s3:"], ["store", "ls", "s3://b/"], ["load", "s3://b/x"], ["get", "x", "--root", "s3://"]):
            self.assertEqual(self.offers(*words), [], words)
        self.assertEqual(self.offers("scan", "file:///"), [":folders"])
        if shutil.which("bash"):
            with open(os.path.join(self.dir, "shale.bash"), "wb") as f:
                f.write(self.run_shale("completion", "bash").stdout)
            self.assertEqual(Scripts.bash(self, SHALE + " scan s3://"), [""])

    def test_keys_of_a_folder_and_nothing_is_changed(self):
        self.load([(b"fruit/apple", b"1"), (b"fruit/kiwi", b"2"), (b"other", b"3"), (b"bad\n", b"4"), (b"\xff", b"5")])
        before = tree(self.dir)
        self.assertEqual(self.offers("get", self.db, ""), ["fruit/apple", "fruit/kiwi", "other"])
        self.assertEqual(self.offers("get", self.db, "fruit/k"), ["fruit/kiwi"])
        self.assertEqual(self.offers("scan", self.db, "--prefix=o"), ["--prefix=other"])
        self.assertEqual(self.offers("get", self.dir + "/none", ""), [])
        self.assertEqual(self.offers("get", "s3://bucket/db", ""), [])  # a request costs money
        self.assertEqual(tree(self.dir), before)

    def test_at_most_fifty_keys(self):
        self.load([(b"%04d" % i, b"") for i in range(200)])
        self.assertEqual(len(self.offers("get", self.db, "")), 50)

    def test_broken_settings_do_not_matter(self):
        with open(os.path.join(self.dir, "SlateDb.toml"), "w") as f:
            f.write("this is no toml")
        self.assertEqual(self.offers("sc"), ["scan"])


class Scripts(Case):
    def script(self, shell):
        return self.run_shale("completion", shell).stdout

    def test_three_shells_and_no_other(self):
        for shell in ("bash", "zsh", "fish"):
            self.assertIn(b"__complete", self.script(shell))
        p = self.run_shale("completion", "bsh", want=2)
        self.assertIn(b"did you mean bash", p.stderr)

    def bash(self, line):
        test = ('. ./shale.bash; compopt() { :; }; COMP_LINE=$1; COMP_POINT=${#1}; COMP_WORDS=(x); COMP_CWORD=0; _shale; '
                'printf "%s\\n" "${COMPREPLY[@]}"')
        p = subprocess.run(["bash", "-c", test, "bash", line], capture_output=True, text=True, cwd=self.dir, env=self.env)
        self.assertEqual((p.returncode, p.stderr), (0, ""))
        return p.stdout.split("\n")[:-1]

    @unittest.skipUnless(shutil.which("bash"), "no bash")
    def test_under_bash(self):
        with open(os.path.join(self.dir, "shale.bash"), "wb") as f:
            f.write(self.script("bash"))
        self.load([(b"a key", b"1"), (b"b", b"2")])
        self.assertEqual(self.bash(SHALE + " sca"), ["scan"])
        self.assertEqual(self.bash(SHALE + " store l"), ["ls"])
        self.assertEqual(self.bash(SHALE + " scan ./db --format="), ["text", "json", "csv", "tsv", "raw0"])
        self.assertEqual(self.bash(SHALE + " scan ./db --set wal_enabled=f"), ["false"])
        self.assertEqual(self.bash(SHALE + " get ./db a"), ["a\\ key"])
        self.assertEqual(self.bash(SHALE + " scan d"), ["db"])

    @unittest.skipUnless(shutil.which("zsh"), "no zsh")
    def test_zsh_can_read_it(self):
        subprocess.run(["zsh", "-n", "-c", self.script("zsh").decode()], check=True)

    @unittest.skipUnless(shutil.which("fish"), "no fish")
    def test_fish_can_read_it(self):
        subprocess.run(["fish", "--no-execute"], input=self.script("fish"), check=True)


if __name__ == "__main__":
    unittest.main()
