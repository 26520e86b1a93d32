//! The embedded `DynamoDB` for other programs, until someone stops it.

use local::{
    dynamodb::{DynamoDbError, LocalDynamoDb, Storage, without_streams},
    template::{LOCAL_STAGE, Template, TemplateError},
};
use std::{
    io::{self, Write},
    path::PathBuf,
};

/// What to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// The template that declares the tables.
    pub template: PathBuf,
    /// The port of this machine.
    pub port: u16,
    /// The file that keeps the items; `None` keeps them in memory.
    pub data: Option<PathBuf>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Occurs when the template cannot be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Occurs when the embedded `DynamoDB` fails.
    #[error(transparent)]
    DynamoDb(#[from] DynamoDbError),
    /// Occurs when the report cannot be written.
    #[error("cannot write the report")]
    Write(#[from] io::Error),
}

/// Serves the template's tables until `stop` is ready.
pub async fn run(
    serve: &Serve,
    stop: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> Result<(), ServeError> {
    let template = Template::read(&serve.template, &[("Stage", LOCAL_STAGE)])?;
    let storage = serve.data.as_deref().map_or(Storage::Memory, Storage::File);
    let dynamodb =
        LocalDynamoDb::start(storage, serve.port, &without_streams(&template.tables)).await?;
    writeln!(out, "DynamoDB at {} with the tables", dynamodb.endpoint())?;
    for table in &template.tables {
        writeln!(out, "  {}", table.name)?;
    }
    writeln!(out, "Any credentials do. Ctrl-C stops it.")?;
    out.flush()?;
    stop.await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn the_endpoint_and_the_tables_are_reported() {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let mut report = Vec::new();
        let serve = Serve { template, port: 0, data: None };
        run(&serve, std::future::ready(()), &mut report).await.unwrap();

        let report = String::from_utf8(report).unwrap();
        let (first, rest) = report.split_once('\n').unwrap();
        assert!(first.starts_with("DynamoDB at http://127.0.0.1:"), "{first}");
        assert_eq!(
            rest,
            "  compare-connector-local-appian\n  compare-connector-local-seatool\n  \
             compare-connector-local-seatool-tombstones\n  compare-connector-local-quarantine\n\
             Any credentials do. Ctrl-C stops it.\n"
        );
    }
}
