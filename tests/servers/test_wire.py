#!/usr/bin/env python3
"""Each request of the program may lose its answer at any byte, or meet silence: it comes to the right end all the same, or to an error in time.

usage: test_wire.py      SHALE: the program; an S3 server's environment (AWS_*) and SHALE_TEST_URL; SEED

Method: a command runs through a proxy that strikes one request of it, the first, the second and so on: the answer ends behind a byte drawn by
the seed (by a reset or an orderly end), is lost after the work was done, or never comes. Then the command must have done what it
should, once. Where every request meets silence, the command must end with an error: none may wait for ever. The limits here (LIMIT_S) are
only there to end what would hang."""
import os
import random
import socket
import subprocess
import sys
import threading
import unittest
import uuid

from proxy import Proxy, running
from s3 import Bucket, split

SHALE = os.environ.get("SHALE", "shale")
SEED = os.environ.get("SEED", "1")
LIMIT_S = 120
STRIKES = float(os.environ.get("WIRE_STRIKES", "2"))  # for each request of a command; 0.5: every second request, beginning anywhere
REQUESTS_MAX = 60
QUICK = {"AWS_FIRST_BYTE_TIMEOUT": "700ms", "AWS_READ_TIMEOUT": "700ms", "AWS_CONNECT_TIMEOUT": "700ms", "AWS_TIMEOUT": "2s"}
BASE = os.environ.get("SHALE_TEST_URL", "").rstrip("/")


class Scripted(Proxy):
    """Strikes the n-th request, or each (n = None)."""

    def __init__(self, fault=None, n=None, at=None):
        super().__init__(os.environ["AWS_ENDPOINT"], SEED, {})
        self.fault, self.n, self.at, self.long_s = fault, n, at, 10 * LIMIT_S

    def draw(self):
        _, rnd, _ = super().draw()
        return self.fault if self.n is None or self.requests == self.n else None, rnd, self.at


class NoAnswers(Proxy):
    """The first PUT of a log object is done and its answer lost; all that try it again are cut off at once, as it happens to large bodies
    that a server refuses before it has read them."""

    def __init__(self):
        super().__init__(os.environ["AWS_ENDPOINT"], SEED, {})
        self.done = set()

    def fault_of(self, line):
        method, target, _ = line.split()
        if method != "PUT" or "/wal/" not in target:
            return None
        first = target not in self.done
        self.done.add(target)
        return "lost" if first else "reset"


def shale(endpoint, *args, data=None, **env):
    """Exit code (None: it did not end), stdout, stderr."""
    full = {k: v for k, v in os.environ.items() if not k.startswith(("SHALE_", "SLATEDB_"))}
    try:
        p = subprocess.run([SHALE, *args], input=data, capture_output=True, timeout=LIMIT_S, env=dict(full, AWS_ENDPOINT=endpoint, **env))
    except subprocess.TimeoutExpired:
        return None, b"", b"no end"
    return p.returncode, p.stdout, p.stderr


def direct(*args):
    code, out, err = shale(os.environ["AWS_ENDPOINT"], *args)
    if code != 0:
        raise RuntimeError("%s: exit %s, %s" % (args, code, err.decode()))
    return out


def struck(command, fault, n, at=None, data=None, **env):
    """Runs a command with its n-th request struck; (exit code, stdout, stderr, requests)."""
    proxy = Scripted(fault, n, at)
    with running(proxy) as url:
        code, out, err = shale(url, *command, data=data, **env)
    return code, out, err, proxy.requests


