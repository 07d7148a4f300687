"""Makes docs/explanation/benchmarks.md, its pictures and README's figures of one result file. Same file, same bytes."""
import json
import os
import re
import statistics

import chart
import plan
from chart import number, times

NAMES = {"shale": "Shale", "slatedb": "SlateDB", "leveldb": "LevelDB", "rocksdb": "RocksDB"}
PLACES = [("folder A", "On a folder, values of 100 B"), ("folder B", "On a folder, values of 1 KiB"), ("memory A", "In memory, values of 100 B"),
          ("memory B", "In memory, values of 1 KiB"), ("latency", "On a store that takes 15 ms for each request")]
IDEAL_TRIPS = {"readcold": 1, "shortscan": 1, "filldurable": 1}
README_BEGIN, README_END = "<!-- figures: made by bench/run --page -->", "<!-- end of figures -->"


class Results:
    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            self.doc = json.load(f)
        self.runs = {}
        self.failures = {}
        self.order = {}
        for r in self.doc["runs"]:
            key = (r["part"], r["row"], r["peer"])
            rows = self.order.setdefault(r["part"], [])
            if r["row"] not in rows:
                rows.append(r["row"])
            if "failed" in r:
                self.failures.setdefault(key, r["failed"])
            else:
                self.runs.setdefault(key, {})[r["rep"]] = r
        self.peers = [p for p in plan.EVERY if any(r["peer"] == p for r in self.doc["runs"])]

    def title(self, peer):
        return ("%s %s" % (NAMES[peer], self.doc["versions"].get(peer, ""))).strip()

    def rows(self, part):
        return self.order.get(part, [])

    def figures(self, part, row, peer, what):
        """{repetition: figure}."""
        found = {k: what(r) for k, r in self.runs.get((part, row, peer), {}).items()}
        return {k: v for k, v in found.items() if v is not None}

    def spread(self, part, row, peer, what):
        """(median, smallest, largest), or None."""
        found = list(self.figures(part, row, peer, what).values())
        return (statistics.median(found), min(found), max(found)) if found else None

    def ratio(self, part, row, peer, what):
        """How many times Shale's figure, repetition by repetition: (median, smallest, largest), or None."""
        ours, theirs = (self.figures(part, row, p, what) for p in ("shale", peer))
        found = [theirs[k] / ours[k] for k in ours if k in theirs and ours[k] > 0]
        return (statistics.median(found), min(found), max(found)) if found else None

    def failed(self, part, row, peer):
        return (part, row, peer) in self.failures


# ---- figures of a run

def cpu_us(r):
    return r["cpu_s"] / r["ops"] * 1e6


def rate(r):
    """Not of what settles: SlateDB is watched for eight quiet seconds then."""
    return None if "settle" in r["row"] else r["ops"] / r["s"]


def of(field):
    return lambda r: r.get(field)


def latency_us(field):
    return lambda r: r[field] if r.get(field) else None


def per_op(field):
    return lambda r: r[field] / r["ops"] if field in r else None


# ---- words

def spread_text(s, with_range=True):
    if s is None:
        return "-"
    if not with_range or number(s[1]) == number(s[2]):
        return number(s[0])
    return "%s (%s - %s)" % (number(s[0]), number(s[1]), number(s[2]))


def count_text(s):
    """Requests: whole ones."""
    if s is None:
        return "-"
    return thousands(s[0]) if int(s[1]) == int(s[2]) else "%s (%s - %s)" % tuple(thousands(v) for v in s)


def ratio_text(s):
    if s is None:
        return "-"
    return times(s[0]) if times(s[1]) == times(s[2]) else "%s (%s - %s)" % (times(s[0]), times(s[1])[:-1], times(s[2])[:-1])


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(line) + " |" for line in lines] + [""]


def thousands(n):
    return format(int(n), ",")


