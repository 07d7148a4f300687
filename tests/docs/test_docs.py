#!/usr/bin/env python3
"""The documents are true: commands print what the pages say, lists are complete, links lead somewhere.

Goal: a page that shows a command cannot be wrong about it. Method: every ```console block is run, page by page, in a temporary
folder with the built program on PATH; what comes out is compared with what the page shows, with dates, sizes, ids and
durations masked. A line `...` stands for any lines. Lists are compared with the headers and with the program. A page with <!-- needs: s3 --> gets
a server of tests/servers with an empty account of its own: MinIO, if its program is at hand, else ministack.

Environment: SHALE = the program; SHALE_BUILD = a build folder that can be installed (else pages that compile C are left out).
`test_docs.py --update PAGE...` writes what came out into the pages instead."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "servers"))
import servers  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHALE = os.path.abspath(os.environ.get("SHALE", os.path.join(TOP, "build", "release", "shale")))
MARK = "@@after@@"
SHOWN_PORT = 9000  # where pages say that the S3 server is
SHOWN_FOLDER = "/tmp/docs"  # what pages call the folder in which their commands run
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.M | re.S)
SETUP = re.compile(r"<!-- setup: (.*?) -->", re.S)
NEEDS_S3 = "<!-- needs: s3 -->"
MASKS = [(re.compile(pattern), to) for pattern, to in [
    (r"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b", "ULID"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b", "UUID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "DATE"),
    (r"\b1[789]\d{11}\b", "UNIX_MS"),
    (r"just now|\b(?:[\d.]+ ?(?:ms|s|m|h|d|w|y) ?)+ago", "AGO"),
    (r"\b\d[\d.,]*\s?(B|KiB|MiB|GiB|bytes)(?=\W|$)", "SIZE"),
    (r'("[a-z_]*bytes[a-z_]*":)\d+', r"\1SIZE"),
    (r'("[a-z_]*usd[a-z_]*":)[-\d.e]+', r"\1USD"),
    (r"~\$[\d.]+", "USD"),
    (r"\bin [\d.]+ s\b", "in TIME"),
    (r"\bmanifest \d+ \(v|\"manifest_id\":\d+", "MANIFEST"),
    (r'"etag":"[^,]*"', "ETAG"),
    (r'"requests":\{[^}]*\}', "REQUESTS"),
    (r"\b\d+ requests, [\d.]+ ?ms", "REQUESTS"),
    (r"127\.0\.0\.1:\d+", "HOST"),
    (r"\(request [-0-9A-Za-z]+\)", "(request ID)"),
    (r"\b\d+ PUT \d+ GET\b", "REQUESTS"),
    (r"\bcrc 0x[0-9a-f]{8}, want 0x[0-9a-f]{8}", "CRC"),
    (r"[|#]{2,} *", "BAR "),
    (r"  +", " "),
]]


def pages():
    found = [os.path.join(TOP, n) for n in sorted(os.listdir(TOP)) if n.endswith(".md")]
    for where, folders, files in os.walk(os.path.join(TOP, "docs")):
        folders.sort()
        found += [os.path.join(where, n) for n in sorted(files) if n.endswith(".md")]
    return found


def masked(text):
    lines = []
    for line in text.splitlines():
        for pattern, to in MASKS:
            line = pattern.sub(to, line)
        lines.append(line.rstrip())
    return lines


def same(want, got):
    """Lines equal; a wanted `...` takes any number of lines."""
    if not want:
        return not got
    if want[0] == "...":
        return any(same(want[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and want[0] == got[0] and same(want[1:], got[1:])


def commands(block):
    """[command, shown output] of one console block. `> ` continues a command."""
    steps = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append([line[2:], ""])
        elif line.startswith("> ") and steps and not steps[-1][1]:
            steps[-1][0] += "\n" + line[2:]
        elif steps:
            steps[-1][1] += line + "\n"
        else:
            raise ValueError("a console block begins with \"$ \": %r" % line)
    return steps


class Page:
    """One run of all commands of a page, in one shell, in a folder of its own."""

    def __init__(self, path):
        self.path = path
        self.name = os.path.relpath(path, TOP)
        with open(path, encoding="utf-8") as f:
            self.text = f.read()
        self.steps = [s for b in BLOCK.findall(self.text) for s in commands(b)]

    def compiles(self):
        return bool(FILE.search(self.text))

    def run(self):
        """What each command printed."""
        home = tempfile.mkdtemp(prefix="shale-docs-")
        try:
            if NEEDS_S3 not in self.text:
                return self.run_in(home, {})
            name = "minio" if servers.SERVERS["minio"].at_hand() else "ministack"
            with servers.started(name, port=SHOWN_PORT if not servers.answers(SHOWN_PORT) else None, bucket=False) as running:
                return self.run_in(home, running.env())
        finally:
            shutil.rmtree(home, True)

    def run_in(self, home, store):
        work = os.path.join(home, "work")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("SHALE_", "SLATEDB_", "XDG_", "AWS_"))}
        env.update(store)
        env.update(HOME=home, TOP=TOP, LC_ALL="C.UTF-8", PATH=os.path.dirname(SHALE) + ":" + env["PATH"])
        os.mkdir(work)
        if self.compiles():
            prefix = os.path.join(home, "installed")
            subprocess.run(["cmake", "--install", os.environ["SHALE_BUILD"], "--prefix", prefix], check=True,
                           stdout=subprocess.DEVNULL)
            lib = os.path.join(prefix, "lib")
            env.update(PKG_CONFIG_PATH=os.path.join(lib, "pkgconfig"), LD_LIBRARY_PATH=lib, CMAKE_PREFIX_PATH=prefix)
        for name, content in FILE.findall(self.text):
            with open(os.path.join(work, name), "w", encoding="utf-8") as f:
                f.write(content)
        script = "".join(s + "\n" for s in SETUP.findall(self.text))
        for command, _ in self.steps:
            script += "%s\n{ at=$?; printf '\\n%s\\n'; (exit $at); }\n" % (command, MARK)
        p = subprocess.run(["bash", "-c", script], cwd=work, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=300)
        text = p.stdout.decode("utf-8", "replace").replace(work, SHOWN_FOLDER)
        parts = text.split("\n" + MARK + "\n")
        if len(parts) != len(self.steps) + 1:
            raise AssertionError("%s: %d of %d commands ran: %s" % (self.name, len(parts) - 1, len(self.steps), parts[-1][-500:]))
        return parts[:-1]

    def update(self):
        outputs = iter(self.run())

        def block(match):
            text = ""
            for command, shown in commands(match.group(1)):
                got = next(outputs)
                if not same(masked(shown), masked(got)):
                    shown = got if not got or got.endswith("\n") else got + "\n"
                text += "$ " + command.replace("\n", "\n> ") + "\n" + shown
            return "```console\n" + text + "```"
        text = BLOCK.sub(block, self.text)
        if text != self.text:
            with open(self.path, "w", encoding="utf-8") as f:
                f.write(text)
            print("updated", self.name)


class Consoles(unittest.TestCase):
    def test_commands_print_what_the_pages_show(self):
        ran = 0
        for page in map(Page, pages()):
            if not page.steps:
                continue
            with self.subTest(page=page.name):
                if page.compiles() and not os.environ.get("SHALE_BUILD"):
                    print("%s: left out, SHALE_BUILD is not set" % page.name)
                    continue
                for (command, shown), got in zip(page.steps, page.run()):
                    ran += 1
                    self.assertTrue(same(masked(shown), masked(got)),
                                    "%s: $ %s\n--- shown\n%s--- printed\n%s" % (page.name, command, shown, got))
        self.assertGreater(ran, 30)  # blocks that are not found would pass in silence

    def test_the_comparison_sees_a_difference(self):
        self.assertTrue(same(masked("a  1.00 KiB\n...\nz\n"), masked("a 17 B\nb\nc\nz\n")))
        self.assertFalse(same(masked("a\nb\n"), masked("a\nc\n")))
        self.assertFalse(same(masked("a\n"), masked("a\nb\n")))
        self.assertFalse(same(masked("rows 3"), masked("rows 4")))


class Lists(unittest.TestCase):
    def test_generated_pages_are_those_of_the_program(self):
        got = subprocess.run([sys.executable, os.path.join(TOP, "tools", "gen-docs"), "--check", SHALE], capture_output=True, text=True)
        self.assertEqual(got.returncode, 0, got.stdout + got.stderr)

    def test_every_error_code_has_its_entry(self):
        with open(os.path.join(TOP, "include", "shale", "error.h"), encoding="utf-8") as f:
            codes = re.findall(r"^\s+SHALE_([A-Z_]+) = (\d+)", f.read(), re.M)
        with open(os.path.join(TOP, "docs", "reference", "errors.md"), encoding="utf-8") as f:
            entries = re.findall(r"^## ([A-Z_]+) \((\d+)\)$", f.read(), re.M)
        self.assertGreater(len(codes), 10)
        self.assertEqual(entries, codes)

    def test_exit_codes_are_those_of_the_program(self):
        said = subprocess.run([SHALE, "help", "exit-codes"], capture_output=True, text=True).stdout
        codes = re.findall(r"(?:^|by SIGINT\), |, )(\d+) ", said, re.M)
        with open(os.path.join(TOP, "docs", "reference", "exit-codes.md"), encoding="utf-8") as f:
            self.assertEqual(re.findall(r"^\| \*\*(\d+)\*\* ", f.read(), re.M), codes)

    def test_links_lead_somewhere(self):
        for path in pages():
            with open(path, encoding="utf-8") as f:
                text = re.sub(r"```.*?```", "", f.read(), flags=re.S)
            for target in re.findall(r"\]\(([^)#\s]+)", text):
                if "://" in target:
                    continue
                full = os.path.normpath(os.path.join(os.path.dirname(path), target))
                self.assertTrue(os.path.exists(full), "%s: %s" % (os.path.relpath(path, TOP), target))

    def test_every_page_is_in_the_table_of_contents(self):
        with open(os.path.join(TOP, "docs", "README.md"), encoding="utf-8") as f:
            listed = set(re.findall(r"\]\(([^)#\s]+)", f.read()))
        for path in pages():
            inside = os.path.relpath(path, os.path.join(TOP, "docs"))
            if inside.startswith("reference/commands/"):  # commands/README.md, which is generated, lists them
                continue
            if not inside.startswith("..") and inside != "README.md":
                self.assertIn(inside, listed)


class Benchmarks(unittest.TestCase):
    """Nothing is timed here: figures and prose are those of the result file, and the bench runs."""

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="shale-docs-")
        self.addCleanup(shutil.rmtree, self.tmp, True)

    def bench(self, *words):
        p = subprocess.run([sys.executable, os.path.join(TOP, "bench", "run"), *words], cwd=self.tmp, capture_output=True, text=True, timeout=120)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def test_page_pictures_and_readme_are_made_of_the_result_file(self):
        docs, readme = os.path.join(TOP, "docs", "explanation"), os.path.join(self.tmp, "README.md")
        name = re.match(r"<!-- made by bench/run --page (\S+):", self.read(os.path.join(docs, "benchmarks.md"))).group(1)
        shutil.copy(os.path.join(TOP, "README.md"), readme)
        self.bench("--page", os.path.join(TOP, name), "--docs", self.tmp, "--readme", readme)
        again = "run: bench/run --page " + name
        self.assertEqual(self.read(readme), self.read(os.path.join(TOP, "README.md")), again)
        self.assertEqual(self.read(os.path.join(self.tmp, "benchmarks.md")), self.read(os.path.join(docs, "benchmarks.md")), again)
        made = sorted(os.listdir(os.path.join(self.tmp, "img")))
        self.assertEqual(made, sorted(n for n in os.listdir(os.path.join(docs, "img")) if n.startswith("bench-")), again)
        for picture in made:
            self.assertEqual(self.read(os.path.join(self.tmp, "img", picture)), self.read(os.path.join(docs, "img", picture)), again)
            ElementTree.parse(os.path.join(self.tmp, "img", picture))

    def test_a_quick_run_measures_every_row_and_makes_a_page(self):
        result, docs = os.path.join(self.tmp, "r.json"), os.path.join(self.tmp, "docs")
        self.bench("--quick", "--shale", SHALE, "--work", self.tmp, "--out", result)
        runs = json.loads(self.read(result))["runs"]
        self.assertEqual([r for r in runs if "failed" in r], [])
        self.assertLessEqual({("folder A", "fillrandom"), ("folder A", "multiget"), ("memory A", "overwrite"), ("latency", "readcold x64")},
                             {(r["part"], r["row"]) for r in runs})
        self.assertNotIn(self.tmp, self.read(result))
        self.bench("--page", result, "--docs", docs, "--readme", os.path.join(self.tmp, "none.md"))
        self.assertIn("| fillrandom + settle |", self.read(os.path.join(docs, "benchmarks.md")))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == "--update":
        for given in sys.argv[2:] or pages():
            Page(os.path.abspath(given)).update()
    else:
        unittest.main()
