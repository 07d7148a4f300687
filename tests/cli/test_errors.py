#!/usr/bin/env python3
"""What goes wrong, and what the program says then.

Goal: line 1 says what, where and why; the last lines are commands that exist; exit codes keep their promise. Method: a small S3 server in this process
that answers as real ones do when something is wrong, and folders that are missing, closed or damaged."""
import json
import os
import re
import signal
import shutil
import socket
import ssl
import sqlite3
import subprocess
import time
import unittest

import bucket
from common import Case, FAST, SHALE, SOURCE, table


class S3Case(Case):
    def serve(self, answer=None, **how):
        server = bucket.Server(answer, **how)
        self.addCleanup(server.close)
        self.env.update(AWS_ENDPOINT=server.url, AWS_ALLOW_HTTP="true", AWS_ACCESS_KEY_ID="AKIATEST", AWS_SECRET_ACCESS_KEY="secretsecret",
                        AWS_REGION="us-east-1")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            self.env.pop(name, None)
        return server

    def fails(self, *args, code=3, data=None):
        """The error's lines."""
        return self.run_shale(*args, want=code, data=data).stderr.decode().splitlines()

    def tries(self, lines):
        return [x[7:] for x in lines if x.startswith("  try: ")]


class NoLibcurl(Case):
    """A library that cannot be loaded: buckets say so, folders do not care."""

    def test_buckets_say_so_and_folders_work(self):
        with open(os.path.join(self.dir, "libcurl.so.4"), "w"):
            pass
        env = {"LD_LIBRARY_PATH": self.dir, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
        self.run_shale("put", self.db, "k", "v", *FAST, env=env)
        self.assertEqual(self.run_shale("get", self.db, "k", env=env).stdout, b"v")
        p = self.run_shale("get", "s3://bucket/db", "k", want=3, env=env)
        self.assertIn(b"buckets need libcurl: ", p.stderr)
        self.assertIn(b"libcurl.so.4", p.stderr)
        self.assertIn(b"warn  libraries", self.run_shale("doctor", want=None, env=env).stdout)


class Store(S3Case):
    def test_no_bucket(self):
        self.serve()
        lines = self.fails("stat", "s3://acme-prodd/orders")
        self.assertRegex(lines[0], r'^shale stat: no bucket "acme-prodd": 127\.0\.0\.1:\d+ answered NoSuchBucket \(request 4TW9ABCDEF\)$')
        self.assertEqual([re.split(r"  +", t)[0] for t in self.tries(lines)], ["shale store ls s3://", "shale store mb s3://acme-prodd"])
        e = json.loads(self.fails("stat", "s3://acme-prodd/orders", "--json")[0])["error"]
        self.assertEqual((e["code"], e["what"], e["where"], e["retry"], e["request_id"]),
                         ("NO_BUCKET", 'no bucket "acme-prodd"', "s3://acme-prodd/orders", "no", "4TW9ABCDEF"))
        self.assertEqual(e["try"], ["shale store ls s3://", "shale store mb s3://acme-prodd"])

    def test_buckets_are_made_and_listed(self):
        self.serve()
        self.run_shale("store", "mb", "s3://fresh")
        self.run_shale("store", "mb", "s3://fresh", want=1)
        out = self.run_shale("store", "ls", "s3://").stdout.decode()
        self.assertIn("fresh", out)
        self.assertIn("acme", out)
        self.serve(lambda m, b, k, q, h: (200, {}, b"") if m == "PUT" and not k else None)  # one that says yes to its owner each time
        self.run_shale("store", "mb", "s3://other-one")
        self.assertIn(b"it is there already", self.run_shale("store", "mb", "s3://acme", want=1).stderr)

    def test_a_bucket_whose_answer_was_lost_is_made(self):
        lost = []
        def answer(m, b, k, q, h):
            if m == "PUT" and not k and not lost:
                lost.append(b)
                return bucket.LOSE
            return None
        self.serve(answer)
        self.run_shale("store", "mb", "s3://fresh")
        self.assertEqual(lost, ["fresh"])
        self.run_shale("store", "mb", "s3://fresh", want=1)

    def test_access_denied_names_action_resource_and_identity(self):
        self.serve(lambda m, b, k, q, h: bucket.error(403, "AccessDenied") if m == "PUT" else None)
        lines = self.fails("put", "s3://acme/orders", "k", "v")
        self.assertIn("access denied: s3:PutObject on \"acme/orders/", lines[0])
        self.assertIn("for AKIATEST (environment AWS_ACCESS_KEY_ID)", lines[0])
        self.assertIn("answered AccessDenied (request 4TW9ABCDEF)", lines[0])
        self.assertTrue(self.tries(lines)[0].startswith("shale store doctor s3://acme"))

    def test_what_a_server_says_commands_no_terminal(self):
        self.serve(lambda m, b, k, q, h: bucket.error(400, "InvalidRequest", message="no\u009b31m\u202e") if q.get("list-type") or k else None)
        for args in (["get", "s3://acme/orders", "k"], ["store", "ls", "s3://acme"], ["store", "doctor", "s3://acme"], ["stat", "s3://acme/x", "-v"]):
            p = self.run_shale(*args, want=None)
            self.assertIn(b"31m", p.stdout + p.stderr, args)
            self.assertNotRegex(p.stdout + p.stderr, rb"\xc2\x9b|\xe2\x80\xae")
            p = self.run_shale(*args, "--json", want=None)
            self.assertNotRegex(p.stdout + p.stderr, rb"\xc2\x9b|\xe2\x80\xae")

    def test_region_is_corrected_or_told(self):
        def elsewhere(m, b, k, q, h):
            return bucket.error(301, "PermanentRedirect", Region="eu-west-1") if "/us-east-1/" in h.get("authorization", "") else None
        self.serve(elsewhere)
        p = self.run_shale("store", "ls", "s3://acme")
        self.assertIn(b'bucket "acme" is in region eu-west-1, not us-east-1', p.stderr)
        p = self.run_shale("get", "s3://acme/orders", "k", want=3)
        self.assertEqual(p.stderr.count(b'bucket "acme" is in region eu-west-1, not us-east-1'), 1)
        self.serve(lambda m, b, k, q, h: bucket.error(400, "AuthorizationHeaderMalformed", Region="eu-" + "w" * (1 + len(q)) + "-1")
                   if "/eu-" in h.get("authorization", "") else bucket.error(301, "PermanentRedirect", Region="eu-west-9"))
        lines = self.fails("stat", "s3://acme/orders")
        told = [x for x in lines if x.startswith("shale stat: ")][0]
        self.assertRegex(told, r'wrong region: bucket "acme" is in eu-w+-1, the request went to eu-west-9 \(AWS_REGION\)')
        self.assertRegex(self.tries(lines)[0], r"^shale stat s3://acme/orders --region eu-w+-1$")

    def test_expired_and_refused_credentials(self):
        self.serve(lambda *a: bucket.error(400, "ExpiredToken"))
        self.env["AWS_SESSION_TOKEN"] = "tokentokentoken"
        lines = self.fails("stat", "s3://acme/orders")
        self.assertIn("shale stat: credentials expired: AKIATEST (environment AWS_ACCESS_KEY_ID)", lines[0])
        self.assertTrue(self.tries(lines)[0].startswith("aws sso login "))
        self.serve(lambda *a: bucket.error(403, "SignatureDoesNotMatch"))
        lines = self.fails("stat", "s3://acme/orders")
        self.assertIn("shale stat: credentials refused: AKIATEST", lines[0])
        self.assertEqual(len(self.tries(lines)), 2)

    def test_expired_profile_says_since_when_and_how_to_log_in(self):
        self.serve(lambda *a: bucket.error(400, "ExpiredToken"))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.env.pop(name)
        os.mkdir(os.path.join(self.dir, ".aws"))
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 840))
        with open(os.path.join(self.dir, ".aws", "credentials"), "w") as f:
            f.write("[dev]\naws_access_key_id = AKIADEV\naws_secret_access_key = secretsecret\naws_session_token = tokentoken\n"
                    "x_security_token_expires = %s\n" % when)
        lines = self.fails("stat", "s3://acme/orders", "--profile", "dev")
        self.assertIn('credentials expired', lines[0])
        self.assertIn('profile "dev"', lines[0])
        self.assertTrue(self.tries(lines)[0].startswith("aws sso login --profile dev"), lines)

    def test_no_credentials_anywhere(self):
        self.serve()
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            self.env.pop(name)
        lines = self.fails("stat", "s3://acme/orders")
        self.assertTrue(lines[0].startswith("shale stat: no AWS credentials"), lines)
        self.assertIn("shale help credentials", self.tries(lines))

    def test_a_store_that_cannot_hold_a_database_is_refused(self):
        server = self.serve(ignore=("if-none-match",))
        lines = self.fails("put", "s3://acme/orders", "k", "v")
        self.assertRegex(lines[0], r'^shale put: this store cannot hold a database: 127\.0\.0\.1:\d+ ignored "If-None-Match: \*" '
                         r'\(the second create also got 200\)$')
        self.assertIn("Two writers could both win. Nothing was written but the probe object, which was removed.", lines[1])
        self.assertEqual(server.buckets["acme"], {})

    def test_the_check_is_made_for_new_databases_only(self):
        server = self.serve()
        self.run_shale("put", "s3://acme/orders", "k", "v")
        probes = [r for r in server.requests if "shale-probe" in r[2]]
        self.assertEqual([r[0] for r in probes], ["PUT", "PUT", *[r[0] for r in probes[2:]]])
        self.assertNotIn("shale-probe", "".join(server.buckets["acme"]))
        server.requests.clear()
        self.run_shale("put", "s3://acme/orders", "k", "w")
        self.run_shale("get", "s3://acme/orders", "k")
        self.assertFalse([r for r in server.requests if "shale-probe" in r[2]])

    def test_outcome_unknown(self):
        server = self.serve(lambda m, b, k, q, h: bucket.LOSE if m == "PUT" and "/wal/" in k and armed else None)
        armed = False
        self.run_shale("put", "s3://acme/orders", "k", "v")
        armed = True
        lines = self.fails("put", "s3://acme/orders", "k", "w", "--set", "object_store_max_retries=0")
        self.assertIn('outcome unknown: the answer to PUT "orders/wal/', lines[0])
        self.assertIn("may or may not be there", lines[1])
        self.assertEqual(self.tries(lines), ["shale put s3://acme/orders k w --set object_store_max_retries=0"])
        self.assertTrue(server.requests)

    def test_roles_of_their_own_have_retries_of_their_own(self):
        down = False
        server = self.serve(lambda m, b, k, q, h: bucket.error(503, "SlowDown") if down else None)
        self.run_shale("put", "s3://acme/orders", "k", "v")
        down = True
        for words, name in ((["compactor", "--once"], "compactor_options.object_store_max_retries"), (["gc", "--once"], "garbage_collector_options.object_store_max_retries"),
                            (["compactor-worker", "--once"], "compactor_options.worker.object_store_max_retries")):
            server.requests.clear()
            self.fails(words[0], "s3://acme/orders", *words[1:], "--set", name + "=1")
            self.assertLess(len(server.requests), 12, words)

    def test_a_store_that_asks_for_a_long_pause_is_told_of_once(self):
        asked = "180"
        self.serve(lambda m, b, k, q, h: (503, {"retry-after": asked}, b""))
        lines = self.fails("get", "s3://acme/orders", "k", "--timeout", "400ms")
        self.assertEqual(lines.count("note: the store asks to wait 180 s"), 1, lines)
        self.assertIn('GET "acme"; it asks to wait 180 s', lines[-2])
        asked = "5"
        self.assertNotIn("note: the store asks to wait", "".join(self.fails("get", "s3://acme/orders", "k", "--timeout", "400ms")))

    def test_a_proxy_that_wants_a_login_is_named(self):
        self.serve()
        proxy = bucket.Server(lambda *a: (407, {}, b""))
        self.addCleanup(proxy.close)
        for args in (["get", "s3://acme/orders", "k"], ["put", "s3://acme/orders", "k", "v"]):
            lines = self.fails(*args, "--store-option", "proxy_url=" + proxy.url)
            self.assertIn("cannot get through proxy 127.0.0.1:", lines[0])
            self.assertIn("(proxy_url): it wants a user and password (status 407)", lines[0])
            self.assertIn("it is written http://USER:PASSWORD@HOST:PORT", lines[-1])

    def test_an_empty_proxy_is_none(self):
        self.serve()
        self.env.update(http_proxy="http://127.0.0.1:1", NO_PROXY="", no_proxy="")
        self.assertIn("proxy 127.0.0.1:1 (http_proxy)", self.fails("put", "s3://acme/orders", "k", "v", "--timeout", "500ms")[0])
        self.env["AWS_PROXY_URL"] = ""
        self.run_shale("put", "s3://acme/orders", "k", "v")

    def test_files_of_credentials_that_are_none(self):
        self.serve()
        os.makedirs(os.path.join(self.dir, ".aws"))
        self.env.update(HOME=self.dir, AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null")
        for name in ("config", "credentials"):  # not read
            with open(os.path.join(self.dir, ".aws", name), "w") as f:
                f.write("no '=' in it\n")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            self.env.pop(name, None)
        self.run_shale("put", "s3://acme/orders", "k", "v")
        self.env.pop("AWS_SECRET_ACCESS_KEY")
        self.env.pop("AWS_ACCESS_KEY_ID")
        self.assertIn("no AWS credentials", self.fails("get", "s3://acme/orders", "k")[0])

    def test_endpoints_however_they_are_written(self):
        server = self.serve()
        for name in ("AWS_ENDPOINT", "AWS_ALLOW_HTTP"):
            del self.env[name]
        port = server.url.rsplit(":", 1)[1]
        self.run_shale("put", "s3://acme/orders", "k", "v", "--endpoint", "HTTP://LocalHost:" + port)
        self.assertEqual(self.run_shale("get", "s3://acme/orders", "k", "--endpoint", "http://127.1:0" + port).stdout, b"v")
        lines = self.fails("get", "s3://acme/orders", "k", "--endpoint", "HTTP://store.test:9000", code=2)
        self.assertIn("plain http is not allowed: the endpoint is http://store.test:9000", lines[0])
        self.assertIn("--store-option aws_allow_http=true", lines[-1])
        self.assertIn("plain http is not allowed", self.fails("get", "s3://acme/orders", "k", "--endpoint", "http://127.0.0.1.store.test:9000", code=2)[0])
        for given, shown, way in (("http://me:hush@store.test:9000", "..@store.test:9000", "https://store.test:9000"),
                                  ("http://store.test:9000/?sig=hush", "http://store.test:9000/?..", "http://store.test:9000/"),
                                  ("store.test?sig=hush", "store.test?..", "https://store.test")):
            lines = self.fails("get", "s3://acme/orders", "k", "--endpoint", given, code=2)
            self.assertIn('aws_endpoint "%s" ' % shown, lines[0])
            self.assertIn("--endpoint %s" % way, self.tries(lines)[0])
            self.assertNotIn("hush", "".join(lines))

    @unittest.skipUnless(shutil.which("openssl"), "no openssl to make a certificate with")
    def test_a_certificate_that_is_not_known(self):
        server = self.serve()
        cert, key = (os.path.join(self.dir, name) for name in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        self.env["AWS_ENDPOINT"] = server.url.replace("http:", "https:")
        lines = self.fails("put", "s3://acme/orders", "k", "v")
        self.assertIn("certificate", lines[0])
        self.assertTrue(self.tries(lines)[0].startswith("shale put s3://acme/orders k v --store-option ca_file=PATH "), lines)
        self.assertNotIn("keys", "".join(self.tries(lines)))
        self.run_shale("put", "s3://acme/orders", "k", "v", "--store-option", "ca_file=" + cert)

    def test_timeout_bounds_the_command(self):
        with socket.socket() as s:  # nobody listens behind it
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.serve()
        self.env["AWS_ENDPOINT"] = "http://127.0.0.1:%d" % port
        for args in (["get", "s3://acme/orders", "k"], ["put", "s3://acme/orders", "k", "v"], ["store", "ls", "s3://acme"]):
            start = time.monotonic()
            lines = self.fails(*args, "--timeout", "700ms", "-v")
            self.assertLess(time.monotonic() - start, 15)
            self.assertRegex(lines[0], r"gave up after 700ms \(--timeout\): .*store does not answer: cannot connect to 127\.0\.0\.1:%d: "
                             r'Connection refused, for s3:(ListBucket|PutObject|GetObject) on "acme[^"]*" \(\d+ tries' % port)
            self.assertTrue([x for x in lines if x.startswith("  cause: method=")], lines)
        self.assertIn("gave up after 1500ms (", self.fails("get", "s3://acme/orders", "k", "--timeout", "1500ms")[0])
        e = json.loads(self.fails("get", "s3://acme/orders", "k", "--timeout", "300ms", "--json")[0])["error"]
        self.assertEqual((e["code"], e["retry"]), ("TIMEOUT", "later"))

    def test_timeout_of_a_server_that_says_nothing(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(50)
            self.serve()
            self.env["AWS_ENDPOINT"] = "http://127.0.0.1:%d" % s.getsockname()[1]
            start = time.monotonic()
            lines = self.fails("get", "s3://acme/orders", "k", "--timeout", "500ms")
            self.assertLess(time.monotonic() - start, 15)
            self.assertIn("gave up after 500ms (--timeout)", lines[0])

    def test_ctrl_c_leaves_a_bucket_that_does_not_answer(self):
        self.serve()
        self.env["AWS_ENDPOINT"] = "http://127.0.0.1:1"
        for args, data in ((["get", "s3://acme/orders", "k"], b""), (["put", "s3://acme/orders", "k", "v"], b""), (["load", "s3://acme/orders"], b'{"key":"a","value":"b"}\n')):
            for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
                p = subprocess.Popen([SHALE, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, cwd=self.dir)
                time.sleep(0.6)
                p.send_signal(sig)
                out, err = p.communicate(data, timeout=20)
                self.assertEqual((p.returncode, out), (code, b""), args)
                self.assertIn(b"shale get: stopped" if args[0] == "get" else b": stopped: nothing was written", err)

    def test_who_waits_hears_why(self):
        self.serve()
        self.env["AWS_ENDPOINT"] = "http://127.0.0.1:1"
        for more, said in (([], True), (["-q"], False)):
            lines = self.fails("get", "s3://acme/orders", "k", "--timeout", "6500ms", *more)
            heard = [x for x in lines if x.endswith("; still trying, Ctrl-C to stop")]
            self.assertEqual(bool(heard), said, lines)
            if said:
                self.assertEqual(len(heard), 1)
                self.assertRegex(heard[0], r"^shale get: store does not answer: cannot connect to .* \(\d+ tries in \d+ s\); still trying")

    def test_each_request_with_vv_and_trace(self):
        self.serve()
        self.run_shale("put", "s3://acme/orders", "k", "v")
        path = os.path.join(self.dir, "trace")
        p = self.run_shale("get", "s3://acme/orders", "k", "-vv", "--trace", path)
        self.assertEqual(p.stdout, b"v")
        self.assertIn(b"debug: request method=GET", p.stderr)
        lines = open(path).read().splitlines()
        self.assertGreater(len(lines), 2)
        for x in lines:
            self.assertRegex(x, r"^\d{4}-\d\d-\d\dT[\d:.]+Z (debug|info|note|error) ")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(self.run_shale("get", "s3://acme/orders", "k", "-v").stderr, b"")
        self.run_shale("get", "s3://acme/orders", "k", "--trace", "/nowhere/at/all", want=2)

    def test_endpoint_region_and_plain_http(self):
        server = self.serve()
        self.env.pop("AWS_ENDPOINT")
        self.env.pop("AWS_ALLOW_HTTP")
        self.run_shale("store", "ls", "s3://acme", "--endpoint", server.url, "--region", "eu-north-1")
        self.assertIn("/eu-north-1/", server.requests[-1][4]["authorization"])
        lines = self.fails("get", "s3://acme/orders", "k", "--endpoint", "http://10.255.255.1:9", code=2)
        self.assertIn("plain http is not allowed", lines[0])
        self.assertEqual(self.tries(lines), ["shale get s3://acme/orders k --store-option aws_allow_http=true --endpoint http://10.255.255.1:9"])

    def test_ways_out_ask_the_same_store(self):
        def deny(*_):
            return bucket.error(403, "AccessDenied")
        server = self.serve(deny)
        self.env.pop("AWS_ENDPOINT")
        self.env.pop("AWS_ALLOW_HTTP")
        more = ["--endpoint", server.url, "--region", "eu-x", "--store-option", "aws_secret_access_key=hidehidehide", "--store-option",
                "aws_access_key_id=AKIA"]
        shown = " --endpoint %s --region eu-x --store-option aws_access_key_id=AKIA" % server.url
        ways = self.tries(self.fails("get", "s3://orchard/fruits", "apple", *more))
        self.assertEqual(re.split("   +", ways[0])[0], "shale store doctor s3://orchard" + shown)
        self.assertEqual(ways[1], "shale help credentials")
        ways = self.tries(self.fails("stat", "s3://orchard/fruits", "--endpoint", "http://127.0.0.1:1", "--timeout", "1s"))
        self.assertEqual(re.split("   +", ways[0])[0], "shale store doctor s3://orchard --endpoint http://127.0.0.1:1")
        self.env.pop("AWS_SECRET_ACCESS_KEY")
        self.env.pop("AWS_ACCESS_KEY_ID")
        e = json.loads(self.fails("get", "s3://orchard/x", "k", "--json", "--endpoint", server.url, code=3)[0])["error"]
        self.assertEqual(e["try"][0], "shale config show s3://orchard/x --changed --endpoint " + server.url)

    def test_encrypted_bytes_may_be_that(self):
        key = ["--transformer", "aes-256-gcm:env:KEY"]
        self.env["KEY"] = "00" * 32
        self.run_shale("put", self.db, "answer", "42", *key, *FAST)
        (sst,) = json.loads(self.run_shale("sst", self.db, "--json").stdout)
        for args in (["get", self.db, "answer"], ["scan", self.db], ["explain", self.db, "answer"], ["sst", self.db, sst["sst"]],
                     ["wal", self.db, "2"], ["wal", "tail", self.db, "--no-follow", "--since-id", "2"]):
            lines = self.fails(*args)
            self.assertIn("its crc is right, so it may be encrypted: no transformer is set", lines[0], args)
            self.assertIn(" --transformer aes-256-gcm:file:PATH", self.tries(lines)[0], args)
        self.assertEqual(self.run_shale("get", self.db, "answer", *key).stdout, b"42")

    def test_exit_2_promises_that_nothing_was_sent(self):
        server = self.serve(lambda *a: bucket.error(400, "InvalidRequest"))
        self.fails("store", "ls", "s3://acme", code=3)
        count = len(server.requests)
        for args in (["store", "ls", "s3://ac_me!"], ["get", "s3:/acme/x", "k"], ["get", "s3://acme/x", "k", "--set", "nonsense=1"],
                     ["get", "s3://acme/x", "k", "--store-option", "aws_regio=x"], ["get", "s3://acme/x", "k", "--timeout", "5"],
                     ["get", "s3://acme/x", "k", "--profile", "nobody"]):
            self.fails(*args, code=2)
        self.assertEqual(len(server.requests), count)

    def test_a_load_that_fails_says_how_far_it_got(self):
        armed = []
        server = self.serve(lambda m, b, k, q, h: bucket.error(403, "AccessDenied") if armed and m == "PUT" and "/wal/" in k else None)
        for more in (["--json"], []):
            armed.clear()
            p = subprocess.Popen([SHALE, "load", "s3://acme/far%d" % len(more), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=self.env, cwd=self.dir)
            p.stdin.write(b"".join(b'{"key":"%d","value":"b"}\n' % i for i in range(1000)))
            p.stdin.flush()
            for _ in range(200):  # the fence, then rows
                if len([r for r in list(server.requests) if r[0] == "PUT" and "far%d/wal/" % len(more) in r[2]]) > 1:
                    break
                time.sleep(0.05)
            time.sleep(0.3)
            armed.append(True)
            _, err = p.communicate(b'{"key":"x","value":"b"}\n' * 1000, timeout=60)
            self.assertEqual(p.returncode, 3, err)
            facts = json.loads(err.splitlines()[0])["error"]["facts"] if more else err.decode().splitlines()[1].strip()
            self.assertEqual(facts, "At least 1,000 rows are durable.")
        armed.clear()
        e = json.loads(self.fails("load", "s3://acme/bad", "--json", data=b'{"key":"a","value":"b"}\n{"key":1}\n')[0])["error"]
        self.assertEqual((e["where"], e["retry"], e["facts"]), ("stdin:2", "no", "1 row before it is durable."))

    def test_fenced_says_by_whom_and_what_is_safe(self):
        server = self.serve()
        db = "s3://acme/orders"
        self.run_shale("put", db, "k", "v")
        p = subprocess.Popen([SHALE, "load", db], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, cwd=self.dir)
        before = len(server.requests)
        for _ in range(200):
            if [r for r in list(server.requests)[before:] if r[0] == "PUT" and "/wal/" in r[2]]:
                break
            time.sleep(0.05)
        self.run_shale("put", db, "other", "w")
        p.stdin.write(b'{"key":"a","value":"b"}\n')
        p.stdin.close()
        err = p.stderr.read().decode()
        p.stderr.close()
        p.stdout.close()
        self.assertEqual(p.wait(60), 3, err)
        self.assertIn('fenced: another process opened "orders" as writer', err)
        self.assertIn("Rows acknowledged as durable are safe", err)
        self.assertIn("try: shale stat s3://acme/orders", err)


class Folder(S3Case):
    def test_near_databases_are_suggested(self):
        self.load([(b"a", b"1")], db=os.path.join(self.dir, "orders"))
        for args in (["get", "./oders", "a"], ["stat", "./ordres"], ["scan", os.path.join(self.dir, "order")]):
            lines = self.fails(*args)
            self.assertIn(": no database here: file://%s has no " % self.dir, lines[0])
            self.assertTrue(lines[0].endswith("did you mean file://%s/orders?" % self.dir), lines[0])
            self.assertTrue(self.tries(lines)[0].startswith("shale %s file://%s/orders" % (args[0], self.dir)))
        self.assertNotIn("did you mean", self.fails("get", "./something-else", "a")[0])

    def test_near_databases_in_a_bucket(self):
        self.serve()
        self.run_shale("put", "s3://acme/shop/orders", "k", "v")
        self.assertTrue(self.fails("get", "s3://acme/shop/oders", "k")[0].endswith(": did you mean s3://acme/shop/orders?"))

    def test_databases_below_are_suggested(self):
        self.serve()
        self.run_shale("put", "s3://acme/fruits", "k", "v")
        lines = self.fails("stat", "s3://acme")
        self.assertEqual(lines[0], "shale stat: no database here: s3://acme has no manifest/: did you mean s3://acme/fruits?")
        self.assertTrue(self.tries(lines)[0].startswith("shale stat s3://acme/fruits "))
        self.run_shale("put", "s3://acme/shop/orders", "k", "v")
        self.assertTrue(self.fails("get", "s3://acme/shop", "k")[0].endswith(" has no shop/manifest/: did you mean s3://acme/shop/orders?"))
        self.run_shale("put", "s3://acme/rows", "k", "v")
        self.assertTrue(self.fails("scan", "s3://acme/")[0].endswith(": did you mean s3://acme/fruits or s3://acme/rows?"))

    def test_names_that_are_only_as_short_are_not_suggested(self):
        self.load([(b"a", b"1")], db=os.path.join(self.dir, "copy"))
        self.assertNotIn("did you mean", self.fails("scan", "./nope")[0])
        self.assertIn("did you mean", self.fails("scan", "./cpoy")[0])

    def test_the_older_manifest_is_one_that_is_there(self):
        self.load([(b"a", b"1")])
        folder = os.path.join(self.db, "manifest")
        last = int(sorted(os.listdir(folder))[-1].split(".")[0])
        with open(os.path.join(folder, "18446744073709551615.manifest"), "wb") as f:
            f.write(b"\x00\x02" + 18 * b"\xff")
        self.assertTrue(self.tries(self.fails("stat", self.db))[0].startswith("shale manifest %s --id %d " % (self.db, last)))
        self.run_shale("manifest", self.db, "--id", str(last))
        for name in os.listdir(folder):
            if not name.startswith("1844"):
                os.unlink(os.path.join(folder, name))
        self.assertEqual(self.tries(self.fails("stat", self.db)), ["shale store ls " + self.db])

    def test_bad_urls_are_mended(self):
        for bad, good in (("s3:/acme/orders", "s3://acme/orders"), ("s3:acme/orders", "s3://acme/orders"), ("file:/srv/x", "file:///srv/x")):
            lines = self.fails("scan", bad, code=2)
            self.assertTrue(lines[0].startswith('shale scan: bad URL: "%s": ' % bad), lines)
            self.assertEqual(self.tries(lines), ["shale scan " + good])

    def test_newer_format(self):
        self.load([(b"a", b"1")])
        folder = os.path.join(self.db, "manifest")
        last = os.path.join(folder, sorted(os.listdir(folder))[-1])
        body = open(last, "rb").read()
        with open(last, "wb") as f:
            f.write(b"\x00\x03" + body[2:])
        lines = self.fails("get", self.db, "a")
        self.assertIn("newer format: manifest version 3, known 1..2", lines[0].replace("manifest: version", "manifest version"))
        self.assertIn("Nothing was changed.", lines[1])
        self.assertTrue(self.tries(lines)[0].startswith("shale help formats"))

    def test_formats_that_are_too_old(self):
        for name, release in (("0.2.0", "0.2"), ("0.3.0", "0.3 or 0.4"), ("0.4.0", "0.3 or 0.4")):
            db = os.path.join(self.dir, name)
            shutil.copytree(os.path.join(SOURCE, "tests", "fixtures", "slatedb_refused", name), db)
            before = sorted(f for _, _, fs in os.walk(db) for f in fs)
            for command in (["stat", db], ["get", db, "a"], ["dump", db], ["put", db, "a", "1"], ["manifest", db]):
                lines = self.fails(*command)
                self.assertIn("SlateDB %s wrote it, in a format that no later release reads" % release, lines[0])
                self.assertEqual(lines[1], "  Nothing was changed.")
                self.assertTrue(self.tries(lines)[0].startswith("shale help formats"))
            self.assertEqual(sorted(f for _, _, fs in os.walk(db) for f in fs), before)

    def test_damage(self):
        self.load([(b"%04d" % i, b"x" * 50) for i in range(500)])
        folder = os.path.join(self.db, "compacted")
        name = os.path.join(folder, os.listdir(folder)[0])
        body = bytearray(open(name, "rb").read())
        body[100] ^= 1
        with open(name, "wb") as f:
            f.write(body)
        lines = self.fails("scan", self.db, "--count")
        self.assertIn("crc", lines[0])
        self.assertIn("  Nothing was changed.", lines)
        self.assertTrue(self.tries(lines)[0].startswith("shale stat "))

    def test_ways_out_are_other_commands_than_the_one_that_failed(self):
        self.load([(b"a", b"1")])
        manifests = os.path.join(self.db, "manifest")
        for args, way in ((["get", self.db, "a", "--checkpoint", "nope"], "shale checkpoint list "), (["wal", self.db, "999"], "shale wal %s " % self.db),
                          (["manifest", self.db, "--id", "999"], "shale manifest %s " % self.db), (["scan", "memory:"], "shale shell memory: "),
                          (["put", "/proc/nowhere", "k", "v"], "ls -ld /proc")):
            self.assertTrue(self.tries(self.fails(*args))[0].startswith(way), args)
        self.assertEqual(self.tries(self.fails("get", "memory:x", "a", code=2)), ["shale get memory:///x a"])
        newest = len(os.listdir(manifests))
        open(os.path.join(manifests, "%020d.manifest" % (newest + 1)), "w").close()
        way = self.tries(self.fails("stat", self.db))[0].split("  ")[0]
        self.assertEqual(way, "shale manifest %s --id %d" % (self.db, newest))
        self.run_shale(*way.split()[1:])

    def test_mistakes_end_with_2_and_a_way_out(self):
        self.serve()
        for url in ("gs://bucket/db", "az://bucket/db"):
            self.fails("get", url, "k", code=2)
        lines = self.fails("get", "s3://acme/x", "k", "--endpoint", "127.0.0.1:9", code=2)
        self.assertEqual(self.tries(lines)[0], "shale get s3://acme/x k --endpoint http://127.0.0.1:9")
        server = self.serve()
        self.assertIn("aws_endpoint has a path", self.fails("get", "s3://nobody/x", "k", "--endpoint", server.url + "/console")[0])
        self.env.pop("AWS_SECRET_ACCESS_KEY")
        self.assertEqual(self.tries(self.fails("get", "s3://acme/x", "k", code=2)), ["shale help credentials"])

    @unittest.skipIf(os.geteuid() == 0, "root may do everything")
    def test_a_closed_folder(self):
        os.mkdir(self.db, 0o500)
        lines = self.fails("put", self.db, "k", "v")
        self.assertIn("Permission denied", lines[0])
        self.assertTrue(self.tries(lines)[0].startswith("ls -ld "))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_full_disk_under_stdout(self):
        self.load([(b"a", b"1")])
        with open("/dev/full", "w") as full:
            p = subprocess.run([SHALE, "dump", self.db], stdout=full, stderr=subprocess.PIPE, env=self.env)
        self.assertEqual(p.returncode, 3)
        self.assertIn(b"No space left", p.stderr)


class Kinds(Case):
    """Where a database of another kind is, that is said, and no second one is made beside it."""

    KINDS = {"lsm": "a SlateDB database", "sq": "an s3db database", "words": "an s4db store"}
    TRY = {"lsm": "shale stat ", "sq": "shale sql status ", "words": "shale s4 stat "}
    READS = {"lsm": ["get", "k"], "sq": ["sql", "SELECT 1"], "words": ["s4", "get", "k"]}
    MAKES = {"lsm": (["put", "k", "v"], ["load", "rows"]), "sq": (["sql", "init"], ["sql", "migrate", "mig"]), "words": (["s4", "put", "k", "v"], ["s4", "load", "none"])}

    def line(self, words, place):
        at = 2 if words[0] == "s4" or words[:2] in (["sql", "init"], ["sql", "migrate"]) else 1
        return words[:at] + [place] + words[at:]

    def check(self, places):
        with open(os.path.join(self.dir, "rows"), "w") as f:
            f.write('{"k":"a","v":"1"}\n')
        with open(os.path.join(self.dir, "none"), "w") as f:
            f.write('{"key":"a","value":"1"}\n')
        os.mkdir(os.path.join(self.dir, "mig"))
        with open(os.path.join(self.dir, "mig", "001_a.sql"), "w") as f:
            f.write("CREATE TABLE a(x INTEGER PRIMARY KEY);")
        for kind, place in places.items():
            self.run_shale(*self.line(self.MAKES[kind][0], place), *FAST)
        for kind, place in places.items():
            for other in places:
                if other == kind:
                    continue
                p = self.run_shale(*self.line(self.READS[other], place), want=3)
                self.assertIn(("it holds " + self.KINDS[kind]).encode(), p.stderr)
                self.assertIn(("try: " + self.TRY[kind] + place).encode(), p.stderr)
                for words in self.MAKES[other]:
                    p = self.run_shale(*self.line(words, place), *FAST, want=None)
                    self.assertIn(p.returncode, (2, 3))
                    self.assertIn(("holds " + self.KINDS[kind]).encode(), p.stderr)
            self.run_shale(*(["s4", "stat", place] if kind == "words" else ["stat", place] if kind == "lsm" else ["sql", "status", place]))

    def test_folders(self):
        self.check({k: "./" + k for k in self.KINDS})
        self.assertEqual(sorted(os.listdir(os.path.join(self.dir, "sq"))), ["manifest.json", "snapshots"])
        self.assertEqual(sorted(os.listdir(os.path.join(self.dir, "lsm"))), ["compacted", "manifest", "wal"])
        self.assertEqual(len(os.listdir(os.path.join(self.dir, "words"))), 2)


class KindsInABucket(S3Case, Kinds):
    def test_folders(self):
        self.serve()
        self.check({k: "s3://acme/" + k for k in self.KINDS})


class Engines(Case):
    """The ways out of an engine are its own commands."""

    def test_sql(self):
        self.run_shale("sql", "init", "shop", *FAST)
        self.assertNotIn(b"try:", self.run_shale("sql", "pull", "shop", "-o", "/nodir/x", want=3).stderr)
        self.assertNotIn(b"try:", self.run_shale("sql", "init", "other", "nofile", want=None).stderr)
        self.assertIn(b"try: shale sql log shop", self.run_shale("sql", "shop", "SELECT 1", "--at", "2001-01-01T00:00:00Z", want=3).stderr)
        self.assertNotIn(b"sql init", self.run_shale("stat", "shop/manifest.json", want=3).stderr)
        snapshots = os.path.join(self.dir, "shop", "snapshots")
        with open(os.path.join(snapshots, os.listdir(snapshots)[0]), "r+b") as f:
            f.write(b"damage")
        self.assertIn(b"try: shale sql status shop", self.run_shale("sql", "shop", "SELECT 1", want=3).stderr)

    def test_s4(self):
        self.run_shale("s4", "put", "words", "k", "v", *FAST)
        for name in os.listdir(os.path.join(self.dir, "words")):
            if name.startswith("data_"):
                os.unlink(os.path.join(self.dir, "words", name))
        self.assertIn(b"try: shale s4 stat words", self.run_shale("s4", "get", "words", "k", want=3).stderr)

    def test_a_full_place_for_local_copies(self):
        con = sqlite3.connect(os.path.join(self.dir, "big.sqlite"))
        con.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        con.executemany("INSERT INTO t(b) VALUES(?)", [("x" * 1000,)] * 500)
        con.commit()
        con.close()
        self.run_shale("sql", "init", "shop", "big.sqlite", *FAST)
        os.mkdir(os.path.join(self.dir, "tmp"))
        script = 'mount -t tmpfs -o size=64k tmpfs tmp || exit 77; TMPDIR=tmp exec "$0" sql pull shop -o out'
        p = subprocess.run(["unshare", "-rm", "sh", "-c", script, SHALE], capture_output=True, cwd=self.dir, env=self.env)
        if p.returncode in (1, 77, 127) and b"shale" not in p.stderr:
            self.skipTest("no mounts here")
        self.assertEqual(p.returncode, 3, p.stderr)
        self.assertIn(b"try: df tmp\n", p.stderr)
        self.assertIn(b"TMPDIR names another folder", p.stderr)


class Table(Case):
    """Every way out in the program's table is a command that exists, with options that it takes."""

    def test_every_try_line(self):
        text = open(os.path.join(SOURCE, "src", "cli", "ways.c"), encoding="utf-8").read()
        text = text[text.index("ways_out[] = {"):text.index("static bool is_about")]
        text = re.sub(r'"\s*\n\s*"', "", text)
        text += open(os.path.join(SOURCE, "src", "cli", "cmd.h"), encoding="utf-8").read()
        lines = re.findall(r'"((?:shale|aws|df|ls) [^"]*)"', text)
        self.assertGreater(len(lines), 20)
        commands = {c["name"]: {"--" + o["name"] for o in c["options"]} for c in table()["commands"]}
        topics = {t["name"] if isinstance(t, dict) else t for t in table()["topics"]}
        for line in lines:
            line, _, remark = line.partition("\\t")
            if not line.startswith("shale "):
                continue
            for shown in [line] + re.findall(r"shale [a-z0-9 -]+", remark):
                words = shown.split()[1:]
                if words[0].startswith("{cmd}"):
                    for option in re.findall(r"--[a-z-]+", shown):
                        self.assertTrue(all(option in o or option in ("--merge", "--transformer", "--allow-triggers", "--segments", "--wal-url") for o in commands.values()), shown)
                    continue
                name = " ".join(words[:2]) if " ".join(words[:2]) in commands else words[0]
                self.assertIn(name, commands, shown)
                self.assertLessEqual(set(re.findall(r"--[a-z-]+", shown)), commands[name], shown)
                if name == "help":
                    self.assertIn(words[1], topics | set(commands), shown)

    def test_every_code_is_in_the_document(self):
        header = open(os.path.join(SOURCE, "include", "shale", "error.h"), encoding="utf-8").read()
        document = open(os.path.join(SOURCE, "docs", "reference", "errors.md"), encoding="utf-8").read()
        for name, number in re.findall(r"SHALE_([A-Z_]+) = (\d+)", header):
            self.assertIn("## %s (%s)\n" % (name, number), document)


if __name__ == "__main__":
    unittest.main()
