#!/usr/bin/env python3
"""The manual: lint finds nothing, every reference leads somewhere, every function of the library is named."""
import os
import re
import shutil
import subprocess
import unittest

from common import commands, SHALE, SOURCE

MAN = os.path.join(SOURCE, "docs", "man")


class Manual(unittest.TestCase):
    def pages(self):
        return sorted(os.path.join(MAN, n) for n in os.listdir(MAN))

    @unittest.skipUnless(shutil.which("mandoc"), "mandoc is not installed")
    def test_lint_finds_nothing(self):
        p = subprocess.run(["mandoc", "-T", "lint", *self.pages()], capture_output=True, text=True)
        ours = {os.path.basename(n) for n in self.pages()}
        said = [x for x in (p.stdout + p.stderr).splitlines() if x]
        # The pages refer to each other before they are installed; that those are there is looked at here.
        missing = re.compile(r"referenced manual not found: Xr (\S+) (\d)")
        said = [x for x in said if not (missing.search(x) and ".".join(missing.search(x).groups()) in ours)]
        self.assertEqual(said, [])

    def test_every_command_has_its_page(self):
        names = {os.path.basename(n) for n in self.pages()}
        self.assertLessEqual({"shale-%s.1" % c.replace(" ", "-") for c in commands()}, names)
        self.assertLessEqual({"shale.1", "shale-settings.5", "shale-formats.7", "libshale.3"}, names)

    def test_every_public_function_is_named(self):
        functions = set()
        folder = os.path.join(SOURCE, "include", "shale")
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                functions |= set(re.findall(r"^SHALE_API [^(]*?\b(shale_\w+)\(", f.read(), re.M))
        with open(os.path.join(MAN, "libshale.3"), encoding="utf-8") as f:
            named = set(re.findall(r"^\.It Fn (\w+)$", f.read(), re.M))
        self.assertGreater(len(functions), 50)
        self.assertEqual(functions, named)

    def test_unknown_pages_are_refused(self):
        for args in (["man", "nonsense"], ["md", "nonsense"], ["man"], []):
            self.assertEqual(subprocess.run([SHALE, "__doc", *args], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main()
