//! An object store that counts what passes, and waits before each PUT, GET and part if it is told to.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    Result, UploadPart,
};

#[derive(Debug, Default)]
pub struct Tally {
    puts: AtomicU64,
    put_bytes: AtomicU64,
    gets: AtomicU64,
    get_bytes: AtomicU64,
}

/// One reading of a tally.
#[derive(Clone, Copy)]
pub struct Requests {
    pub puts: u64,
    pub put_bytes: u64,
    pub gets: u64,
    pub get_bytes: u64,
}

impl Tally {
    fn sent(&self, bytes: usize) {
        self.puts.fetch_add(1, Ordering::Relaxed);
        self.put_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn read(&self) -> Requests {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests { puts: of(&self.puts), put_bytes: of(&self.put_bytes), gets: of(&self.gets), get_bytes: of(&self.get_bytes) }
    }
}

async fn delay(latency: Option<Duration>) {
    if let Some(time) = latency {
        tokio::time::sleep(time).await;
    }
}

#[derive(Debug)]
pub struct Counted {
    pub inner: Arc<dyn ObjectStore>,
    pub tally: Arc<Tally>,
    pub latency: Option<Duration>,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counted {}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, at: &Path, body: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.tally.sent(body.content_length());
        delay(self.latency).await;
        self.inner.put_opts(at, body, how).await
    }

    async fn put_multipart_opts(&self, at: &Path, how: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.tally.sent(0);
        delay(self.latency).await;
        let inner = self.inner.put_multipart_opts(at, how).await?;
        Ok(Box::new(CountedParts { inner, tally: self.tally.clone(), latency: self.latency }))
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.tally.gets.fetch_add(1, Ordering::Relaxed);
        delay(self.latency).await;
        let answer = self.inner.get_opts(at, how).await?;
        self.tally.get_bytes.fetch_add(answer.range.end - answer.range.start, Ordering::Relaxed);
        Ok(answer)
    }

    fn delete_stream(&self, which: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(which)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

#[derive(Debug)]
struct CountedParts {
    inner: Box<dyn MultipartUpload>,
    tally: Arc<Tally>,
    latency: Option<Duration>,
}

#[async_trait]
impl MultipartUpload for CountedParts {
    fn put_part(&mut self, body: PutPayload) -> UploadPart {
        self.tally.sent(body.content_length());
        let (sending, latency) = (self.inner.put_part(body), self.latency);
        Box::pin(async move {
            delay(latency).await;
            sending.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.tally.sent(0);
        delay(self.latency).await;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
