#!/usr/bin/env python3
"""Secrets are in no output, log, trace, error, bundle or process list.

Goal: a key that was given to the program never comes out of it. Method: canaries - a secret key, a session token, a key for encryption - in the environment, in options,
in files; every way of looking at them, with commands that succeed and commands that fail."""
import os
import subprocess
import time
import unittest

import bucket
from common import SHALE
from test_errors import S3Case

KEY = "CANARYwJalrXUtnFEMIK7MDENGbPxRfiCYKEY"
TOKEN = "CANARYtokenFwoGZXIvYXdzEJr0000000000"
SSE = "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZQ0E="
CANARIES = (KEY, TOKEN, SSE, SSE[:30])


class Secrets(S3Case):
    def serve(self, answer=None, **how):
        server = super().serve(answer, **how)
        self.env.update(AWS_SECRET_ACCESS_KEY=KEY, AWS_SESSION_TOKEN=TOKEN)
        return server

    def clean(self, where, data):
        for canary in CANARIES:
            self.assertNotIn(canary.encode(), data, where)

    def run_clean(self, *args, want=None, data=b""):
        trace = os.path.join(self.dir, "trace")
        p = self.run_shale(*args, "-vv", "--trace", trace, want=want, data=data)
        self.clean(args, p.stdout + p.stderr)
        self.clean(args, open(trace, "rb").read())
        return p

    ALL = ([["put", "s3://acme/db", "k", "v"], ["get", "s3://acme/db", "k"], ["stat", "s3://acme/db"], ["stat", "s3://acme/db", "--json"], ["store", "ls", "s3://"],
           ["config", "show", "s3://acme/db"], ["config", "show", "--json"], ["config", "show", "--changed"], ["config", "path"],
           ["doctor"], ["doctor", "s3://acme/db"], ["doctor", "--json"], ["store", "doctor", "s3://acme/db", "--json"]])

    def test_environment(self):
        self.serve()
        for args in self.ALL:
            self.run_clean(*args, want=0)

    def test_options(self):
        self.serve()
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
            self.env.pop(name)
        options = ["--store-option", "aws_access_key_id=AKIAOPTION", "--store-option", "aws_secret_access_key=" + KEY,
                   "--store-option=AWS_SESSION_TOKEN=" + TOKEN]
        sse = ["--store-option", "aws_server_side_encryption=sse-c", "--store-option", "aws_sse_customer_key_base64=" + SSE]
        for args in self.ALL:
            self.run_clean(*args, *options, want=0)
        self.run_clean("put", "s3://acme/enc", "k", "v", *options, *sse)
        self.run_clean("config", "show", "s3://acme/db", *options, *sse, want=0)

    def test_files(self):
        self.serve()
        for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"):
            self.env.pop(name)
        with open(os.path.join(self.dir, "SlateDb.toml"), "w") as f:
            f.write('[storage]\naws_access_key_id = "AKIAFILE"\naws_secret_access_key = "%s"\naws_session_token = "%s"\n' % (KEY, TOKEN))
        for args in self.ALL:
            self.run_clean(*args, want=0)

    def test_errors(self):
        answers = [bucket.error(403, "AccessDenied"), bucket.error(403, "SignatureDoesNotMatch"), bucket.error(400, "ExpiredToken"),
                   bucket.error(403, "InvalidAccessKeyId", message="token %s key %s" % (TOKEN, KEY)),  # a server that talks too much
                   bucket.error(400, "InvalidRequest", message=KEY), bucket.DROP]
        for answer in answers:
            self.serve(lambda *a, answer=answer: answer)
            for args in (["get", "s3://acme/db", "k"], ["get", "s3://acme/db", "k", "--json"], ["store", "doctor", "s3://acme"],
                         ["put", "s3://acme/db", "k", "v", "--set", "object_store_max_retries=1"]):
                self.run_clean(*args, "--timeout", "2s")

    def test_a_command_to_paste_has_none(self):
        self.serve()
        args = ["store", "rm", "-r", "s3://AKIA:%s@acme/x" % KEY, "--store-option", "aws_session_token=" + TOKEN]
        for more in ([], ["--json"]):
            p = self.run_shale(*args, *more, want=2)
            self.clean(args, p.stderr + p.stdout)
            self.assertIn(b"shale store rm --yes -r s3://AKIA:***", p.stderr)

    def test_urls_that_hold_secrets_are_not_shown_whole(self):
        for url in ("s3://AKIA:%s@acme/db" % KEY, "s3:AKIA:%s@acme/db" % KEY, "s3:/AKIA:%s@acme/db" % KEY, "s3://AKIA:abc/%s/def@acme/db" % KEY, "https://AKIA:%s@acc.r2.cloudflarestorage.com/b" % KEY,
                    "https://b.s3.amazonaws.com/db?X-Amz-Signature=%s&X-Amz-Security-Token=%s" % (KEY, TOKEN)):
            for more in ([], ["--json"], ["--nonsense"], ["--json", "--nonsense"], ["-vv"]):
                p = self.run_shale("stat", url, *more, want=None)
                self.assertNotEqual(p.returncode, 0)
                self.clean([url, *more], p.stderr + p.stdout)
                p = self.run_shale("shell", self.db, *more[:1], data=("stat %s\n.open %s\nstore ls '%s'\n" % (url, url, url)).encode(), want=None)
                self.clean(["shell", url], p.stderr + p.stdout)
        for more in (["--endpoint", "ftp://h/?X-Amz-Signature=" + KEY], ["--endpoint=http://h/?sig=" + KEY], ["--endpoint", "host?sig=" + KEY],
                     ["--set", "wal_url=s3:/AKIA:%s@acme/x" % KEY]):
            p = self.run_shale("stat", "s3://acme/db", *more, want=None)
            self.clean(more, p.stderr + p.stdout)

    def test_wrong_values_are_not_repeated(self):
        self.serve()
        for args in (["--store-option", "aws_secret_access_keyy=" + KEY], ["--store-option", "aws_secret_acces_key=" + KEY], ["--store-option", "proxy_passwort=" + KEY],
                     ["--set", "aws_secret_access_key=" + KEY],
                     ["--store-option", "aws_sse_customer_key_base64=" + KEY, "--store-option", "aws_server_side_encryption=sse-c"],
                     ["--store-option", "aws_secret_access_key=" + KEY, "--store-option", "aws_region=not a region"]):
            self.run_clean("get", "s3://acme/db", "k", *args)

    def test_bundle(self):
        self.serve(lambda m, b, k, q, h: bucket.error(403, "AccessDenied", message=TOKEN) if m == "DELETE" else None)
        for args in (["doctor"], ["doctor", "s3://acme"], ["store", "doctor", "s3://acme"]):
            path = os.path.join(self.dir, "bundle")
            self.run_clean(*args, "--bundle", path)
            text = open(path, "rb").read()
            self.clean(args, text)
            self.assertIn(b"AWS_SECRET_ACCESS_KEY", text)  # the name tells that it is set
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    @unittest.skipUnless(os.path.isdir("/proc/self"), "no /proc")
    def test_process_list(self):
        self.serve()
        self.env["AWS_ENDPOINT"] = "http://127.0.0.1:1"
        known = ["--store-option", "aws_access_key_id=AKIAOPTION", "--store-option", "aws_secret_access_key=" + KEY]
        for form in (["--store-option", "aws_secret_access_key=" + KEY], ["--store-option=secret_access_key=" + KEY],
                     ["--store-option", "AWS_SESSION_TOKEN=" + TOKEN]):
            p = subprocess.Popen([SHALE, "get", "s3://acme/db", "k", *known, *form], env=self.env, cwd=self.dir, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            with open("/proc/%d/cmdline" % p.pid, "rb") as f:
                line = f.read()
            p.kill()
            p.wait()
            self.clean(form, line)
            self.assertIn(b"s3://acme/db", line)


if __name__ == "__main__":
    unittest.main()
