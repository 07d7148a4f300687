"""What the tests of the program share: a case with a folder of its own, and ways to run the program in it.

SHALE in the environment names the program. No network, no timing."""
import fcntl
import functools
import hashlib
import json
import os
import pty
import shutil
import struct
import subprocess
import tempfile
import termios
import threading
import unittest

SHALE = os.path.abspath(os.environ.get("SHALE") or os.path.join("build", "release", "shale"))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "slatedb")
FAST = ["--store-option", "local_fsync=off"]  # the tests are not about the disk
ODD_KEYS = [b"\x00", b"\xff", b"\xff\xff\x00", b"a\nb", b"a\tb", b'"', b"\\", b"\x7f", "\u00fc\u20ac\U0001f600".encode(),
            b"\xed\xa0\x80", b"k" * 1000, b" ", b"-", b"--", b"\xc3", b"a\\x00"]


@functools.lru_cache(None)
def table():
    """The program's own table: {"commands": [{name, args, options, effect, examples ..}], "topics": [..]}."""
    return json.loads(subprocess.run([SHALE, "__doc", "list"], capture_output=True, check=True).stdout)


def commands():
    return [c["name"] for c in table()["commands"]]


def tree(folder):
    """Content hash and name of every file below the folder."""
    found = {}
    for where, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(where, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = hashlib.sha256(f.read()).hexdigest()
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="shale-cli-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.db = os.path.join(self.dir, "db")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SHALE_", "SLATEDB_"))}
        self.env.update(HOME=self.dir, XDG_CONFIG_HOME=os.path.join(self.dir, "none"))

    def run_shale(self, *args, data=None, want=0, env=None):
        full = dict(self.env, **(env or {}))
        p = subprocess.run([SHALE, *args], input=data if data is not None else b"", capture_output=True, timeout=120,
                           cwd=self.dir, env=full)
        if want is not None:
            self.assertEqual(p.returncode, want, "shale %s: %r %r" % (" ".join(map(repr, args)), p.stdout[-300:], p.stderr[-600:]))
        return p

    def load(self, rows, *more, db=None):
        text = "".join(json.dumps({"k": k.hex(), "v": None if v is None else v.hex()}) + "\n" for k, v in rows)
        return self.run_shale("load", db or self.db, "-", "--hex", *FAST, *more, data=text.encode())

    def dump(self, *more, db=None):
        out = self.run_shale("dump", db or self.db, "--hex", *more).stdout
        return [(bytes.fromhex(r["k"]), bytes.fromhex(r["v"])) for r in map(json.loads, out.splitlines())]

    def on_terminal(self, *args, columns=80, typed=b"", later=None, program=(), **env):
        """stdin, stdout and stderr on a pseudo-terminal: (exit code, what was printed). later: (seconds, what is typed then). program: run instead,
        with the first of args and then SHALE."""
        parent, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        words = [*program, args[0], SHALE, *args[1:]] if program else [SHALE, *args]
        p = subprocess.Popen(words, stdin=child, stdout=child, stderr=child, env={**self.env, "TERM": "xterm", **env}, cwd=self.dir)
        os.close(child)
        os.write(parent, typed)
        if later:
            timer = threading.Timer(later[0], os.write, (parent, later[1]))
            timer.start()
            self.addCleanup(timer.join)
        out = b""
        while True:
            try:
                piece = os.read(parent, 65536)
            except OSError:
                break
            if not piece:
                break
            out += piece
        os.close(parent)
        return p.wait(60), out
