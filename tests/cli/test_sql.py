#!/usr/bin/env python3
"""shale sql: SQLite on a bucket, in s3db's format.

Goal: each command does what its help says, on a folder and over HTTP, and s3db's own databases read as they should. Method: the fixtures that s3db has written, compared with the dump that
SQLite's own shell made of them; the program run as its users run it; a bucket in this process that counts requests and can lose answers."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import unittest

import bucket
from common import Case, FAST, SHALE, SOURCE

FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "s3db")
MIGRATION = "CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT, qty INT); CREATE TABLE plain(x); CREATE TABLE kv(k TEXT PRIMARY KEY, v);"


def dump_of(connection):
    return sorted(connection.iterdump())


class Sql(Case):
    def setUp(self):
        super().setUp()
        os.makedirs(os.path.join(self.dir, "mig"))
        self.write("mig/001_first.sql", MIGRATION)
        self.run_shale("sql", "migrate", "shop", "mig", *FAST)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def sql(self, *words, want=0, **more):
        p = self.run_shale("sql", "shop", *words, *FAST, want=want, **more)
        return p.stdout.decode() if want == 0 else p.stderr.decode()

    def status(self):
        return json.loads(self.run_shale("sql", "status", "shop", "--json").stdout)

    # ---- reading what s3db wrote
    def test_every_fixture_reads_as_expected(self):
        for case in sorted(os.listdir(FIXTURES)):
            expected = json.load(open(os.path.join(FIXTURES, case, "expected.json")))
            store = os.path.join(self.dir, case)
            shutil.copytree(os.path.join(FIXTURES, case, "store"), store)
            line = ["sql", "pull", os.path.join(store, expected.get("prefix", "db/")), "--root", store, "-o", "out.sqlite"]
            if case.startswith("broken"):
                p = self.run_shale(*line, want=3)
                self.assertIn(b"seq=1", p.stderr)
                self.assertIn(b"SQLITE_CHANGESET_CONFLICT", p.stderr)
                self.assertIn(b"--ignore-triggers", p.stderr)
                self.run_shale(*line, "--ignore-triggers")
                continue
            self.run_shale(*line)
            self.assertEqual(open(os.path.join(self.dir, "out.sqlite.seq")).read(), str(expected["seq"]))
            shell = shutil.which("sqlite3")
            if shell:
                text = subprocess.run([shell, os.path.join(self.dir, "out.sqlite"), ".dump"], capture_output=True, check=True).stdout
                self.assertEqual(text, open(os.path.join(FIXTURES, case, "expected.sql"), "rb").read(), case)
            else:
                with sqlite3.connect(os.path.join(self.dir, "out.sqlite")) as db:
                    self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])

    # ---- statements
    def test_queries_commits_and_blocks(self):
        self.assertEqual(self.sql("INSERT INTO items(name, qty) VALUES('nut', 5), ('bolt', 7) RETURNING id"), "1\n2\n")
        self.assertEqual(self.sql("SELECT * FROM items"), "1|nut|5\n2|bolt|7\n")
        self.assertEqual(self.sql("SELECT name, qty / 2.0 AS half FROM items", "--mode", "csv"), "name,half\r\nnut,2.5\r\nbolt,3.5\r\n")
        rows = [json.loads(x) for x in self.sql("SELECT id, name, NULL AS none, x'00ff' AS b, 1.0 AS r FROM items WHERE id = 1", "--json").splitlines()]
        self.assertEqual(rows, [{"id": 1, "name": "nut", "none": None, "b_base64": "AP8=", "r": 1.0}])
        self.assertEqual(json.loads(self.sql("UPDATE items SET qty = 6 WHERE id = 1", "--json")), {"seq": 2, "changed": True, "tries": 1})
        self.sql("BEGIN; DELETE FROM items WHERE id = 1; INSERT INTO items VALUES(1, 'again', 0); COMMIT")
        self.assertEqual(self.status()["seq"], 3)
        self.assertIn("no such column", self.sql("BEGIN; DELETE FROM items; SELECT nowhere FROM items; COMMIT", want=3))
        self.assertIn("no COMMIT", self.sql("BEGIN; DELETE FROM items", want=2))
        self.assertEqual(self.sql("SELECT count(*) FROM items"), "2\n")
        self.assertEqual(self.status()["seq"], 3)
        self.assertEqual(self.sql("UPDATE items SET qty = qty"), "")
        self.assertEqual(self.status()["seq"], 3)

    def test_an_outer_savepoint_is_a_block(self):
        self.sql("SAVEPOINT a; INSERT INTO items VALUES(1, 'one', 1); ROLLBACK TO a; RELEASE a")
        self.assertEqual(self.status()["seq"], 0)
        self.assertEqual(self.sql("SAVEPOINT a; INSERT INTO items VALUES(1, 'one', 1); SAVEPOINT A; INSERT INTO items VALUES(2, 'two', 2); "
                                  "rollback transaction To savepoint \"a\"; RELEASE a; INSERT INTO items VALUES(3, 'three', 3); release savepoint a; "
                                  "SELECT group_concat(id) FROM items"), "1,3\n")
        self.assertEqual(self.status()["seq"], 1)
        self.assertIn("no COMMIT", self.sql("SAVEPOINT a; DELETE FROM items", want=2))
        self.assertIn("no such savepoint", self.sql("SAVEPOINT a; DELETE FROM items; RELEASE b; RELEASE a", want=3))
        self.sql("SAVEPOINT a; DELETE FROM items; ROLLBACK")
        self.sql("BEGIN; SAVEPOINT a; DELETE FROM items; ROLLBACK TO a; RELEASE a; ROLLBACK")
        self.assertEqual(self.status()["seq"], 1)
        self.sql("SAVEPOINT a; DELETE FROM items WHERE id = 3; COMMIT")
        self.run_shale("sql", "shell", "shop", *FAST, data=b"SAVEPOINT b;\nDELETE FROM items;\nROLLBACK TO b;\nRELEASE b;\n")
        self.assertEqual(self.sql("SELECT group_concat(id) FROM items"), "1\n")
        self.assertEqual(self.status()["seq"], 2)

    def test_what_cannot_be_sent_is_refused(self):
        for text, why in (("INSERT INTO plain VALUES(1)", "no PRIMARY KEY"), ("CREATE TABLE x(y)", "shale sql migrate"), ("ATTACH 'x' AS y", "attached"),
                          ("PRAGMA user_version = 3", "PRAGMA user_version"), ("INSERT INTO kv VALUES(NULL, 1)", "NULL in its primary key")):
            self.assertIn(why, self.sql(text, want=3))
        self.assertEqual(self.status()["seq"], 0)
        self.assertEqual(self.sql("PRAGMA foreign_keys"), "0\n")

    def test_as_of_a_commit(self):
        for i in range(3):
            self.sql("INSERT INTO items(name) VALUES('n%d')" % i)
        self.assertEqual(self.sql("SELECT count(*) FROM items", "--at", "2"), "2\n")
        self.assertEqual(self.sql("SELECT count(*) FROM items", "--at", "2099-01-01T00:00:00Z"), "3\n")
        self.assertIn("reading only", self.sql("DELETE FROM items", "--at", "2", want=3))
        self.assertIn("cannot be had", self.sql("SELECT 1", "--at", "7", want=3))
        self.assertIn("no moment", self.sql("SELECT 1", "--at", "yesterday", want=2))

    # ---- shell
    def shell(self, text, *more, want=0):
        return self.run_shale("sql", "shell", "shop", *FAST, *more, data=text.encode(), want=want)

    def test_a_time_before_the_database(self):
        self.run_shale("sql", "init", "young", *FAST)
        for _ in range(2):
            p = self.run_shale("sql", "young", "SELECT 1", "--at", "2001-01-01T00:00:00Z", want=3)
            self.assertIn(b"nothing is on record at 2001-01-01", p.stderr)
            self.run_shale("sql", "compact", "young", *FAST)
        self.run_shale("sql", "young", "SELECT 1", "--at", "2999-01-01T00:00:00Z")

    def test_the_shell(self):
        out = self.shell("""CREATE_NOT;
