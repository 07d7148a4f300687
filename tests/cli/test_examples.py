#!/usr/bin/env python3
"""Every example of the help and of the manual runs as pasted.

Goal: nobody copies a line that does not work. Method: each runs under bash in a folder that has what the examples speak of (./pkgs, packages.jsonl,
logo.png ..), with shale on PATH. Names that no folder can know - a ULID, a WAL id - are replaced, large numbers made small."""
import os
import re
import shutil
import subprocess
import unittest

from common import Case, SHALE, SOURCE, table

TOOLS = ("jq", "xxd", "zstd", "sqlite3")


class Examples(Case):
    def setUp(self):
        super().setUp()
        self.bin = os.path.join(self.dir, "bin")
        os.mkdir(self.bin)
        os.symlink(SHALE, os.path.join(self.bin, "shale"))
        self.work = os.path.join(self.dir, "work")

    def make_folder(self):
        shutil.rmtree(self.work, True)
        os.mkdir(self.work)
        with open(os.path.join(self.work, "logo.png"), "wb") as f:
            f.write(bytes(range(256)))
        with open(os.path.join(self.work, "packages.jsonl"), "w") as f:
            f.writelines('{"key":"%s","value":"1.%d"}\n' % (k, i) for i, k in enumerate(
                ["zlib", "lz4", "zstd", "libfoo", "libbar", "libzip", "logo", "tmp/a", "tmp/b"]))
        with open(os.path.join(self.work, "commands.txt"), "w") as f:
            f.write("get zlib\nscan lib\n")
        for db in ("pkgs", "a"):
            self.bash("shale load ./%s packages.jsonl --store-option local_fsync=off" % db, 0)
        for i in range(4):  # one that was compacted
            self.bash("shale put ./packed k%d v --store-option local_fsync=off" % i, 0)
        self.bash("shale compact ./packed", 0)
        with open(os.path.join(self.work, "words.jsonl"), "w") as f:
            f.writelines('{"key":"%s","value":"%s"}\n' % kv for kv in (("greeting", "hello"), ("logo", "x"), ("user/1", "Ann")))
        self.bash("shale s4 load ./words words.jsonl --store-option local_fsync=off && shale s4 download ./words --local-dir ./mirror", 0)
        self.bash("shale checkpoint create ./pkgs --name nightly --store-option local_fsync=off", 0)
        with open(os.path.join(self.work, "saved.sst"), "w") as f:
            f.write("x")

    def make_sql(self):
        os.mkdir(os.path.join(self.work, "migrations"))
        for name, text in (("migrations/001_items.sql", "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, qty INT);"), ("changes.sql", "UPDATE items SET qty = 1;\n")):
            with open(os.path.join(self.work, name), "w") as f:
                f.write(text)
        self.bash("shale sql migrate ./shop migrations --store-option local_fsync=off", 0)
        self.bash("shale sql ./shop \"INSERT INTO items VALUES(1,'nut',5),(2,'bolt',6),(7,'washer',9)\" --store-option local_fsync=off", 0)
        self.bash("shale sql pull ./shop -o shop.sqlite", 0)

    def bash(self, line, want):
        env = dict(self.env, PATH=self.bin + ":" + os.environ["PATH"], HOME=self.work, TMPDIR=self.work)
        p = subprocess.run(["bash", "-c", "set -o pipefail\n" + line], cwd=self.work, env=env, stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=120)
        self.assertEqual(p.returncode, want, "%s: %r %r" % (line, p.stdout[-300:], p.stderr[-500:]))
        return p

    def fitted(self, line):
        sst = os.listdir(os.path.join(self.work, "pkgs", "compacted"))[0][:-4]
        line = re.sub(r"\b01J79B\w{20}\b", sst, line)
        line = line.replace("wal ./pkgs 17", "wal ./pkgs 2").replace("/tmp/b ", "./bench ")
        line = re.sub(r" --num \d+", "", line).replace("--workload ", "--num 500 --workload ")
        line = re.sub(r"(--at|--seq|--after) 17", r"\1 1", line).replace(" --follow", "").replace("/var/tmp/", "./kept-")
        if line.startswith("shale gc ") and "--once" not in line and "--dry-run" not in line:
            line = line.replace("shale gc", "shale gc --once")
        return line.replace("readcold", "readcold --reads 50") if "readcold" in line else line.replace("readhot", "readhot --reads 50")

    def test_examples_of_help_and_manual(self):
        ran = 0
        for c in table()["commands"]:
            for line in c["examples"]:
                if any(re.search(r"\b%s\b" % t, line) and not shutil.which(t) for t in TOOLS):
                    continue
                self.make_folder()
                if "shale sql" in line:
                    self.make_sql()
                # A bucket is not there: the line is right, and without credentials no request is sent.
                self.bash(self.fitted(line), 3 if "s3://" in line else 0)
                ran += 1
        self.assertGreater(ran, 50)

    def test_examples_of_the_overview(self):
        text = self.run_shale("help").stdout.decode()
        lines = [re.split(r" {3,}", x)[0] for x in re.findall(r"^  (shale .*)$", text, re.M)]
        self.assertGreaterEqual(len(lines), 5)
        for line in lines:
            self.make_folder()
            self.bash(line, 3 if "s3://" in line else 0)  # as above: nothing is sent
        for text in (text, self.run_shale(want=2).stdout.decode()):
            self.assertIn("DB:    s3://bucket/prefix", text)
            self.assertIn("shale store doctor s3://acme-prod", text)
        for name in ("put", "get", "scan", "load", "dump", "stat"):
            self.assertIn(" s3://acme-prod/", self.run_shale("help", name).stdout.decode(), name)

    def test_the_program_of_the_manual_is_the_one_that_compiles(self):
        with open(os.path.join(SOURCE, "docs", "man", "libshale.3"), encoding="utf-8") as f:
            page = f.read()
        body = page.split(".Bd -literal -offset indent\n")[-1].split(".Ed\n")[0]
        for escape, plain in (("\\(dq", '"'), ("\\(aq", "'"), ("\\-", "-"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\e", "\\"), ("\\&", "")):
            body = body.replace(escape, plain)
        path = os.path.join(self.dir, "program.c")
        with open(path, "w") as f:
            f.write(body)
        if not shutil.which("cc"):
            self.skipTest("no compiler")
        subprocess.run(["cc", "-std=c17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I" + os.path.join(SOURCE, "include"), path], check=True)


if __name__ == "__main__":
    unittest.main()
