#!/usr/bin/env python3
"""Ctrl-C and SIGTERM while something is written: what is said, when, and what is left.

Goal: nobody has to guess. Method: a store that falls silent at a chosen request, and signals then."""
import json
import os
import select
import signal
import subprocess
import threading
import time
import unittest

import bucket
from common import SHALE
from test_errors import S3Case

ROWS = b"".join(b'{"key":"%04d","value":"v"}\n' % i for i in range(1500))
TAKEN_S = 0.5  # until all of them are taken


class Silent(S3Case):
    """A server that does not answer PUTs of a kind, once it is told to."""

    def setUp(self):
        super().setUp()
        self.hung, self.deaf, self.free = threading.Event(), threading.Event(), threading.Event()
        self.kind = "/wal/"
        self.server = self.serve(self.answer)
        self.addCleanup(self.free.set)

    def answer(self, method, _bucket, key, _query, _headers):
        if method == "PUT" and self.kind in key and self.deaf.is_set():
            self.hung.set()
            self.server.mu.release()  # others are answered
            try:
                self.free.wait(60)
            finally:
                self.server.mu.acquire()
            return bucket.DROP
        return None

    def begin(self, *args):
        p = subprocess.Popen([SHALE, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, cwd=self.dir)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def hears(self, p, limit_s=20):
        """The next line of stderr, and that it came before the limit."""
        self.assertTrue(select.select([p.stderr], [], [], limit_s)[0], "silence")
        return p.stderr.readline().decode()

    def loading(self, *more):
        """A load whose rows are taken and cannot be made durable."""
        p = self.begin("load", "s3://acme/orders", *more)
        for _ in range(400):  # until it has opened, which writes a fence
            if [r for r in list(self.server.requests) if r[0] == "PUT" and "/wal/" in r[2]]:
                break
            time.sleep(0.02)
        time.sleep(0.2)
        self.deaf.set()
        p.stdin.write(ROWS)
        p.stdin.flush()
        return p

    def test_load_says_at_once_what_is_open_and_leaves_at_the_second(self):
        for end_of_input in (False, True):
            for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
                self.deaf.clear()
                self.hung.clear()
                self.server.requests.clear()
                p = self.loading()
                if end_of_input:  # then the last flush is what hangs
                    p.stdin.close()
                self.assertTrue(self.hung.wait(20))
                time.sleep(TAKEN_S)
                p.send_signal(sig)
                self.assertEqual(self.hears(p, 3), "stopping: 1,500 rows not yet durable; Ctrl-C again drops them\n")
                self.assertIsNone(p.poll())
                p.send_signal(sig)
                self.assertEqual(p.wait(3), code)
                self.assertEqual(p.stderr.read(), b"")
                if not end_of_input:
                    p.stdin.close()

    def test_load_goes_on_if_the_store_comes_back(self):
        p = self.loading()
        p.stdin.close()
        self.assertTrue(self.hung.wait(20))
        time.sleep(TAKEN_S)
        p.send_signal(signal.SIGINT)
        self.assertIn("stopping: 1,500 rows not yet durable", self.hears(p, 3))
        self.deaf.clear()
        self.free.set()
        self.assertEqual(p.wait(30), 130)
        self.assertEqual(p.stderr.read(), b"stopped: 1,500 rows are durable.\n")
        self.assertEqual(self.run_shale("scan", "s3://acme/orders", "--count").stdout, b"1500 rows, 7500 bytes\n")

    def test_a_closed_terminal_is_a_safe_stop_too_but_not_under_nohup(self):
        p = self.begin("load", self.db)
        p.stdin.write(ROWS)
        p.stdin.flush()
        time.sleep(TAKEN_S)
        p.send_signal(signal.SIGHUP)
        self.assertEqual(p.wait(30), 129)
        p.stdin.close()
        self.assertEqual(self.run_shale("scan", self.db, "--count").stdout, b"1500 rows, 7500 bytes\n")
        p = subprocess.Popen(["nohup", SHALE, "load", self.db], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.env, cwd=self.dir)
        p.stdin.write(ROWS)
        p.stdin.flush()
        time.sleep(TAKEN_S)
        p.send_signal(signal.SIGHUP)
        p.stdin.close()
        self.assertEqual(p.wait(30), 0)

    def test_a_stdin_that_is_closed_is_told(self):
        for args in (["load", self.db], ["shell", self.db], ["s4", "load", "texts"], ["put", self.db, "k", "-"]):
            self.run_shale("put", self.db, "k", "v")
            p = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", SHALE, *args], capture_output=True, env=self.env, cwd=self.dir, timeout=60)
            self.assertIn(p.returncode, (2, 3), (args, p.stderr))
            self.assertIn(b"cannot be read: Bad file descriptor", p.stderr)

    def test_load_that_is_stopped_in_its_last_flush_has_stopped(self):
        for kind in ("/compacted/", "/manifest/"):
            for more in ([], ["--json"]):
                self.deaf.clear()
                self.hung.clear()
                self.free.clear()
                self.server.requests.clear()
                self.kind = "/none/"
                p = self.loading(*more)
                self.kind = kind
                p.stdin.close()
                self.assertTrue(self.hung.wait(20))
                p.send_signal(signal.SIGINT)
                time.sleep(0.3)
                self.deaf.clear()
                self.free.set()
                self.assertEqual(p.wait(30), 130)
                out, err = p.stdout.read(), p.stderr.read()
                if more:
                    self.assertTrue(json.loads(out)["stopped"])
                else:
                    self.assertTrue(err.endswith(b"stopped: 1,500 rows are durable.\n"), err)

    def test_load_that_waits_for_no_row_says_so(self):
        self.run_shale("put", "s3://acme/orders", "k", "v")
        self.deaf.set()
        p = self.begin("load", "s3://acme/orders")  # its fence hangs
        self.assertTrue(self.hung.wait(20))
        p.send_signal(signal.SIGINT)
        self.assertIn("no row waits for it; Ctrl-C again leaves now", self.hears(p, 3))
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(3), 130)
        p.stdin.close()

    def test_load_says_nothing_with_quiet_or_json(self):
        for more in (["-q"], ["--json"]):
            self.deaf.clear()
            self.hung.clear()
            self.server.requests.clear()
            p = self.loading(*more)
            p.stdin.close()
            self.assertTrue(self.hung.wait(20))
            p.send_signal(signal.SIGINT)
            time.sleep(0.5)
            p.send_signal(signal.SIGINT)
            self.assertEqual((p.wait(3), p.stderr.read()), (130, b""))

    def test_load_that_stops_says_what_is_durable_with_quiet_and_json(self):
        for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for more in ([], ["-q"], ["--json"]):
                self.server.requests.clear()
                p = self.begin("load", "s3://acme/orders", *more)
                for _ in range(400):
                    if [r for r in list(self.server.requests) if r[0] == "PUT" and "/wal/" in r[2]]:
                        break
                    time.sleep(0.02)
                p.stdin.write(ROWS)
                p.stdin.flush()
                time.sleep(TAKEN_S)
                p.send_signal(sig)
                self.assertEqual(p.wait(20), code)
                out, err = p.stdout.read(), p.stderr.read()
                p.stdin.close()
                if more == ["--json"]:
                    told = json.loads(out)
                    self.assertEqual((told["rows"], told["stopped"], err), (1500, True, b""))
                    self.assertGreater(told["requests"]["cost_usd"], 0)
                else:
                    lines = err.splitlines()
                    self.assertEqual((out, lines[-1]), (b"", b"stopped: 1,500 rows are durable."))
                    self.assertEqual(len(lines), 1 if more else 2, err)

    def test_others_that_write_say_that_it_is_open(self):
        self.run_shale("put", "s3://acme/orders", "k", "v")
        with open(os.path.join(self.dir, "file"), "w") as f:
            f.write("x")
        for kind, args in (("/wal/", ["put", "s3://acme/orders", "k", "w"]), ("/wal/", ["del", "s3://acme/orders", "k"]),
                           ("copy", ["store", "cp", "s3://acme/orders/manifest/00000000000000000001.manifest", "s3://acme/copy"])):
            self.deaf.set()
            self.hung.clear()
            self.kind = kind
            p = self.begin(*args)
            p.stdin.close()
            self.assertTrue(self.hung.wait(20))
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.wait(3), 130)
            self.assertIn(b": stopped halfway: what it was about to write may or may not be there\n", p.stderr.read())

    def test_those_that_run_until_they_are_stopped_end_well_and_say_what_was_wrong(self):
        self.run_shale("put", "s3://acme/orders", "k", "v")
        def answer(*_):
            self.hung.set()
            return bucket.DROP
        self.server.answer = answer
        for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            for args in (["gc"], ["compactor"], ["compactor-worker"], ["wal tail"], ["stat", "--watch", "1s"], ["gc", "--once"], ["compactor", "--once"]):
                self.hung.clear()
                p = self.begin(*args[0].split(), "s3://acme/orders", *args[1:])
                p.stdin.close()
                self.assertTrue(self.hung.wait(20))
                time.sleep(0.3)
                p.send_signal(sig)
                self.assertEqual(p.wait(20), code if "--once" in args else 0, args)
                self.assertIn(b": stopped", p.stderr.read(), args)

    def test_a_write_that_was_sent_behind_a_lost_read_is_not_denied(self):
        def answer(method, *_):
            if method == "HEAD":
                return bucket.DROP
            return self.answer(method, "", "/wal/", None, None)
        self.server.answer = answer
        self.deaf.set()
        p = self.begin("store", "mb", "s3://fresh")
        p.stdin.close()
        self.assertTrue(self.hung.wait(20))
        p.send_signal(signal.SIGINT)
        self.assertEqual(p.wait(20), 130)
        self.assertIn(b"may or may not be there", p.stderr.read())


if __name__ == "__main__":
    unittest.main()