@unittest.skipUnless(BASE and "AWS_ENDPOINT" in os.environ, "SHALE_TEST_URL and AWS_ENDPOINT say no server")
class Wire(unittest.TestCase):
    def setUp(self):
        name, prefix = split(BASE)
        self.bucket, self.prefix = Bucket(name), prefix + "/wire-" + uuid.uuid4().hex[:8]
        self.url = "s3://%s/%s" % (name, self.prefix)
        self.rnd, self.runs = random.Random(SEED + self.id()), 0

    def tearDown(self):
        self.bucket.remove(self.prefix + "/")

    def each_request(self, prepare, command_of, check, faults, strikes=STRIKES, data=None, **env):
        """Strikes each request of a command in turn, until there are no more. prepare(url): before each; command_of(url); check(url, stdout)."""
        step = max(1, round(1 / strikes))
        n = self.rnd.randint(1, step)
        total = n
        while n <= total:
            for _ in range(max(1, round(strikes))):
                fault, at = self.rnd.choice(faults), self.rnd.randrange(1000 if self.rnd.random() < 0.7 else 60)
                self.runs += 1
                url = "%s/%d" % (self.url, self.runs)
                prepare(url)
                code, out, err, seen = struck(command_of(url), fault, n, at, data=data, **env)
                what = "SEED=%s: %s of request %d at byte %s: exit %s, %s" % (SEED, fault, n, at, code, err.decode(errors="replace").strip()[-300:])
                self.assertEqual(code, 0, what)
                check(url, out, what)
                total = max(total, min(seen, REQUESTS_MAX))
            n += step

    def test_put(self):
        def check(url, _out, what):
            self.assertEqual(direct("get", url, "k"), b"v", what)

        self.each_request(lambda url: None, lambda url: ["put", url, "k", "v"], check,
                          ["cut", "truncate", "truncate", "lost", "turned", "reset", "half", "broken"])

    def test_put_meets_silence_once(self):
        def check(url, _out, what):
            self.assertEqual(direct("get", url, "k"), b"v", what)

        self.each_request(lambda url: None, lambda url: ["put", url, "k", "v"], check, ["deaf", "stall"], STRIKES / 2, **QUICK)

    def test_put_whose_answers_are_all_lost(self):
        with running(NoAnswers()) as url:
            code, _, err = shale(url, "put", self.url, "k", "v")
        self.assertEqual(code, 0, err)
        self.assertEqual(direct("get", self.url, "k"), b"v")

    def test_put_in_parts(self):
        """A table of more than a part goes up in parts; the end of it may be lost like anything else."""
        value = self.rnd.randbytes(18 << 20)

        def check(url, _out, what):
            self.assertEqual(direct("get", url, "k"), value, what)
            self.assertTrue(any(size > len(value) for _, size in self.bucket.list(split(url)[1] + "/compacted/")), what)

        self.each_request(lambda url: None, lambda url: ["put", url, "k", "-"], check, ["cut", "truncate", "lost", "turned", "half"], STRIKES / 2, value)

    def test_scan(self):
        url, rows = self.url + "/db", 300
        for part in range(3):
            text = "".join('{"key":"%05d","value":"%s"}\n' % (n, "x" * 200) for n in range(part, rows, 3)).encode()
            code, _, err = shale(os.environ["AWS_ENDPOINT"], "load", url, "-", data=text)
            self.assertEqual(code, 0, err)
        want = direct("scan", url)

        def check(_url, out, what):
            self.assertEqual(out, want, what)

        self.each_request(lambda _url: None, lambda _url: ["scan", url], check, ["cut", "truncate", "turned"])
        self.each_request(lambda _url: None, lambda _url: ["scan", url], check, ["stall"], STRIKES / 2, **QUICK)

    def test_raw_objects(self):
        name = "s3://%s" % split(self.url)[0]
        body = self.rnd.randbytes(3000).hex().encode()

        def prepare(url):
            self.bucket.ask("PUT", split(url)[1] + "/a", body=body)

        faults = ["cut", "truncate", "lost", "turned"]
        self.each_request(prepare, lambda url: ["store", "cat", url + "/a"], lambda _u, out, what: self.assertEqual(out, body, what), faults)
        self.each_request(prepare, lambda url: ["store", "cp", url + "/a", url + "/b"],
                          lambda url, _o, what: self.assertEqual(self.bucket.get(split(url)[1] + "/b"), body, what), faults)
        self.each_request(prepare, lambda url: ["store", "rm", url + "/a", "--yes"],
                          lambda url, _o, what: self.assertEqual(self.bucket.list(split(url)[1] + "/"), [], what), faults)
        self.each_request(prepare, lambda url: ["store", "ls", url], lambda _u, out, what: self.assertIn(b" a\n", out, what + name), faults)
        self.each_request(prepare, lambda url: ["store", "stat", url + "/a"], lambda _u, out, what: self.assertIn(b" 6000 bytes", out, what), faults)

    def silent(self, fault, command, **env):
        proxy = Scripted(fault, None, None if fault != "stall" else 30)
        with running(proxy) as url:
            code, _, err = shale(url, *command, "--set", "object_store_max_retries=1", **dict(QUICK, **env))
        self.assertEqual(code, 3, "%s: exit %s, %s" % (fault, code, err.decode(errors="replace")))
        self.assertGreater(proxy.requests, 0)
        return err.decode()

    def test_silence_for_ever_is_an_error(self):
        for fault, command in (("deaf", ["get", self.url, "k"]), ("deaf", ["put", self.url, "k", "v"]), ("stall", ["put", self.url, "k", "v"]),
                               ("leak", ["scan", self.url])):
            with self.subTest(fault=fault, command=command[0]):
                self.silent(fault, command)

    def test_a_server_that_does_not_accept_is_an_error(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(0)
            url = "http://127.0.0.1:%d" % s.getsockname()[1]
            fillers = []
            for _ in range(4):  # the queue of connections is full; more are not answered at all
                c = socket.socket()
                c.setblocking(False)
                c.connect_ex(s.getsockname())
                fillers.append(c)
            code, _, err = shale(url, "get", self.url, "k", "--set", "object_store_max_retries=1", **QUICK)
            self.assertEqual(code, 3, err)
            for c in fillers:
                c.close()

    def test_a_server_that_takes_no_body_is_an_error(self):
        """Reads of the request nothing but its first bytes: sending must not wait for ever."""
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.bind(("127.0.0.1", 0))
            s.listen(64)
            held, over = [], threading.Event()

            def accept():
                while not over.is_set():
                    try:
                        held.append(s.accept()[0])
                    except OSError:
                        return

            threading.Thread(target=accept, daemon=True).start()
            value = "v" * (8 << 20)
            code, _, err = shale("http://127.0.0.1:%d" % s.getsockname()[1], "put", self.url, "k", "-", "--set", "object_store_max_retries=1",
                                 data=value.encode(), **QUICK)
            over.set()
            s.shutdown(socket.SHUT_RDWR)
            self.assertEqual(code, 3, err)
            for c in held:
                c.close()

    def test_no_server_is_an_error(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            code, _, err = shale("http://127.0.0.1:%d" % s.getsockname()[1], "get", self.url, "k", "--set", "object_store_max_retries=1", **QUICK)
        self.assertEqual(code, 3, err)


if __name__ == "__main__":
    print("test_wire: SEED=%s" % SEED, file=sys.stderr)
    unittest.main(verbosity=2)
