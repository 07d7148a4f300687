#!/usr/bin/env python3
"""The shale program from outside: command in; exit code, stdout and stderr out.

Goal: what a script or a person relies on stays true - exit codes, raw bytes, JSON, one line of error with a way out.
Method: runs the built program (environment variable SHALE) on databases in a temporary folder; no network, no timing."""
import base64
import gzip
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

SHALE = os.environ.get("SHALE", "shale")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(SOURCE, "tests", "fixtures", "slatedb")
FAST = ["--store-option", "local_fsync=off"]  # the tests are not about the disk
COMMANDS = ["put", "get", "del", "scan", "load", "dump", "stat", "manifest", "sst", "wal", "bench",
            "store ls", "store cat", "store cp", "store rm", "store stat"]
ODD_KEYS = [b"\x00", b"\xff", b"\xff\xff\x00", b"a\nb", b"a\tb", b'"', b"\\", b"\x7f", "\u00fc\u20ac\U0001f600".encode(),
            b"\xed\xa0\x80", b"k" * 1000, b" ", b"-", b"--", b"\xc3", b"a\\x00"]


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


class Rows(Case):
    def test_put_get_del_round_trip(self):
        self.run_shale("put", self.db, "fruit", "red", *FAST)
        p = self.run_shale("get", self.db, "fruit")
        self.assertEqual((p.stdout, p.stderr), (b"red", b""))
        self.run_shale("del", self.db, "fruit", "never-there", *FAST)
        p = self.run_shale("get", self.db, "fruit", want=1)
        self.assertEqual((p.stdout, p.stderr), (b"", b""))  # silent in a pipe

    def test_values_are_data_and_stdin_is_a_dash(self):
        raw = bytes(range(256)) * 4096  # 1 MiB
        self.run_shale("put", self.db, "big", "-", *FAST, data=raw)
        self.assertEqual(self.run_shale("get", self.db, "big").stdout, raw)
        self.run_shale("put", self.db, "literal", "@file", *FAST)
        self.assertEqual(self.run_shale("get", self.db, "literal").stdout, b"@file")
        self.run_shale("put", *FAST, self.db, "--", "--key", "-v")
        self.assertEqual(self.run_shale("get", self.db, "--", "--key").stdout, b"-v")
        path = os.path.join(self.dir, "value")
        with open(path, "wb") as f:
            f.write(b"from file\n")
        self.run_shale("put", self.db, "f", "--value-file", path, *FAST)
        self.assertEqual(self.run_shale("get", self.db, "f").stdout, b"from file\n")
        self.run_shale("put", self.db, "empty", "", *FAST)
        self.assertEqual(self.run_shale("get", self.db, "empty").stdout, b"")

    def test_hex_keys_and_values(self):
        self.run_shale("put", self.db, "00ff", "0a", "--hex", *FAST)
        self.assertEqual(self.run_shale("get", self.db, "00FF", "--hex").stdout, b"0a\n")
        row = json.loads(self.run_shale("get", self.db, "00ff", "--hex", "--json").stdout)
        self.assertEqual((row["k"], row["v"], row["seq"]), ("00ff", "0a", 1))
        for bad in ("0", "zz"):
            self.run_shale("get", self.db, bad, "--hex", want=2)

    def test_odd_keys_survive_every_format(self):
        rows = sorted((k, bytes(reversed(k)) if i % 3 else b"") for i, k in enumerate(ODD_KEYS))
        self.load(rows)
        self.assertEqual(self.dump(), rows)
        plain = [json.loads(x) for x in self.run_shale("dump", self.db).stdout.splitlines()]

        def back(r, name):
            return base64.b64decode(r[name + "_base64"]) if name + "_base64" in r else r[name].encode()
        self.assertEqual([(back(r, "key"), back(r, "value")) for r in plain], rows)
        again = os.path.join(self.dir, "again")
        self.run_shale("load", again, *FAST, data=self.run_shale("dump", self.db).stdout)
        self.assertEqual(self.dump(db=again), rows)
        text = self.run_shale("scan", self.db, "--keys-only").stdout
        self.assertEqual(text.count(b"\n"), len(rows))  # a row is a line
        unescaped = [re.sub(rb"\\(x..|.)", lambda m: bytes.fromhex(m[1][1:].decode()) if m[1][:1] == b"x" else
                            {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}[m[1]], x) for x in text.split(b"\n")[:-1]]
        self.assertEqual(unescaped, [k for k, _ in rows])
        raw = self.run_shale("scan", self.db, "--format", "raw0").stdout
        self.assertEqual(raw, b"".join(k + b"\0" + v + b"\0" for k, v in rows))
        csv = self.run_shale("scan", self.db, "--format", "csv", "--prefix", '"').stdout
        self.assertEqual(csv, b'"""",""""\r\n' if dict(rows)[b'"'] else b'"""",\r\n')

    def test_scan_ranges_order_limit(self):
        self.load([(b"%02d" % i, b"v%d" % i) for i in range(50)])

        def keys(*more):
            return self.run_shale("scan", self.db, "--keys-only", *more).stdout.decode().split()
        for args, want in [([], range(50)), (["--prefix", "1"], range(10, 20)), (["--from", "10", "--to", "12"], range(10, 12)),
                           (["--from", "48"], range(48, 50)), (["--to", "03"], range(3)), (["--limit", "3"], range(3)),
                           (["-L3", "--reverse"], range(49, 46, -1)), (["--prefix", "x"], []), (["--limit", "0"], []),
                           (["--from", "20", "--to", "10"], []), (["--from", "10", "--to", "10"], []),
                           (["--prefix", "1", "--reverse", "-L", "2"], [19, 18])]:
            self.assertEqual(keys(*args), ["%02d" % i for i in want], args)
        self.assertEqual(self.run_shale("scan", self.db, "--count").stdout, b"50 rows, 240 bytes\n")
        self.assertEqual(json.loads(self.run_shale("scan", self.db, "--count", "--json").stdout), {"rows": 50, "bytes": 240})
        self.run_shale("scan", self.db, "--exists", "--prefix", "4")
        self.run_shale("scan", self.db, "--exists", "--prefix", "z", want=1)
        self.run_shale("scan", self.db, "--prefix", "1", "--from", "2", want=2)

    def test_options_anywhere_and_both_forms(self):
        self.load([(b"a", b"1"), (b"b", b"2")])
        for args in (["--limit=1", "scan", self.db], ["scan", "--limit", "1", self.db], ["scan", self.db, "-L", "1"],
                     ["-L1", "scan", self.db], ["scan", self.db, "-qL1"]):
            self.assertEqual(self.run_shale(*args).stdout, b"a\t1\n", args)

    def test_head_ends_a_scan_silently(self):
        self.load([(b"%06d" % i, b"x" * 200) for i in range(5000)])
        p = subprocess.Popen("%s scan %s | head -n 2" % (SHALE, self.db), shell=True, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env)
        out, err = p.communicate(timeout=60)
        self.assertEqual((out.count(b"\n"), err), (2, b""))

    def test_full_disk_on_stdout_is_reported(self):
        self.load([(b"a", b"1")])
        with open("/dev/full", "wb") as full:
            p = subprocess.run([SHALE, "dump", self.db], stdout=full, stderr=subprocess.PIPE, env=self.env)
        self.assertEqual(p.returncode, 3)
        self.assertIn(b"stdout cannot be written", p.stderr)

    def test_memory_names_are_one(self):
        for url in ("memory", "memory:", "memory://"):
            self.run_shale("put", url, "a", "1")


