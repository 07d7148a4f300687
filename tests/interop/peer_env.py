#!/usr/bin/env python3
"""Makes the virtual environment with the published SlateDB package that the interop drivers talk to.

usage: peer_env.py FOLDER     exit 0: it is there; 4: the package could not be fetched"""
import os
import subprocess
import sys

PACKAGE = "slatedb==0.17.0"


def python_of(folder):
    return os.path.join(folder, "bin", "python")


def works(folder):
    try:
        return subprocess.run([python_of(folder), "-c", "import slatedb.uniffi"], capture_output=True).returncode == 0
    except OSError:
        return False


def main():
    folder = sys.argv[1]
    if works(folder):
        return 0
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python_of(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE], check=False)
    return 0 if works(folder) else 4


if __name__ == "__main__":
    sys.exit(main())
