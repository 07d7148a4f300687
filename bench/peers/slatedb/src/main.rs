//! The workloads of bench/README.md on SlateDB.
//!
//! usage: sdb-bench STORE WORKLOAD[,WORKLOAD..] RECORDS VALUE_BYTES [NAME=NUMBER ..]
//!
//! STORE is file:/folder, mem, or lat:MS (memory that waits MS milliseconds before each PUT, GET and part). Names: reads scans durops
//! threads, cachemb (block cache, MiB), flushms, gc=0, defscan=1 (scan with the default options), settle_s (at most so long), quiet_s
//! (nothing was written for so long: settled).
//! A line of JSON for each workload; each opens the database anew, and all of one process share a store.

mod counted;
mod records;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use counted::{Counted, Tally};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::ObjectStore;
use records::{key, Records, SplitMix};
use slatedb::config::{FlushOptions, FlushType, ScanOptions, Settings};
use slatedb::db_cache::foyer::{FoyerCache, FoyerCacheOptions};
use slatedb::db_cache::{DbCache, SplitCache};
use slatedb::Db;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const MIB: u64 = 1 << 20;
const MANY: u64 = 8;
const SHORT_ROWS: u64 = 10;
const QUIET_BYTES: u64 = 100_000;

struct Run {
    records: Arc<Records>,
    store: Arc<Counted>,
    store_name: String,
    numbers: HashMap<String, u64>,
}

/// What one workload did: operations, and how long single ones took.
struct Done {
    ops: u64,
    nanos: Vec<u32>,
}

struct Usage {
    cpu_s: f64,
    peak_kib: i64,
}

fn usage() -> Usage {
    // SAFETY: getrusage fills the struct, which is plain numbers.
    let seen = unsafe {
        let mut seen: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut seen);
        seen
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Usage { cpu_s: seconds(seen.ru_utime) + seconds(seen.ru_stime), peak_kib: seen.ru_maxrss }
}

fn nanos_since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

/// In microseconds.
fn percentile(sorted: &[u32], share: f64) -> f64 {
    match sorted.len() {
        0 => 0.0,
        n => f64::from(sorted[((n - 1) as f64 * share) as usize]) / 1e3,
    }
}

fn wrong<T>(what: String) -> Outcome<T> {
    Err(what.into())
}

impl Run {
    fn number(&self, name: &str, default: u64) -> u64 {
        self.numbers.get(name).copied().unwrap_or(default)
    }

    async fn open(&self) -> Outcome<Db> {
        let mut settings = Settings::default();
        if let Some(ms) = self.numbers.get("flushms") {
            settings.flush_interval = Some(Duration::from_millis(*ms));
        }
        if self.number("gc", 1) == 0 {
            settings.garbage_collector_options = None;
        }
        let mut builder = Db::builder("db", self.store.clone() as Arc<dyn ObjectStore>).with_settings(settings);
        if let Some(mib) = self.numbers.get("cachemb") {
            let cache = |bytes: u64| -> Option<Arc<dyn DbCache>> {
                Some(Arc::new(FoyerCache::new_with_opts(FoyerCacheOptions { max_capacity: bytes, ..Default::default() })))
            };
            let both = SplitCache::new().with_block_cache(cache(mib * MIB)).with_meta_cache(cache(128 * MIB)).build();
            builder = builder.with_db_cache(Arc::new(both), 0);
        }
        Ok(builder.build().await?)
    }

    async fn fill(&self, db: &Db, work: &str) -> Outcome<Done> {
        let durable = work == "filldurable";
        let ops = if durable { self.number("durops", 50) } else { self.records.count };
        let mut nanos = Vec::with_capacity(ops as usize);
        let mut newest = None;
        for i in 0..ops {
            let start = Instant::now();
            let x = if durable || work == "fillseq" { i } else { self.records.shuffled(i) };
            let written = db.put(key(x), self.records.value(x + u64::from(work == "overwrite"))).await?;
            if durable {
                written.await_durable().await?;
            }
            nanos.push(nanos_since(start));
            newest = Some(written);
        }
        if let Some(written) = newest {
            written.await_durable().await?; // the clock stops when the last put is durable
        }
        Ok(Done { ops, nanos })
    }

