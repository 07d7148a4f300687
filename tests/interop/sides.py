"""The two implementations, behind one face: Shale through tests/interop/writer.c and the program, SlateDB through peer.py."""
import json
import os
import random
import subprocess

from peer_env import python_of

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LIBRARIES = ["libzstd", "liblz4", "libxxhash", "jansson", "yaml-0.1", "zlib", "libcrypto", "expat", "sqlite3", "libcurl"]
CODECS = ["none", "snappy", "zlib", "lz4", "zstd"]


SHALE_ENDPOINT = []  # an S3 endpoint for Shale alone


class Fenced(Exception):
    pass


def shale_env():
    """The environment of Shale's processes."""
    return dict(os.environ, AWS_ENDPOINT=SHALE_ENDPOINT[-1]) if SHALE_ENDPOINT else None


def compile_writer(shale, where):
    """The steered Shale writer, with the library that lies beside the program."""
    program = os.path.join(where, "writer")
    flags = subprocess.run(["pkg-config", "--libs", *LIBRARIES], capture_output=True, text=True, check=True).stdout.split()
    subprocess.run([os.environ.get("CC", "cc"), "-std=c17", "-O1", "-g", "-D_POSIX_C_SOURCE=200809L", "-I", os.path.join(TOP, "include"),
                    os.path.join(HERE, "writer.c"), os.path.join(os.path.dirname(os.path.abspath(shale)), "libshale.a"), *flags, "-lsnappy",
                    "-lpthread", "-o", program], check=True)
    return program


def url_of(root):
    """A folder or a URL as a URL."""
    return root if "://" in root else "file://" + root


class Place:
    """A database and how it is opened, in the words of both sides. `root`: a folder, or s3://BUCKET/PREFIX. `how`: codec, block_kib, bloom_bits, bloom_prefix, segments, merge,
    wal_root, settings, checkpoint (for readers)."""

    def __init__(self, root, **how):
        self.root, self.how = root, how
        self.url = url_of(root) + "/db"

    def for_peer(self, **more):
        return dict(self.how, root=self.root, path="db", **more)

    def for_writer(self):
        words = {"codec": "compression_codec", "bloom_bits": "bloom_bits_per_key", "bloom_prefix": "bloom_prefix", "segments": "segment_extractor",
                 "merge": "merge_operator", "filter_policy": "filter_policy"}
        found = ["%s=%s" % (words[k], v) for k, v in self.how.items() if k in words and v != "none"]
        if "block_kib" in self.how:
            found.append("sst_block_size=%dKiB" % self.how["block_kib"])
        if "wal_root" in self.how:
            found.append("wal_url=" + url_of(self.how["wal_root"]))
        settings = {"flush_interval": "20ms", **self.how.get("settings", {})}
        return found + ["%s=%s" % (k, json.dumps(v) if not isinstance(v, str) else v) for k, v in settings.items()]

    def for_reader(self):
        flags = {"merge": "--merge", "segments": "--segments", "bloom_prefix": "--bloom-prefix", "checkpoint": "--checkpoint"}
        found = [x for k, v in self.how.items() if k in flags for x in (flags[k], v)]
        if "wal_root" in self.how:
            found += ["--wal-url", url_of(self.how["wal_root"])]
        return found


