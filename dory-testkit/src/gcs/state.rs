//! Buckets and objects, in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;

use super::answer::Refusal;
use super::checksum::{base64, crc32c_base64, hex, md5};
use super::config::GcsConfig;
use super::faults::FaultRule;
use super::ledger::Counts;

/// Everything that a stand-in holds.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: GcsConfig,
    pub(super) buckets: BTreeMap<String, Bucket>,
    pub(super) faults: Vec<FaultRule>,
    pub(super) read_only: bool,
    pub(super) counts: Counts,
    generation: i64,
    uploads: u64,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) project: String,
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    pub(super) generation: i64,
    pub(super) modified: Timestamp,
    /// With its quotes.
    pub(super) etag: String,
    /// `x-goog-hash` values.
    pub(super) hashes: Vec<String>,
    /// Content headers, by name.
    pub(super) content: Vec<(String, String)>,
    /// User metadata, by name without the cloud's prefix.
    pub(super) metadata: Vec<(String, String)>,
    written: Instant,
}

/// A multipart upload under way.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) content: Vec<(String, String)>,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) parts: BTreeMap<u32, Bytes>,
}

/// What a write says besides the bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub(super) content: Vec<(String, String)>,
    pub(super) metadata: Vec<(String, String)>,
}

impl State {
    pub(super) fn new(config: GcsConfig) -> Self {
        let bucket = |project: &String| Bucket { project: project.clone(), ..Bucket::default() };
        let buckets = config.buckets.iter().map(|(name, project)| (name.clone(), bucket(project))).collect();
        Self {
            config,
            buckets,
            faults: Vec::new(),
            read_only: false,
            counts: Counts::default(),
            generation: 0,
            uploads: 0,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now() + Duration::from_secs(self.config.clock_ahead.max(0).unsigned_abs())
            - Duration::from_secs(self.config.clock_ahead.min(0).unsigned_abs())
    }

    pub(super) fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        self.buckets.get_mut(name).ok_or_else(Refusal::no_such_bucket)
    }

    pub(super) fn find(&mut self, bucket: &str, key: &str) -> Result<Object, Refusal> {
        self.bucket(bucket)?.objects.get(key).cloned().ok_or_else(|| Refusal::no_such_key(&format!("{bucket}/{key}")))
    }

    /// Refuses a write whose precondition does not hold, or that comes too soon after the last one.
    ///
    /// Generation 0 means that there is no object.
    pub(super) fn admit(&mut self, bucket: &str, key: &str, if_generation: Option<&str>) -> Result<(), Refusal> {
        let interval = self.config.write_interval;
        let current = self.bucket(bucket)?.objects.get(key);
        if let (Some(interval), Some(object)) = (interval, current)
            && object.written.elapsed() < interval
        {
            return Err(Refusal::slow_down(&format!("The object {bucket}/{key} exceeded the rate limit.")));
        }
        let generation = current.map_or(0, |object| object.generation);
        match if_generation.map(str::parse::<i64>) {
            None => Ok(()),
            Some(Ok(wanted)) if wanted == generation => Ok(()),
            Some(Ok(_)) => Err(Refusal::precondition_failed()),
            Some(Err(_)) => Err(Refusal::invalid("x-goog-if-generation-match takes a number.")),
        }
    }

    /// Puts an object under a generation that is greater than every one before it, as the service's microseconds are.
    pub(super) fn store(&mut self, bucket: &str, key: &str, bytes: Bytes, labels: Labels) -> Result<&Object, Refusal> {
        let digest = md5(&bytes);
        let hashes = vec![format!("crc32c={}", crc32c_base64(&bytes)), format!("md5={}", base64(&digest))];
        self.store_as(bucket, key, bytes, labels, format!("\"{}\"", hex(&digest)), hashes)
    }

    pub(super) fn store_as(
        &mut self,
        bucket: &str,
        key: &str,
        bytes: Bytes,
        labels: Labels,
        etag: String,
        hashes: Vec<String>,
    ) -> Result<&Object, Refusal> {
        let modified = self.now();
        self.generation = modified.as_microsecond().max(self.generation + 1);
        let Labels { content, metadata } = labels;
        let generation = self.generation;
        let object = Object { bytes, generation, modified, etag, hashes, content, metadata, written: Instant::now() };
        let objects = &mut self.bucket(bucket)?.objects;
        objects.insert(key.to_owned(), object);
        Ok(&objects[key])
    }

    pub(super) fn next_upload(&mut self) -> String {
        self.uploads += 1;
        format!("upload-{:06}", self.uploads)
    }
}