class LoadDump(Case):
    def test_load_takes_what_json_allows(self):
        text = ('{"key":"a","value":"1"}\n'
                '  { "value" : "2" , "key" : "b" }  \r\n'
                '\n'
                '{"key":"\\u0000\\n\\"\\\\\\/\\ud83d\\ude00","value":"\\t"}\n'
                '{"key_base64":"/w==","value_base64":""}\n'
                '{"key":"gone","value":"x"}\n{"key":"gone","value":null}\n'
                '{"key":"last","value":"no line end"}')
        self.run_shale("load", self.db, "-", *FAST, data=text.encode())
        want = {b"a": b"1", b"b": b"2", b'\0\n"\\/\xf0\x9f\x98\x80': b"\t", b"\xff": b"", b"last": b"no line end"}
        self.assertEqual(dict(self.dump()), want)

    def test_load_refuses_what_is_not_a_row_and_names_the_line(self):
        bad = ['', 'x', '[]', '{}', '{"key":"a"}', '{"value":"a"}', '{"key":"a","value":1}', '{"key":"a","value":"b"} x',
               '{"key":"a","value":"b",}', '{"key":"a" "value":"b"}', '{"key":"a","key":"b","value":"c"}',
               '{"key":"a","value":"b","other":1}', '{"key":"","value":"b"}', '{"key":"a\n","value":"b"}', '{"key":"\\x","value":""}',
               '{"key":"\\ud800","value":""}', '{"key":"\\u12","value":""}', '{"key":"a","value":"b"', '{"key":"a","value":"b',
               '{"k":"61","v":"62"}', '{"key_base64":"a","value":"b"}', '{"key_base64":"YR==","value":"b"}',
               '{"key":"a","value":true}', '{"key":"a","value":nul}', '{"key":"a","key_base64":"YQ==","value":"b"}']
        for line in bad:
            if not line:
                continue
            data = ('{"key":"ok","value":"1"}\n' + line + '\n{"key":"after","value":"1"}\n').encode()
            p = self.run_shale("load", self.db, "-", *FAST, data=data, want=3)
            self.assertRegex(p.stderr.decode(), r"^shale load: stdin:2: byte \d+: ", line)
            self.assertIn("1 rows before it are durable", p.stderr.decode())
            self.assertEqual(self.dump(), [(b"ok", b"1")], line)
        p = self.run_shale("load", self.db, "-", data=b'{"key":"\xff","value":"1"}\n', want=3)
        self.assertIn("UTF-8", p.stderr.decode())
        for line in ('{"k":"6","v":""}', '{"k":"zz","v":""}', '{"k":"61","v":5}', '{"k":"61","v":"","seq":01}', '{"key":"a","value":"b"}',
                     '{"k":"61","v":"","expire_ts":"x"}', '{"k":"61","v":"","seq":-1}'):
            self.run_shale("load", self.db, "-", "--hex", data=line.encode(), want=3)

    def test_load_from_file_and_huge_rows(self):
        path = os.path.join(self.dir, "rows.jsonl")
        big = os.urandom(2 << 20)
        rows = [(b"big", big)] + [(b"k%05d" % i, os.urandom(i % 50)) for i in range(3000)]
        with open(path, "w") as f:
            for k, v in rows:
                f.write(json.dumps({"k": k.hex(), "v": v.hex()}) + "\n")
        self.run_shale("load", self.db, path, "--hex", *FAST)
        self.assertEqual(self.dump(), sorted(rows))
        p = self.run_shale("load", self.db, os.path.join(self.dir, "no-such-file"), want=2)
        self.assertIn(b"cannot be read", p.stderr)
        self.run_shale("load", self.db, self.dir, want=2)

    def test_expiry_survives_dump_and_load(self):
        self.run_shale("load", self.db, "-", "--hex", *FAST, data=b'{"k":"61","v":"62","expire_ts":4102444800000,"seq":18446744073709551615}\n')
        row = json.loads(self.run_shale("dump", self.db, "--hex").stdout)
        self.assertEqual(row["expire_ts"], 4102444800000)
        self.assertEqual(set(row), {"k", "v", "seq", "create_ts", "expire_ts"})

    def test_later_rows_win_and_null_deletes(self):
        self.load([(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)])
        self.load([(b"c", b"3")])
        self.assertEqual(self.dump(), [(b"a", b"2"), (b"c", b"3")])

    def test_ctrl_c_makes_what_was_read_durable(self):
        p = subprocess.Popen([SHALE, "load", self.db, "-", *FAST], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        p.stdin.write(b"".join(b'{"key":"%06d","value":"x"}\n' % i for i in range(2500)))
        p.stdin.write(b'{"key":"half a li')
        p.stdin.flush()
        # The program must have taken all of it before the signal: the pipe is empty then.
        import fcntl
        import struct
        import termios
        while struct.unpack("i", fcntl.ioctl(p.stdin.fileno(), termios.FIONREAD, b"\0" * 4))[0] > 0:
            pass
        while not os.path.isdir(os.path.join(self.db, "manifest")):
            pass
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130, err)
        self.assertIn(b"2500 rows", err)
        self.assertEqual(len(self.dump()), 2500)

    def test_sigterm_exits_143(self):
        p = subprocess.Popen([SHALE, "load", self.db, "-", *FAST], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        while not os.path.isdir(os.path.join(self.db, "manifest")):
            pass
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 143)


