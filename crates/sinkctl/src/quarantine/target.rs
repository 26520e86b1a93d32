//! The functions that records are delivered to again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use dynamo_sink::settings::{EPOCH, KAFKA_TOPIC};
use local::{
    function::{FunctionSettings, LocalFunction},
    invoke::{Invoker, RemoteFunction, lambda::LambdaFunction},
    template::Function,
};

use crate::{arguments::programs, tables};

/// How long an invocation elsewhere may take; the function may have to be built first.
const REMOTE_TIMEOUT: Duration = Duration::from_mins(14);

/// A function, and what decides whether it can take a record.
pub struct Target {
    pub function: String,
    /// The one topic whose records it accepts.
    pub topic: String,
    /// Its epoch; records of higher ones are rejected.
    pub epoch: u64,
    pub invoker: Invoker,
}

/// What runs the functions: Lambda, unless the DynamoDB is a local one.
#[derive(Args, Clone, Debug)]
pub struct Functions {
    /// With a local DynamoDB, invoke the functions at this Lambda Invoke API instead of running their binaries.
    #[arg(long, value_name = "URL", requires = "dynamodb_endpoint", conflicts_with_all = ["build_dir", "release"], help_heading = "Functions")]
    invoke_address: Option<String>,
    /// With a local DynamoDB, run what `sam build` left in this directory, usually `.aws-sam/build`, instead of
    /// building.
    #[arg(
        long,
        value_name = "DIR",
        requires = "dynamodb_endpoint",
        conflicts_with = "release",
        help_heading = "Functions"
    )]
    build_dir: Option<PathBuf>,
    /// With a local DynamoDB, build the functions as they are deployed.
    #[arg(long, requires = "dynamodb_endpoint", help_heading = "Functions")]
    release: bool,
}

impl Functions {
    /// Those of the template's functions whose binaries are named, ready to be invoked, by their binaries.
    pub async fn targets(
        self,
        dynamodb_endpoint: Option<&str>,
        template: &Path,
        mut declared: Vec<Function>,
        binaries: &BTreeSet<String>,
    ) -> anyhow::Result<BTreeMap<String, Target>> {
        declared.retain(|function| binaries.contains(&function.binary));
        let mut executables = BTreeMap::new();
        if dynamodb_endpoint.is_some() && self.invoke_address.is_none() && !declared.is_empty() {
            let folder = template.parent().unwrap_or(Path::new("."));
            executables = programs(self.release, self.build_dir).find(folder, &declared)?;
        }
        let mut targets = BTreeMap::new();
        for function in declared {
            let mut variables = function.variables.clone();
            let invoker = match (dynamodb_endpoint, &self.invoke_address) {
                (None, _) => {
                    let client = aws_sdk_lambda::Client::new(&tables::config(None).load().await);
                    let function = LambdaFunction::new(client, &function.name);
                    variables = function.variables().await?.into_iter().collect();
                    Invoker::Lambda(Box::new(function))
                }
                (Some(_), Some(address)) => {
                    let remote = RemoteFunction::new(address, &function.binary, REMOTE_TIMEOUT)?;
                    Invoker::Remote(Box::new(remote))
                }
                (Some(endpoint), None) => {
                    let executable = executables.remove(&function.binary).unwrap_or_default();
                    let mut settings = FunctionSettings::local(&function, executable, endpoint);
                    settings.max_environments = 1;
                    Invoker::Local(Box::new(LocalFunction::new(settings)))
                }
            };
            let target = Target {
                topic: variable(&function, &variables, KAFKA_TOPIC)?,
                epoch: variable(&function, &variables, EPOCH)?,
                function: function.name,
                invoker,
            };
            targets.insert(function.binary, target);
        }
        Ok(targets)
    }
}

fn variable<T: FromStr>(
    function: &Function,
    variables: &BTreeMap<String, String>,
    name: &str,
) -> anyhow::Result<T> {
    let value = variables.get(name).and_then(|text| text.parse().ok());
    value.with_context(|| {
        let function = &function.name;
        format!("function `{function}` has no usable variable `{name}`: deploy it by the template")
    })
}
