#!/usr/bin/env python3
"""examples/lambda as AWS Lambda runs it: the file of the zip, events from a stand-in of the runtime interface, the database in a bucket.

Goal: a function keeps its handle between events, so that the second event costs a request and not an opening; several instances lose nothing to each other; what goes wrong
reaches Lambda as an error of that event. Method: the zip is built and unpacked, its bootstrap started once or several times, each with a runtime interface of
its own that hands out events and keeps the answers. The bucket is ministack.

Environment: ARCH = which zip to build [this machine's]."""
import contextlib
import http.server
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "servers"))
import servers  # noqa: E402

ARCH = os.environ.get("ARCH", platform.machine())
ANSWER_MAX_S = 60


class Runtime:
    """The runtime interface of one instance: hands out one event at a time."""

    def __init__(self):
        self.events, self.answers, self.init_errors, self.served = queue.Queue(), queue.Queue(), queue.Queue(), 0
        runtime = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(self, status, body, headers=()):
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                with contextlib.suppress(ConnectionError):  # it may be gone already
                    self.end_headers()
                    self.wfile.write(body)

            def do_GET(self):
                if self.path != "/2018-06-01/runtime/invocation/next":
                    return self.reply(404, b"")
                body = runtime.events.get()
                if body is None:  # no more: the instance stays frozen
                    return self.close_connection
                runtime.served += 1
                return self.reply(200, body, [("Lambda-Runtime-Aws-Request-Id", "event-%d" % runtime.served), ("Lambda-Runtime-Deadline-Ms", "9999999999999")])

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kind = self.path.rpartition("/")[2]
                if self.path == "/2018-06-01/runtime/init/error":
                    runtime.init_errors.put(body)
                elif self.path == "/2018-06-01/runtime/invocation/event-%d/%s" % (runtime.served, kind):
                    runtime.answers.put((kind, body))
                else:
                    return self.reply(404, b"{}")
                return self.reply(202, b"{}")

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, event):
        self.events.put(event if isinstance(event, bytes) else json.dumps(event).encode())
        return self.answers.get(timeout=ANSWER_MAX_S)

    def close(self):
        self.events.put(None)
        self.server.shutdown()
        self.server.server_close()


class LambdaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.emulator = [] if ARCH == platform.machine() else ["qemu-%s-static" % ARCH]
        zipped = os.path.join(cls.folder, "function.zip")
        subprocess.run([os.path.join(TOP, "examples", "lambda", "build"), ARCH, zipped], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with zipfile.ZipFile(zipped) as z:
            cls.names, cls.mode = z.namelist(), z.getinfo("bootstrap").external_attr >> 16
            z.extract("bootstrap", cls.folder)
        os.chmod(os.path.join(cls.folder, "bootstrap"), 0o755)
        if not servers.SERVERS["ministack"].at_hand():
            servers.ensure("ministack", 120)
        cls.server = cls.enterClassContext(servers.started("ministack"))

    @contextlib.contextmanager
    def instance(self, url, local="local.sqlite", **more):
        runtime = Runtime()
        env = dict(self.server.env(), SHALE_DB=url, SHALE_LOCAL_PATH=os.path.join(self.folder, local), AWS_LAMBDA_RUNTIME_API="127.0.0.1:%d" % runtime.server.server_address[1])
        env.update(more)
        p = subprocess.Popen([*self.emulator, os.path.join(self.folder, "bootstrap")], env={k: v for k, v in env.items() if v is not None}, stdin=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        try:
            yield runtime, p
        finally:
            p.terminate()
            try:
                runtime.stderr = p.communicate(timeout=ANSWER_MAX_S)[1]
            finally:
                p.kill()
                runtime.close()

    def test_zip_has_one_program(self):
        self.assertEqual(self.names, ["bootstrap"])
        self.assertTrue(self.mode & 0o111)

    def test_handle_is_kept(self):
        with self.instance(self.server.url("kept/")) as (runtime, p):
            kind, first = runtime.ask({"do": "add", "text": "milk"})
            self.assertEqual((kind, first["id"], first["puts"]), ("response", 1, 2))
            kind, second = runtime.ask({"do": "list"})
            self.assertEqual((kind, second["notes"], second["gets"], second["puts"], second["events"]), ("response", [{"id": 1, "text": "milk"}], 1, 0, 2))
            kind, third = runtime.ask({"do": "add", "text": "b\u00e4rk"})
            self.assertEqual((kind, third["id"], third["puts"], third["events"]), ("response", 2, 2, 3))
            self.assertLessEqual(third["gets"], 2)
        self.assertEqual((p.returncode, runtime.stderr), (0, ""))
        with self.instance(self.server.url("kept/")) as (runtime, p):  # a new process on the same machine
            self.assertEqual(runtime.ask({"do": "list"})[1]["notes"], [{"id": 1, "text": "milk"}, {"id": 2, "text": "b\u00e4rk"}])

    def test_instances_at_once(self):
        each, count = 12, 3
        url = self.server.url("many/")
        with contextlib.ExitStack() as stack:
            all_of_them = [stack.enter_context(self.instance(url, "local%d.sqlite" % i))[0] for i in range(count)]
            ids, lock = [], threading.Lock()

            def work(i):
                for k in range(each):
                    kind, answer = all_of_them[i].ask({"do": "add", "text": "%d-%d" % (i, k)})
                    with lock:
                        ids.append((kind, answer.get("id"), "%d-%d" % (i, k)))

            threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            notes = all_of_them[0].ask({"do": "list"})[1]["notes"]
        self.assertEqual([{"id": i, "text": t} for _, i, t in sorted(ids, key=lambda x: x[1] or 0)], notes)
        self.assertEqual([n["id"] for n in notes], list(range(1, each * count + 1)))

    def test_errors_reach_lambda(self):
        with self.instance(self.server.url("errors/"), "errors.sqlite") as (runtime, p):
            for event in ({"do": "dance"}, {"do": "add"}, b"{", [1]):
                kind, body = runtime.ask(event)
                self.assertEqual((kind, body["errorType"]), ("error", "Shale"), event)
                self.assertIn("JSON" if event == b"{" else "want {", body["errorMessage"])
            self.assertEqual(runtime.ask({"do": "list"})[0], "response")

    def test_failed_start_is_told(self):
        for url, word in ((None, "SHALE_DB is not set"), ("s3://no-such-bucket-%d/x/" % os.getpid(), "no-such-bucket")):
            with self.instance(url, "start.sqlite") as (runtime, p):
                self.assertIn(word, runtime.init_errors.get(timeout=ANSWER_MAX_S)["errorMessage"])
                self.assertEqual(p.wait(ANSWER_MAX_S), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
