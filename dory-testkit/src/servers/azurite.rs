//! Azurite: Microsoft's own stand-in for Azure Blob Storage.

use dory_core::domain::secret::Secret;
use dory_core::domain::store_url::{StoreAccess, StoreCredentials};

use super::shared::{Lease, Startup, join, status};
use super::tools::{find_tool, free_ports};

/// The account and key that Azurite's documentation gives everybody.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running Azure Blob server.
#[derive(Debug)]
pub struct AzureServer {
    lease: Lease,
}

/// Azurite, where it is installed: `npm install azurite`.
#[must_use]
pub fn azurite() -> Option<AzureServer> {
    let program = find_tool("azurite-blob")?;
    let lease = join("azurite", |_| {
        let [port] = free_ports();
        let fixed = "--silent --skipApiVersionCheck --disableTelemetry --inMemoryPersistence --blobHost 127.0.0.1";
        let mut command = vec![program.display().to_string()];
        command.extend(fixed.split_whitespace().map(str::to_owned));
        command.extend(["--blobPort".to_owned(), port.to_string()]);
        let address = format!("http://127.0.0.1:{port}/{ACCOUNT}");
        let is_ready = Box::new(move || status("GET", port, "/", &[]).is_some());
        Startup { command, address, is_ready, leaves: Vec::new() }
    });
    Some(AzureServer { lease })
}

impl AzureServer {
    /// A store in `container`.
    ///
    /// # Panics
    /// If the two make no URL.
    #[must_use]
    pub fn access(&self, container: &str, prefix: &str) -> StoreAccess {
        StoreAccess {
            url: format!("az://{container}/{prefix}").parse().unwrap(),
            credentials: StoreCredentials::AzureAccount { account: ACCOUNT.into(), key: Secret::new(KEY) },
            endpoint: Some(self.lease.address.clone()),
            region: None,
        }
    }
}