class Shale:
    """A writer that is open; the constructor opens it."""

    name = "shale"

    def __init__(self, program, place):
        self.p = subprocess.Popen([program, place.url, *place.for_writer()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=shale_env())
        self.hear()

    def hear(self):
        line = self.p.stdout.readline().strip()
        if line.startswith("FENCED"):
            raise Fenced(line)
        if line != "ok":
            raise RuntimeError("shale: " + (line or "ended, exit %s" % self.p.wait(10)))

    def say(self, text):
        self.p.stdin.write(text + "\n")
        self.p.stdin.flush()

    def ask(self, text):
        self.say(text)
        self.hear()

    def write(self, rows, batch=False):
        lines = ["b"] if batch else []
        for op, key, value, expire_ms in rows:
            lines.append(" ".join([op, key] + ([value or "-"] if op != "d" else []) + ([str(expire_ms)] if expire_ms is not None else [])))
        if batch:
            self.ask("\n".join(lines + ["e"]))
        elif lines:
            self.say("\n".join(lines))

    def txn(self, n, op, *words, level=None):
        """None, what a get or scan found, or "conflict"."""
        letters = {"put": "p", "delete": "d", "merge": "m", "get": "g", "scan": "s", "mark": "r", "unmark": "u", "commit": "c", "rollback": "k"}
        if op == "begin":
            self.ask("t %d %s" % (n, level))
            return None
        self.say(" ".join(["T", str(n), letters[op], *[w or "-" for w in words]]))
        answer = self.p.stdout.readline().split()
        if answer[:1] == ["CONFLICT"]:
            return "conflict"
        if answer[:1] != ["ok"]:
            raise RuntimeError("shale: %s" % " ".join(answer))
        if op == "get":
            return None if answer[1] == "none" else answer[1].replace("-", "")
        return [x.replace("-", "").split("=") for x in answer[1:]] if op == "scan" else None

    def flush(self, what):
        self.ask("w" if what == "wal" else "f")

    def compact(self):
        self.ask("s")

    def close(self):
        self.ask("q")
        self.p.communicate(timeout=60)

    def die(self):
        self.say("x")
        self.p.communicate(timeout=60)


class Peer:
    """SlateDB. open=False: only for reading."""

    name = "slatedb"

    def __init__(self, venv, place, open=True):
        self.place = place
        self.p = subprocess.Popen([python_of(venv), os.path.join(HERE, "peer.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if open:
            self.ask("open")

    def ask(self, do, **more):
        self.p.stdin.write(json.dumps(self.place.for_peer(do=do, **more)) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise RuntimeError("slatedb ended, exit %s" % self.p.wait(10))
        answer = json.loads(line)
        if answer.get("fenced"):
            raise Fenced(answer["error"])
        if "error" in answer:
            raise RuntimeError("slatedb: " + answer["error"])
        return answer

    def write(self, rows, batch=False, durable=False):
        self.ask("write", rows=rows, batch=batch, durable=durable)

    def txn(self, n, op, *words, level=None):
        answer = self.ask("txn", n=n, op=op, words=words, level=level)
        return "conflict" if answer.get("conflict") else answer.get("found")

    def flush(self, what):
        self.ask("flush", what=what)

    def compact(self):
        self.ask("compact")

    def rows(self):
        return self.ask("read")["rows"]

    def close(self, flush="memtable"):
        self.ask("close", flush=flush)
        self.end()

    def die(self):
        self.p.stdin.write('{"do":"die"}\n')
        self.end()

    def end(self):
        try:
            self.p.stdin.close()
        except BrokenPipeError:
            pass
        self.p.stdout.read()
        self.p.wait(60)


def read_shale(program, place):
    """Rows as the peer gives them: key, value, seq, create_ts, expire_ts."""
    env = {k: v for k, v in (shale_env() or os.environ).items() if not k.startswith(("SHALE_", "SLATEDB_"))}
    p = subprocess.run([program, "dump", place.url, "--hex", *place.for_reader()], capture_output=True, text=True, env=env, timeout=300)
    if p.returncode != 0:
        raise RuntimeError("shale dump: exit %d: %s" % (p.returncode, p.stderr.strip()[-400:]))
    return [[r["k"], r["v"], r.get("seq"), r.get("create_ts"), r.get("expire_ts")] for r in map(json.loads, p.stdout.splitlines())]


def read_peer(venv, place):
    peer = Peer(venv, place, open=False)
    rows = peer.rows()
    peer.end()
    return rows


class Model:
    """What must be in the database."""

    def __init__(self, merge=None):
        self.rows, self.merge = {}, merge

    def apply(self, rows):
        for op, key, value, _expire in rows:
            if op == "d":
                self.rows.pop(key, None)
            elif op == "p" or self.merge is None:
                self.rows[key] = value
            elif self.merge == "concat":
                self.rows[key] = self.rows.get(key, "") + value
            else:
                parts = (self.rows.get(key, ""), value)
                number = sum(int.from_bytes(bytes.fromhex(x), "little") for x in parts) % 2**64
                self.rows[key] = number.to_bytes(8, "little").hex()

    def differs(self, rows):
        """None, or the first difference."""
        want = sorted(self.rows.items())
        for got, (key, value) in zip(rows, want):
            if got[0] != key or got[1] != value:
                return "row %.60s (%d bytes) where %.60s (%d bytes) should be" % (got[0], len(got[1]) // 2, key, len(value) // 2)
        return None if len(rows) == len(want) else "%d rows, not %d" % (len(rows), len(want))


def random_rows(rnd, count, merge=None, big=False, expire_ms=None):
    """Changes with few enough keys to meet again; keys of every byte, also 0x00 and 0xff alone."""
    rows = []
    for _ in range(count):
        kind = rnd.random()
        if kind < 0.1:
            key = bytes([rnd.choice([0, 0xFF])]) * rnd.randint(1, 4)
        elif kind < 0.4:
            key = rnd.randbytes(rnd.choice([1, 2, 3, 9]))
        else:
            key = b"%s/%05d" % (rnd.choice([b"a", b"user", b"user/x", b"z"]), rnd.randrange(2000))
        if rnd.random() < 0.2:
            rows.append(["d", key.hex(), None, None])
        elif merge == "sum-u64" and rnd.random() < 0.9:
            rows.append(["m", key.hex(), rnd.randrange(2**64).to_bytes(8, "little").hex(), None])
        else:
            size = 1 << 20 if big and rnd.random() < 0.004 else 8 if merge == "sum-u64" else rnd.choice([0, 1, 30, 400, 4000])
            value = rnd.randbytes(size) if rnd.random() < 0.5 else bytes([rnd.randrange(256)]) * size
            op = "m" if merge is not None and rnd.random() < 0.6 else "p"
            rows.append([op, key.hex(), value.hex(), expire_ms if expire_ms is not None and rnd.random() < 0.5 else None])
    return rows


def write_some(side, rnd, rows):
    """The rows in single writes and batches, with flushes between."""
    at = 0
    while at < len(rows):
        step = rnd.choice([1, 5, 60, 200])
        side.write(rows[at:at + step], batch=rnd.random() < 0.5)
        at += step
        if rnd.random() < 0.1:
            side.flush(rnd.choice(["wal", "memtable"]))


def draw(seed, text):
    return random.Random("%s %s" % (seed, text))
