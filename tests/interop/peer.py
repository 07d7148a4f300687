#!/usr/bin/env python3
"""The published SlateDB behind a pipe: one request (JSON) a line in, one answer a line out. Runs in the environment of peer_env.py.

Keys and values are hex. A request names what to do; how a database is opened stands in it too:
  root, path          folder that is the bucket, or s3://BUCKET/PREFIX (AWS_* in the environment), and the database in it
  settings            {name: value}         codec, block_kib, bloom_bits, bloom_prefix, segments, merge, wal_root
Requests: open; write (rows: [op, key, value, expire_ms], op p d m; batch: all in one); flush (what: wal | memtable); close (flush: wal |
memtable | none); read (a reader: the rows; also at a checkpoint, or managed, and then held open (hold) until release); own_read (through the open writer); compact
(one full compaction, waited for); submit (a job); jobs; wal; checkpoint (what: create | list | refresh | delete); clone (from, lo, hi); delete_db; collect (all
that nothing needs, of min_age_ms or none, fences excepted); die.
Answers: {"ok": true, ...} or {"error": text, "fenced": bool}."""
import asyncio
import json
import os
import sys

from slatedb import uniffi as slate

FLUSH = {"wal": slate.FlushType.WAL, "memtable": slate.FlushType.MEM_TABLE, "none": None}
WAIT_STEP_S = 0.05
WAIT_STEPS = 600
CLOCK_TRIES, CLOCK_WAIT_S = 4, 0.1
SUBMIT_STEPS = 20


class Appending(slate.MergeOperator):
    def merge(self, key, existing_value, operand):
        return operand if existing_value is None else existing_value + operand


