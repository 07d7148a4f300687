"""The real s3db for tests: built once from a checkout, for the module proxy does not have it.

S3DB_SOURCE names the checkout (github.com/psanford/s3db at commit 55f93c7); S3DB_PEER the finished peer. Without either, and without Go, there is no peer."""
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "s3db-peer")


def peer():
    """The path of the peer, or None and why."""
    if os.environ.get("S3DB_PEER"):
        return os.environ["S3DB_PEER"], None
    source = os.environ.get("S3DB_SOURCE") or os.path.join(CACHE, "src")
    if not os.path.exists(os.path.join(source, "go.mod")):
        return None, "no checkout of s3db: S3DB_SOURCE names one"
    if not shutil.which("go"):
        return None, "no Go"
    program, main = os.path.join(CACHE, "peer"), os.path.join(HERE, "s3db", "main.go")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(main):
        folder = os.path.join(source, "cmd", "peer")
        os.makedirs(folder, exist_ok=True)
        shutil.copy(main, folder)
        built = subprocess.run(["go", "build", "-o", program, "./cmd/peer"], cwd=source, env=dict(os.environ, GOFLAGS="-mod=mod"), capture_output=True, text=True)
        if built.returncode != 0:
            return None, "s3db cannot be built: " + built.stderr[-300:]
    return program, None
