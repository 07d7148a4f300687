#!/usr/bin/env python3
"""shale doctor and shale store doctor.

Goal: a good store is well and left as it was; a store that breaks a promise FAILs by the promise's name, with exit 1; missing rights are told one by one. Method: the
small S3 server of bucket.py, folders, memory."""
import fcntl
import json
import os
import time
import unittest

import bucket
from common import tree
from test_errors import S3Case


def findings(text):
    """{what: (level, rest)} of the lines."""
    out = {}
    for line in text.splitlines():
        level, what, rest = line[:4].strip(), line[6:23].strip(), line[25:]
        out.setdefault(what, (level, rest))
    return out


class Buckets(S3Case):
    def doctor(self, *more, want=0):
        return findings(self.run_shale("store", "doctor", "s3://acme/below", *more, want=want).stdout.decode())

    def test_a_good_bucket(self):
        server = self.serve()
        server.buckets["acme"]["keep"] = {"body": b"x", "etag": '"1"', "time": time.time(), "meta": {}}
        found = self.doctor()
        self.assertEqual({k: v for k, v in found.items() if v[0] != "ok"}, {})
        for what in ("identity", "server", "write", "read", "list", "ranges", "metadata", "multipart", "multipart abort", "copy", "clock",
                     "create-only put", "if-match put", "delete", "price"):
            self.assertIn(what, found)
        self.assertRegex(found["create-only put"][1], r"^32 racers, 1 winner, 31 refused ")
        self.assertIn("AKIATEST (environment AWS_ACCESS_KEY_ID)", found["identity"][1])
        self.assertRegex(found["price"][1], r"^\d+ PUT, \d+ LIST, \d+ GET, \d+ DELETE, .*~\$0\.\d{4}")
        self.assertEqual(list(server.buckets["acme"]), ["keep"])  # and what was there before
        self.assertEqual(server.uploads, {})

    def test_broken_promises_fail_by_name(self):
        for ignored, what, fix in (("if-none-match", "create-only put", "upgrade the server"), ("if-match", "if-match put", "upgrade the server")):
            self.serve(ignore=(ignored,))
            found = self.doctor(want=1)
            self.assertEqual([k for k, v in found.items() if v[0] == "FAIL"], [what])
            self.assertIn("-> ", found[what][1])
            self.assertIn(fix, found[what][1])

    def test_rights_are_told_one_by_one(self):
        def denied(method, kind):
            def answer(m, b, k, q, h):
                list_call = m == "GET" and "list-type" in q
                if m == method and (kind is None or list_call == (kind == "list")):
                    return bucket.error(403, "AccessDenied")
                return None
            return answer
        for method, kind, what, action in (("PUT", None, "write", "s3:PutObject"), ("GET", "object", "read", "s3:GetObject"),
                                           ("GET", "list", "list", "s3:ListBucket"), ("DELETE", None, "delete", "s3:DeleteObject")):
            server = self.serve(denied(method, kind))
            found = self.doctor(want=1)
            self.assertEqual(found[what][0], "FAIL", (what, found))
            self.assertIn(action, found[what][1])
            if what != "delete":
                self.assertEqual(found["delete"][0], "warn" if what == "write" else "ok")
            if what == "write":
                for right in ("read", "delete"):
                    self.assertEqual(found[right][0], "warn")
                    self.assertIn("not tried: no object could be made", found[right][1])
            if what in ("read", "list"):
                self.assertEqual(found["write"][0], "ok")
            self.assertTrue(server.requests)

    def test_a_bucket_that_cannot_be_reached(self):
        self.serve()
        p = self.run_shale("store", "doctor", "s3://nobucket", want=3)
        self.assertIn(b'FAIL  store              no bucket "nobucket"', p.stdout)
        self.assertIn(b"try: shale store mb s3://nobucket", p.stderr)
        self.assertNotIn(b"no bucket", p.stderr)  # it stands on stdout
        self.env["AWS_ENDPOINT"] = "http://127.0.0.1:1"
        p = self.run_shale("store", "doctor", "s3://acme", want=3)
        self.assertIn(b"try: shale doctor s3://acme ", p.stderr)
        p = self.run_shale("doctor", "s3://acme", "--json", want=3)
        doc = json.loads(p.stdout)
        self.assertEqual(doc["fail"], 1)
        self.assertEqual(json.loads(p.stderr)["error"]["code"], "UNAVAILABLE")

    def test_a_wrong_secret_is_told_and_no_right_is_asked_for(self):
        self.serve(lambda m, b, k, q, h: (403, {}, b"") if m == "HEAD" else bucket.error(403, "SignatureDoesNotMatch"))
        p = self.run_shale("store", "doctor", "s3://acme", want=3)
        self.assertRegex(p.stdout.decode(), r"^FAIL  store +credentials refused: AKIATEST .*: the secret is not that of this key")
        self.assertNotIn(b"ListBucket", p.stdout)

    def test_a_proxy_that_fails_is_named_and_not_well(self):
        self.serve()
        self.env.update(http_proxy="http://me:hush@127.0.0.1:1", NO_PROXY="", no_proxy="")
        p = self.run_shale("doctor", "s3://acme", want=3)
        found = findings(p.stdout.decode())
        self.assertIn("cannot connect to proxy 127.0.0.1:1 (http_proxy): Connection refused", found["store"][1])
        self.assertEqual(found["proxy"][0], "FAIL")
        self.assertNotIn(b"hush", p.stdout)
        self.env["http_proxy"] = "ftp://me:hush/hush@127.0.0.1:1"
        p = self.run_shale("doctor", "s3://acme", want=3)
        self.assertIn("cannot get through proxy 127.0.0.1:1 (http_proxy): its URL is none that is understood", findings(p.stdout.decode())["store"][1])
        self.assertNotIn(b"hush", p.stdout + p.stderr)
        del self.env["http_proxy"]
        lines = self.fails("get", "s3://acme/x", "k", "--store-option", "proxy_url=http://127.0.0.1:1", "--timeout", "500ms")
        self.assertIn("cannot connect to proxy 127.0.0.1:1 (proxy_url)", lines[0])
        self.env["http_proxy"] = "http://127.0.0.1:1"
        self.env["no_proxy"] = "127.0.0.1"
        self.run_shale("put", "s3://acme/x", "k", "v")
        lines = self.fails("get", "s3://acme/x", "k", "--endpoint", "http://127.0.0.1:2", "--timeout", "500ms")
        self.assertIn("cannot connect to 127.0.0.1:2: ", lines[0])

    def test_https_to_a_server_of_plain_http(self):
        server = self.serve()
        lines = self.fails("get", "s3://acme/x", "k", "--endpoint", server.url.replace("http:", "https:"), "--timeout", "700ms")
        self.assertIn("https was asked, and plain http is spoken by 127.0.0.1:", lines[0])

    def test_clock(self):
        self.serve()
        server = self.serve()
        real = server.get
        server.get = lambda objects, key, headers: real(
            {k: dict(o, time=o["time"] - 900) for k, o in objects.items()}, key, headers)
        found = self.doctor()
        self.assertEqual(found["clock"][0], "warn")
        self.assertRegex(found["clock"][1], r"^the store is 9\d\d s behind this machine  -> set this machine's clock")


