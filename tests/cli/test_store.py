#!/usr/bin/env python3
"""store: objects by their URLs, and what is deleted."""
import json
import os
import unittest

import bucket
from common import Case, tree


class Bucket(Case):
    def setUp(self):
        super().setUp()
        self.server = bucket.Server()
        self.addCleanup(self.server.close)
        self.env.update(AWS_ACCESS_KEY_ID="AKIATEST", AWS_SECRET_ACCESS_KEY="secretsecret", AWS_ENDPOINT=self.server.url,
                        AWS_ALLOW_HTTP="true", AWS_REGION="us-east-1")
        self.objects = self.server.buckets["acme"]
        for key in ("x%7Ey/wal/1%41.sst", "db/a", "db/b/c", "dbx"):
            self.server.store(self.objects, key, key.encode(), {})

    def test_urls_are_decoded_once_as_a_whole(self):
        self.assertEqual(self.run_shale("store", "cat", "s3://acme/x%257Ey/wal/1%2541.sst").stdout, b"x%7Ey/wal/1%41.sst")
        self.run_shale("store", "cat", "s3://acme/x%257Ey/wal/1%41.sst", want=1)
        self.assertIn(b"%3F", self.run_shale("store", "cat", "s3://acme/a?b", want=2).stderr)

    def test_a_bucket_is_no_object(self):
        for url in ("s3://acme", "s3://acme/", "s3://"):
            for words in (["cat"], ["stat"], ["rm", "-y"], ["rm", "-n"]):
                p = self.run_shale("store", *words, url, want=2)
                self.assertIn(b"a bucket is no object", p.stderr)
                self.assertEqual(b"rm -r" in p.stderr, words[0] == "rm")

    def test_rm_says_what_is_not_there_and_deletes_nothing_then(self):
        for more in ("-y", "-n"):
            p = self.run_shale("store", "rm", more, "s3://acme/dbx", "s3://acme/none", want=1)
            self.assertIn(b"no such object: s3://acme/none", p.stderr)
            self.assertIn(b"rm -r s3://acme/db", self.run_shale("store", "rm", more, "s3://acme/db", want=1).stderr)
        self.assertEqual(len(self.objects), 4)
        self.assertEqual(self.run_shale("store", "rm", "-y", "s3://acme/dbx").stderr, b"deleted s3://acme/dbx\n")
        self.assertNotIn("dbx", self.objects)

    def test_rm_of_all_below(self):
        self.assertIn(b"would delete 2 objects", self.run_shale("store", "rm", "-rn", "s3://acme/db").stderr)
        self.run_shale("store", "rm", "-r", "s3://acme/db", want=2)
        self.run_shale("store", "rm", "-r", "s3://", "--yes", want=2)
        self.assertEqual(len(self.objects), 4)
        doc = json.loads(self.run_shale("store", "rm", "-r", "s3://acme/db", "--yes", "--json").stdout)
        self.assertEqual((doc["deleted"], doc["size_bytes"], doc["requests"]["delete"]), (2, 10, 2))
        self.assertEqual(sorted(self.objects), ["dbx", "x%7Ey/wal/1%41.sst"])
        self.run_shale("store", "rm", "-r", "s3://acme/db", "--yes", want=1)

    def test_the_way_out_of_rm_can_be_pasted(self):
        p = self.run_shale("store", "rm", "-r", "s3://acme/a b", "s3://acme/db", "--region", "x", want=2)
        self.assertIn(b"\n  try: shale store rm --yes -r --region x 's3://acme/a b' s3://acme/db\n", p.stderr)
        p = self.run_shale("store", "rm", "-r", "s3://acme/db", "--json", want=2)
        self.assertEqual(json.loads(p.stderr)["error"]["try"], ["shale store rm --yes -r s3://acme/db"])

    def test_cp_says_what_it_did(self):
        self.server.requests.clear()
        doc = json.loads(self.run_shale("store", "cp", "-n", "s3://acme/dbx", "s3://acme/copy", "--json").stdout)
        self.assertEqual((doc["would_copy"], doc["size_bytes"], doc["requests"]["head"]), ("s3://acme/copy", 3, 1))
        self.assertEqual([r[0] for r in self.server.requests], ["HEAD"])
        self.assertIn(b"would copy 3 bytes to s3://acme/copy", self.run_shale("store", "cp", "-n", "s3://acme/dbx", "s3://acme/copy").stderr)
        doc = json.loads(self.run_shale("store", "cp", "s3://acme/dbx", "s3://acme/copy", "--json").stdout)
        self.assertEqual((doc["copied"], doc["size_bytes"], doc["requests"]["put"]), ("s3://acme/copy", 3, 1))
        for more in ([], ["-n"]):
            p = self.run_shale("store", "cp", *more, "s3://acme/none", "s3://acme/copy", want=1)
            self.assertEqual(p.stderr, b"shale store cp: no such object: s3://acme/none\n")
        for name in ("cat", "stat"):  # as get: help says so
            self.assertEqual(self.run_shale("store", name, "s3://acme/none", want=1).stderr, b"")
            self.assertIn(b"a pipe gets no word", self.run_shale("help", "store", name).stdout)

    def test_odd_names_of_buckets(self):
        self.server.requests.clear()
        for name in ("Bad_Name", "UPPER", "-x-", "a..b", ".ab", "ab", "a" * 64):
            p = self.run_shale("store", "mb", "s3://" + name, want=2)
            self.assertIn(b"\n  try: ", p.stderr)
        self.assertEqual(self.server.requests, [])
        self.server.buckets["Odd_Name"] = {}
        self.run_shale("put", "s3://Odd_Name/db", "k", "v")
        self.server.answer = lambda *_: bucket.error(400, "InvalidBucketName")
        self.assertIn(b"\n  try: shale store ls s3://", self.run_shale("scan", "s3://REVNEW/x", want=3).stderr)

    def test_buckets_have_no_size_and_are_made_once(self):
        self.assertRegex(self.run_shale("store", "ls", "s3://").stdout.decode(), r"^ +-  ")
        self.assertNotIn(b"size_bytes", self.run_shale("store", "ls", "s3://", "--json").stdout)
        self.assertIn(b"there already", self.run_shale("store", "mb", "s3://acme", want=1).stderr)
        self.assertEqual(json.loads(self.run_shale("store", "mb", "s3://new", "--json").stdout), {"made": "s3://new"})
        self.assertIn(b"no objects below s3://acme/none", self.run_shale("store", "ls", "s3://acme/none").stderr)


