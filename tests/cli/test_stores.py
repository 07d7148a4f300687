#!/usr/bin/env python3
"""Every command on every kind of store: a server, one that is slow, one that fails, one whose keys may only read, memory.

Goal: the store decides how long a command takes and what it costs, not what it says. Method: the samples of samples.py on a folder; then on byte for
byte the same objects in the bucket of a real server, behind fronts that count, wait, fail and forbid; what is printed, the exit code and what is
left behind must be the same."""
import concurrent.futures
import contextlib
import json
import os
import re
import subprocess
import tempfile
import unittest
import unittest.mock

import samples
import stores
from common import Case, table
from samples import Never, SAMPLES

SLOW_S = 0.025
FAILING = {"reset": 0.0125, "busy": 0.0125, "broken": 0.0125, "lost": 0.0125}  # 5 %
ROUGH = {"reset": 0.06, "broken": 0.06, "turned": 0.04, "lost": 0.04}         # every fifth
AT_ONCE = 6


# What of a command's output is the same in every place; None: nothing, for it is about the place or about time.
def plain(text):
    text = re.sub(r"\d+ requests, \d+ ms", "N requests", text)
    text = re.sub(r"(\d+\w+ )?\d+\w+ ago|just now", "AGO", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    text = re.sub(r"expires in (\d+\w+ ?)+", "expires in TIME", text)
    text = re.sub(r"block in memory|fetched block \d+", "BLOCK", text)  # a folder keeps only what is read more often
    text = re.sub(r"  +", "  ", text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f-]{21}", "UUID", text)
    return "\n".join(x for x in text.split("\n") if not x.startswith(("cost ", "etag ")))


def levels(text):
    """What a doctor found wrong."""
    return [x[:23] for x in text.split("\n") if x.startswith("FAIL")]


def answers(text):
    """Tries that failed are requests, too: explain counts them."""
    return re.sub(r"\d+ GET \(.*?\), ~\$[\d.]+", "N GET", plain(text))


def jobs(text):
    """Jobs have new names each time."""
    return plain(re.sub(r"\b[0-9A-HJKMNP-TV-Z]{26}\b", "ULID", text))


SAME = {"compact": jobs, "doctor": levels, "store doctor": levels, "bench": lambda text: [x.split()[:1] for x in text.split("\n")], "config show": lambda text: None,
        "config path": lambda text: None, "stat": plain, "shell": answers, "explain": answers}


class StoreCase(Case):
    """A server, and a database that its bucket and folders get copies of."""

    @classmethod
    def start(cls, stack):
        return stores.start(stack)

    @classmethod
    def setUpClass(cls):
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.server = cls.start(stack)
        cls.client = stores.s3.Bucket(cls.server.bucket, cls.server.env())
        keep = tempfile.TemporaryDirectory(prefix="shale-stores-")
        cls.addClassCleanup(keep.cleanup)
        cls.base = keep.name
        with open(os.path.join(cls.base, "rows.jsonl"), "w") as f:
            f.write('{"key":"a","value":"1"}\n{"key":"b","value":"2"}\n')
        case = Case("run_shale")
        case.setUp()
        cls.addClassCleanup(case.doCleanups)
        cls.original = stores.Original(os.path.join(cls.base, "original"), case)
        cls.wanted = {}

    def setUp(self):
        super().setUp()
        for name in list(self.env):
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                del self.env[name]
        self.env.update(self.server.env())

    def front(self, **how):
        """A front before the server, whose URL all commands get."""
        front = stores.Front(self.server.env()["AWS_ENDPOINT"], **how)
        stack = contextlib.ExitStack()
        url = stack.enter_context(stores.proxy.running(front))
        self.addCleanup(stack.close)
        self.env["AWS_ENDPOINT"] = url
        return front

    def bucket(self):
        return self.original.in_bucket(self.client, self.base)

    def folder(self):
        return self.original.in_folder(self.base, self.base)

    def commands(self, **only):
        for c in table()["commands"]:
            self.assertIn(c["name"], SAMPLES, "a command without a sample")
            if all(c[k] == v for k, v in only.items()):
                yield c["name"], c, SAMPLES[c["name"]]

    def say(self, name, text, place):
        """Without what differs from place to place."""
        prefix = place.url.rpartition("/")[2]
        text = text.replace("%s has no %s/" % (place.old, prefix), place.url + " has no ")
        places = {place.new: "NEW", place.words["DB"]: "DB", place.url: "U", place.old: "OLD"}
        for url, word in sorted(places.items(), key=lambda x: -len(x[0])):
            text = text.replace("file://" + url, word).replace(url, word)
        text = text.replace(prefix + "/", "")
        return SAME.get(name, plain)(text)

    def run_at(self, place, name, args, data=b"", more=()):
        """(exit code, stdout, stderr, what is left behind)"""
        c = [c for c in table()["commands"] if c["name"] == name][0]
        p = self.run_shale(*place.line(name, args), *more, data=data, want=None)
        left = None
        if c["effect"] == "writes" and not more:
            direct = {"AWS_ENDPOINT": self.server.env()["AWS_ENDPOINT"]}
            rows = self.run_shale("dump", place.words["DB"], env=direct).stdout
            if name.split()[0] == "sql":
                rows = [self.run_shale("sql", place.url + tail, "SELECT * FROM items", env=direct, want=None).stdout for tail in ("/sq", "/fresh")]
            left = (rows, stores.keys_of(place, self.client)[0])
        err = "" if name in ("doctor", "store doctor") else self.say(name, p.stderr.decode(), place)
        return p.returncode, self.say(name, p.stdout.decode("latin-1"), place), err, left

    def want(self, name, args, data=b""):
        """What it is on a folder."""
        key = (name, *args, data)
        if key not in self.wanted:
            self.wanted[key] = self.run_at(self.folder(), name, args, data)
        return self.wanted[key]

    def lines(self, all_of_them):
        """(command, effect, words, stdin) of the samples that ask the place."""
        for name, c, sample in self.commands():
            if c["effect"] == "local" and not all_of_them:
                continue
            if name == "store mb" and self.server.name == "ministack":
                continue  # it makes a bucket twice without a word, as us-east-1 does
            data = samples.NO_DATA.get(name, sample.data)
            found = [(sample.good, sample.data), *((x, data) for x in sample.says_no())]
            found += [(x, sample.data) for x in (*sample.more, *sample.fails())] if all_of_them else []
            for args, stdin in found:
                if not {"DEAD", "LIAR"} & set(args):
                    yield name, c["effect"], args, stdin

    def same_as_a_folder(self, all_of_them=False, but=()):
        shared = self.bucket()

        def one(line):
            name, effect, args, data = line
            place = self.bucket() if effect == "writes" else shared
            return line, self.want(name, args, data), self.run_at(place, name, args, data)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for line, want, got in pool.map(one, [x for x in self.lines(all_of_them) if (x[0], *x[2]) not in but]):
                self.assertEqual(got, want, line)

    # ---- 15, read-only keys
    DENIED = {"put": "s3:PutObject", "del": "s3:PutObject", "load": "s3:PutObject", "gc": "s3:PutObject", "compactor": "s3:PutObject", "clone": "s3:PutObject", "restore": "s3:PutObject", "delete": "s3:PutObject", "checkpoint create": "s3:PutObject",
              "checkpoint refresh": "s3:PutObject", "checkpoint delete": "s3:PutObject", "bench": "s3:PutObject", "store cp": "s3:PutObject",
              "store rm": "s3:DeleteObject", "s4 put": "s3:PutObject", "s4 del": "s3:PutObject", "s4 load": "s3:PutObject", "s4 compact": "s3:PutObject", "s4 rebuild-index": "s3:PutObject", "sql init": "s3:PutObject", "sql push": "s3:PutObject", "sql compact": "s3:PutObject", "sql gc": "s3:DeleteObject",
              "sql migrate": "s3:PutObject", "store mb": "s3:CreateBucket"}

    def read_only(self, user):
        place = self.bucket()
        _, before = stores.keys_of(place, self.client)
        def one(line):
            name, _, args, data = line
            return line, self.want(name, args, data), self.run_at(place, name, args, data)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for line, want, got in pool.map(one, [x for x in self.lines(True) if x[1] != "writes"]):
                self.assertEqual(got, want, line)
        for name, _, sample in self.commands(effect="writes"):
            p = self.run_shale(*place.line(name, sample.good), data=sample.data, want=None)
            if name.endswith("doctor"):
                self.assertEqual(p.returncode, 1, p.stdout)
                self.assertRegex(p.stdout.decode(), r"FAIL +write +.*s3:PutObject")
                continue
            if name not in self.DENIED:  # there was nothing to do
                self.assertEqual(p.returncode, 0, (name, p.stderr))
                continue
            self.assertEqual(p.returncode, 3, (name, p.stderr))
            self.assertRegex(p.stderr.decode(), r'^shale %s: access denied: %s on "[^"]+".* for %s \(environment AWS_ACCESS_KEY_ID\)' % (
                name, self.DENIED[name], user))
            e = json.loads(self.run_shale(*place.line(name, sample.good), "-j", data=sample.data, want=3).stderr)["error"]
            self.assertEqual((e["code"], e["retry"]), ("PERMISSION_DENIED", "no"), name)
        for args in (["SQ", "INSERT INTO items(name) VALUES('x')"], ["SQ", "BEGIN; DELETE FROM items; SELECT 1; COMMIT"]):
            p = self.run_shale(*place.line("sql", args), want=3)
            self.assertEqual(p.stdout, b"")  # what was not committed prints nothing
            self.assertRegex(p.stderr.decode(), r'^shale sql: access denied: s3:PutObject on "[^"]+changesets/')
        self.assertEqual(stores.keys_of(place, self.client)[1], before)


class Stores(StoreCase):
    # ---- 15
    OPEN = [("store mb", "OLD")]  # after a try whose answer was lost nobody can tell who made our bucket

    def test_a_server(self):
        self.same_as_a_folder(all_of_them=True)

    def test_a_slow_store(self):
        self.front(wait_s=SLOW_S)
        self.same_as_a_folder()

    def test_a_store_that_fails_now_and_then(self):
        front = self.front(rates=FAILING)
        self.same_as_a_folder(but=self.OPEN)
        self.assertGreater(sum(front.counts.values()), 10, front.summary())

    def test_a_store_that_fails_often(self):
        front = self.front(rates=ROUGH, seed="2")
        self.same_as_a_folder(but=self.OPEN)
        self.assertGreater(sum(front.counts.values()), 50, front.summary())

    def test_memory(self):
        for name, c, sample in self.commands():
            places = {"DB", "SQ", "WORDS", "U/bench", "U/fresh"}
            if not places & set(sample.good) or name == "clone":  # whose target would lie in a folder
                continue
            args = ["memory:" if a in places else a for a in sample.good]
            p = self.run_shale(*self.folder().line(name, args), data=b"put a 1\nget a\n" if name == "shell" else sample.data, want=None)
            if (c["effect"] == "reads" and name not in ("shell", "store ls")) or name in samples.NEEDS_DATABASE:  # nobody has written there
                self.assertEqual((p.returncode, any(w in p.stderr for w in samples.NOTHING_HERE)), (3, True), (name, p.stderr))
            else:
                self.assertEqual(p.returncode, 0, (name, p.stderr))

    # ---- 13, 12: read-only by themselves
    def test_reading_commands_send_no_writing_request(self):
        front = self.front()
        place = self.bucket()
        _, before = stores.keys_of(place, self.client)
        for name, _, args, data in [x for x in self.lines(True) if x[1] != "writes"]:
            front.asked()
            self.run_at(place, name, args, data)
            n = front.asked()
            self.assertEqual([n[m] for m in stores.WRITING], [0, 0, 0], (name, args))
        self.assertEqual(stores.keys_of(place, self.client)[1], before)

    def test_dry_runs_send_no_writing_request(self):
        front = self.front()
        place = self.bucket()
        _, before = stores.keys_of(place, self.client)
        for name, c, sample in self.commands():
            if "dry-run" in {o["name"] for o in c["options"]}:
                for args in (sample.good, *sample.more):
                    front.asked()
                    code, out, err, _ = self.run_at(place, name, args, more=["-n"])
                    self.assertEqual((code, out), (0, ""), err)
                    self.assertIn("would ", err)
                    n = front.asked()
                    self.assertEqual([n[m] for m in stores.WRITING], [0, 0, 0], (name, args))
        self.assertEqual(stores.keys_of(place, self.client)[1], before)

    # ---- 14
    def test_requests_are_those_of_the_help(self):
        front = self.front()
        shared = self.bucket()
        for name, c, sample in self.commands():
            place = self.bucket() if c["effect"] == "writes" and "doctor" not in name else shared
            front.asked()
            self.run_shale(*place.line(name, sample.good), data=sample.data)
            n = front.asked()
            if sample.cost is None:
                self.assertEqual((c["effect"], samples.total(n)), ("local", 0), name)
                continue
            said, keeps = sample.cost
            text = " ".join(self.run_shale("help", *name.split()).stdout.decode().split())
            self.assertIn(said, text.partition(" Cost: ")[2], name)
            self.assertTrue(keeps(n), (name, n))

    def test_keys_that_may_only_read(self):
        self.front(forbid=stores.WRITING)
        self.read_only("test")

    # ---- the shell: all that it can do, on one handle
    def script(self):
        """Each command that has a place in a shell, with the shell's own database instead of DB; then what only a shell has."""
        out = []
        for name, c, sample in self.commands(effect="reads"):
            if name not in ("shell", "compactions") and name.split()[0] not in ("s4", "sql"):  # nothing was compacted there; and other engines have no place in it
                out += [" ".join([name, *args[c["args"][0] == "DB":]]) for args in (sample.good, *sample.more) if name == "scan" or "--format" not in args]
        out += [".explain 0001", ".stat", ".mode json", "get 0001", "scan 00 -L 2", ".mode text", ".checkpoint none", ".write on", "put shell 1", "get shell",
                "del 0001", "load T/rows.jsonl", ".begin", "put b 3", "del 0002", ".commit", "scan --count", "store rm -y U/spare", "store cp OBJECT U/copy",
                ".write off", "get b", "scan --count", "stat"]
        return out

    def shell_at(self, place):
        text = "\n".join(" ".join(samples.words("", x.split(" "), place.words)) for x in self.script()) + "\n"
        code, out, err, _ = self.run_at(place, "shell", ["DB"], text.encode())
        rows = self.run_shale("dump", place.words["DB"], env={"AWS_ENDPOINT": self.server.env()["AWS_ENDPOINT"]}).stdout
        return code, out, err, rows, stores.keys_of(place, self.client)[0]

    def test_shell(self):
        want = self.shell_at(self.folder())
        self.assertEqual(want[0], 0, want[2])
        self.assertEqual(self.shell_at(self.bucket()), want)
        for how in ({"wait_s": SLOW_S}, {"rates": FAILING}, {"rates": ROUGH}):
            front = self.front(**how)
            self.assertEqual(self.shell_at(self.bucket()), want, how)
            self.assertTrue("rates" not in how or sum(front.counts.values()) > 0)

    def test_shell_with_keys_that_may_only_read(self):
        front = self.front(forbid=stores.WRITING)
        place = self.bucket()
        _, before = stores.keys_of(place, self.client)
        code, out, _, _ = self.run_at(place, "shell", ["DB"], b"get 0001\nscan 00 -L 1\n")
        self.assertEqual((code, front.counts["denied"]), (0, 0), out)
        code, out, err, _ = self.run_at(place, "shell", ["DB"], b"get 0001\n.write on\nput a b\nget 0001\n")
        self.assertEqual((code, out), (3, "value of 1\n"))
        self.assertIn('access denied: s3:PutObject on "', err)
        code, out, err, _ = self.run_at(place, "shell", ["DB"], b".write on\nput a b\nget 0001\n", more=["--keep-going"])
        self.assertEqual((code, out), (3, "value of 1\n"), err)  # it reads on
        self.assertEqual(stores.keys_of(place, self.client)[1], before)


class Canaries(StoreCase):
    """Secrets are in no output and no trace of any command, on a store that works, fails and forbids."""

    KEY, TOKEN = "CANARYwJalrXUtnFEMIK7MDENGbPxRfiCYKEY", "CANARYtokenFwoGZXIvYXdzEJr0000000000"

    @classmethod
    def start(cls, stack):
        return stores.start(stack, "none")  # the small one: it checks no signatures

    def test_every_command(self):
        place = self.bucket()
        self.env.update(AWS_SECRET_ACCESS_KEY=self.KEY, AWS_SESSION_TOKEN=self.TOKEN)

        def one(line):
            name, _, args, data = line
            trace = os.path.join(self.dir, "trace %d" % id(line))
            p = self.run_shale(*place.line(name, args), "-vv", "--trace", trace, "--timeout", "30s", data=data, want=None)
            with open(trace, "rb") as f:
                return line, p.stdout + p.stderr + f.read()
        for how in ({}, {"rates": ROUGH}, {"forbid": ("GET", *stores.WRITING)}):
            self.front(**how)
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                for line, said in pool.map(one, list(self.lines(True))):
                    self.assertNotIn(self.KEY.encode(), said, line)
                    self.assertNotIn(self.TOKEN.encode(), said, line)


class RealKeys(StoreCase):
    """Keys of a server that knows users and policies."""

    @classmethod
    def start(cls, stack):
        program = stores.servers.SERVERS["versity"]
        if not program.at_hand():
            raise unittest.SkipTest("no versitygw here")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shale-iam-"))
        stack.enter_context(unittest.mock.patch.dict(os.environ, VGW_IAM_DIR=folder))
        server = stores.start(stack, "versity")
        env = server.env()
        subprocess.run([program.path(), "admin", "--access", env["AWS_ACCESS_KEY_ID"], "--secret", env["AWS_SECRET_ACCESS_KEY"], "--region", "us-east-1",
                        "--endpoint-url", env["AWS_ENDPOINT"], "create-user", "--access", "reader", "--secret", "readersecret", "--role", "user"],
                       check=True, capture_output=True, timeout=30)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["reader"]}, "Action": ["s3:GetObject", "s3:ListBucket"],
                                                         "Resource": ["arn:aws:s3:::" + server.bucket, "arn:aws:s3:::%s/*" % server.bucket]}]}
        stores.s3.Bucket(server.bucket, env).ask("PUT", query={"policy": ""}, body=json.dumps(policy).encode())
        return server

    def test_keys_that_may_only_read(self):
        self.env.update(AWS_ACCESS_KEY_ID="reader", AWS_SECRET_ACCESS_KEY="readersecret")
        self.read_only("reader")


if __name__ == "__main__":
    unittest.main()
