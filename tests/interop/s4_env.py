#!/usr/bin/env python3
"""Makes the virtual environments with the published s4db packages, one a generation: FOLDER/0.10.0 and FOLDER/0.8.0.

usage: s4_env.py FOLDER     exit 0: they are there; 4: a package could not be fetched"""
import os
import subprocess
import sys

VERSIONS = ("0.10.0", "0.8.0")


def python_of(folder, version):
    return os.path.join(folder, version, "bin", "python")


def works(folder, version):
    try:
        return subprocess.run([python_of(folder, version), "-c", "import s4db, boto3"], capture_output=True).returncode == 0
    except OSError:
        return False


def main():
    folder = sys.argv[1]
    for version in VERSIONS:
        if works(folder, version):
            continue
        subprocess.run([sys.executable, "-m", "venv", "--clear", os.path.join(folder, version)], check=True)
        subprocess.run([python_of(folder, version), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "s4db==" + version], check=False)
        if not works(folder, version):
            return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
