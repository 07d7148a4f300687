#!/usr/bin/env python3
"""shale shell: lines from a pipe, and a person at a terminal."""
import json
import os
import pty
import re
import select
import signal
import stat
import subprocess
import time
import unittest

from common import Case, FAST, SHALE, tree


class Script(Case):
    def setUp(self):
        super().setUp()
        self.load([(b"fruit/apple", b"red"), (b"fruit/kiwi", b"green"), (b"other", b"x")])

    def shell(self, text, *more, want=0, **env):
        return self.run_shale("shell", self.db, *FAST, *more, data=text.encode(), want=want, env=env)

    def test_commands_are_those_of_the_program(self):
        p = self.shell("get fruit/apple\nscan fruit --limit 1\n\n# a comment\nscan --prefix other --json\nshale scan other\n")
        self.assertEqual(p.stdout, b'red\nfruit/apple\tred\n{"key":"other","value":"x"}\nother\tx\n')
        self.assertEqual(p.stderr, b"")
        p = self.shell("stat --json\nmanifest\nsst --json\nwal --json")
        self.assertEqual(len([json.loads(x) for x in p.stdout.splitlines()]), 4)
        self.assertIn(b"shale scan - ", self.shell("scan -h").stdout)
        self.assertIn(b"shale scan - ", self.shell(".help scan").stdout)
        self.assertIn(b".explain KEY", self.shell(".help").stdout)

    def test_reading_changes_nothing(self):
        before = tree(self.dir)
        self.shell("scan\nget fruit/kiwi\nstat\nexplain other\n.explain none\n.stat\n.checkpoint none\n.timer on\nscan --count\n", want=1)
        self.assertEqual(tree(self.dir), before)

    def test_it_stops_at_the_first_error_and_names_the_line(self):
        p = self.shell("scan other\nscna\nscan other\n", want=2)
        self.assertEqual(p.stdout, b"other\tx\n")
        self.assertEqual(p.stderr, b'stdin:2: unknown command "scna": did you mean scan?\n  try: .help\n')
        p = self.shell("scan other\nscna\nget\nscan other\n", "--keep-going", want=2)
        self.assertEqual(p.stdout, b"other\tx\nother\tx\n")
        self.assertIn(b"stdin:3: get: KEY is missing: usage: get KEY", p.stderr)

    def test_no_such_key_is_an_answer_not_an_error(self):
        p = self.shell("get none\nget other\n", want=1)
        self.assertEqual((p.stdout, p.stderr), (b"x\n", b""))

    def test_writing_has_to_be_switched_on(self):
        before = tree(self.dir)
        for line in ("put a b", "del other", "load rows.jsonl", ".begin", "store rm -y %s/manifest/x" % self.db):
            p = self.shell(line, want=2)
            self.assertIn(b"try: .write on", p.stderr)
        self.assertEqual(tree(self.dir), before)
        p = self.shell(".write on\nput a b\nget a\ndel other\n.write off\nput a c\n", want=2)
        self.assertEqual(p.stdout, b"b\n")
        self.assertIn(b"took over as writer, epoch 1 -> 2", p.stderr)
        self.assertEqual(dict(self.dump()), {b"a": b"b", b"fruit/apple": b"red", b"fruit/kiwi": b"green"})

    def test_a_transaction_is_all_or_nothing_and_sees_itself(self):
        p = self.shell(".write on\n.begin\nput a 1\ndel other\nget a\nget other\nscan a\nscan --reverse --limit 2\n.commit\nget a\nget other\n", want=1)
        self.assertEqual(p.stdout, b"1\na\t1\nfruit/kiwi\tgreen\nfruit/apple\tred\n1\n")
        self.assertIn(b"2 writes in the transaction", p.stderr)
        self.assertIn(b"2 writes committed, durable at seq ", p.stderr)
        p = self.shell(".write on\n.begin serializable\nget a\n.commit\n.begin snapshot\n.rollback\n")
        self.assertIn(b"0 writes dropped", p.stderr)
        p = self.shell(".write on\n.begin serialisable\n", want=2)
        self.assertIn(b"snapshot or serializable?", p.stderr)
        self.shell(".write on\n.begin\nput b 1\n.rollback\n")
        p = self.shell(".write on\n.begin\nput c 1\n")
        self.assertIn(b"a transaction of 1 write was not committed; it is dropped", p.stderr)
        self.assertEqual([k for k, _ in self.dump()], [b"a", b"fruit/apple", b"fruit/kiwi"])
        for line in (".begin", ".open x", ".set flush_interval=1s", ".write off", "load x"):
            self.assertIn(b"transaction is open", self.shell(".write on\n.begin\n" + line, want=2).stderr)
        for line in (".commit", ".rollback"):
            self.assertIn(b"no transaction is open", self.shell(line, want=2).stderr)

    def test_modes_limit_and_output(self):
        p = self.shell(".mode json\nscan other\nget other\n.mode csv\nscan other\n.mode hex\nget 6f74686572\n.mode text\n.limit 1\nscan\n.limit none\nscan --count")
        lines = p.stdout.decode().split("\n")
        self.assertEqual(json.loads(lines[0]), {"key": "other", "value": "x"})
        self.assertEqual(json.loads(lines[1])["value"], "x")
        self.assertEqual(lines[2:], ["other,x\r", "78", "fruit/apple\tred", "3 rows, 35 bytes", ""])
        p = self.shell(".output out.txt\nscan other\n.output\nscan other\n")
        self.assertEqual(p.stdout, b"other\tx\n")
        with open(os.path.join(self.dir, "out.txt"), "rb") as f:
            self.assertEqual(f.read(), b"other\tx\n")
        self.shell(".output out.txt\nscan\n")
        with open(os.path.join(self.dir, "out.txt"), "rb") as f:
            self.assertEqual(f.read().count(b"\n"), 3)
        self.shell(".output no/such/folder\n", want=3)

    def test_quoting(self):
        rows = {b"a b": b"1", b"tab\there": b"2", b"quo'te": b"3", b'dou"ble': b"4", b"back\\slash": b"5", b"\xff\x01": b"6", b"#hash": b"7"}
        self.load(list(rows.items()))
        keys = self.run_shale("scan", self.db, "--keys-only").stdout.decode().splitlines()
        # What scan prints can be typed; blanks, quotes and a leading # get a backslash.
        typed = [re.sub(r"([ '\"]|^#)", r"\\\1", k) for k in keys]
        got = self.shell("".join("get %s\n" % k for k in typed)).stdout.split(b"\n")[:-1]
        self.assertEqual(got, [v for _, v in self.dump()])
        self.assertEqual(self.shell("get 'a b'\nget \"a b\"\nget a' 'b\nget \"tab\\there\"\n").stdout, b"1\n1\n1\n2\n")
        for line in ("get 'a", "get \"a", "get a\\", "get \\xzz", "get \\x00"):
            self.assertIn(b"stdin:1: ", self.shell(line, want=2).stderr)

    def test_files_of_lines(self):
        with open(os.path.join(self.dir, "inner"), "w") as f:
            f.write("scan other\nscna\n")
        p = self.shell("scan other\n.read inner\nscan other\n", want=2)
        self.assertEqual(p.stdout, b"other\tx\n" * 2)
        self.assertIn(b"inner:2: ", p.stderr)
        with open(os.path.join(self.dir, "self"), "w") as f:
            f.write(".read self\n")
        self.assertIn(b"eight deep", self.shell(".read self\n", want=2).stderr)
        self.shell(".read none\n", want=3)

    def test_settings_and_another_database(self):
        p = self.shell(".set block_cache_bytes=1MiB\n.set\nscan other\n")
        self.assertIn(b"block_cache_bytes=1MiB", p.stdout)
        self.assertIn(b"other\tx", p.stdout)
        p = self.shell(".set flush_intervall=1s\nscan other\n", "--keep-going", want=2)
        self.assertIn(b"flush_interval", p.stderr)
        self.assertEqual(p.stdout, b"other\tx\n")  # as it was before
        other = os.path.join(self.dir, "other")
        self.load([(b"z", b"1")], db=other)
        self.assertEqual(self.shell("scan other\n.open %s\nscan\n" % other).stdout, b"other\tx\nz\t1\n")
        self.shell(".open ./none\n", want=3)
        p = self.run_shale("shell", self.db, "--keep-going", data=b".write on\nput new 1\n.open ./none\nget new\nput new 2\n.open memory:\nscan\n", want=3)
        self.assertEqual((p.stdout, p.stderr.count(b"no database here")), (b"1\n", 1))
        # A line with settings of its own does not write through the handle that is open.
        self.assertIn(b"open already", self.shell(".write on\nput a b --set flush_interval=1s\n", want=2).stderr)
        self.assertEqual(self.shell("scan other --set block_cache_bytes=0\n").stdout, b"other\tx\n")

    def test_timer_and_requests(self):
        p = self.shell(".timer on\nscan\nget other\nstat\n.timer off\n.requests on\nget other\n")
        lines = p.stderr.decode().splitlines()
        self.assertRegex(lines[0], r"^3 rows, [\d.]+ ms, (\d+ (GET|LIST), )*.*~\$")
        self.assertRegex(lines[1], r"^1 row, [\d.]+ ms, .*~\$")
        self.assertRegex(lines[2], r"^[\d.]+ ms, \d+ GET, 4 LIST \(\d+ B\), ~\$0\.00\d+$")
        self.assertRegex(lines[3], r"^0 requests, ~\$0$|GET")

    def test_the_timer_counts_what_stat_says_and_names_the_look(self):
        p = self.shell(".timer on\nstat\n")
        said = int(re.search(rb"opened read-only +(\d+) requests", p.stdout)[1])
        get, lists = re.search(rb"ms, (\d+) GET, (\d+) LIST", p.stderr).groups()
        self.assertEqual(int(get) + int(lists), said)
        shell = subprocess.Popen([SHALE, "shell", self.db, *FAST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env)
        shell.stdin.write(b".timer on\nget other\n")
        shell.stdin.flush()
        time.sleep(1.5)  # then a reader looks for newer data
        err = shell.communicate(b".explain other\n")[1].decode().splitlines()
        self.assertTrue(err[-1].endswith(", with the look for newer data"), err)
        self.assertNotIn("look", err[0])

    def test_ways_out_are_lines_of_the_shell(self):
        self.assertIn(b"\n  try: .help\n", self.shell("bad\n", want=2).stderr)
        self.assertNotIn(b"did you mean", self.shell("bad\n", want=2).stderr)
        p = self.shell("get other --checkpoint nope\n", want=3)
        self.assertIn(b"\n  try: checkpoint list\n", p.stderr)
        self.shell("stat\n")

    def test_what_is_not_built_says_so(self):
        for word in (".at -1h", ".history other"):
            self.assertIn(b"not built yet", self.shell(word, want=2).stderr)
        for line in ("shell", "bench --workload scan", "completion bash"):
            self.assertIn(b"not inside of a shell", self.shell(line, want=2).stderr)
        self.assertIn(b"stdin is the shell's own", self.shell(".write on\nput a -\n", want=2).stderr)
        self.assertIn(b"stdin is the shell's own", self.shell(".write on\nload\n", want=2).stderr)
        self.assertIn(b"did you mean .timer", self.shell(".tmer on", want=2).stderr)
        for line in (".timer", ".timer x", ".mode", ".mode x", ".limit x", ".quit x", ".write perhaps"):
            self.shell(line, want=2)

    def test_lines_may_not_hold_secrets_or_a_trace(self):
        p = self.shell("scan --store-option aws_secret_access_key=abcdefgh\n", want=2)
        self.assertIn(b"secret does not belong", p.stderr)
        self.assertNotIn(b"abcdefgh", p.stderr)
        self.assertIn(b"--trace", self.shell("scan --trace x\n", want=2).stderr)
        self.assertEqual(self.shell("get other --timeout 30s\n").stdout, b"x\n")

    def test_a_memory_database_can_be_written_at_once(self):
        p = self.run_shale("shell", "memory:", data=b"put a 1\nscan\nstat --json\n")
        self.assertTrue(p.stdout.startswith(b"a\t1\n{"), p.stdout)

    def test_no_database_is_an_error_at_once(self):
        p = self.run_shale("shell", self.dir + "/none", data=b"scan\n", want=3)
        self.assertIn(b"no database here", p.stderr)

    def test_a_fenced_writer_becomes_a_reader(self):
        p = subprocess.Popen([SHALE, "shell", self.db, *FAST, "--keep-going"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, env=self.env, cwd=self.dir)
        p.stdin.write(b".write on\nput a 1\nget a\n")
        p.stdin.flush()
        self.assertEqual(p.stdout.readline(), b"1\n")
        self.run_shale("put", self.db, "b", "2", *FAST)
        out, err = p.communicate(b"put c 3\nget b\nput d 4\n", timeout=60)
        self.assertEqual(out, b"2\n")
        self.assertIn(b"another process opened", err)
        self.assertIn(b"only reads from here on", err)
        self.assertIn(b"try: .write on", err)
        self.assertIn(b"\n  try: stat\n", err)
        self.assertEqual(p.returncode, 3)

    def test_a_signal_ends_a_script(self):
        for sig, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            p = subprocess.Popen([SHALE, "shell", self.db], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.env)
            p.stdin.write(b"get other\n")
            p.stdin.flush()
            p.stdout.readline()
            p.send_signal(sig)
            self.assertEqual(p.wait(30), code)
            p.stdin.close()
            p.stdout.close()


class Person(Case):
    """On a pseudo-terminal, a key after the other."""

    def setUp(self):
        super().setUp()
        self.load([(b"fruit/apple", b"red"), (b"fruit/kiwi", b"green"), (b"other key", b"x")])
        self.state = os.path.join(self.dir, "state")
        self.env.update(TERM="xterm", XDG_STATE_HOME=self.state, LC_ALL="C.UTF-8")
        self.seen = b""

    def start(self, *more, db=None):
        fd, child = pty.openpty()
        self.fd = fd
        self.p = subprocess.Popen([SHALE, "shell", db or self.db, *FAST, *more], stdin=child, stdout=child, stderr=child, env=self.env,
                                  cwd=self.dir, start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0))
        os.close(child)
        self.addCleanup(self.stop, self.p, fd)
        self.wait_for(b"db> ")

    def stop(self, p, fd):
        if p.poll() is None:
            p.kill()
            p.wait()
        os.close(fd)

    def wait_for(self, text, after=0):
        end = time.monotonic() + 20
        while text not in self.seen[after:]:
            self.assertLess(time.monotonic(), end, (text, self.seen[-500:]))
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    self.fail("ended while waiting for %r: %r" % (text, self.seen[-500:]))

    def type(self, keys, wait):
        at = len(self.seen)
        os.write(self.fd, keys)
        self.wait_for(wait, at)

    def leave(self, code=0):
        # A key that is typed while a command still runs is lost to the editor: again, then.
        for _ in range(100):
            os.write(self.fd, b"\x04")
            try:
                self.assertEqual(self.p.wait(0.2), code)
                return
            except subprocess.TimeoutExpired:
                pass
        self.fail("does not leave: %r" % self.seen[-300:])

    def test_prompt_commands_and_the_end(self):
        self.start()
        self.assertIn(b"read only", self.seen)
        self.type(b"get fruit/kiwi\r", b"green")
        self.type(b"get none\r", b'get: key not found: "none"')
        self.type(b".write on\r", b"take over? [y/N] ")
        self.type(b"n\r", b"db> ")
        self.type(b"put a b\r", b"only reads")
        self.type(b".write on\r", b"take over? [y/N] ")
        self.type(b"y\r", b"db (write)> ")
        self.type(b"put a b\r", b"durable at seq")
        self.leave()
        self.assertEqual(self.run_shale("get", self.db, "a").stdout, b"b")

    def test_tab(self):
        self.start()
        # What the editor draws is cut by its own cursor movements, so the commands' answers are looked at.
        self.type(b"sc\t--forma\tjs\tfr\tk\t\r", b'"value":"green"')
        self.type(b"get o\t\r", b"x")
        self.type(b".tim\ton\r", b"db> ")
        self.type(b"get o\t\r", b"1 row, ")
        self.type(b"scan --set block_cache_b\t0 --key\t\r", b"3 rows, ")
        self.type(b".help vers\t\r", b"shale version - ")
        self.type(b"get fruit/\t", b"fruit/kiwi")  # both are listed
        self.leave_line()

    def leave_line(self):
        self.type(b"\x03", b"db> ")
        self.leave()

    def test_ctrl_c_clears_the_line_and_stays(self):
        self.start()
        self.type(b"half a line", b"half a line")
        self.type(b"\x03", b"db> ")
        self.type(b"get fruit/kiwi\r", b"green")
        self.leave()

    def test_ctrl_c_stops_a_command_and_stays(self):
        big = os.path.join(self.dir, "big", "db")
        self.load([(b"%06d" % i, b"v" * 100) for i in range(60000)], db=big)
        self.start(db=big)
        self.type(b"scan --limit 1000000\r", b"000999")
        os.write(self.fd, b"\x03")
        self.wait_for(b"stopped\r\n")
        self.assertNotIn(b"059999", self.seen)
        at = len(self.seen)
        self.type(b"get 000001\r", b"vvv")
        self.assertGreater(len(self.seen), at)
        self.leave()

    def test_sigterm_leaves(self):
        self.start()
        self.p.send_signal(signal.SIGTERM)
        self.assertEqual(self.p.wait(20), 143)

    def test_history_is_private_and_has_no_secrets(self):
        self.start()
        for line in (b"get fruit/kiwi", b" get other", b"get fruit/kiwi", b"scan --store-option aws_secret_access_key=abc", b"scan --count"):
            self.type(line + b"\r", b"db> ")
        self.leave()
        path = os.path.join(self.state, "shale", "history")
        with open(path) as f:
            self.assertEqual(f.read(), "get fruit/kiwi\nscan --count\n")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, "w") as f:
            f.write("".join("get %d\n" % i for i in range(1200)))
        os.chmod(path, 0o644)
        self.start()
        self.type(b"\x1b[A", b"get 1199")
        self.type(b"\x03", b"db> ")
        self.leave()
        with open(path) as f:
            self.assertEqual(len(f.readlines()), 1000)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

    def test_errors_have_no_empty_colour(self):
        self.start()
        self.type(b"bad\r", b"unknown command")
        self.leave()
        self.assertNotIn(b"\033[31m\033[0m", self.seen)

    def test_a_dumb_terminal_reads_lines(self):
        self.env["TERM"] = "dumb"
        self.start()
        self.type(b"get fruit/kiwi\n", b"green")
        self.leave()


if __name__ == "__main__":
    unittest.main()
