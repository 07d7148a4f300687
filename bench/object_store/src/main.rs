//! The same reads as store_get.c through the Rust crate object_store: IN_FLIGHT ranges of SIZE bytes at once, REQUESTS in all.
//! usage: object-store-get BUCKET PREFIX IN_FLIGHT REQUESTS [SIZE] [multi]      prints one JSON line
use futures::future::join_all;
use object_store::{aws::AmazonS3Builder, path::Path, ObjectStore, ObjectStoreExt};
use std::sync::Arc;

fn cpu_s() -> f64 {
    let mut u: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut u) };
    let s = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    s(u.ru_utime) + s(u.ru_stime)
}

async fn run(store: Arc<dyn ObjectStore>, key: Path, in_flight: u64, size: u64, rounds: u64) {
    for _ in 0..rounds {
        let gets = (0..in_flight).map(|i| {
            let (store, key) = (store.clone(), key.clone());
            async move { store.get_range(&key, i * size * 2..i * size * 2 + size).await.expect("get").len() as u64 }
        });
        for n in join_all(gets).await {
            assert_eq!(n, size);
        }
    }
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (in_flight, requests): (u64, u64) = (a[3].parse().unwrap(), a[4].parse().unwrap());
    let size: u64 = a.get(5).map_or(4096, |s| s.parse().unwrap());
    let multi = a.get(6).is_some_and(|s| s == "multi");
    let rt = if multi {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    }
    .unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(AmazonS3Builder::from_env().with_bucket_name(&a[1]).build().expect("store"));
    let key = Path::from(format!("{}/get/big", a[2]));
    rt.block_on(async {
        let body = vec![0u8; (size * 2 * in_flight) as usize];
        store.put(&key, body.into()).await.expect("put");
        run(store.clone(), key.clone(), in_flight, size, 4).await;
        let (cpu, wall) = (cpu_s(), std::time::Instant::now());
        let rounds = requests / in_flight;
        run(store.clone(), key, in_flight, size, rounds).await;
        let ops = (rounds * in_flight) as f64;
        println!(
            "{{\"peer\":\"object_store\",\"w\":\"get\",\"bytes\":{},\"in_flight\":{},\"how\":\"{}\",\"ops\":{},\"s\":{:.3},\"cpu_us_per_get\":{:.1}}}",
            size, in_flight, if multi { "multi" } else { "one thread" }, ops, wall.elapsed().as_secs_f64(), (cpu_s() - cpu) * 1e6 / ops
        );
    });
}