    async fn read(&self, db: &Db, work: &str) -> Outcome<Done> {
        let default = match work {
            "readcold" => 20_000,
            "readmissing" => 100_000,
            _ => 200_000,
        };
        let (threads, missing) = (self.number("threads", 1), work == "readmissing");
        let each = self.number("reads", default) / threads;
        let clients: Vec<_> = (0..threads)
            .map(|client| {
                let (db, records) = (db.clone(), self.records.clone());
                tokio::spawn(async move { read_some(&db, &records, 7 + client, each, missing).await })
            })
            .collect();
        let mut nanos = Vec::new();
        for client in clients {
            nanos.append(&mut client.await??);
        }
        Ok(Done { ops: each * threads, nanos })
    }

    /// Eight gets under way at once, as there is no call for several keys. An operation is a key.
    async fn read_many(&self, db: &Db) -> Outcome<Done> {
        let mut random = SplitMix(7);
        let rounds = self.number("reads", 200_000) / MANY;
        let mut nanos = Vec::with_capacity(rounds as usize);
        for _ in 0..rounds {
            let start = Instant::now();
            let keys: Vec<_> = (0..MANY).map(|_| key(random.draw() % self.records.count)).collect();
            for value in futures::future::join_all(keys.iter().map(|k| db.get(k))).await {
                if value?.map(|v| v.len()) != Some(self.records.value_len) {
                    return wrong("multiget: a row is missing or of another length".into());
                }
            }
            nanos.push(nanos_since(start) / MANY as u32);
        }
        Ok(Done { ops: rounds * MANY, nanos })
    }

    async fn scan(&self, db: &Db, fill_cache: bool) -> Outcome<u64> {
        let mut how = ScanOptions::default();
        if self.number("defscan", 0) == 0 {
            how.read_ahead_bytes = MIB as usize;
            how.max_fetch_tasks = 4;
        }
        how.cache_blocks = fill_cache;
        let mut rows = db.scan_with_options::<std::ops::RangeFull>(.., &how).await?;
        let mut count = 0;
        while let Some(row) = rows.next().await? {
            std::hint::black_box(row.value.len());
            count += 1;
        }
        if count != self.records.count {
            return wrong(format!("scan: {} rows, want {}", count, self.records.count));
        }
        Ok(count)
    }

    async fn short_scans(&self, db: &Db) -> Outcome<Done> {
        let mut random = SplitMix(9);
        let ops = self.number("scans", 5_000);
        let mut nanos = Vec::with_capacity(ops as usize);
        for _ in 0..ops {
            let start = Instant::now();
            let first = random.draw() % (self.records.count - SHORT_ROWS);
            let mut rows = db.scan(key(first).to_vec()..key(first + SHORT_ROWS).to_vec()).await?;
            let mut count = 0;
            while rows.next().await?.is_some() {
                count += 1;
            }
            if count != SHORT_ROWS {
                return wrong(format!("shortscan: {} rows", count));
            }
            nanos.push(nanos_since(start));
        }
        Ok(Done { ops, nanos })
    }

