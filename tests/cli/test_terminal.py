#!/usr/bin/env python3
"""What is different on a terminal."""
import unittest

from common import Case, FAST


class Terminal(Case):
    """stdout and stderr on a pseudo-terminal."""

    def test_a_miss_is_told_and_a_takeover_noted(self):
        self.load([(b"a", b"1")])
        code, out = self.on_terminal("get", self.db, "nope")
        self.assertEqual(code, 1)
        self.assertIn(b'key not found: "nope"', out)
        self.assertEqual(self.on_terminal("get", self.db, "a"), (0, b"1\r\n"))
        code, out = self.on_terminal("put", self.db, "b", "2", *FAST)
        self.assertIn(b"took over as writer, epoch 1 -> 2", out)

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


if __name__ == "__main__":
    unittest.main()
