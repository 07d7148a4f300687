#!/usr/bin/env python3
"""Every view of every database that SlateDB wrote reads as it should, through the program.

usage: golden.py SHALE CASES_FOLDER

Goal: keys, values, sequence numbers and times of the golden cases, checkpoints and clones included. Method: `shale dump --hex` of a
copy, forwards and backwards, compared row by row; the store's files stay as they were, for reading writes nothing."""
import os
import sys
import tempfile

from cases import Case, rows_of, run, short


def listing(folder):
    return sorted((os.path.relpath(os.path.join(d, f), folder), os.path.getsize(os.path.join(d, f))) for d, _, fs in os.walk(folder) for f in fs)


def check(shale, case, view, where):
    """None, or what is wrong."""
    want = [short(r) for r in case.expected(view)]
    arguments = case.arguments(view, where)
    code, out, err = run(shale, "dump", *arguments, "--hex")
    if code != 0:
        return "exit %s: %s" % (code, err.strip()[-300:])
    got = [short(r) for r in rows_of(out)]
    for i, (g, w) in enumerate(zip(got, want)):
        if g != w:
            return "row %d is %r, not %r" % (i, g, w)
    if len(got) != len(want):
        return "%d rows, not %d" % (len(got), len(want))
    code, out, err = run(shale, "scan", *arguments, "--reverse", "--keys-only", "--hex")
    if code != 0 or out.split() != [w[0] for w in reversed(want)]:
        return "backwards: exit %s, %d keys of %d, %s" % (code, len(out.split()), len(want), err.strip()[-300:])
    return None


def main():
    shale, folder = sys.argv[1], sys.argv[2]
    good = bad = 0
    for case in Case.all_of(folder):
        with tempfile.TemporaryDirectory(prefix="shale-golden-") as where:
            store = case.copy(where)
            before = listing(store)
            for view in case.facts["views"]:
                wrong = check(shale, case, view, where)
                good, bad = good + (wrong is None), bad + (wrong is not None)
                if wrong:
                    print("%s, %s: %s" % (case.name, view["expected"], wrong))
            if listing(store) != before:
                print("%s: reading changed the store" % case.name)
                bad += 1
    print("golden: %d views equal, %d wrong" % (good, bad))
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
