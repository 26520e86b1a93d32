//! What the run produces: records, what each of them means, and where Kafka put them.

use serde_json::value::RawValue;

/// The two topics, each with its sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    Appian,
    Seatool,
}

impl Source {
    pub(crate) const BOTH: [Self; 2] = [Self::Appian, Self::Seatool];

    /// The name of the sink's binary.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Appian => "sinkAppianData",
            Self::Seatool => "sinkSeatoolData",
        }
    }

    /// The topic without the run's namespace.
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::Appian => "aws.appian.cmcs.MCP_SPA_PCKG",
            Self::Seatool => "aws.ksqldb.seatool.agg.State_Plan",
        }
    }

    /// How the names of the template's parameters for it begin.
    pub(crate) fn parameter(self, name: &str) -> String {
        match self {
            Self::Appian => format!("Appian{name}"),
            Self::Seatool => format!("Seatool{name}"),
        }
    }

    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Appian => "compare-connector-local-appian",
            Self::Seatool => "compare-connector-local-seatool",
        }
    }

    /// Where the sink keeps the traces of its deletes.
    pub(crate) fn tombstone_table(self) -> Option<&'static str> {
        match self {
            Self::Appian => None,
            Self::Seatool => Some("compare-connector-local-seatool-tombstones"),
        }
    }
}

/// The table of both sinks' rejected records.
pub(crate) const QUARANTINE: &str = "compare-connector-local-quarantine";

/// A record that is to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The partition, where the producer and not the key's hash chooses it.
    pub(crate) partition: Option<i32>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) timestamp: i64,
    pub(crate) meaning: Meaning,
}

/// What the contract says that a record does; it is known since the record was made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The item of this key gets the value's members.
    Put { key: String, source_time: u64 },
    /// The item of this key is removed.
    Delete { key: String },
    /// It is quarantined for this reason.
    Poison { reason: &'static str },
}

impl Meaning {
    /// The key of the item that it changes.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => Some(key),
            Self::Poison { .. } => None,
        }
    }
}

/// A record where Kafka put it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) record: Record,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// The sink's epoch when it is delivered for the last time.
    pub(crate) epoch: u64,
}

impl Produced {
    /// Its value's members in the text that was produced.
    pub(crate) fn members(&self) -> Vec<(String, Box<RawValue>)> {
        let value = self.record.value.as_deref().unwrap_or_default();
        let members: std::collections::BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(value).unwrap();
        members.into_iter().collect()
    }
}