class Folder(Case):
    def test_a_database_goes_with_its_folders(self):
        self.load([(b"a", b"1")])
        self.run_shale("store", "rm", "-r", "db", "-y")
        self.assertFalse(os.path.exists(self.db))
        for url in ("/", ".", "..", "file:///", self.dir):  # the last is HOME
            self.run_shale("store", "rm", "-r", "-y", url, want=2)

    def test_links_are_not_followed(self):
        for name in ("d", "other"):
            os.mkdir(os.path.join(self.dir, name))
            with open(os.path.join(self.dir, name, "f"), "w") as f:
                f.write("1")
        os.symlink("d", os.path.join(self.dir, "linked"))
        os.symlink("../other", os.path.join(self.dir, "d", "link"))
        for url in ("d", "./d/", "linked", "file://" + self.dir + "/d/"):
            self.assertIn(b"a link leads there", self.run_shale("store", "rm", "-r", "-y", url, want=3).stderr)
        os.unlink(os.path.join(self.dir, "d", "link"))
        self.run_shale("store", "rm", "-r", "-y", "linked/")
        self.assertEqual((os.listdir(os.path.join(self.dir, "other")), os.listdir(os.path.join(self.dir, "d")) if os.path.exists(os.path.join(self.dir, "d")) else []), (["f"], []))

    def test_on_a_terminal_the_name_is_asked_for(self):
        self.load([(b"a", b"1")])
        before = tree(self.db)
        code, out = self.on_terminal("store", "rm", "-r", "db", typed=b"y\n")
        self.assertEqual((code, tree(self.db)), (1, before))
        self.assertIn(b"type its name, db: ", out)
        self.assertEqual(self.on_terminal("store", "rm", "-r", "db", typed=b"db\n")[0], 0)
        self.assertFalse(os.path.exists(self.db))

    def test_bare_paths_are_taken_as_they_are(self):
        with open(os.path.join(self.dir, "x%41"), "w") as f:
            f.write("1")
        self.run_shale("store", "stat", "x%41")
        self.run_shale("store", "stat", "file://" + self.dir + "/x%41", want=1)
        self.run_shale("store", "stat", "file://" + self.dir + "/x%2541")
        p = self.run_shale("store", "stat", "nope", "--json", want=1)
        self.assertEqual(json.loads(p.stderr)["error"]["code"], "NOT_FOUND")


if __name__ == "__main__":
    unittest.main()