""", want=3)
        self.assertIn(b"stdin:1", out.stderr)
        self.write("rows.csv", 'a,"one, and ""two"""\nb,three\n')
        out = self.shell("""-- a comment
insert into items(name, qty)
  values('x', 1);
begin;
insert into items(name) values('y');
select count(*) from items;
commit;
begin; delete from items; rollback;
.import rows.csv kv
.mode json
select v from kv order by k;
.mode list
.headers on
select id from items;
.tables
.status
select 'the last one needs no semicolon' as x""").stdout.decode()
        self.assertEqual(out, """2
{"v":"one, and \\"two\\""}
{"v":"three"}
id
1
2
name
items
kv
plain
seq 3, schema 1, 3 entries in the log
x
the last one needs no semicolon
""")
        self.assertIn(b"CREATE TABLE kv", self.shell(".schema kv\n").stdout)
        self.assertIn(b"unknown: .nonsense", self.shell(".nonsense\n", want=2).stderr)
        p = self.shell("select nowhere;\nselect 7;\n", "--keep-going", want=3)
        self.assertEqual(p.stdout, b"7\n")
        self.write("script.sql", "select 1;\nselect nowhere;\n")
        self.assertIn(b"script.sql:2", self.shell(".read script.sql\n", want=3).stderr)

    def test_where_statements_end(self):
        text = """insert into kv values('a;b', ';;'); -- c; d
/* ; */ insert into kv values("kv", 1) ;
insert into kv values('two
lines; of', 'it''s; fine');
select [k;k], `k` from (select k as "k;k", k from kv) order by 1;select 2;"""
        text = text.replace('"kv"', "'kv'")
        self.assertEqual(self.shell(text).stdout, b"a;b|a;b\nkv|kv\ntwo\nlines; of|two\nlines; of\n2\n")
        self.assertEqual(self.shell("select length('%s');" % (";" * 300000)).stdout, b"300000\n")
        self.assertEqual(self.shell("select " + "1 +\n" * 900 + "2;\n").stdout, b"902\n")
        self.write("long.sql", "insert into items(name) values\n" + ",\n".join("('%d;')" % i for i in range(2000)) + ";\n")
        self.shell(".read long.sql\n")
        self.assertEqual(self.sql("SELECT count(*) FROM items"), "2000\n")

    def test_the_shell_on_a_terminal(self):
        code, out = self.on_terminal("sql", "shell", "shop", *FAST, typed=b"select 1 as one,\n 'two' as two;\n.quit\n", TERM="dumb", XDG_STATE_HOME=self.dir)
        self.assertEqual(code, 0)
        with open(os.path.join(self.dir, "shale", "history-sql")) as f:
            self.assertEqual(f.read(), "select 1 as one,\n.quit\n")  # a line that begins with a blank is not kept
        self.assertIn(b"   ...> ", out)
        self.assertRegex(out, rb"one +two")

    # ---- whole databases
    def test_init_pull_edit_push(self):
        self.sql("INSERT INTO items(name) VALUES('a')")
        self.run_shale("sql", "pull", "shop", "-o", "copy.sqlite")
        with sqlite3.connect(os.path.join(self.dir, "copy.sqlite")) as db:
            db.execute("UPDATE items SET name = 'edited'")
        self.assertEqual(open(os.path.join(self.dir, "copy.sqlite.seq")).read(), "1")
        self.run_shale("sql", "push", "shop", "copy.sqlite", *FAST)
        self.assertEqual(self.sql("SELECT name FROM items"), "edited\n")
        self.run_shale("sql", "push", "shop", "copy.sqlite", *FAST)  # it is the newest snapshot still
        self.sql("INSERT INTO items(name) VALUES('b')")
        p = self.run_shale("sql", "push", "shop", "copy.sqlite", *FAST, want=1)
        self.assertIn(b"seq 2", p.stderr)
        self.assertIn(b"--force", p.stderr)
        self.run_shale("sql", "push", "shop", "copy.sqlite", "--seq", "2", *FAST)
        self.run_shale("sql", "init", "second", "copy.sqlite", *FAST)
        self.assertIn(b"already exists", self.run_shale("sql", "init", "second", *FAST, want=1).stderr)
        self.assertIn(b"-o FILE is missing", self.run_shale("sql", "pull", "second", want=2).stderr)
        self.write("text.sqlite", "this is no database, although it is long enough to have a header that could be looked at, I think")
        self.assertIn(b"no sound SQLite database", self.run_shale("sql", "init", "third", "text.sqlite", *FAST, want=3).stderr)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "third")))

    def test_a_file_with_an_unfinished_wal_is_refused(self):
        db = sqlite3.connect(os.path.join(self.dir, "wal.sqlite"))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE x(y INTEGER PRIMARY KEY)")
        db.commit()
        p = self.run_shale("sql", "init", "fromwal", "wal.sqlite", *FAST, want=2)
        self.assertIn(b"WAL mode", p.stderr)
        db.close()
        self.run_shale("sql", "init", "fromwal", "wal.sqlite", *FAST)
        self.run_shale("sql", "fromwal", "INSERT INTO x VALUES(5)", *FAST)
        self.assertEqual(self.run_shale("sql", "fromwal", "SELECT y FROM x").stdout, b"5\n")

    def test_migrations(self):
        self.sql("INSERT INTO items(name) VALUES('a')")
        self.write("mig/7-more.sql", "ALTER TABLE items ADD COLUMN extra INT DEFAULT 9;")
        self.write("mig/README", "not one")
        self.run_shale("sql", "migrate", "shop", "mig", *FAST)
        self.assertEqual(self.status()["schema_version"], 7)
        self.assertEqual(self.sql("SELECT * FROM items"), "1|a||9\n")
        self.write("mig/008_bad.sql", "CREATE TABLE good(a INTEGER PRIMARY KEY); nonsense;")
        p = self.run_shale("sql", "migrate", "shop", "mig", *FAST, want=3)
        self.assertIn(b"migration v8 (008_bad.sql)", p.stderr)
        self.assertEqual(self.status()["schema_version"], 7)
        self.assertNotIn("good", self.sql("SELECT group_concat(name) FROM sqlite_schema"))
        self.write("mig/07_again.sql", "SELECT 1;")
        self.assertIn(b"the same number", self.run_shale("sql", "migrate", "shop", "mig", *FAST, want=2).stderr)

    def test_log_compact_and_gc(self):
        self.sql("INSERT INTO items(name) VALUES('a')", "UPDATE items SET name = 'b'", "DELETE FROM items")
        changes = [json.loads(x) for x in self.run_shale("sql", "log", "shop", "--changes", "--json").stdout.splitlines()]
        self.assertEqual([(c["seq"], c["op"], c["table"]) for c in changes], [(1, "insert", "items"), (2, "update", "items"), (3, "delete", "items")])
        self.assertEqual(changes[1]["new"], [{}, "b", {}])
        self.assertEqual(len(self.run_shale("sql", "log", "shop", "--after", "2").stdout.splitlines()), 1)
        self.run_shale("sql", "compact", "shop", *FAST)
        self.assertEqual(self.status()["log_entries"], 0)
        self.run_shale("sql", "log", "shop", "--after", "1", want=1)
        self.assertIn(b"would delete nothing", self.run_shale("sql", "gc", "shop", "-n").stderr)
        self.assertEqual(json.loads(self.run_shale("sql", "gc", "shop", "--grace", "0s", "--json", *FAST).stdout)["deleted"]["changesets"], 3)
        self.assertEqual(sorted(os.listdir(os.path.join(self.dir, "shop"))), ["manifest.json", "snapshots"])

    # ---- the feed
    def follow(self, *more):
        p = subprocess.Popen([SHALE, "sql", "log", "shop", "--follow", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir, env=self.env)
        self.addCleanup(p.wait)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.kill)
        return p

    def test_a_feed_goes_on_with_what_is_committed(self):
        self.sql("INSERT INTO items(name) VALUES('a')")
        feed, times = self.follow("--changes", "--json"), self.follow("--after", "1")
        for i, text in enumerate(("UPDATE items SET name = 'b'", "DELETE FROM items; INSERT INTO kv VALUES('k', x'00')")):
            self.assertEqual(json.loads(feed.stdout.readline())["seq"], i + 1)
            self.sql("BEGIN; %s; COMMIT" % text)
            self.assertEqual(times.stdout.readline().split(b"\t")[0], b"%d" % (i + 2))
        last = [json.loads(feed.stdout.readline()) for _ in range(2)]
        self.assertEqual([(c["seq"], c["op"], c["table"]) for c in last], [(3, "delete", "items"), (3, "insert", "kv")])
        self.run_shale("sql", "compact", "shop", *FAST)  # whoever has seen all goes on
        self.sql("INSERT INTO items(name) VALUES('c')")
        self.assertEqual(json.loads(feed.stdout.readline())["seq"], 4)
        self.assertEqual(times.stdout.readline().split(b"\t")[0], b"4")
        for p, how in ((feed, signal.SIGINT), (times, signal.SIGTERM)):  # that is how it ends
            p.send_signal(how)
            self.assertEqual((p.wait(60), p.stdout.read(), p.stderr.read()), (0, b"", b""))

    def test_a_feed_tells_every_value(self):
        self.sql("INSERT INTO kv VALUES('i', 5), ('r', 5.0), ('z', -0.0), ('t', 0.1), ('inf', -1e999), ('bad', CAST(x'ff41' AS TEXT)), ('blob', x'ff'), ('nul', 'a' || char(0)), ('none', NULL)")
        rows = [json.loads(x, parse_float=str)["new"] for x in self.run_shale("sql", "log", "shop", "--changes", "--json").stdout.splitlines()]
        self.assertEqual(dict(rows), {"i": 5, "r": "5.0", "z": "-0.0", "t": "0.1", "inf": {"real": "-inf"}, "bad": {"text_base64": "/0E="}, "blob": {"blob_base64": "/w=="}, "nul": "a\0", "none": None})
        text = self.run_shale("sql", "log", "shop", "--changes").stdout.decode()
        for word in ("'i', 5)", "'r', 5.0)", "'z', -0.0)", "'t', 0.1)", "'inf', -inf)", "'bad', '\\xffA')", "'blob', x'ff')", "'nul', 'a\\x00')", "'none', NULL)"):
            self.assertIn(word, text)

    def test_a_feed_that_missed_something_says_so(self):
        self.sql("INSERT INTO items(name) VALUES('a')")
        feed = self.follow()
        feed.stdout.readline()
        feed.send_signal(signal.SIGSTOP)
        self.sql("INSERT INTO items(name) VALUES('b')")
        self.run_shale("sql", "compact", "shop", *FAST)
        self.sql("INSERT INTO items(name) VALUES('c')")
        feed.send_signal(signal.SIGCONT)
        self.assertEqual(feed.wait(60), 1)
        self.assertEqual(feed.stdout.read(), b"")
        self.assertIn(b"behind seq 1 are folded", feed.stderr.read())
        self.assertEqual(self.follow("--after", "0").wait(60), 1)

    def test_a_reader_that_leaves_ends_a_feed_without_a_word(self):
        self.sql("INSERT INTO items(name) VALUES('a')")
        feed = self.follow("--changes")
        feed.stdout.readline()
        feed.stdout.close()
        self.sql("INSERT INTO items(name) VALUES('b')")
        self.assertIn(feed.wait(60), (0, -signal.SIGPIPE, 128 + signal.SIGPIPE))
        self.assertEqual(feed.stderr.read(), b"")

    def test_a_long_log_is_noted(self):
        self.sql("INSERT INTO items(id) VALUES(1)", "DELETE FROM items")
        self.assertFalse(self.status()["compaction_advised"])
        self.assertEqual(self.run_shale("sql", "status", "shop").stderr, b"")
        path = os.path.join(self.dir, "shop", "manifest.json")
        with open(path) as f:
            manifest = json.load(f)
        pair = manifest["log"]  # there and away again
        manifest["log"] = [dict(pair[i % 2], seq=i + 1) for i in range(1000)]
        manifest["seq"] = 1000
        with open(path, "w") as f:
            json.dump(manifest, f)
        self.assertTrue(self.status()["compaction_advised"])
        self.assertIn(b"1000 entries in the log", self.run_shale("sql", "status", "shop").stderr)
        _, out = self.on_terminal("sql", "shop", "INSERT INTO items(id) VALUES(2)", *FAST)
        self.assertIn(b"shale sql compact shop", out)
        self.sql("INSERT INTO items(id) VALUES(3)", "--auto-compact", "1000")
        self.assertEqual(self.status()["log_entries"], 0)

    def test_gc_leaves_what_leads_out_of_the_folder(self):
        self.sql("INSERT INTO items(name) VALUES('a')")
        self.run_shale("sql", "compact", "shop", *FAST)
        os.makedirs(os.path.join(self.dir, "out", "x"))
        self.write("out/x/cs-1.bin", "not ours")
        os.symlink(os.path.join(self.dir, "out"), os.path.join(self.dir, "shop", "changesets", "foreign"))
        self.run_shale("sql", "gc", "shop", "--grace", "0s", *FAST)
        self.assertEqual(os.listdir(os.path.join(self.dir, "shop", "changesets")), ["foreign"])
        self.assertEqual(len(os.listdir(os.path.join(self.dir, "shop", "snapshots"))), 1)
        self.assertTrue(os.path.exists(os.path.join(self.dir, "out", "x", "cs-1.bin")))

    def test_what_killed_processes_leave_is_swept(self):
        old = os.path.join(self.dir, "shop", "snapshots", ".s3db-tmp-0123456789abcdef")
        young = old[:-1] + "0"
        for path in (old, young):
            with open(path, "w") as f:
                f.write("x")
        os.utime(old, (1, 1))
        dry = self.run_shale("sql", "gc", "shop", "--grace", "0s", "-n", *FAST).stderr
        self.assertIn(b"would delete 1 files of writes", dry)
        self.assertTrue(os.path.exists(old))
        self.assertEqual(json.loads(self.run_shale("sql", "gc", "shop", "--json", *FAST).stdout)["deleted"]["unfinished_writes"], 1)
        self.assertFalse(os.path.exists(old))
        self.assertTrue(os.path.exists(young))
        kept = ("here.sqlite.0123456789abcdef.tm", "here.sqlite.0123.tmp", "there.sqlite.0123456789abcdef.tmp")
        for name in kept + ("here.sqlite.0123456789abcdef.tmp",):
            self.write(name, "x")
        self.sql("SELECT 1", "--local-path", "here.sqlite")
        self.assertFalse(os.path.exists(os.path.join(self.dir, "here.sqlite.0123456789abcdef.tmp")))
        for name in kept:
            self.assertTrue(os.path.exists(os.path.join(self.dir, name)))

    def test_a_kept_copy(self):
        self.sql("INSERT INTO items(name) VALUES('a')", "--local-path", "here.sqlite")
        self.assertTrue(os.path.exists(os.path.join(self.dir, "here.sqlite.shale")))
        self.assertEqual(self.sql("SELECT name FROM items", "--local-path", "here.sqlite"), "a\n")

    def test_names(self):
        p = self.run_shale("sql", "shpo", "SELECT 1", want=3)
        self.assertIn(b"did you mean", p.stderr)
        self.assertIn(b"no database here", self.run_shale("sql", "status", "none-at-all", want=3).stderr)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "none-at-all")))

    # ---- stops
    ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"

    def endless(self, *words, **more):
        p = subprocess.Popen([SHALE, "sql", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.dir, env=self.env, **more)
        self.addCleanup(p.wait)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.kill)
        return p

    def test_a_query_without_an_end_is_stopped(self):
        for how, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            p = self.endless("shop", self.ENDLESS)
            with p.stdout:
                self.assertEqual(p.stdout.readline(), b"1\n")
                p.send_signal(how)
                p.stdout.read()
            self.assertEqual(p.wait(60), code)
            self.assertEqual(p.stderr.read(), b"stopped\n")
        p = self.run_shale("sql", "shop", "SELECT count(*) FROM (%s)" % self.ENDLESS, "--timeout", "300ms", "--json", want=3)
        self.assertEqual(json.loads(p.stderr)["error"]["code"], "TIMEOUT")

    def test_a_reader_that_leaves_ends_a_query(self):
        p = self.endless("shop", self.ENDLESS, "INSERT INTO items(name) VALUES('not any more')")
        with p.stdout:
            self.assertEqual(p.stdout.readline(), b"1\n")
        self.assertIn(p.wait(60), (0, -signal.SIGPIPE, 128 + signal.SIGPIPE))
        self.assertEqual(p.stderr.read(), b"")
        p = self.endless("shell", "shop", stdin=subprocess.PIPE)
        p.stdin.write((self.ENDLESS + ";\nINSERT INTO items(name) VALUES('not any more');\n").encode())
        p.stdin.close()
        with p.stdout:
            p.stdout.readline()
        p.wait(60)
        self.assertEqual(p.stderr.read(), b"")
        self.assertEqual(self.sql("SELECT count(*) FROM items"), "0\n")

    # ---- over HTTP
    def test_a_bucket_and_what_it_is_asked(self):
        server = bucket.Server()
        self.addCleanup(server.close)
        env = {"AWS_ENDPOINT": server.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
        url = "s3://acme/apps/shop/"
        self.run_shale("sql", "migrate", url, "mig", env=env)
        for i in range(4):
            self.run_shale("sql", url, "INSERT INTO items(name) VALUES('n%d')" % i, env=env)
        before = len(server.requests)
        self.assertEqual(self.run_shale("sql", url, "SELECT count(*) FROM items", env=env).stdout, b"4\n")
        self.assertEqual(len(server.requests) - before, 7)  # manifest, snapshot, 4 changesets, and the manifest again: not modified
        self.run_shale("sql", "compact", url, env=env)
        self.run_shale("sql", "gc", url, "--grace", "1ms", env=env)
        self.assertEqual(sorted(k.rpartition("/")[0] for k in server.buckets["acme"]), ["apps/shop", "apps/shop/snapshots"])


if __name__ == "__main__":
    unittest.main()