class Here(S3Case):
    def test_folders(self):
        self.load([(b"a", b"1")])
        before = tree(self.dir)
        found = findings(self.run_shale("store", "doctor", self.db).stdout.decode())
        self.assertEqual({k for k, v in found.items() if v[0] == "FAIL"}, set())
        for what in ("owner", "file system", "free space", "leftovers", "write", "create-only put"):
            self.assertIn(what, found)
        self.assertEqual(tree(self.dir), before)
        self.assertEqual([x for x in os.listdir(self.db) if "doctor" in x], [])

    def test_a_missing_folder_is_not_left_behind(self):
        self.run_shale("store", "doctor", os.path.join(self.dir, "fresh"))
        self.assertFalse(os.path.exists(os.path.join(self.dir, "fresh")))

    def test_leftovers_and_locks(self):
        self.load([(b"a", b"1")])
        old = os.path.join(self.db, "wal", "00000000000000000009.sst#4")
        with open(old, "w") as f:
            f.write("half")
        os.utime(old, (time.time() - 7200,) * 2)
        fd = os.open(self.db, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        found = findings(self.run_shale("store", "doctor", self.db).stdout.decode())
        self.assertEqual(found["leftovers"][0], "warn")
        self.assertIn("1 unfinished writes", found["leftovers"][1])
        if "locks" in found:  # the system shows them
            self.assertEqual(found["locks"][0], "warn")
            self.assertIn("process %d holds" % os.getpid(), found["locks"][1])

    def test_a_malformed_endpoint_is_a_failure(self):
        p = self.run_shale("doctor", "--endpoint", "ftp://x", want=1)
        self.assertRegex(p.stdout.decode(), r"(?m)^FAIL  endpoint .*aws_endpoint")

    def test_lines_fit_a_terminal(self):
        for columns in (80, 100):
            out = self.on_terminal("doctor", columns=columns)[1].decode()
            self.assertLessEqual(max(map(len, out.split("\r\n"))), columns, out)

    def test_this_machine(self):
        self.env.update(SHALE_SERVERS="x", SLATEDB_FLUSH_INTERVALL="5", SHALE_FLUSH_INTERVAL="50ms", SHALE_AWS_REGION="eu-west-1",
                        HTTPS_PROXY="http://user:hush-hush@proxy:8080")
        p = self.run_shale("doctor")
        found = findings(p.stdout.decode())
        for what in ("version", "libraries", "codecs", "open files", "settings file", "proxy", "credentials", "region"):
            self.assertIn(what, found)
        for codec in ("zlib", "zstd", "lz4", "snappy"):
            self.assertIn(codec, found["codecs"][1])
        said = [x for x in p.stdout.decode().splitlines() if x.startswith("warn  variable")]
        self.assertEqual(sorted(x.split()[2] for x in said), ["SHALE_SERVERS", "SLATEDB_FLUSH_INTERVALL"])
        self.assertIn("***@proxy:8080", found["proxy"][1])
        self.assertNotIn("hush-hush", p.stdout.decode())
        self.assertIn("eu-west-1", found["region"][1])

    def test_json(self):
        doc = json.loads(self.run_shale("store", "doctor", "memory:", "--json").stdout)
        self.assertEqual((doc["warn"], doc["fail"]), (0, 0))
        self.assertEqual(doc["ok"], len(doc["checks"]))
        for check in doc["checks"]:
            self.assertEqual(set(check), {"level", "what", "measured", "fix", "ms"})
        self.assertGreater(doc["requests"]["put"], 60)

    def test_open_settings_files_with_secrets_are_told(self):
        path = os.path.join(self.dir, "SlateDb.toml")
        with open(path, "w") as f:
            f.write('[storage]\naws_access_key_id = "AKIAFILE"\naws_secret_access_key = "hush-hush-hush"\n')
        os.chmod(path, 0o644)
        p = self.run_shale("doctor")
        self.assertIn(b"chmod 600", p.stdout)
        self.assertNotIn(b"hush-hush-hush", p.stdout)
        os.chmod(path, 0o600)
        self.assertNotIn(b"chmod 600", self.run_shale("doctor").stdout)


if __name__ == "__main__":
    unittest.main()