class Usage(Case):
    def test_no_word_shows_the_overview(self):
        p = self.run_shale(want=2)
        self.assertIn(b"Usage: shale COMMAND DB", p.stdout)

    def test_help_wins_anywhere_and_opens_nothing(self):
        for command in COMMANDS:
            words = command.split()
            for args in ([*words, "-h"], [*words, "--help"], ["-h", *words], [*words, "x", "--limit", "-h"], [*words, "--nonsense", "--help"],
                         ["help", *words]):
                p = self.run_shale(*args, env={"SHALE_FLUSH_INTERVAL": "nonsense"})
                self.assertTrue(p.stdout.decode().startswith("shale %s - " % command), (args, p.stdout[:80]))
                self.assertEqual(p.stderr, b"")
        with open(os.path.join(self.dir, "SlateDb.toml"), "w") as f:
            f.write("this is no toml")
        self.run_shale("scan", "--help")
        self.assertEqual(os.listdir(self.dir), ["SlateDb.toml"])

    def test_help_fits_100_columns_and_has_examples_first(self):
        for command in COMMANDS:
            text = self.run_shale("help", *command.split()).stdout.decode()
            self.assertLessEqual(max(map(len, text.split("\n"))), 100, command)
            self.assertLess(text.index("  shale "), text.index("  --"), command)
            self.assertIn("Exit: ", text)
        self.assertIn(b"flush_interval", self.run_shale("help", "settings").stdout)
        for topic in ("urls", "units", "exit-codes"):
            self.assertTrue(self.run_shale("help", topic).stdout)
        self.run_shale("help", "nonsense", want=2)

    def test_misspelt_words_get_a_suggestion_and_exit_2(self):
        self.load([(b"a", b"1")])
        for args, near in ((["scna", self.db], b"scan"), (["scan", self.db, "--limt", "3"], b"--limit"), (["dmup", self.db], b"dump"),
                           (["scan", self.db, "--keys-onyl"], b"--keys-only"), (["put", self.db, "a", "b", "--set", "flush_intervall=1s"], b"flush_interval"),
                           (["get", self.db, "a", "--store-option", "local_fsnc=off"], b"local_fsync"),
                           (["bench", self.db, "--workload", "fillsq"], b"fillseq"), (["store", "lss", self.db], b"ls")):
            p = self.run_shale(*args, want=2)
            self.assertIn(near, p.stderr, args)

    def test_wrong_numbers_of_arguments_open_nothing(self):
        for args in (["get"], ["get", self.db], ["get", self.db, "a", "b"], ["put", self.db, "a"], ["put", self.db, "a", "b", "c"],
                     ["del", self.db], ["scan"], ["scan", self.db, "x"], ["load"], ["dump"], ["stat"], ["sst"], ["wal"], ["manifest"],
                     ["store"], ["store", "ls"], ["store", "cp", "a"], ["bench", self.db], ["scan", self.db, "--limit"],
                     ["scan", self.db, "--limit", "x"], ["scan", self.db, "--reverse=yes"], ["scan", self.db, "--lim", "3"],
                     ["scan", self.db, "--format", "xml"], ["scan", self.db, "-z"], ["put", self.db, "", "v"], ["get", self.db, ""],
                     ["put", self.db, "a", "b", "--set", "flush_interval"], ["put", self.db, "a", "b", "--set", "flush_interval=5"],
                     ["put", self.db, "a", "b", "--set", "sst_block_size=3KiB"], ["put", self.db, "a", "b", "--merge", "min"],
                     ["put", self.db, "a", "b", "--segments", "x"], ["put", self.db, "a", "b", "--transformer", "rot13"],
                     ["put", self.db, "a", "b", "--settings", "no.toml"], ["put", self.db, "a", "b", "--value-file", "f"],
                     ["wal", self.db, "x"], ["manifest", self.db, "--id", "0"], ["scan", self.db, "--prefix", "x", "--workload", "y"]):
            p = self.run_shale(*args, want=2)
            self.assertTrue(p.stderr.startswith(b"shale"), (args, p.stderr))
            self.assertEqual(p.stdout, b"", args)
        self.assertFalse(os.path.exists(self.db))

    def test_bad_urls_exit_2(self):
        for url in ("s3:/x/y", "file:x", "ftp://x", "memory://host/x"):
            self.run_shale("get", url, "a", want=2)

    def test_version(self):
        self.assertRegex(self.run_shale("--version").stdout, rb"^shale \d+\.\d+\.\d+\n$")
        self.assertRegex(self.run_shale("version").stdout, rb"^shale \d+\.\d+\.\d+\n$")


