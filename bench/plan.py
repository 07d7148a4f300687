"""What bench/run measures: parts, and the steps of each part. A step is one process of one peer; it gives one figure per row."""
import collections

EVERY = ("shale", "slatedb", "leveldb", "rocksdb")
ON_A_STORE = ("shale", "slatedb")  # LevelDB and RocksDB know local files only
SMALLEST = 100  # rows; no --scale goes below
SIZES = {"A": (1_000_000, 100), "B": (200_000, 1024)}
SCALE_ROWS = (10_000, 100_000, 1_000_000, 10_000_000)
BIG_ROWS = 20_000_000
SMALL_CACHE_MIB = 64
LATENCY_MS = 15
FILLED, OVERWRITTEN = ("fillrandom + settle", "fillrandom+settle"), ("overwrite + settle", "overwrite+settle")  # as rows

# part    where the rows are shown        row     its name in tables        works  (row, workload) in the order they run; row None: not shown
# store   folder, memory or latency       peers   who takes part            fresh  begins with an empty database
# rows    records, before --scale         vlen    bytes of a value          more   Shale's own options
Step = collections.namedtuple("Step", "part store peers works rows vlen fresh reads scans durops clients cache_mib more slate")


def step(part, store, works, size, peers=EVERY, fresh=False, reads=0, scans=5000, durops=50, clients=1, cache_mib=0, more=(), slate=()):
    works = [(w, w) if isinstance(w, str) else w for w in works]
    rows, vlen = size
    return Step(part, store, peers, works, rows, vlen, fresh, reads, scans, durops, clients, cache_mib, tuple(more), tuple(slate))


def folder(name):
    """Every row is a process: caches start empty, and the peak of memory is the row's own."""
    size, part = SIZES[name], "folder " + name

    def one(row, work=None, **more):
        return step(part, "folder", [(row, work or row)], size, **more)
    return [
        one("fillseq", fresh=True), one("fillrandom", fresh=True), one("fillrandom + settle", "fillrandom+settle", fresh=True),
        one("readcold", reads=20_000), one("readhot", reads=200_000), one("readhot x4", "readhot", reads=200_000, clients=4),
        one("multiget", reads=200_000), one("readmissing", reads=100_000), one("scan"), one("shortscan"),
        one("overwrite + settle", "overwrite+settle"), one("overwrite"),
        one("filldurable", peers=ON_A_STORE, fresh=True),
        one("filldurable, 100 ms timer", "filldurable", peers=ON_A_STORE, fresh=True, more=("--set", "wal_flush=interval")),
        one("filldurable, synced", "filldurable", peers=("shale", "leveldb", "rocksdb"), fresh=True, durops=200,
            more=("--store-option", "local_fsync=on")),
    ]


def memory(name):
    works = [FILLED, "readhot", "readmissing", "scan", "shortscan", OVERWRITTEN, "overwrite", "multiget"]
    size, part = SIZES[name], "memory " + name
    return [step(part, "memory", ["fillseq"], size, peers=ON_A_STORE, fresh=True), step(part, "memory", ["fillrandom"], size, peers=ON_A_STORE, fresh=True),
            step(part, "memory", works, size, peers=ON_A_STORE, fresh=True, reads=200_000)]


def latency():
    works = [FILLED, "readcold", "shortscan", "scan", "filldurable"]
    size = (200_000, 100)
    return [
        step("latency", "latency", works, size, peers=ON_A_STORE, fresh=True, reads=2_000, scans=300),
        step("latency", "latency", [(None, "fillrandom+settle"), ("readcold x64", "readcold")], size, peers=ON_A_STORE, fresh=True, reads=20_000, clients=64),
    ]


def requests():
    """The same timer for both; what a request costs does not matter here, that it is a store far away does."""
    works = [FILLED, "readcold", "shortscan", "scan", OVERWRITTEN, "filldurable"]
    return [step("requests", "latency", works, (200_000, 100), peers=ON_A_STORE, fresh=True, reads=2_000, scans=300, more=("--set", "wal_flush=interval"))]


def sized(part, rows, reads):
    size = (rows, 100)
    one = {"cache_mib": SMALL_CACHE_MIB, "peers": EVERY if rows <= 1_000_000 else ("shale",)}  # how its own cost grows; the peers' would take hours
    return [
        step(part, "folder", [FILLED], size, fresh=True, **one),
        step(part, "folder", ["readcold"], size, reads=20_000, **one), step(part, "folder", ["readhot"], size, reads=reads, **one),
        step(part, "folder", ["scan"], size, **one),
        step(part, "folder", [("readhot x64", "readhot")], size, reads=reads, clients=64, **one),
    ]


def scale_part(rows):
    return "scale %d" % rows


# name, steps, repetitions at most, whole peers one after the other (their databases are too large to lie side by side)
def parts():
    found = [("floor", [], None, False), ("folder A", folder("A"), None, False), ("folder B", folder("B"), None, False), ("memory A", memory("A"), None, False),
             ("memory B", memory("B"), None, False), ("latency", latency(), None, False), ("requests", requests(), None, False)]
    for rows in SCALE_ROWS:
        found.append((scale_part(rows), sized(scale_part(rows), rows, 200_000), 1 if rows >= 1_000_000 else None, True))
    found.append(("big", sized("big", BIG_ROWS, 200_000), 1, True))
    return found


def scaled(number, scale, smallest):
    return number if scale == 1 else max(smallest, int(number * scale))


def command(peer, program, s, where, scale):
    """The words that run step `s` of a peer in folder `where`."""
    rows, works = scaled(s.rows, scale, SMALLEST), ",".join(w for _, w in s.works)
    reads, scans, durops = scaled(s.reads, scale, 64), scaled(s.scans, scale, 10), scaled(s.durops, scale, 5)
    if peer == "shale":
        at = "file://" + where + "/db" if s.store == "folder" else "memory:"
        words = [program, "bench", at, "--workload", works, "--num", str(rows), "--value-size", str(s.vlen), "--scans", str(scans), "--durable-ops", str(durops),
                 "--clients", str(s.clients), "--json"]
        words += ["--reads", str(reads)] if reads else []
        words += ["--latency-ms", str(LATENCY_MS)] if s.store == "latency" else []
        words += ["--set", "block_cache_bytes=%dMiB" % s.cache_mib] if s.cache_mib else []
        if s.store == "folder" and "local_fsync=on" not in s.more:
            words += ["--store-option", "local_fsync=off"]
        return words + list(s.more)
    at = where if peer != "slatedb" else {"folder": "file:" + where, "memory": "mem", "latency": "lat:%d" % LATENCY_MS}[s.store]
    words = [program, at, works, str(rows), str(s.vlen), "scans=%d" % scans, "durops=%d" % durops, "threads=%d" % s.clients]
    words += ["reads=%d" % reads] if reads else []
    words += ["cachemb=%d" % s.cache_mib] if s.cache_mib else []
    return words + (list(s.slate) if peer == "slatedb" else [])
