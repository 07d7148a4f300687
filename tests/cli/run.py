#!/usr/bin/env python3
"""Runs the tests of the program from outside: all, or those named as unittest does (test_rows, test_rows.Rows).

usage: SHALE=build/release/shale tests/cli/run.py [NAME..]"""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    sys.path.insert(0, HERE)
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(sys.argv[1:]) if len(sys.argv) > 1 else loader.discover(HERE)
    sys.exit(not unittest.TextTestRunner().run(suite).wasSuccessful())
