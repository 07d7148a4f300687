#!/usr/bin/env python3
"""What is different on a terminal."""
import unittest

import json
import re
import time

import bucket
from common import Case, FAST
from test_errors import S3Case


class Terminal(Case):
    """stdout and stderr on a pseudo-terminal."""

    def test_a_miss_is_told_and_a_takeover_noted(self):
        self.load([(b"a", b"1")])
        code, out = self.on_terminal("get", self.db, "nope")
        self.assertEqual(code, 1)
        self.assertIn(b'key not found: "nope"\r\n  try: shale scan %s --prefix nope  ' % self.db.encode(), out)
        self.assertIn(b"--prefix 6e6f --hex", self.on_terminal("get", self.db, "6e6f", "--hex")[1])
        p = self.run_shale("get", self.db, "no pe", "--json", want=1)
        self.assertEqual(json.loads(p.stderr)["error"]["try"], ["shale scan %s --prefix 'no pe'" % self.db])
        self.assertEqual(self.on_terminal("get", self.db, "a"), (0, b"1\r\n"))
        code, out = self.on_terminal("put", self.db, "b", "2", *FAST)
        self.assertIn(b"took over as writer, epoch 1 -> 2", out)

    def test_a_new_database_is_told(self):
        """One letter that is missing makes one."""
        note = b"note: there was no database in %s: made a new one\r\n"
        self.assertIn(note % b"fresh", self.on_terminal("put", "fresh", "a", "b", *FAST)[1])
        self.assertNotIn(b"made a new one", self.on_terminal("put", "fresh", "a", "b", *FAST)[1])
        self.run_shale("clone", "fresh", "copy")
        self.assertNotIn(b"made a new one", self.on_terminal("put", "copy", "a", "b", *FAST)[1])
        self.assertNotIn(b"made a new one", self.on_terminal("put", "memory:", "a", "b")[1])
        self.assertEqual(self.run_shale("put", "other", "a", "b", *FAST).stderr, b"")

    def test_who_waits_until_he_is_stopped_says_for_what(self):
        stopped = ("timeout", "--foreground", "--preserve-status", "-s", "INT")
        self.run_shale("put", "db", "a", "b", *FAST)
        for args, what in ((["compactor", "db"], b"compactions of db"), (["compactor-worker", "db"], b"compactions of db"),
                           (["wal", "tail", "db", "--since-id", "999"], b"rows that become durable in db")):
            said = b"waiting for %s; Ctrl-C ends it\r\n" % what
            self.assertEqual(self.on_terminal("1.5", *args, program=stopped), (0, said))
        self.assertNotIn(b"Ctrl-C", self.on_terminal("1.5", "wal", "tail", "db", "--since-id", "1", program=stopped)[1])  # a row stands there

    def test_a_long_scan_stops_and_says_so(self):
        self.load([(b"%05d" % i, b"y" * 300) for i in range(1200)])
        code, out = self.on_terminal("scan", self.db)
        self.assertEqual(code, 0)
        self.assertIn(b"stopped after 1000 rows", out)
        self.assertLess(max(map(len, out.split(b"\r\n"))), 90)

    def test_colour_obeys(self):
        self.assertIn(b"\033[31m", self.on_terminal("get", self.db, "a")[1])
        self.assertNotIn(b"\033[", self.on_terminal("get", self.db, "a", "--no-color")[1])
        self.env["NO_COLOR"] = "1"
        self.assertNotIn(b"\033[", self.on_terminal("get", self.db, "a")[1])


    def test_no_rows_is_a_word(self):
        self.load([(b"a", b"1")])
        self.assertEqual(self.on_terminal("scan", self.db, "./x"), (0, b'note: no key begins with "./x"\r\n'))
        self.assertEqual(self.on_terminal("scan", self.db, "--from", "b"), (0, b"note: no rows\r\n"))
        self.assertEqual(self.on_terminal("scan", self.db, "b", "-q"), (0, b""))

    def test_one_of_a_kind_is_no_plural(self):
        self.load([(b"a", b"1")])
        self.assertIn(b"deleted 1 key, durable", self.on_terminal("del", self.db, "a", *FAST)[1])
        self.assertIn(b"deleted 2 keys, durable", self.on_terminal("del", self.db, "a", "b", *FAST)[1])

    def test_a_narrow_load_shows_its_count_before_its_bar(self):
        text = 'import sys, time\nfor i in range(60):\n    for k in range(1000): print(\'{"key":"%d","value":"v"}\' % k)\n    sys.stdout.flush(); time.sleep(0.03)'
        script = "python3 -c '%s' | \"$0\" load db -" % text.replace("'", "'\\''")
        for columns, bar in ((40, False), (100, True)):
            code, out = self.on_terminal(script, columns=columns, program=("sh", "-c"))
            drawn = [x for x in out.split(b"\r") if b" rows" in x and x.startswith(b"load ")]
            self.assertEqual((code, len(drawn) > 0), (0, True), out)
            for line in drawn:
                self.assertLess(len(line.replace(b"\033[K", b"")), columns)
                self.assertEqual(b"[" in line.replace(b"\033[K", b""), bar, line)


class Life(S3Case):
    """A store that takes its time."""

    def slow(self, wait_s=0.7):
        return self.serve(lambda *_: time.sleep(wait_s))

    def test_who_waits_sees_for_whom(self):
        server = self.slow(0)
        self.run_shale("put", "s3://acme/orders", "k", "v")
        server.answer = lambda *_: time.sleep(0.7)
        for args, last in ((["stat", "s3://acme/orders"], b" on S3"), (["get", "s3://acme/orders", "k"], b"v\r\n"), (["store", "ls", "s3://acme"], b"orders/"),
                           (["put", "s3://acme/orders", "k", "w"], b"durable at seq")):
            code, out = self.on_terminal(*args)
            seen = re.findall(rb"\rwaiting for s3://acme: (\d+) requests?, (\d+\.\d) s\033\[K", out)
            self.assertEqual((code, len(seen) > 1), (0, True), out)
            self.assertGreaterEqual(float(seen[0][1]), 0.5)
            left = re.sub(rb"(\rwaiting[^\033]*\033\[K)+\r\033\[K", b"", out)  # each is wiped before anything else is said
            self.assertNotIn(b"waiting", left)
            self.assertIn(last, left)

    def test_nobody_else_does(self):
        self.slow()
        for more in (["-q"], ["--json"], ["--progress", "off"]):
            self.assertNotIn(b"waiting", self.on_terminal("store", "ls", "s3://acme", *more)[1])
        self.assertNotIn(b"waiting", self.on_terminal("store", "ls", "s3://acme", TERM="dumb")[1])
        self.assertNotIn(b"waiting", self.run_shale("store", "ls", "s3://acme").stderr)

    def test_no_question_is_drawn_over(self):
        server = self.serve()
        server.store(server.buckets["acme"], "x", b"x", {})
        code, out = self.on_terminal("store", "rm", "s3://acme/x", typed=b"", later=(1.2, b"y\n"))
        self.assertEqual(code, 0)
        self.assertNotIn(b"waiting", out)


if __name__ == "__main__":
    unittest.main()
