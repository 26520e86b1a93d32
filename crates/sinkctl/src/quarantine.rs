//! Works on the quarantine: what waits there and why, once more to the function, or away.
//!
//! What is decided is pure: which entries are meant ([`filter`]), what a record is delivered as ([`record`]), and what
//! an answer means for its entry ([`redrive`]). The table ([`store`]) and the functions ([`target`]) stand at the edge.

pub mod filter;
pub mod store;

pub mod list;
pub mod record;
pub mod show;

pub mod redrive;
pub mod summary;
pub mod target;
mod told;

pub mod drop;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use dynamo_sink::settings::QUARANTINE_TABLE_NAME;
use local::{
    build::BuildError,
    invoke::{AddressError, lambda::SettingsError},
    samconfig::{self, SamConfigError},
    template::Template,
};

use crate::{
    tables::{self, TableError},
    text,
};
use store::Store;

/// Where a quarantine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The template that declares the table and the functions.
    pub template: PathBuf,
    /// The deployment's stage; `None` is the local one.
    pub stage: Option<String>,
    /// The template's parameters that are not what the stage is deployed with.
    pub parameters: Vec<(String, String)>,
    /// A local DynamoDB; `None` is what the AWS SDK finds by itself.
    pub dynamodb_endpoint: Option<String>,
}

/// Why something could not be done with the quarantine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuarantineError {
    /// Occurs when the template can't be read.
    #[error(transparent)]
    Template(#[from] SamConfigError),
    /// Occurs when the template's functions don't name one quarantine.
    #[error("the template's functions name {} quarantine tables in `{QUARANTINE_TABLE_NAME}`: expected one", found.len())]
    NotOneTable {
        /// The tables that they name.
        found: BTreeSet<String>,
    },
    /// Occurs when the table refuses or does not answer.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Occurs when the functions can't be built or found.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Occurs when the functions' address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Occurs when a deployed function can't be asked for its settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Occurs when a function's settings don't say what records it takes.
    #[error("function `{function}` has no usable variable `{variable}`: deploy it by the template")]
    Variable {
        /// The function's name.
        function: String,
        /// The variable.
        variable: &'static str,
    },
    /// Occurs when the copy of what is to be dropped can't be written; then nothing is dropped.
    #[error("cannot write the copy `{}`, so nothing was dropped: name another file with `--copy`", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when not all could be dropped.
    #[error("{dropped} of {records} records were dropped, and `{}` has a copy of all of them", path.display())]
    Drop {
        /// How many are gone.
        dropped: usize,
        /// How many were to go.
        records: usize,
        /// The file with the copy.
        path: PathBuf,
        /// What ended it.
        source: TableError,
    },
}

impl Place {
    /// Reads the template, and says where the quarantine is.
    pub async fn open(&self) -> Result<(Template, Store), QuarantineError> {
        let template =
            samconfig::template(&self.template, self.stage.as_deref(), &self.parameters)?;
        let tables = template.functions.iter();
        let tables: BTreeSet<_> = tables
            .filter_map(|function| function.variables.get(QUARANTINE_TABLE_NAME).cloned())
            .collect();
        let [table] = tables.iter().collect::<Vec<_>>()[..] else {
            return Err(QuarantineError::NotOneTable { found: tables });
        };
        let client = tables::client(self.dynamodb_endpoint.as_deref()).await;
        Ok((template, Store::new(client, table)))
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    text::now().cast_signed()
}

/// The folder that a file is in.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