def bytes_text(n):
    return "%d B" % n if n < 1024 else "%d KiB" % (n // 1024)


def size_of(results, part):
    for (found, _, _), runs in results.runs.items():
        if found == part:
            r = next(iter(runs.values()))
            return r["n"], r["vlen"]
    return 0, 0


def repetitions(doc):
    return "1 repetition" if doc["repetitions"] == 1 else "%d repetitions" % doc["repetitions"]


def took(seconds):
    return "%d minutes" % round(seconds / 60) if seconds >= 120 else "%d seconds" % round(seconds)


# ---- sections

def head(x, json_name):
    d, m = x.doc, x.doc["machine"]
    loads = [r["load"] for r in d["runs"]] or [0]
    lines = ["<!-- made by bench/run --page %s: change that, not this -->" % json_name, "# Benchmarks", "",
             "For those who want to know what Shale costs, and beside what. Every figure, sentence and picture here is made of one file, "
             "[%s](../../%s), which holds every single run." % (json_name, json_name), ""]
    if d["scale"] != 1:
        lines += ["**A trial run: %g times the records of a real one. The figures show that the bench works, and nothing else.**" % d["scale"], ""]
    lines += table(["", ""], [
        ["Measured", "%s, %s, in %s" % (d["date"], repetitions(d), took(d.get("took_s", 0)))],
        ["Versions", ", ".join(x.title(p) for p in x.peers) + " (Shale at commit %s)" % d["commit"]],
        ["Machine", "%d %scores, %s, %.0f GiB of memory" % (m["cores"], "virtual " if m.get("virtual") else "", re.sub(r"\s+", " ", m["cpu"]), m["memory_gib"])],
        ["System", "%s, %s, %s; %s" % (m["system"], m["kernel"], m["file_system"], m["compiler"])],
        ["Load before a phase", "median %.1f, most %.1f (one minute; the bench itself is 1 to 2)" % (statistics.median(loads), max(loads))],
        ["To repeat it", "`bench/run --build`, then `%s`" % d["command"]]])
    missing = [NAMES[p] for p in plan.EVERY if p not in x.peers]
    if missing:
        lines += ["Left out, as their benchers were not there: %s." % ", ".join(missing), ""]
    if max(loads) > 2 * m["cores"]:
        lines += ["Other programs were running: at times the load was more than twice the number of cores. Compare ratios only.", ""]
    if x.failures:
        lines += ["Failed: " + "; ".join("%s of %s (%s): %s" % (row, NAMES[peer], part, why) for (part, row, peer), why in sorted(x.failures.items())) + ".", ""]
    return lines


def method():
    return ["## How to read them", "",
            "**CPU** is user and system time of the whole process, background threads included, divided by the operations. It depends least on what else the machine does; "
            "with one client the rate follows from it. Lower is better. **N x** is how many times Shale's figure a peer needs, taken inside a repetition; "
            "more is better for Shale, below 1x a peer is cheaper. In brackets: smallest and largest of the repetitions. The rows are described in "
            "[bench/README.md](../../bench/README.md): the same keys, values and orders for everyone.", "",
            "Peers run as they are after opening, with a Bloom filter of 10 bits a key and no compression: SlateDB with its defaults (a scan of everything reads 1 MiB ahead with four "
            "tasks, which is better than its default), LevelDB and RocksDB with a write buffer of 64 MiB and a cache of 640 MiB. Nobody syncs files, as SlateDB's "
            "folder store does not, except in the row that says so. LevelDB and RocksDB are references for what a local engine costs; they cannot work on a bucket. "
            "SlateDB has no call for several keys: multiget there is eight gets at once; with LevelDB it is eight gets one after the other. Where a row says settle, the clock runs on until everything is flushed and compacted; with the others that is left for later, by everyone.", ""]


def measured_rows(x, part):
    return [r for r in x.rows(part) if not r.startswith("filldurable")]


# Why, where we know it.
CHEAPER = {
    ("readcold", "leveldb"): "LevelDB maps its files: it touches the few lines of a block that it needs, and checks no sums. Shale copies the block out of the kernel, which is a third of such a "
                             "get, and checks it. Mapping was tried and left out: 0.63 us a block for 1.15, but then the whole database is resident, and a file that is cut ends the process.",
}


def behind(x):
    """Rows in which a peer costs less, by more than a twentieth."""
    lines = []
    for part, name in PLACES:
        for row in measured_rows(x, part):
            for peer in x.peers[1:]:
                s = x.ratio(part, row, peer, cpu_us)
                if s and s[0] < 1 / 1.05:
                    lines.append("* %s, %s: %s costs %s of what Shale does. %s" % (name, row, NAMES[peer], times(s[0])[:-1], CHEAPER.get((row, peer), "")))
    return ["Where a peer costs less:", "", *[line.rstrip() for line in lines], ""] if lines else []


def summary(x):
    lines = ["## In short", ""]
    rows = []
    for part, name in PLACES:
        line = [name]
        for peer in x.peers[1:]:
            ratios = {row: x.ratio(part, row, peer, cpu_us) for row in measured_rows(x, part)}
            ratios = {row: s[0] for row, s in ratios.items() if s}
            if not ratios:
                line.append("-")
                continue
            least, most = min(ratios, key=ratios.get), max(ratios, key=ratios.get)
            middle = times(statistics.geometric_mean(list(ratios.values())))
            line.append("**%s** over %d rows; %s %s to %s %s" % (middle, len(ratios), least, times(ratios[least]), most, times(ratios[most])))
        if any(cell != "-" for cell in line[1:]):
            rows.append(line)
    if rows:
        lines += ["CPU of a peer as a multiple of Shale's: geometric mean over the rows, the least and the most.", ""]
        lines += table([""] + [x.title(p) for p in x.peers[1:]], rows)
    one, four = (x.spread("folder A", row, "shale", rate) for row in ("readhot", "readhot x4"))
    if one and four:
        lines += ["Four clients get %s the rows a second of one client from Shale's cache, on %d cores." % (times(four[0] / one[0]), x.doc["machine"]["cores"]), ""]
    return lines + behind(x)


def cpu_groups(x, part):
    """Durable puts would stretch the axis by three decades: the table has them."""
    groups = []
    for row in measured_rows(x, part):
        found = {}
        for peer in x.peers:
            s, q = x.spread(part, row, peer, cpu_us), x.ratio(part, row, peer, cpu_us)
            if s:
                found[peer] = s + (number(s[0]) + (" (%s)" % times(q[0]) if q and peer != "shale" else ""),)
            elif x.failed(part, row, peer):
                found[peer] = "failed"
        if found:
            groups.append((row, found))
    return groups


def memory_groups(x, part):
    groups = []
    for row in (r for r in x.order.get(part, []) if not r.startswith("filldurable")):
        found = {}
        for peer in x.peers:
            s, q = x.spread(part, row, peer, of("rss_mb")), x.ratio(part, row, peer, of("rss_mb"))
            if s:
                found[peer] = s + ("%s MiB" % number(s[0]) + (" (%s)" % times(q[0]) if q and peer != "shale" else ""),)
        if found:
            groups.append((row, found))
    return groups


def traffic(x, part, row, peer, with_range):
    """PUTs, MB up, GETs, MB down."""
    def middle(s):
        return s if with_range or s is None else (s[0],) * 3
    cells = []
    for requests_field, bytes_field in (("puts", "put_mb"), ("gets", "get_mb")):
        cells += [count_text(middle(x.spread(part, row, peer, of(requests_field)))), spread_text(middle(x.spread(part, row, peer, of(bytes_field))))]
    return cells


def amplification(x, part):
    """A sentence: bytes that went to the store for a byte that was put."""
    n, vlen = size_of(x, part)
    said = []
    for peer in x.peers:
        found = x.spread(part, "fillrandom + settle", peer, of("put_mb"))
        if found:
            said.append("%s %s" % (NAMES[peer], number(found[0] * 1e6 / (n * (vlen + 16)))))
    return ["Bytes written for a byte that was put, in fillrandom + settle: %s." % ", ".join(said), ""] if said else []


def place(x, part, name, pictures):
    n, vlen = size_of(x, part)
    if n == 0:
        return []
    who = [p for p in x.peers if any((part, row, p) in x.runs or x.failed(part, row, p) for row in x.order[part])]
    names = [(p, x.title(p)) for p in who]
    lines = ["## " + name, "", "%s records of %s." % (thousands(n), bytes_text(vlen)), ""]
    slug, where = part.replace(" ", "-").lower(), name[0].lower() + name[1:]
    pictures["bench-cpu-%s.svg" % slug] = chart.bars(
        "CPU per operation: " + where, "Bars for each workload and peer; the multiple of Shale's figure is written behind a peer's bar. Lower is better.",
        "us of CPU, lower is better", cpu_groups(x, part), names)
    lines += ["![CPU per operation, %s; the table below has the same figures](img/bench-cpu-%s.svg)" % (where, slug), "", "CPU in us per operation:", ""]
    rows = []
    for row in x.rows(part):
        line = [row]
        for peer in who:
            line.append("failed" if x.failed(part, row, peer) else spread_text(x.spread(part, row, peer, cpu_us)))
            if peer != "shale":
                line.append(ratio_text(x.ratio(part, row, peer, cpu_us)))
        rows.append(line)
    lines += table([""] + [w for p in who for w in ([x.title(p)] if p == "shale" else [x.title(p), ""])], rows)
    lines += ["<details><summary>Rate, latency, memory and requests of each row</summary>", ""]
    rows = []
    for row in x.order[part]:
        for peer in who:
            if (part, row, peer) in x.runs:
                got = [spread_text(x.spread(part, row, peer, w), False) for w in (rate, latency_us("p50us"), latency_us("p99us"), of("rss_mb"))]
                rows.append([row, NAMES[peer], *got, *traffic(x, part, row, peer, False)])
    lines += table(["", "", "a second", "p50 us", "p99 us", "peak MiB", "PUTs", "MB up", "GETs", "MB down"], rows)
    peak = "" if part.startswith("folder") else " The peak of memory is that of the process so far, with the store in it."
    lines += ["Medians. For LevelDB and RocksDB MB up is what the kernel wrote for the process.%s</details>" % peak, ""]
    lines += amplification(x, part)
    if part.startswith("folder"):
        pictures["bench-memory-%s.svg" % slug] = chart.bars("Peak memory: " + where, "Peak resident size of the process that ran the workload. Lower is better.",
                                                            "MiB, lower is better", memory_groups(x, part), names)
        lines += ["![Peak memory of each workload](img/bench-memory-%s.svg)" % slug, ""]
    return lines


def round_trips(x, pictures):
    groups = []
    for row in IDEAL_TRIPS:
        found = {}
        for peer in x.peers:
            s = x.spread("latency", row, peer, lambda r: r["p50us"] / 1e3 / plan.LATENCY_MS)
            if s:
                found[peer] = s + ("%s (%s ms)" % (number(s[0]), number(s[0] * plan.LATENCY_MS)),)
        if found:
            groups.append((row, found))
    if not groups:
        return []
    names = [(p, x.title(p)) for p in x.peers if any(p in f for _, f in groups)]
    pictures["bench-trips.svg"] = chart.bars(
        "Round trips of an operation, median", "Median latency of an operation divided by the 15 ms of a request; the dashed line is the least that is possible.",
        "times 15 ms, lower is better; dashed: ideal", groups, names, log=False, ideals=IDEAL_TRIPS)
    return ["How many round trips an operation waits for: its median latency, divided by the latency of a request. SlateDB's filldurable is its timer of 100 ms; Shale's default "
            "starts the request at once ([how it works](how-it-works.md)).", "", "![Round trips of an operation](img/bench-trips.svg)", ""]


def requests(x, pictures):
    part = "requests"
    if part not in x.order:
        return []
    n, vlen = size_of(x, part)
    lines = ["## Requests at equal settings", "", "%s records of %s on the slow store; both flush the log by the same timer of 100 ms (`wal_flush=interval`). "
             "A bucket bills requests." % (thousands(n), bytes_text(vlen)), ""]
    rows, groups = [], []
    for row in x.order[part]:
        bars = []
        for peer in x.peers:
            if (part, row, peer) not in x.runs:
                continue
            rows.append([row, NAMES[peer], *traffic(x, part, row, peer, True)])
            if row in ("readcold", "shortscan", "filldurable"):
                each = {kind: (x.spread(part, row, peer, per_op(field)) or (0,))[0] for kind, field in (("PUT", "puts"), ("GET", "gets"))}
                bars.append((NAMES[peer], each, "%s PUT, %s GET" % (number(each["PUT"]), number(each["GET"]))))
        if bars:
            groups.append((row, bars))
    if groups:
        pictures["bench-requests.svg"] = chart.stacked("Requests per operation at equal settings", "PUTs and GETs of one operation. Lower is better.",
                                                       "requests per operation, lower is better", groups, ["PUT", "GET"])
        lines += ["![Requests per operation](img/bench-requests.svg)", ""]
    return lines + table(["", "", "PUTs", "MB up", "GETs", "MB down"], rows) + amplification(x, part)


def floor(x):
    """The bytes of a value in the machine itself, and what of a put they are."""
    if "floor" not in x.order:
        return []
    each = {row: x.spread("floor", row, "machine", lambda r: r["cpu_s"] / r["ops"] * 1e6) for row in x.order["floor"]}
    lines = ["## The floor", "", "What the machine takes to move 1 KiB, with no database there (`bench/floor.c`, the smallest of five rounds in each repetition), in us of CPU. "
             "Every byte of a value is written to files at least twice, into the log and into a table, and once more in each compaction.", ""]
    lines += table(["", "us for 1 KiB"], [[row, spread_text(s)] for row, s in each.items()])
    put, (n, vlen) = x.spread("folder B", "fillrandom + settle", "shale", cpu_us), size_of(x, "folder B")
    up = x.spread("folder B", "fillrandom + settle", "shale", of("put_mb"))
    new, copy = each.get("write to a new file"), each.get("memcpy into a buffer in cache")
    if put and up and new and copy:
        written = up[0] * 1e6 / n / 1024
        least = written * new[0] + 3 * copy[0]
        lines += ["A put of 1 KiB, compaction included, writes %s KiB and copies the value three times in memory (into the memtable, into the log's block, into "
                  "the table's block): %s us of the %s us that it costs are these copies and the kernel's." % (number(written), number(least), number(put[0])), ""]
    return lines


def scale(x, pictures):
    sizes = [s for s in plan.SCALE_ROWS if plan.scale_part(s) in x.order]
    if not sizes:
        return []
    lines = ["## How cost grows with size", "", "CPU in us per operation, values of 100 B on a folder, a cache of %d MiB." % plan.SMALL_CACHE_MIB, ""]
    for row, words in (("fillrandom + settle", "a put with its compaction"), ("readcold", "a get with an empty cache"), ("readhot", "a get after a scan"),
                       ("scan", "a row of a scan")):
        series, rows = {}, []
        for size in sizes:
            part = plan.scale_part(size)
            line = [thousands(size_of(x, part)[0])]
            for peer in x.peers:
                s = x.spread(part, row, peer, cpu_us)
                line.append("failed" if x.failed(part, row, peer) else spread_text(s))
                if s and s[1] > 0:
                    series.setdefault(peer, []).append((size_of(x, part)[0],) + s)
            rows.append(line)
        if not series:
            continue
        name = "bench-scale-%s.svg" % row.replace(" + ", "-")
        pictures[name] = chart.lines("CPU of %s" % words, "How the cost of an operation grows with the rows of the database. Lower is better.",
                                     "rows", "us of CPU", series, [(p, x.title(p)) for p in x.peers])
        lines += ["### %s: %s" % (row, words), "", "![CPU of %s by the number of rows](img/%s)" % (words, name), ""] + table(["rows"] + [x.title(p) for p in x.peers], rows)
    return lines


def big(x):
    if "big" not in x.order:
        return []
    n, vlen = size_of(x, "big")
    rows = []
    for row in x.order["big"]:
        for peer in x.peers:
            if x.failed("big", row, peer):
                rows.append([row, NAMES[peer], "failed", "", "", "", ""])
            elif ("big", row, peer) in x.runs:
                figures = (cpu_us, rate, latency_us("p50us"), latency_us("p99us"), of("rss_mb"))
                rows.append([row, NAMES[peer], *[spread_text(x.spread("big", row, peer, w), False) for w in figures]])
    what = "%s records of %s on a folder (%s MB)" % (thousands(n), bytes_text(vlen), thousands(n * (vlen + 16) / 1e6))
    return ["## More data than cache", "", "%s, a cache of %d MiB, measured once; readhot x64 has 64 clients." % (what, plan.SMALL_CACHE_MIB), ""] + \
        table(["", "", "CPU us", "a second", "p50 us", "p99 us", "peak MiB"], rows)


def commands(x):
    found = x.doc["commands"]
    lines = ["## The commands", "", "What each row ran, DIR being a folder of the peer's own; rows of one process share a line. Sources of the benchers: "
             "[bench/peers](../../bench/peers).", "", "```"]
    seen = []
    for words in found.values():
        if words not in seen:
            seen.append(words)
    return lines + seen + ["```"]


def readme_block(x):
    """Three figures."""
    rows = []
    for name, part, row, what, unit in (("a cached get", "folder A", "readhot", cpu_us, "us of CPU"),
                                        ("a put, with its compaction", "folder A", "fillrandom + settle", cpu_us, "us of CPU"),
                                        ("peak memory while writing", "folder A", "fillrandom", of("rss_mb"), "MiB")):
        ours = x.spread(part, row, "shale", what)
        rows.append([name] + ["%s %s" % (spread_text(s, False), unit) if s else "-" for s in [ours] + [x.spread(part, row, p, what) for p in x.peers[1:]]])
    n, vlen = size_of(x, "folder A")
    note = "%s records of %s on a folder; medians of %s, %s. `bench/run --build && bench/run` repeats it; all of them: " \
        "[benchmarks](docs/explanation/benchmarks.md)." % (thousands(n), bytes_text(vlen), repetitions(x.doc), x.doc["date"])
    trial = ["", "**A trial run with %g times the records.**" % x.doc["scale"]] if x.doc["scale"] != 1 else []
    return "\n".join([README_BEGIN] + table([""] + [x.title(p) for p in x.peers], rows)[:-1] + ["", note] + trial + [README_END])


# ---- all of it

def make(path, top):
    """{name below the docs folder: text}, and README's block."""
    x = Results(path)
    full, inside = os.path.abspath(path), os.path.abspath(top)
    name = os.path.relpath(full, inside) if full.startswith(inside + os.sep) else os.path.basename(full)
    pictures = {}
    lines = head(x, name) + summary(x) + method()
    for part, title in PLACES:
        lines += place(x, part, title, pictures)
        if part == "latency":
            lines += round_trips(x, pictures)
    lines += requests(x, pictures) + floor(x) + scale(x, pictures) + big(x) + commands(x)
    files = {os.path.join("img", n): text for n, text in pictures.items()}
    files["benchmarks.md"] = "\n".join(lines) + "\n"
    return files, readme_block(x)


def write(path, docs, readme):
    files, block = make(path, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    old = os.path.join(docs, "img")
    for name in sorted(os.listdir(old)) if os.path.isdir(old) else []:
        if name.startswith("bench-") and os.path.join("img", name) not in files:
            os.unlink(os.path.join(old, name))
    for name, text in files.items():
        full = os.path.join(docs, name)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
    if os.path.exists(readme):
        with open(readme, encoding="utf-8") as f:
            text = f.read()
        fresh = re.sub(re.escape(README_BEGIN) + ".*?" + re.escape(README_END), lambda _: block, text, flags=re.S)
        if fresh != text:
            with open(readme, "w", encoding="utf-8") as f:
                f.write(fresh)
    print("made: %s" % ", ".join(sorted(files)))