class Errors(Case):
    def test_no_database_is_3_and_makes_no_folder(self):
        for args in (["get", self.db, "a"], ["scan", self.db], ["dump", self.db], ["stat", self.db], ["manifest", self.db], ["sst", self.db],
                     ["wal", self.db]):
            p = self.run_shale(*args, want=3)
            self.assertTrue(p.stderr.startswith(b"shale %s: " % args[0].encode()), p.stderr)
            self.assertIn(b"\n  try: ", p.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_json_errors_are_one_line_of_json(self):
        for args, code in ((["get", self.db, "a", "--json"], 3), (["scan", "--json"], 2), (["scna", "-j"], 2),
                           (["scan", self.db, "--set", "x=1", "-j"], 2), (["scan", self.db, "--json", "--checkpoint", "none"], 3)):
            p = self.run_shale(*args, want=code)
            self.assertEqual(p.stderr.count(b"\n"), 1, p.stderr)
            error = json.loads(p.stderr)["error"]
            self.assertEqual({"code", "what", "where", "why", "try", "retry"}, set(error))
            self.assertIn(error["retry"], ("no", "later", "now"))

    def test_damage_is_3_and_names_the_object(self):
        self.load([(b"%04d" % i, os.urandom(100)) for i in range(2000)])
        folder = os.path.join(self.db, "compacted")
        name = os.listdir(folder)[0]
        with open(os.path.join(folder, name), "r+b") as f:
            f.seek(5000)
            f.write(b"\0\1\2\3")
        for args in (["dump", self.db], ["scan", self.db, "--count"], ["sst", self.db, name[:-4]]):
            p = self.run_shale(*args, want=3)
            self.assertIn(name[:-4].encode(), p.stderr, args)

    def test_reading_commands_leave_the_folder_byte_equal(self):
        self.load([(b"%04d" % i, b"x" * 100) for i in range(500)])
        before = tree(self.dir)
        sst = os.listdir(os.path.join(self.db, "compacted"))[0][:-4]
        for args in (["get", self.db, "0001"], ["scan", self.db], ["dump", self.db], ["stat", self.db], ["manifest", self.db], ["sst", self.db],
                     ["sst", self.db, sst, "--rows"], ["wal", self.db], ["wal", self.db, "1"], ["store", "ls", self.db],
                     ["store", "rm", "-n", self.db + "/manifest/00000000000000000001.manifest"]):
            self.run_shale(*args)
            self.assertEqual(tree(self.dir), before, args)


class Settings(Case):
    def test_files_environment_and_flags_in_their_order(self):
        path = os.path.join(self.dir, "s.toml")
        with open(path, "w") as f:
            f.write('compression_codec = "Zstd"\nflush_interval = "10ms"\n[compactor_options]\npoll_interval = "1s"\n[garbage_collector_options]\nmetric_level = "Debug"\n')
        def codec(*more, env=None):
            shutil.rmtree(self.db, True)
            self.run_shale("load", self.db, *FAST, *more, data=b'{"key":"a","value":"1"}\n', env=env)
            return json.loads(self.run_shale("sst", self.db, "--json").stdout)[0]["compression"]
        self.assertIsNone(codec())
        self.assertEqual(codec("--settings", path), "Zstd")
        self.assertEqual(codec("--settings", path, env={"SLATEDB_COMPRESSION_CODEC": "lz4"}), "Lz4")
        self.assertEqual(codec(env={"SLATEDB_COMPRESSION_CODEC": "lz4", "SHALE_COMPRESSION_CODEC": "SNAPPY"}), "Snappy")
        self.assertEqual(codec("--set", "compression_codec=zlib", env={"SHALE_COMPRESSION_CODEC": "snappy"}), "Zlib")
        self.assertIsNone(codec("--settings", path, "--set", "compression_codec=none"))
        self.assertIsNone(codec(env={"SHALE_SERVERS": "x", "SLATEDB_UNKNOWN": "y"}))
        with open(os.path.join(self.dir, "SlateDb.json"), "w") as f:
            f.write('{"compression_codec":"Snappy","compactor_options":null}')
        self.assertEqual(codec(), "Snappy")
        p = self.run_shale("dump", self.db, want=2, env={"SHALE_MIN_FILTER_KEYS": "many"})
        self.assertIn(b"SHALE_MIN_FILTER_KEYS", p.stderr)

    def test_every_setting_takes_its_own_default(self):
        lines = self.run_shale("help", "settings").stdout.decode().split("\n")
        settings = [m.groups() for m in (re.match(r"^([a-z0-9_.]+) = (.*)  \(\w+\)$", x) for x in lines) if m]
        self.assertGreater(len(settings), 80)
        args = [x for name, value in settings for x in ("--set", "%s=%s" % (name, value))]
        self.run_shale("put", self.db, "a", "1", *args, *FAST)

    def test_old_words_are_taken_with_a_note(self):
        for word, new in (("flush_ms=20", "flush_interval"), ("max_unflushed_memtable=2GiB", "max_unflushed_bytes"), ("poll_interval=2s", "manifest_poll_interval")):
            p = self.run_shale("put", self.db, "a", "1", "--set", word, *FAST)
            self.assertEqual(p.stderr.count(b"\n"), 1, p.stderr)
            self.assertIn(new.encode(), p.stderr)
        p = self.run_shale("get", self.db, "a", "--durability", "committed")
        self.assertEqual((p.stdout, p.stderr.count(b"\n")), (b"1", 1))
        self.run_shale("put", self.db, "a", "1", "--set", "l0_sst_size_bytes=1MiB", "--set", "flush_interval=none", *FAST)

    def test_merge_operator(self):
        case = os.path.join(FIXTURES, "10_merge")
        if os.path.isdir(case):
            store = os.path.join(self.dir, "store")
            shutil.copytree(os.path.join(case, "store"), store)
            self.run_shale("dump", os.path.join(store, "db"), "--merge", "concat")


class Inspection(Case):
    def test_documents_are_json_and_agree(self):
        self.load([(b"%04d" % i, b"x" * 100) for i in range(1500)])
        manifest = json.loads(self.run_shale("manifest", self.db).stdout)
        names = {"id", "external_dbs", "initialized", "last_compacted_l0_sst_view_id", "last_compacted_l0_sst_id", "l0", "compacted", "segments",
                 "segment_extractor_name", "next_wal_sst_id", "replay_after_wal_id", "last_l0_clock_tick", "last_l0_seq", "recent_snapshot_min_seq",
                 "sequence_tracker", "checkpoints", "wal_object_store_uri", "writer_epoch", "compactor_epoch"}
        self.assertEqual(set(manifest), names)
        stat = json.loads(self.run_shale("stat", self.db, "--json").stdout)
        self.assertEqual((stat["manifest_id"], stat["rows_put"], stat["l0_count"]), (manifest["id"], 1500, len(manifest["l0"])))
        ssts = json.loads(self.run_shale("sst", self.db, "--json").stdout)
        self.assertEqual(len(ssts), stat["sst_count"])
        sst = json.loads(self.run_shale("sst", self.db, ssts[0]["sst"], "--rows").stdout)
        self.assertEqual(sum(len(b["rows"]) for b in sst["blocks"]), 1500)
        self.assertEqual(sst["blocks"][0]["rows"][0]["k"], b"0000".hex())
        self.assertEqual(json.loads(self.run_shale("manifest", self.db, "--id", "1").stdout)["id"], 1)
        self.run_shale("manifest", self.db, "--id", "99", want=3)
        self.run_shale("sst", self.db, "nonsense", want=2)
        for args in (["stat", self.db], ["sst", self.db], ["sst", self.db, ssts[0]["sst"]], ["wal", self.db]):
            self.assertTrue(self.run_shale(*args).stdout is not None)

    def test_golden_wal_rows(self):
        case = os.path.join(FIXTURES, "03_wal_many")
        store = os.path.join(self.dir, "store")
        shutil.copytree(os.path.join(case, "store"), store)
        path = next(os.path.join(case, f) for f in sorted(os.listdir(case)) if f.startswith("wal."))
        with (gzip.open if path.endswith(".gz") else open)(path, "rt") as f:
            want = [json.loads(x) for x in f if x.strip()]
        for wal in sorted({r["wal"] for r in want}):
            got = json.loads(self.run_shale("wal", os.path.join(store, "db"), str(wal), "--json").stdout)["rows"]
            rows = [r for r in want if r["wal"] == wal]
            self.assertEqual([(r["kind"], r["k"], r["seq"], r.get("create_ts")) for r in got],
                             [(r["kind"], r["k"], r["seq"], r.get("create_ts")) for r in rows])

    def test_every_golden_manifest_prints(self):
        for case in sorted(os.listdir(FIXTURES)):
            if not os.path.isdir(os.path.join(FIXTURES, case)):
                continue
            with open(os.path.join(FIXTURES, case, "case.json")) as f:
                meta = json.load(f)
            store = os.path.join(FIXTURES, case, "store")
            for db in meta["databases"]:
                p = self.run_shale("manifest", os.path.join(store, db), "--root", store)
                name = "manifest.json" if len(meta["databases"]) == 1 else "manifest.%s.json" % db
                path = os.path.join(FIXTURES, case, name)
                if not os.path.exists(path):
                    continue
                with open(path) as f:
                    want = json.load(f)
                got = json.loads(p.stdout)
                for field in ("id", "writer_epoch", "compactor_epoch", "next_wal_sst_id", "replay_after_wal_id", "last_l0_seq", "last_l0_clock_tick"):
                    self.assertEqual(got[field], want[field], (case, field))
                self.assertEqual([v["sst"]["id"]["Compacted"] for v in got["l0"]], [v["sst_id"] for v in want["l0"]], case)


class Store(Case):
    def test_objects(self):
        self.load([(b"a", b"1")])
        listed = [json.loads(x) for x in self.run_shale("store", "ls", self.db, "--json").stdout.splitlines()]
        self.assertEqual(sorted(o["key"] for o in listed), sorted(tree(self.db)))
        key = listed[0]["key"]
        with open(os.path.join(self.db, key), "rb") as f:
            raw = f.read()
        self.assertEqual(self.run_shale("store", "cat", self.db + "/" + key).stdout, raw)
        copy = os.path.join(self.dir, "saved")
        self.run_shale("store", "cp", self.db + "/" + key, copy, "-n")
        self.assertFalse(os.path.exists(copy))
        self.run_shale("store", "cp", self.db + "/" + key, copy)
        stat = json.loads(self.run_shale("store", "stat", copy, "--json").stdout)
        self.assertEqual(stat["size_bytes"], len(raw))
        self.run_shale("store", "rm", copy, want=2)  # not a terminal: needs --yes
        self.assertTrue(os.path.exists(copy))
        self.run_shale("store", "rm", "-y", copy)
        self.assertFalse(os.path.exists(copy))
        self.run_shale("store", "cat", copy, want=1)
        self.run_shale("store", "stat", copy, want=1)


class Bench(Case):
    def test_every_workload_gives_its_line(self):
        works = "fillseq,fillrandom,settle,readcold,readhot,readmissing,scan,shortscan,overwrite,settle,filldurable"
        p = self.run_shale("bench", self.db, "--workload", works, "--num", "2000", "--reads", "1000", "--scans", "20", "--clients", "2",
                           "--durable-ops", "5", "--json", *FAST)
        lines = [json.loads(x) for x in p.stdout.splitlines()]
        self.assertEqual([x["w"] for x in lines], works.split(","))
        for line in lines:
            self.assertLessEqual({"w", "n", "vlen", "threads", "ops", "s", "ops_s", "cpu_s", "cpu_per_mop", "p50us", "p99us", "rss_mb", "puts",
                                  "put_mb", "gets", "get_mb"}, set(line))
        ops = {x["w"]: x["ops"] for x in lines}
        self.assertEqual((ops["fillseq"], ops["readhot"], ops["scan"], ops["shortscan"], ops["filldurable"]), (2000, 1000, 2000, 20, 5))
        rows = self.dump()
        self.assertEqual(len(rows), 2000)
        self.assertEqual(rows[7][0], b"0000000000000007")

    def test_values_come_from_the_pool_of_the_peers(self):
        self.run_shale("bench", self.db, "--workload", "fillrandom", "--num", "20", "--value-size", "24", *FAST)
        pool, state, mask = bytearray(), 42, (1 << 64) - 1
        while len(pool) < 1 << 13:
            state = (state + 0x9E3779B97F4A7C15) & mask
            z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
            pool += (z ^ (z >> 31)).to_bytes(8, "little")
        self.assertEqual(self.dump(), [(b"%016d" % i, bytes(pool[131 * i:131 * i + 24])) for i in range(20)])

    def test_memory_keeps_its_rows_between_workloads(self):
        p = self.run_shale("bench", "memory:", "--workload", "fillseq,readhot", "--num", "500", "--reads", "100", "--json")
        self.assertEqual(p.stdout.count(b"\n"), 2)

    def test_a_wrong_database_is_reported(self):
        self.load([(b"a", b"1")])
        self.run_shale("bench", self.db, "--workload", "scan", "--num", "100", want=3)


class Terminal(Case):
    """stdout and stderr on a pseudo-terminal."""

    def on_terminal(self, *args):
        parent, child = pty.openpty()
        p = subprocess.Popen([SHALE, *args], stdin=child, stdout=child, stderr=child, env=dict(self.env, TERM="xterm"), cwd=self.dir)
        os.close(child)
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

    def test_a_miss_is_told_and_a_takeover_noted(self):
        self.load([(b"a", b"1")])
        code, out = self.on_terminal("get", self.db, "nope")
        self.assertEqual(code, 1)
        self.assertIn(b'key not found: "nope"', out)
        self.assertEqual(self.on_terminal("get", self.db, "a"), (0, b"1\r\n"))
        code, out = self.on_terminal("put", self.db, "b", "2", *FAST)
        self.assertIn(b"took over as writer, epoch 1 -> 2", out)

    def test_a_long_scan_stops_and_says_so(self):
        self.load([(b"%05d" % i, b"y" * 300) for i in range(1200)])
        code, out = self.on_terminal("scan", self.db)
        self.assertEqual(code, 0)
        self.assertIn(b"stopped after 1000 rows", out)
        self.assertLess(max(map(len, out.split(b"\r\n"))), 90)

    def test_colour_obeys(self):
        self.assertIn(b"\033[31m", self.on_terminal("get", self.db, "a")[1])
        self.assertNotIn(b"\033[", self.on_terminal("get", self.db, "a", "--no-color")[1])
        self.env["NO_COLOR"] = "1"
        self.assertNotIn(b"\033[", self.on_terminal("get", self.db, "a")[1])


if __name__ == "__main__":
    unittest.main()
