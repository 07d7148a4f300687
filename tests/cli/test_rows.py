#!/usr/bin/env python3
"""put, get, del, scan, load, dump: rows go in and come out as they were, whatever is in them."""
import base64
import json
import os
import re
import signal
import subprocess
import threading
import unittest
import urllib.parse

from common import Case, FAST, ODD_KEYS, SHALE, tree


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

    def test_settings_are_looked_at_by_who_uses_them(self):
        self.run_shale("put", self.db, "k", "v", *FAST)
        few = ("--set", "l0_max_ssts=2")
        self.assertIn(b"writers would wait for ever", self.run_shale("put", self.db, "k", "w", *few, *FAST, want=2).stderr)
        for words in (["get", self.db, "k"], ["scan", self.db], ["stat", self.db], ["dump", self.db]):
            self.run_shale(*words, *few, "--set", "max_unflushed_bytes=1MiB", "--set", "sst_block_alignment=true", "--set", "compression_codec=lz4")
        for words in (["put", self.db, "k", "w", *FAST], ["get", self.db, "k"]):
            p = self.run_shale(*words, "--set", "default_ttl_millis=-5", want=2)
            self.assertIn(b"default_ttl_millis: -5; it must be at least 0", p.stderr)
        self.assertEqual(self.run_shale("get", self.db, "k").stdout, b"v")

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

    def test_load_takes_what_get_json_prints(self):
        self.run_shale("load", self.db, "-", *FAST, data=b'{"key":"a","value":"b","seq":1,"create_ts":5,"expire_ts":32503680000000}\n')
        row = self.run_shale("get", self.db, "a", "--json").stdout
        self.assertIn(b"32503680000000", row)
        self.run_shale("load", self.db + "2", "-", *FAST, data=row)
        self.assertEqual(self.run_shale("get", self.db + "2", "a").stdout, b"b")

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
            self.assertIn("1 row before it is durable", p.stderr.decode())
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
        self.assertIn(b"2,500 rows", err)
        self.assertEqual(len(self.dump()), 2500)

    def test_sigterm_exits_143(self):
        p = subprocess.Popen([SHALE, "load", self.db, "-", *FAST], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        while not os.path.isdir(os.path.join(self.db, "manifest")):
            pass
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
        self.assertEqual(p.returncode, 143)

    def test_writes_and_answers_as_json(self):
        def doc(*args, data=b""):
            return json.loads(self.run_shale(*args, "--json", *FAST, data=data).stdout)
        put = doc("put", self.db, "a", "1")
        self.assertEqual((put["rows"], put["seq"], put["requests"]["put"] > 0), (1, 1, True))
        self.assertEqual(doc("load", self.db, data=b'{"key":"b","value":"2"}\n{"key":"c","value":"3"}\n')["rows"], 2)
        gone = doc("del", self.db, "a", "b")
        self.assertEqual((gone["rows"], gone["seq"]), (2, 3))
        p = self.run_shale("get", self.db, "a", "--json", want=1)
        self.assertEqual((p.stdout, json.loads(p.stderr)["error"]["code"], json.loads(p.stderr)["error"]["why"]), (b"", "NOT_FOUND", "a"))

    def test_a_load_into_a_full_l0_says_for_whom_it_waits(self):
        rows = b"".join(b'{"key":"%05d","value":"%s"}\n' % (i, b"v" * 200) for i in range(5000))
        sets = [x for s in ("compactor_options=none", "l0_sst_size_bytes=16KiB", "l0_max_ssts=2", "max_unflushed_bytes=64KiB") for x in ("--set", s)]
        p = subprocess.Popen([SHALE, "load", self.db, "-", *sets, *FAST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, cwd=self.dir)
        self.addCleanup(lambda: (p.poll() is None and p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        threading.Thread(target=lambda: (p.stdin.write(rows), p.stdin.close()), daemon=True).start()
        self.assertRegex(p.stderr.readline().decode(), r'^shale load: "[^"]*": writers wait: L0 has \d SSTables \(l0_max_ssts\) and nothing compacts them; '
                                                       r"start a compactor; still trying, Ctrl-C to stop$")
        helper = subprocess.Popen([SHALE, "compactor", self.db, "--set", "compactor_options.poll_interval=30ms", "--set",
                                   "compactor_options.scheduler_options.min_compaction_sources=2", *FAST], env=self.env, cwd=self.dir, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (helper.kill(), helper.wait()))
        self.assertEqual(p.wait(60), 0)
        self.assertEqual(self.run_shale("scan", self.db, "--count").stdout[:10], b"5000 rows,")

    def test_no_database_inside_of_another(self):
        self.run_shale("put", "orders", "a", "b", *FAST)
        before = tree(self.dir)
        for name in ("manifest", "wal", "compacted", "compactions", "gc"):
            for args in (["put", "orders/" + name, "a", "b"], ["load", "orders/" + name], ["sql", "init", "orders/" + name]):
                p = self.run_shale(*args, *FAST, want=2)
                self.assertIn(("did you mean file://%s/orders?\n  Nothing was written.\n  try: shale stat file://%s/orders " % (self.dir, self.dir)).encode(),
                              p.stderr)
        self.assertEqual(tree(self.dir), before)
        for name in ("orders/eu", "wal", "orders/eu2/wal"):
            self.run_shale("put", name, "a", "b", *FAST)
            self.run_shale("put", name, "a", "b", *FAST)

    def test_new_names_that_slatedb_escapes_are_noted(self):
        for name, url in (("x~y", "x~y"), ("\u00e9", "\u00e9"), ("50%", "file://" + self.dir + "/50%25"), ("a[b", "./a[b/")):
            self.assertIn(b"shale help urls", self.run_shale("put", url, "k", "v", *FAST).stderr, name)
            self.assertTrue(os.path.isdir(os.path.join(self.dir, urllib.parse.quote(name, safe=""))) or name == "x~y")
            self.assertEqual(self.run_shale("put", url, "k", "v", *FAST).stderr, b"")
        for url in ("plain", "memory:"):
            self.assertEqual(self.run_shale("put", url, "k", "v", *FAST).stderr, b"")
        self.assertEqual(self.run_shale("put", "q~", "k", "v", "-q", *FAST).stderr, b"")
        self.assertIn(b"shale help urls", self.run_shale("bench", "b~", "--workload", "fillseq", "--num", "20", *FAST).stderr)


if __name__ == "__main__":
    unittest.main()
