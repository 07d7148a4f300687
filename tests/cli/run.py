#!/usr/bin/env python3
"""Runs the tests of the program from outside: all, or those named as unittest does (test_rows, test_rows.Rows).

usage: SHALE=build/release/shale tests/cli/run.py [NAME..]

All of them: a process for each file, as many at once as there are processors, the output of each when it has ended."""
import concurrent.futures
import glob
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
LONG = ("test_stores", "test_checklist", "test_errors", "test_secrets")  # first, so that no processor waits at the end


def run_file(name):
    p = subprocess.run([sys.executable, os.path.abspath(__file__), name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    sys.stderr.write("%s\n%s\n" % (name, p.stdout.decode(errors="replace")))
    sys.stderr.flush()
    return p.returncode


def main():
    sys.path.insert(0, HERE)
    if len(sys.argv) > 1:
        suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
        return not unittest.TextTestRunner().run(suite).wasSuccessful()
    names = sorted(os.path.basename(f)[:-3] for f in glob.glob(os.path.join(HERE, "test_*.py")))
    names.sort(key=lambda n: LONG.index(n) if n in LONG else len(LONG))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return 1 if any(list(pool.map(run_file, names))) else 0


if __name__ == "__main__":
    sys.exit(main())
