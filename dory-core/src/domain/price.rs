//! What keeping backups costs: dated prices, and estimates by them.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::money::Amount;
use super::policy::EngineKind;
use super::restore_point::RestorePoint;
use super::store_url::StoreScheme;
use crate::error::{Error, Result};

/// A storage class of Google Cloud Storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageClass {
    /// For data in use.
    #[default]
    Standard,
    /// For data that is read once a month.
    Nearline,
    /// For data that is read once a quarter.
    Coldline,
    /// For data that is read once a year.
    Archive,
}

impl StorageClass {
    /// The words a user may write.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("standard", Self::Standard),
        ("nearline", Self::Nearline),
        ("coldline", Self::Coldline),
        ("archive", Self::Archive),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(_, class)| *class == self).map_or("standard", |(word, _)| word)
    }

    /// The class of that word.
    ///
    /// # Errors
    /// `InvalidInput` for any other.
    pub fn parse(text: &str) -> Result<Self> {
        Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, class)| *class).ok_or_else(|| {
            Error::invalid("storage class", text, "`standard`, `nearline`, `coldline` and `archive` are allowed")
        })
    }
}

/// What a store asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Prices {
    /// Whose prices, in words.
    pub of: String,
    /// When they were looked up; `None` where the user set all that counts.
    pub as_of: Option<Date>,
    /// Their currency: `USD`.
    pub currency: String,
    /// For a gibibyte a month.
    pub storage: Amount,
    /// For a thousand writes or lists (class A).
    pub writes: Amount,
    /// For a thousand reads (class B).
    pub reads: Amount,
    /// For reading a gibibyte of a cold class.
    pub retrieval: Amount,
    /// For a gibibyte that leaves the provider's network.
    pub network: Amount,
    /// For how many days an object is paid for, whether it is still there or not.
    pub minimum_stay_days: u32,
}

/// What the fleet's settings say about prices; what they leave open, the table says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PriceOverrides {
    /// The storage class of the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<StorageClass>,
    /// See [`Prices::currency`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// See [`Prices::storage`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Amount>,
    /// See [`Prices::writes`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Amount>,
    /// See [`Prices::reads`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Amount>,
    /// See [`Prices::retrieval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Amount>,
    /// See [`Prices::network`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Amount>,
    /// See [`Prices::minimum_stay_days`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_stay_days: Option<u32>,
}

/// One class of the table: storage, writes, reads, retrieval in billionths of a US dollar, and days.
struct Row(StorageClass, [u64; 4], u32);

/// Google Cloud Storage's list prices for single regions such as `europe-west1` and `us-central1`.
const GOOGLE: [Row; 4] = [
    Row(StorageClass::Standard, [20_000_000, 5_000_000, 400_000, 0], 0),
    Row(StorageClass::Nearline, [10_000_000, 10_000_000, 1_000_000, 10_000_000], 30),
    Row(StorageClass::Coldline, [4_000_000, 20_000_000, 10_000_000, 20_000_000], 90),
    Row(StorageClass::Archive, [1_200_000, 50_000_000, 50_000_000, 50_000_000], 365),
];

/// What a gibibyte costs that leaves Google's network for the internet, in billionths of a US dollar.
const GOOGLE_NETWORK: u64 = 120_000_000;

/// When [`GOOGLE`] was compared with the provider's page.
const GOOGLE_AS_OF: Date = Date::constant(2025, 11, 1);

impl Prices {
    /// The prices of a store: Google's table for `gs://`, with what the user set in place of it; for other stores what
    /// the user set, and `None` without a price for storage, for then nobody knows anything.
    #[must_use]
    pub fn of(scheme: StoreScheme, overrides: &PriceOverrides) -> Option<Self> {
        let class = overrides.class.unwrap_or_default();
        let row = (scheme == StoreScheme::Gs).then(|| GOOGLE.iter().find(|row| row.0 == class)).flatten();
        let of_table = |column: usize| Amount::billionths(row.map_or(0, |row| row.1[column]));
        let network = if row.is_some() { GOOGLE_NETWORK } else { 0 };
        Some(Self {
            of: match row {
                Some(_) => format!("Google Cloud Storage, {}", class.as_str()),
                None => "the fleet's settings".to_owned(),
            },
            as_of: row.map(|_| GOOGLE_AS_OF),
            currency: overrides.currency.clone().unwrap_or_else(|| "USD".to_owned()),
            storage: overrides.storage.or_else(|| row.map(|_| of_table(0)))?,
            writes: overrides.writes.unwrap_or_else(|| of_table(1)),
            reads: overrides.reads.unwrap_or_else(|| of_table(2)),
            retrieval: overrides.retrieval.unwrap_or_else(|| of_table(3)),
            network: overrides.network.unwrap_or(Amount::billionths(network)),
            minimum_stay_days: overrides.minimum_stay_days.unwrap_or_else(|| row.map_or(0, |row| row.2)),
        })
    }

