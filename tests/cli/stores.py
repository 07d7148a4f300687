"""Stores for the tests of the program: a database in a folder and, byte for byte the same, in the bucket of a server; and what may stand before
that server: a front that counts, waits, fails or forbids.

The server is the first at hand of those that tests/servers can start (SHALE_TEST_SERVER names one), else the small one of bucket.py."""
import asyncio
import contextlib
import os
import shutil
import sys
import threading
import uuid

import bucket
import samples
from common import SOURCE, table

sys.path.insert(1, os.path.join(SOURCE, "tests", "servers"))
import proxy  # noqa: E402
import s3  # noqa: E402
import servers  # noqa: E402

WRITING = ("PUT", "POST", "DELETE")


# ---- servers

class Small:
    """bucket.Server with the face of a server of tests/servers."""

    name, bucket = "bucket.py", "shale-test-small"

    def __init__(self):
        self.server = bucket.Server()
        self.server.buckets[self.bucket] = {}

    def env(self):
        return {"AWS_ENDPOINT": self.server.url, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "testtest",
                "AWS_REGION": "us-east-1"}


def start(stack, *names):
    """A server that runs until the stack ends."""
    asked = os.environ.get("SHALE_TEST_SERVER")
    for name in names or ([asked] if asked else ["minio", "versity", "ministack"]):
        if name in servers.SERVERS and servers.SERVERS[name].at_hand():
            with contextlib.suppress(servers.Missing):
                return stack.enter_context(servers.started(name))
    small = Small()
    stack.callback(small.server.close)
    return small


# ---- fronts

class Exchange(proxy.Exchange):
    async def pass_on(self):
        await asyncio.sleep(self.proxy.wait_s)
        await super().pass_on()

    async def denied(self):
        answer = proxy.failure(403, "Forbidden", "AccessDenied", "x-amz-request-id: 4TW9ABCDEF\r\n")
        await self.send(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if self.no_body else answer)


class Front(proxy.Proxy):
    """Every request is noted, and waits; rates: faults of tests/servers/proxy.py; forbid: methods that are answered with 403."""

    exchange = Exchange

    def __init__(self, upstream, wait_s=0, rates=(), forbid=(), seed="1"):
        super().__init__(upstream, seed, dict(rates))
        self.wait_s, self.forbid, self.lines, self.mu = wait_s, forbid, [], threading.Lock()
        self.counts["denied"] = 0

    def fault_of(self, line):
        with self.mu:
            self.lines.append(line)
        return "denied" if line.split()[0] in self.forbid else None

    def asked(self):
        """{"PUT": .., "LIST": ..} since the last call."""
        with self.mu:
            lines, self.lines = self.lines, []
        n = dict.fromkeys(("PUT", "POST", "DELETE", "GET", "HEAD", "LIST"), 0)
        for line in lines:
            method, url = line.split()[:2]
            n["LIST" if method == "GET" and "list-type=2" in url else method] += 1
        return n


# ---- the same objects in different places

class Place:
    """Where the samples' words lead to. U: the place's URL; files: the folder for local files."""

    def __init__(self, url, files, sst, manifest, new, old):
        out = os.path.join(files, "out-" + uuid.uuid4().hex[:8])
        os.mkdir(out)
        self.url, self.new, self.old = url, new, old
        self.words = {"DB": url + "/db", "PACKED": url + "/packed", "OBJECT": "%s/db/manifest/%s" % (url, manifest), "SST": sst, "NONE": url + "/none", "BROKEN": url + "/broken", "WORDS": url + "/words", "SPOILT": url + "/spoilt",
                      "SQ": url + "/sq", "SQC": url + "/sqc", "OUT": out, "T": files, "U": url, "NEW": new, "OLD": old, "DEAD": samples.DEAD}

    def line(self, name, args):
        fast = ["--store-option", "local_fsync=off"] if "store-option" in samples.takes(table(), name) and "DEAD" not in args else []
        return [*samples.words(name, args, self.words), *fast]


