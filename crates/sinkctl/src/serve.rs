//! The embedded `DynamoDB` for other programs, until someone stops it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use local::{
    dynamodb::{DEFAULT_PORT, LocalDynamoDb, Storage, without_streams},
    template::{LOCAL_STAGE, Template},
};

pub const EXAMPLES: &str = "\
Examples:
  sinkctl dynamodb
  sinkctl dynamodb --port 8001 --data target/dynamodb

Then, in two other terminals:
  cargo lambda watch
  cargo lambda invoke sinkAppianData --data-file events/appian.json

Exit status: 0 when it was ended, 1 when it could not serve.";

#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Keep the items in this file instead of in memory.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// Serves the template's tables until `stop` is ready.
pub async fn run(
    serve: &Serve,
    template: &Path,
    stop: impl Future<Output = ()>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let template = Template::read(template, &[("Stage", LOCAL_STAGE)])?;
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
    use super::*;

    #[tokio::test]
    async fn the_endpoint_and_the_tables_are_reported() {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../template.yaml");
        let mut report = Vec::new();
        let serve = Serve { port: 0, data: None };
        run(&serve, &template, std::future::ready(()), &mut report).await.unwrap();

        let report = String::from_utf8(report).unwrap();
        let (first, rest) = report.split_once('\n').unwrap();
        assert!(first.starts_with("DynamoDB at http://127.0.0.1:"), "{first}");
        let (tables, end) = rest.split_at(rest.find("Any").unwrap());
        assert_eq!(end, "Any credentials do. Ctrl-C stops it.\n");
        let tables: Vec<_> = tables.lines().map(str::trim).collect();
        let declared = Template::read(&template, &[("Stage", LOCAL_STAGE)]).unwrap().tables;
        assert_eq!(tables, declared.iter().map(|table| &table.name).collect::<Vec<_>>());
        assert!(tables.contains(&"compare-connector-local-seatool-tombstones"));
    }
}