    /// What `writes` and `reads` requests cost.
    #[must_use]
    pub fn for_requests(&self, writes: u64, reads: u64) -> Amount {
        self.writes.times(writes, 1000) + self.reads.times(reads, 1000)
    }

    /// What a month of serving costs in requests, whatever is backed up: a look at the doorbell every five seconds, into
    /// the mailbox and at the fleet's settings every minute, a sign of life every fifteen seconds.
    #[must_use]
    pub fn for_serving(&self, servers: u64) -> Amount {
        const MONTH: u64 = 30 * 24 * 3600;
        self.for_requests(servers * (MONTH / 15 + MONTH / 60), servers * (MONTH / 5 + MONTH / 30))
    }
}

/// What a backup costs, by estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// A month of what it holds now.
    pub storage: Amount,
    /// The requests of the points of the last thirty days.
    pub operations: Amount,
    /// What would still be owed for points that have not stayed their minimum, if all went now.
    pub early_deletion: Amount,
    /// Bringing the newest point back, once.
    pub restore: RestoreCost,
}

/// What bringing a point back costs, by estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreCost {
    /// Reading from a cold class.
    pub retrieval: Amount,
    /// Requests.
    pub operations: Amount,
    /// Traffic, to a host outside the provider's network.
    pub network: Amount,
}

impl RestoreCost {
    /// All of it.
    #[must_use]
    pub fn total(self) -> Amount {
        self.retrieval + self.operations + self.network
    }
}

impl Cost {
    /// What a month costs.
    #[must_use]
    pub fn a_month(&self) -> Amount {
        self.storage + self.operations
    }

    /// What `backup` costs at `now`.
    #[must_use]
    pub fn of(backup: &Backup, prices: &Prices, now: Timestamp) -> Self {
        let age_days = |point: &RestorePoint| now.duration_since(point.taken_at).as_hours().max(0).unsigned_abs() / 24;
        let recent = backup.points.iter().filter(|point| age_days(point) < 30);
        let operations = recent.map(|point| {
            let (writes, reads) = requests_of(point);
            prices.for_requests(writes, reads)
        });
        let owed = backup.points.iter().map(|point| {
            let left = u64::from(prices.minimum_stay_days).saturating_sub(age_days(point));
            prices.storage.for_bytes(point.size.stored_bytes).times(left, 30)
        });
        Self {
            storage: prices.storage.for_bytes(backup.stored_bytes()),
            operations: operations.sum(),
            early_deletion: owed.sum(),
            restore: backup.latest().map(|point| restore_of(backup, point, prices)).unwrap_or_default(),
        }
    }
}

/// Bytes of the objects that an engine writes.
fn object_bytes(engine: EngineKind) -> u64 {
    match engine {
        EngineKind::Restic => 16 << 20,
        EngineKind::Duplicity => 200 << 20,
    }
}

/// Writes and reads that making a point takes: its data, and some twenty documents, locks and indexes around it.
fn requests_of(point: &RestorePoint) -> (u64, u64) {
    (point.size.stored_bytes.div_ceil(object_bytes(point.engine)) + 12, 20)
}

/// At most: what the point holds is compressed, and all points of the backup together hold no more than is stored.
fn restore_of(backup: &Backup, point: &RestorePoint, prices: &Prices) -> RestoreCost {
    let bytes = point.size.bytes.min(backup.stored_bytes());
    RestoreCost {
        retrieval: prices.retrieval.for_bytes(bytes),
        operations: prices.for_requests(4, bytes.div_ceil(object_bytes(point.engine)) + 20),
        network: prices.network.for_bytes(bytes),
    }
}

#[cfg(test)]
#[path = "price_tests.rs"]
mod tests;