    /// Until nothing is compacted any more, which no call tells: until hardly anything was written for some seconds.
    async fn settle(&self, db: &Db) -> Outcome<Done> {
        db.flush_with_options(FlushOptions { flush_type: FlushType::MemTable }).await?;
        let limit = Instant::now() + Duration::from_secs(self.number("settle_s", 600));
        let wanted = self.number("quiet_s", 8);
        let (mut quiet, mut before) = (0, self.store.tally.read().put_bytes);
        while quiet < wanted && Instant::now() < limit {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.store.tally.read().put_bytes;
            quiet = if now - before < QUIET_BYTES { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(Done { ops: 1, nanos: Vec::new() })
    }

    async fn work(&self, db: &Db, work: &str) -> Outcome<Done> {
        match work {
            "fillseq" | "fillrandom" | "overwrite" | "filldurable" => self.fill(db, work).await,
            "readcold" | "readhot" | "readmissing" => self.read(db, work).await,
            "multiget" => self.read_many(db).await,
            "scan" => Ok(Done { ops: self.scan(db, false).await?, nanos: Vec::new() }),
            "shortscan" => self.short_scans(db).await,
            "settle" => self.settle(db).await,
            _ => wrong(format!("unknown workload {work}")),
        }
    }

    /// WORK+settle: the clock runs on until everything is compacted.
    async fn measure(&self, named: &str) -> Outcome<()> {
        let work = named.strip_suffix("+settle").unwrap_or(named);
        let db = self.open().await?;
        if work == "readhot" || work == "multiget" {
            self.scan(&db, true).await?;
        }
        let before = self.store.tally.read();
        let (cpu, start) = (usage().cpu_s, Instant::now());
        let mut done = self.work(&db, work).await?;
        if work != named {
            self.settle(&db).await?;
        }
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), usage().cpu_s - cpu);
        let after = self.store.tally.read();
        db.close().await?;
        done.nanos.sort_unstable();
        let threads = if work.starts_with("read") { self.number("threads", 1) } else { 1 };
        println!(
            "{{\"peer\":\"slatedb-0.18.0\",\"w\":\"{}\",\"store\":\"{}\",\"n\":{},\"vlen\":{},\"threads\":{},\"ops\":{},\"s\":{:.6},\"ops_s\":{:.0},\
             \"cpu_s\":{:.6},\"cpu_per_mop\":{:.4},\"p50us\":{:.3},\"p99us\":{:.3},\"rss_mb\":{:.1},\"puts\":{},\"put_mb\":{:.1},\"gets\":{},\
             \"get_mb\":{:.1}}}",
            named,
            self.store_name,
            self.records.count,
            self.records.value_len,
            threads,
            done.ops,
            seconds,
            done.ops as f64 / seconds,
            cpu,
            cpu / done.ops as f64 * 1e6,
            percentile(&done.nanos, 0.5),
            percentile(&done.nanos, 0.99),
            usage().peak_kib as f64 / 1024.0,
            after.puts - before.puts,
            (after.put_bytes - before.put_bytes) as f64 / 1e6,
            after.gets - before.gets,
            (after.get_bytes - before.get_bytes) as f64 / 1e6
        );
        Ok(())
    }
}

/// One client.
async fn read_some(db: &Db, records: &Records, seed: u64, count: u64, missing: bool) -> Outcome<Vec<u32>> {
    let mut random = SplitMix(seed);
    let mut nanos = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let start = Instant::now();
        let mut wanted = key(random.draw() % records.count);
        if missing {
            wanted[15] ^= 0x40;
        }
        let value = db.get(&wanted).await?;
        nanos.push(nanos_since(start));
        if value.map(|v| v.len()) != (!missing).then_some(records.value_len) {
            return wrong(format!("wrong answer for key {}", String::from_utf8_lossy(&wanted)));
        }
    }
    Ok(nanos)
}

fn store_of(name: &str) -> Outcome<(Arc<dyn ObjectStore>, Option<Duration>)> {
    match name.split_once(':') {
        Some(("file", folder)) => {
            std::fs::create_dir_all(folder)?;
            Ok((Arc::new(LocalFileSystem::new_with_prefix(folder)?), None))
        }
        Some(("lat", ms)) => Ok((Arc::new(InMemory::new()), Some(Duration::from_secs_f64(ms.parse::<f64>()? / 1e3)))),
        None if name == "mem" => Ok((Arc::new(InMemory::new()), None)),
        _ => wrong(format!("store {name}: want file:/folder, mem or lat:MS")),
    }
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.len() < 4 {
        return wrong("usage: sdb-bench STORE WORKLOAD[,WORKLOAD..] RECORDS VALUE_BYTES [NAME=NUMBER ..]".into());
    }
    let (inner, latency) = store_of(&words[0])?;
    let mut numbers = HashMap::new();
    for word in &words[4..] {
        let (name, number) = word.split_once('=').ok_or("NAME=NUMBER")?;
        numbers.insert(name.to_string(), number.parse()?);
    }
    let run = Run {
        records: Arc::new(Records::new(words[2].parse()?, words[3].parse()?)),
        store: Arc::new(Counted { inner, tally: Arc::new(Tally::default()), latency }),
        store_name: words[0].split(':').next().unwrap_or_default().to_string(),
        numbers,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for work in words[1].split(',') {
        runtime.block_on(run.measure(work))?;
    }
    Ok(())
}