class Original:
    """The objects, as files: made once; copied to where they are needed."""

    def __init__(self, folder, case):
        """case: a Case, whose program makes them."""
        self.folder = folder
        db = os.path.join(folder, "db")
        rows = [(b"%04d" % i, b"value of %d" % i) for i in range(300)]
        case.load(rows, db=db)
        case.run_shale("put", db, "0007", "again", "--store-option", "local_fsync=off")
        case.run_shale("checkpoint", "create", db, "--name", "kept", "--lifetime", "7d")
        shutil.copytree(db, os.path.join(folder, "doomed"))
        for name, text in (("broken/manifest/00000000000000000001.manifest", "no manifest at all"), ("spoilt/index.idx", "no index at all"), ("spare", "x"), ("heap/one", "x"), ("heap/two", "y"), ("old/x", "x")):
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as f:
                f.write(text)
        case.run_shale("s4", "load", os.path.join(folder, "words"), "--store-option", "local_fsync=off", data=samples.WORDS)
        self.sqlite(case, os.path.dirname(folder))
        packed = os.path.join(folder, "packed")
        for i in range(4):
            case.run_shale("put", packed, "k%d" % i, "v", "--store-option", "local_fsync=off")
        case.run_shale("compact", packed, "--store-option", "local_fsync=off")
        self.sst = sorted(os.listdir(os.path.join(db, "compacted")))[0][:-4]
        self.manifest = sorted(os.listdir(os.path.join(db, "manifest")))[0]
        self.objects = {}
        for where, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(where, name)
                with open(path, "rb") as f:
                    self.objects[os.path.relpath(path, folder)] = f.read()

    def sqlite(self, case, files):
        """sq with two commits, sqc that was compacted; migrations and push.sqlite beside the objects."""
        fast = ["--store-option", "local_fsync=off"]
        migrations = os.path.join(files, "migrations")
        os.mkdir(migrations)
        with open(os.path.join(migrations, "001_items.sql"), "w") as f:
            f.write("CREATE TABLE items(id INTEGER PRIMARY KEY, name TEXT)")
        for name in ("sq", "sqc"):
            db = os.path.join(self.folder, name)
            case.run_shale("sql", "migrate", db, migrations, *fast)
            case.run_shale("sql", db, "INSERT INTO items(name) VALUES('a')", "INSERT INTO items(name) VALUES('b')", *fast)
        case.run_shale("sql", "compact", db, *fast)
        case.run_shale("sql", "pull", db, "-o", os.path.join(files, "push.sqlite"))

    def in_folder(self, base, files):
        """A fresh copy in a folder below base."""
        url = os.path.join(base, "f" + uuid.uuid4().hex[:8])
        shutil.copytree(self.folder, url)
        return Place(url, files, self.sst, self.manifest, os.path.join(url, "newfolder"), os.path.join(url, "old"))

    def in_bucket(self, client, files):
        """A fresh copy below a prefix of its own."""
        name = "b" + uuid.uuid4().hex[:8]
        for key, body in self.objects.items():
            if key.endswith("/manifest.json"):  # of SQLite: its keys are those of the whole bucket
                body = body.replace(b'"key":"', b'"key":"%s/' % name.encode())
            client.put("%s/%s" % (name, key), body)
        return Place("s3://%s/%s" % (client.name, name), files, self.sst, self.manifest, "s3://fresh-" + uuid.uuid4().hex[:12], "s3://" + client.name)


def keys_of(place, client):
    """Names of the objects that are no part of the database, and all with their contents' marks."""
    if place.url.startswith("s3://"):
        prefix = place.url[len("s3://" + client.name) + 1:] + "/"
        found = {key[len(prefix):]: etag for key, _, etag in client.listed(prefix)}
    else:
        found = {os.path.relpath(os.path.join(where, f), place.url): None for where, _, files in os.walk(place.url) for f in files}
    return sorted(k for k in found if not k.startswith(("db/", "packed/", "bench/", "clone/", "doomed/", "words/", "sq/", "sqc/", "fresh/"))), found


__all__ = ["Front", "Original", "Place", "WRITING", "keys_of", "proxy", "s3", "servers", "start"]
