#!/usr/bin/env python3
"""S3 servers for tests: fetched with the client of their package registry, started here, stopped again.

usage: servers.py list                                   what is at hand here
       servers.py install NAME                           fetch it, building it may take minutes
       servers.py run NAME [--keep] -- COMMAND..         start it, run a command with its environment and a fresh bucket, stop it
       servers.py start NAME [PORT]                      start it, print its environment, stay until interrupted

NAME: ministack (PyPI; in memory, does not check signatures), versity (Go; objects are files, checks signatures), minio (Go; checks signatures).
SHALE_SERVERS: where they are kept [~/.cache/shale-servers]; Go programs in its bin/, where a continuous integration may restore them.
A command gets AWS_ENDPOINT, AWS_ALLOW_HTTP, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and SHALE_TEST_URL=s3://BUCKET/t."""
import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

from s3 import Bucket

START_MAX_S = 60
INSTALL_MAX_S = 1500
CHECK_MAX_S = 30


class Missing(Exception):
    """A server that cannot be had here; the text says why."""


def cache():
    return os.environ.get("SHALE_SERVERS") or os.path.join(os.path.expanduser("~"), ".cache", "shale-servers")


def run_quietly(cmd, limit_s, **env):
    try:
        p = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **env), timeout=limit_s)
    except subprocess.TimeoutExpired as e:
        raise Missing("%s did not end within %d s" % (os.path.basename(cmd[0]), limit_s)) from e
    except OSError as e:
        raise Missing(str(e)) from e
    if p.returncode != 0:
        raise Missing("%s failed: %s" % (" ".join(cmd[:3]), p.stdout.decode(errors="replace").strip()[-300:]))


class Python:
    """A server from PyPI, in a virtual environment of its own."""

    def __init__(self, package, program, **how):
        self.package, self.program, self.how = package, program, how

    def path(self):
        return os.path.join(cache(), self.program, "bin", self.program)

    def at_hand(self):
        return os.path.exists(self.path())

    def install(self, limit_s):
        folder = os.path.join(cache(), self.program)
        run_quietly([sys.executable, "-m", "venv", "--clear", folder], limit_s)
        run_quietly([os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", self.package], limit_s)


class Go:
    """A server that `go install` builds."""

    def __init__(self, package, program, **how):
        self.package, self.program, self.how = package, program, how

    def path(self):
        return os.path.join(cache(), "bin", self.program)

    def at_hand(self):
        return os.access(self.path(), os.X_OK)

    def install(self, limit_s):
        if shutil.which("go") is None:
            raise Missing("no %s in %s, and there is no Go to build it" % (self.program, os.path.dirname(self.path())))
        run_quietly(["go", "install", self.package], limit_s, CGO_ENABLED="0", GOBIN=os.path.dirname(self.path()))


SERVERS = {
    "ministack": Python("ministack==1.5.33", "ministack", secret="test", args=lambda port, data: [],
                        env=lambda port: {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "MINISTACK_HOST": "127.0.0.1"}),
    "versity": Go("github.com/versity/versitygw/cmd/versitygw@v1.8.0", "versitygw", secret="testtest",
                  args=lambda port, data: ["--port", "127.0.0.1:%d" % port, "--quiet", "posix", data],
                  env=lambda port: {"ROOT_ACCESS_KEY": "test", "ROOT_SECRET_KEY": "testtest"}),
    # Its releases have no module versions.
    "minio": Go("github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c", "minio", secret="testtest",
                args=lambda port, data: ["server", "--quiet", "--address", "127.0.0.1:%d" % port, data],
                env=lambda port: {"MINIO_ROOT_USER": "test", "MINIO_ROOT_PASSWORD": "testtest", "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}),
}


def ensure(name, limit_s=INSTALL_MAX_S):
    """Installs a server if need be. Raises Missing."""
    server = SERVERS[name]
    if not server.at_hand():
        os.makedirs(cache(), exist_ok=True)
        server.install(limit_s)
        if not server.at_hand():
            raise Missing("%s is not where its installation should have put it" % server.program)
    return server


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def data_folder():
    """A new folder on a file system with user attributes, which the Versity gateway needs: not every folder for temporary files has them."""
    for base in (None, cache()):
        folder = tempfile.mkdtemp(prefix="shale-server-", dir=base)
        try:
            os.setxattr(folder, "user.shale.test", b"1")
            return folder
        except OSError:
            os.rmdir(folder)
    return tempfile.mkdtemp(prefix="shale-server-")


def answers(port):
    """True if something speaks HTTP there."""
    try:
        urllib.request.urlopen("http://127.0.0.1:%d/" % port, timeout=2).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


class Running:
    """A server that was started: its environment, and places in its bucket."""

    def __init__(self, name, port, data, process, log):
        self.name, self.port, self.data, self.process, self.log = name, port, data, process, log
        self.bucket = "shale-test-" + uuid.uuid4().hex[:12]

    def env(self):
        return {"AWS_ENDPOINT": "http://127.0.0.1:%d" % self.port, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": SERVERS[self.name].how["secret"], "AWS_REGION": "us-east-1", "SHALE_TEST_URL": self.url("t")}

    def url(self, place):
        return "s3://%s/%s" % (self.bucket, place)


def wait_ready(running, bucket):
    until = time.monotonic() + START_MAX_S
    while time.monotonic() < until:
        if running.process.poll() is not None:
            break
        if answers(running.port):
            if bucket:
                Bucket(running.bucket, running.env()).make()
            return
        time.sleep(0.1)
    with open(running.log, encoding="utf-8", errors="replace") as f:
        raise Missing("%s did not start: %s" % (running.name, f.read().strip()[-400:]))


@contextlib.contextmanager
def started(name, port=None, keep=False, limit_s=INSTALL_MAX_S, bucket=True):
    """Runs a server, with an empty bucket unless bucket is false; gives a Running. Raises Missing if it cannot be had or does not start."""
    server, port = ensure(name, limit_s), port or free_port()
    data = data_folder()
    log = data + ".log"
    with open(log, "wb") as out:
        process = subprocess.Popen([server.path(), *server.how["args"](port, data)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=data,
                                   env=dict(os.environ, **server.how["env"](port)), start_new_session=True)
    running = Running(name, port, data, process, log)
    try:
        wait_ready(running, bucket)
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if not keep:
            shutil.rmtree(data, ignore_errors=True)
            os.unlink(log)


def list_them():
    for name, server in SERVERS.items():
        print("%-10s %-9s %s" % (name, "at hand" if server.at_hand() else "missing", server.package))
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("do", choices=["list", "install", "run", "start"])
    p.add_argument("name", nargs="?", choices=sorted(SERVERS))
    p.add_argument("port", nargs="?", type=int)
    p.add_argument("--keep", action="store_true", help="leave data and log where they are")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    a, command = p.parse_args(words[:cut]), words[cut + 1:]
    if a.do == "list":
        return list_them()
    if a.name is None or (a.do == "run") != bool(command):
        p.error("see --help")
    if a.do == "install":
        ensure(a.name)
        return 0
    with started(a.name, a.port, a.keep) as running:
        if a.do == "run":
            return subprocess.run(command, env=dict(os.environ, **running.env())).returncode
        print("\n".join("export %s=%s" % x for x in running.env().items()), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            running.process.wait()
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Missing as e:
        print("servers.py: %s" % e, file=sys.stderr)
        sys.exit(4)
