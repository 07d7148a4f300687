#!/usr/bin/env python3
"""What a command says of its requests, against what the server saw: those of looking for the database and of the close, too."""
import json
import unittest

from test_errors import S3Case


class Requests(S3Case):
    def agrees(self, *args, data=None):
        self.server.requests.clear()
        told = json.loads(self.run_shale(*args, "--json", data=data).stdout)["requests"]
        seen = dict.fromkeys(("put", "get", "head", "list", "delete"), 0)
        for method, _, key, query, _ in self.server.requests:
            seen["list" if method == "GET" and "list-type" in query else method.lower()] += 1
        self.assertEqual({k: told[k] for k in seen}, seen, args)
        price = (seen["put"] + seen["list"]) * 0.005 / 1000 + (seen["get"] + seen["head"]) * 0.0004 / 1000
        self.assertAlmostEqual(told["cost_usd"], price, 9)

    def test_writers_tell_all_of_theirs(self):
        self.server = self.serve()
        self.agrees("put", "s3://acme/new", "k", "v")
        self.agrees("put", "s3://acme/new", "k", "v")
        self.agrees("del", "s3://acme/new", "k")
        self.agrees("load", "s3://acme/new", data=b'{"key":"a","value":"1"}\n' * 3)

    def test_store_commands_tell_all_of_theirs(self):
        self.server = self.serve()
        self.run_shale("put", "s3://acme/new", "k", "v")
        manifest = "s3://acme/new/manifest/00000000000000000001.manifest"
        self.agrees("store", "cp", "-n", manifest, "s3://acme/copy")
        self.agrees("store", "cp", manifest, "s3://acme/copy")
        self.agrees("store", "rm", "-y", "s3://acme/copy")


if __name__ == "__main__":
    unittest.main()
