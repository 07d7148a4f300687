"""What the drivers here share: golden cases, rows, and running the program."""
import gzip
import hashlib
import json
import os
import shutil
import subprocess

# Options of case.json that a reader cannot learn from the database; the program has them under the same names.
NEEDED = ("--merge", "--segments", "--wal-url", "--bloom-prefix", "--transformer")
FAST = ["--store-option", "local_fsync=off"]  # nothing here is about losing power


class Case:
    """One golden case; copy() gives its store a place of its own."""

    def __init__(self, folder):
        self.folder, self.name = folder, os.path.basename(folder.rstrip("/"))
        with open(os.path.join(folder, "case.json"), encoding="utf-8") as f:
            self.facts = json.load(f)

    @staticmethod
    def all_of(folder):
        names = sorted(n for n in os.listdir(folder) if os.path.exists(os.path.join(folder, n, "case.json")))
        return [Case(os.path.join(folder, n)) for n in names]

    def expected(self, view):
        path = os.path.join(self.folder, view["expected"])
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as f:
            return [json.loads(line) for line in f if line.strip()]

    def copy(self, where):
        shutil.copytree(os.path.join(self.folder, "store"), os.path.join(where, "store"))
        return os.path.join(where, "store")

    def arguments(self, view, where):
        """The database and how a reader opens it, when the store was copied to `where`."""
        store = os.path.join(where, "store")
        found = ["file://%s/%s" % (store, view["db"]), "--root", store]
        given = self.facts.get("read_options", [])
        for name, value in zip(given, given[1:]):
            if name in NEEDED:
                found += [name, value.replace("<case>", where)]
        if view.get("checkpoint"):
            found += ["--checkpoint", view["checkpoint"]]
        return found


def rows_of(text):
    return [json.loads(line) for line in text.splitlines()]


def short(row):
    """A row with its value as length and hash, so that rows of both shapes compare."""
    if "v" in row:
        value = bytes.fromhex(row["v"])
        size, digest = len(value), hashlib.sha256(value).hexdigest()
    else:
        size, digest = row["vlen"], row["vsha256"]
    return (row["k"], size, digest, row.get("seq"), row.get("create_ts"), row.get("expire_ts"))


def run(shale, *args, data=None, limit_s=120):
    """Exit code, stdout, stderr; None as exit code when it did not end."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SHALE_", "SLATEDB_"))}
    try:
        p = subprocess.run([shale, *args], input=data or "", capture_output=True, text=True, errors="replace", env=env, timeout=limit_s)
        return p.returncode, p.stdout, p.stderr
    except subprocess.TimeoutExpired:
        return None, "", "no end after %d s" % limit_s
