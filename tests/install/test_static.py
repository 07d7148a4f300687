#!/usr/bin/env python3
"""The program and the library in one file, for this machine's architecture and for another one.

Goal: what tools/build-static makes needs nothing from the machine that it runs on, and does the same as the usual build: on a folder, on a bucket whose
server has a name, by TLS. Method: both are built; the other one runs under qemu. Each reads what the usual build wrote, and is read by it.

Environment: SHALE = the usual program; ARCHES = which to try [x86_64 aarch64]."""
import contextlib
import http.server
import os
import platform
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "servers"))
import servers  # noqa: E402

SHALE = os.path.abspath(os.environ.get("SHALE", os.path.join(TOP, "build", "release", "shale")))
ARCHES = os.environ.get("ARCHES", "x86_64 aarch64").split()
BUILD_MAX_S = 600
RUN_MAX_S = 60


class Refuses(http.server.BaseHTTPRequestHandler):
    """A bucket that forbids everything: who hears that has come through TLS."""

    def answer(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = answer

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def tls_server(folder):
    """Gives the port of a server called localhost and the file of its certificate."""
    pem = os.path.join(folder, "localhost.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", pem + ".key", "-out", pem], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, pem + ".key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], pem
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Checks:
    """The cases, for one architecture."""

    arch = None

    @classmethod
    def setUpClass(cls):
        subprocess.run([os.path.join(TOP, "tools", "build-static"), cls.arch], check=True, timeout=BUILD_MAX_S, stdin=subprocess.DEVNULL)
        cls.out = os.path.join(TOP, "build", "static-" + cls.arch)
        cls.emulator = [] if cls.arch == platform.machine() else ["qemu-%s-static" % cls.arch]
        if cls.emulator and shutil.which(cls.emulator[0]) is None:
            raise unittest.SkipTest("%s is not installed" % cls.emulator[0])

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def run_it(self, program, *args, env=None, rc=0):
        p = subprocess.run([*self.emulator, program, *args], env=env or {"HOME": self.folder}, cwd=self.folder, stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=RUN_MAX_S)
        self.assertEqual(p.returncode, rc, p.stdout + p.stderr)
        return p.stdout + p.stderr

    def shale(self, *args, **how):
        return self.run_it(os.path.join(self.out, "shale"), *args, **how)

    def usual(self, *args):
        return subprocess.run([SHALE, *args], check=True, capture_output=True, text=True, timeout=RUN_MAX_S).stdout

    def test_needs_nothing(self):
        text = subprocess.run(["readelf", "-ld", os.path.join(self.out, "shale")], check=True, capture_output=True, text=True).stdout
        self.assertNotIn("NEEDED", text)
        self.assertNotIn("interpreter", text)
        self.assertIn("shale 0.", self.shale("--version"))

    def test_same_database_as_the_usual_build(self):
        db = "file://" + os.path.join(self.folder, "db")
        self.shale("put", db, "by/static", "one", "--set", "compression_codec=zstd")
        self.usual("put", db, "by/usual", "two", "--set", "compression_codec=snappy")
        for text in (self.shale("scan", db), self.usual("scan", db)):
            self.assertEqual(text, "by/static\tone\nby/usual\ttwo\n")
        self.usual("compact", db, "--full")
        self.assertEqual(self.shale("get", db, "by/usual"), "two")

    def test_bucket_of_a_server_with_a_name(self):
        if not servers.SERVERS["ministack"].at_hand():
            self.skipTest("ministack is not at hand")
        with servers.started("ministack") as server:
            env = dict(server.env(), HOME=self.folder)
            env["AWS_ENDPOINT"] = env["AWS_ENDPOINT"].replace("127.0.0.1", "localhost")
            url = server.url("static")
            self.shale("put", url, "key", "value", env=env)
            self.assertEqual(self.shale("get", url, "key", env=env), "value")

    def test_tls_trusts_what_it_is_told_to(self):
        with tls_server(self.folder) as (port, pem):
            env = {"HOME": self.folder, "AWS_ENDPOINT": "https://localhost:%d" % port, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
            text = self.shale("get", "s3://bucket/db", "key", env=env, rc=3)
            self.assertIn("certificate", text)
            text = self.shale("get", "s3://bucket/db", "key", env=dict(env, SSL_CERT_FILE=pem), rc=3)
            self.assertIn("denied", text)

    def test_library_is_one_archive(self):
        program = os.path.join(self.folder, "quickstart")
        subprocess.run([self.arch + "-linux-gnu-gcc", "-std=c17", "-static", "-I" + os.path.join(TOP, "include"), os.path.join(TOP, "examples", "quickstart.c"),
                        os.path.join(self.out, "libshale-whole.a"), "-lstdc++", "-lm", "-lpthread", "-o", program], check=True, capture_output=True)
        self.assertEqual(self.run_it(program, "file://" + os.path.join(self.folder, "db")), "apple is red\nfruit/apple\nfruit/lime\n")


for name in ARCHES:
    globals()["Test_" + name] = type("Test_" + name, (Checks, unittest.TestCase), {"arch": name})

if __name__ == "__main__":
    unittest.main(verbosity=2)