class Adding(slate.MergeOperator):
    def merge(self, key, existing_value, operand):
        numbers = [int.from_bytes(x, "little") for x in (existing_value or b"", operand)]
        return (sum(numbers) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")


class Prefix(slate.PrefixExtractor):
    """The first N bytes, or all up to the first slash; the names are those that Shale knows."""

    def __init__(self, what):
        self.what = what

    def name(self):
        return "upto-slash" if self.what == "slash" else "fixed" + self.what

    def prefix_len(self, target):
        text = target.key if target.is_point() else target.prefix
        if self.what == "slash":
            return text.index(b"/") + 1 if b"/" in text else None
        return int(self.what) if len(text) >= int(self.what) else None


def store_at(root):
    if root.startswith("s3://"):
        return slate.ObjectStore.resolve("s3://" + root[5:].split("/", 1)[0])
    os.environ.update(CLOUD_PROVIDER="local", LOCAL_PATH=root)
    return slate.ObjectStore.from_env("/dev/null")


def path_in_store(q):
    """A folder is a store of its own; in a bucket the prefix belongs to the database's path."""
    prefix = q["root"][5:].partition("/")[2].strip("/") if q["root"].startswith("s3://") else ""
    return prefix + "/" + q["path"] if prefix else q["path"]


def common(builder, q):
    """What writers and readers have to know alike."""
    if q.get("merge"):
        builder.with_merge_operator({"concat": Appending, "sum-u64": Adding}[q["merge"]]())
    if q.get("segments"):
        builder.with_segment_extractor(Prefix(q["segments"]))
    if q.get("wal_root"):
        builder.with_wal_object_store(store_at(q["wal_root"]))
    if "bloom_bits" in q or "bloom_prefix" in q:
        bits = q.get("bloom_bits", 10)
        policy = slate.FilterPolicy.bloom_with_options(slate.BloomFilterOptions(bits_per_key=bits), Prefix(q["bloom_prefix"]) if "bloom_prefix" in q else None)
        builder.with_filter_policies([policy] if bits else [])
    return builder


async def open_writer(q):
    settings = slate.Settings.default()
    quick = {"flush_interval": "20ms", "garbage_collector_options": None, "compactor_options.poll_interval": "50ms",
             "compactor_options.commit_compacted_interval": "20ms", "compactor_options.worker_heartbeat_timeout": "500ms", "compactor_options.worker.compactions_poll_interval": "50ms",
             "compactor_options.worker.heartbeat_interval": "100ms"}
    if q.get("codec", "none") != "none":
        quick["compression_codec"] = q["codec"].capitalize()
    for name, value in dict(quick, **q.get("settings", {})).items():
        settings.set(name, json.dumps(value))
    builder = common(slate.DbBuilder(path_in_store(q), store_at(q["root"])), q)
    builder.with_settings(settings)
    if q.get("block_kib"):
        builder.with_sst_block_size(getattr(slate.SstBlockSize, "BLOCK%d_KIB" % q["block_kib"]))
    return await builder.build()


def fill(batch, rows):
    for op, key, value, expire_ms in rows:
        key, ttl = bytes.fromhex(key), slate.Ttl.DEFAULT() if expire_ms is None else slate.Ttl.EXPIRE_AT_MILLIS(expire_ms)
        if op == "d":
            batch.delete(key)
        elif op == "m":
            batch.merge_with_options(key, bytes.fromhex(value), slate.MergeOptions(ttl=ttl))
        else:
            batch.put_with_options(key, bytes.fromhex(value), slate.PutOptions(ttl=ttl))
    return batch


async def every_row(source):
    options = slate.ScanOptions(durability_filter=slate.DurabilityLevel.MEMORY, dirty=False, read_ahead_bytes=1 << 20, cache_blocks=False,
                                max_fetch_tasks=2, order=slate.IterationOrder.ASCENDING)
    it = await source.scan_with_options(slate.KeyRange(start=None, start_inclusive=False, end=None, end_inclusive=False), options)
    rows, more = [], True
    while more:
        some = await it.next_batch(500)
        rows += [[r.key.hex(), r.value.hex(), r.seq, r.create_ts, r.expire_ts] for r in some]
        more = len(some) == 500
    return rows


class Peer:
    db = None

    def __init__(self):
        self.txns = {}

    async def open(self, q):
        self.db = await open_writer(q)
        return {}

    async def write(self, q):
        groups = [q["rows"]] if q.get("batch") else [[r] for r in q["rows"]]
        handle = None
        for rows in groups:
            handle = await self.db.write_with_options(fill(slate.WriteBatch(), rows), slate.WriteOptions(seqnum=0))
        if handle is not None and q.get("durable"):
            await handle.await_durable()
        return {}

    async def txn(self, q):
        """n: its number; op: begin (level), put, delete, merge, get, scan, mark, unmark, commit, rollback."""
        n, op = q["n"], q["op"]
        words = [bytes.fromhex(x) for x in q.get("words", [])]
        if op == "begin":
            levels = {"snapshot": slate.IsolationLevel.SNAPSHOT, "serializable": slate.IsolationLevel.SERIALIZABLE_SNAPSHOT}
            self.txns[n] = await self.db.begin(levels[q["level"]])
            return {}
        t = self.txns[n]
        if op == "get":
            found = await t.get(words[0])
            return {"found": None if found is None else found.hex()}
        if op == "scan":
            it = await t.scan(slate.KeyRange(start=words[0], start_inclusive=True, end=words[1], end_inclusive=False))
            return {"found": [[r.key.hex(), r.value.hex()] for r in await it.next_batch(1000)]}
        if op in ("mark", "unmark"):
            await (t.mark_read if op == "mark" else t.unmark_write)(words[:1])
        elif op in ("put", "delete", "merge"):
            await getattr(t, op)(*words)
        else:
            del self.txns[n]
            try:
                await getattr(t, op)()
            except slate.Error as e:
                if "Transaction" not in type(e).__name__ and "conflict" not in repr(e).lower():
                    raise
                return {"conflict": True}
        return {}

    async def flush(self, q):
        await self.db.flush_with_options(slate.FlushOptions(flush_type=FLUSH[q["what"]]))
        return {}

    async def close(self, q):
        await self.db.shutdown_with_options(slate.CloseOptions(flush_type=FLUSH[q.get("flush", "memtable")]))
        self.db = None
        return {}

    async def own_read(self, q):
        return {"rows": await every_row(self.db)}

    async def read(self, q):
        builder = common(slate.DbReaderBuilder(path_in_store(q), store_at(q["root"])), q)
        mode = slate.ReaderMode.CHECKPOINT(q["checkpoint"]) if q.get("checkpoint") else slate.ReaderMode.MANAGED_CHECKPOINT() if q.get("hold") else slate.ReaderMode.FOLLOW_LATEST()
        builder.with_reader_mode(mode)
        builder.with_options(slate.ReaderOptions(manifest_poll_interval_ms=5000, checkpoint_lifetime_ms=60000, max_memtable_bytes=1 << 26,
                                                 skip_wal_replay=False))
        reader = await builder.build()
        rows = await every_row(reader)
        if q.get("hold"):
            self.held = reader
        else:
            await reader.shutdown()
        return {"rows": rows}

    async def again(self, q):
        return {"rows": await every_row(self.held)}

    async def release(self, q):
        await self.held.shutdown()
        return {}

    def admin(self, q, path=None):
        builder = slate.AdminBuilder(path or path_in_store(q), store_at(q["root"]))
        if q.get("wal_root"):
            builder.with_wal_object_store(store_at(q["wal_root"]))
        return builder.build()

    async def checkpoint(self, q):
        admin = self.admin(q)
        if q["what"] == "create":
            made = await admin.create_detached_checkpoint(slate.CheckpointOptions(lifetime_ms=q.get("lifetime_ms"), source=q.get("source"), name=q.get("name")))
            return {"id": made.id, "manifest_id": made.manifest_id}
        if q["what"] == "refresh":
            await admin.refresh_checkpoint(q["id"], q.get("lifetime_ms"))
        elif q["what"] == "delete":
            await admin.delete_checkpoint(q["id"])
        return {"list": [[c.id, c.manifest_id, c.name, c.expire_time_secs] for c in await admin.list_checkpoints(None)]}

    async def clone(self, q):
        bounds = [bytes.fromhex(q[x]) if q.get(x) else None for x in ("lo", "hi")]
        span = slate.KeyRange(start=bounds[0], start_inclusive=True, end=bounds[1], end_inclusive=False) if any(bounds) else None
        builder = self.admin(q).create_clone_builder_from_source(slate.CloneSourceSpec(path=q["from"], checkpoint=q.get("checkpoint"), projection_range=span))
        await builder.build()
        return {}

    async def delete_db(self, q):
        return {"gone": len(await self.admin(q).delete_db(True))}

    async def compact(self, q):
        """SlateDB refuses to go on when the machine's clock was set back by a millisecond or two: then once more."""
        for n in range(CLOCK_TRIES):
            try:
                return await self.compact_once(q)
            except Exception as e:  # the binding has no class of its own for it
                if "Invalid clock tick" not in str(e) or n + 1 == CLOCK_TRIES:
                    raise
                await asyncio.sleep(CLOCK_WAIT_S)

    async def compact_once(self, q):
        """Everything of the tree without a segment into one sorted run; again, if a compaction of the database's own was faster."""
        await self.db.flush_with_options(slate.FlushOptions(flush_type=slate.FlushType.MEM_TABLE))
        admin = slate.AdminBuilder(path_in_store(q), store_at(q["root"])).build()
        for n in range(WAIT_STEPS):
            now = await admin.read_manifest(None)
            tables, runs = [v.id for v in now.l0], [r.id for r in now.compacted]
            if not tables:
                return {"runs": len(runs)}
            if n % SUBMIT_STEPS == 0:
                sources = [slate.SourceId.SST_VIEW(t) for t in tables] + [slate.SourceId.SORTED_RUN(r) for r in runs]
                await admin.submit_compaction(slate.CompactionSpec.TIERED(segment=b"", sources=sources, destination=min(runs, default=0)))
            await asyncio.sleep(WAIT_STEP_S)
        raise RuntimeError("the compaction did not end")

    async def submit(self, q):
        """One tiered job as an administrator asks for it; sources: view ids of L0 as text, numbers of sorted runs. Its id."""
        admin = slate.AdminBuilder(path_in_store(q), store_at(q["root"])).build()
        sources = [slate.SourceId.SST_VIEW(x) if isinstance(x, str) else slate.SourceId.SORTED_RUN(x) for x in q["sources"]]
        made = await admin.submit_compaction(slate.CompactionSpec.TIERED(segment=b"", sources=sources, destination=q["destination"]))
        return {"id": getattr(made, "id", str(made))}

    async def jobs(self, q):
        """Status by id, as SlateDB reads it."""
        admin = slate.AdminBuilder(path_in_store(q), store_at(q["root"])).build()
        now = await admin.read_compactions(None)
        return {"jobs": {} if now is None else {c.id: c.status.name for c in now.recent_compactions}}

    async def wal(self, q):
        """All changes in the WAL from an id on: [id, kind, key, value, seq, expire]."""
        reader = slate.SlateDbWalReader(path_in_store(q), store_at(q["root"]))
        last, it, found = await reader.last_wal_file_id(0), await reader.iterator(q["from"]), []
        while True:
            some = await it.next()
            found += [[some.last_consumed_wal_file_id, r.kind.name.lower(), r.key.hex(), None if r.value is None else r.value.hex(), r.seq, r.expire_ts]
                      for r in some.rows]
            if some.last_consumed_wal_file_id >= last:
                return {"rows": found}

    async def collect(self, q):
        now, never = (slate.GarbageCollectorDirectoryOptions(min_age_ms=q.get("min_age_ms", 0), dry_run=dry) for dry in (False, True))
        admin = slate.AdminBuilder(path_in_store(q), store_at(q["root"])).build()
        await admin.run_gc_once(slate.GarbageCollectorOptions(
            manifest_options=now, wal_options=now, wal_fence_options=never, compacted_options=now, compactions_options=now,
            detach_options=slate.GarbageCollectorScheduleOptions(), disable_boundary_files=not q["root"].startswith("s3://")))
        return {}


async def serve():
    peer, loop = Peer(), asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        if not line:
            os._exit(0)
        q = json.loads(line)
        if q["do"] == "die":  # as kill -9 would: nothing is closed
            os._exit(0)
        try:
            answer = dict(await getattr(peer, q["do"])(q), ok=True)
        except (slate.Error, RuntimeError) as e:
            answer = {"error": repr(e), "fenced": "fenced" in repr(e).lower()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
