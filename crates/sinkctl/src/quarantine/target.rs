//! The functions that records are delivered to again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use dynamo_sink::settings::{EPOCH, KAFKA_TOPIC};
use local::{
    build::Programs,
    function::{FunctionSettings, LocalFunction},
    invoke::{Invoker, RemoteFunction, lambda::LambdaFunction},
    template::Function,
};

use crate::tables;

/// How long an invocation elsewhere may take; the function may have to be built first.
const REMOTE_TIMEOUT: Duration = Duration::from_mins(14);

/// A function, and what decides whether it can take a record.
#[derive(Debug)]
pub struct Target {
    pub function: String,
    /// The one topic whose records it accepts.
    pub topic: String,
    /// Its epoch; records of higher ones are rejected.
    pub epoch: u64,
    pub invoker: Invoker,
}

/// What runs the functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Functions {
    Deployed,
    /// This program, from these, with DynamoDB at an endpoint.
    Here {
        /// Where the programs come from.
        programs: Programs,
        endpoint: String,
    },
    /// Whatever answers at this address.
    Address(String),
}

impl Functions {
    /// Those of the template's functions whose binaries are named, ready to be invoked, by their binaries.
    pub async fn targets(
        &self,
        template: &Path,
        declared: &[Function],
        binaries: &BTreeSet<String>,
    ) -> anyhow::Result<BTreeMap<String, Target>> {
        let chosen: Vec<_> =
            declared.iter().filter(|function| binaries.contains(&function.binary)).collect();
        let programs = match self {
            Self::Here { programs, .. } if !chosen.is_empty() => {
                let functions: Vec<_> = chosen.iter().map(|&function| function.clone()).collect();
                programs.find(template.parent().unwrap_or(Path::new(".")), &functions)?
            }
            _ => BTreeMap::new(),
        };
        let mut targets = BTreeMap::new();
        for function in chosen {
            let target = self.target(function, &programs).await?;
            targets.insert(function.binary.clone(), target);
        }
        Ok(targets)
    }

    async fn target(
        &self,
        function: &Function,
        programs: &BTreeMap<String, std::path::PathBuf>,
    ) -> anyhow::Result<Target> {
        let declared = || function.variables.clone().into_iter().collect();
        let (variables, invoker) = match self {
            Self::Deployed => {
                let client = aws_sdk_lambda::Client::new(&tables::config(None).load().await);
                let function = LambdaFunction::new(client, &function.name);
                (function.variables().await?, Invoker::Lambda(Box::new(function)))
            }
            Self::Here { endpoint, .. } => {
                let program = programs.get(&function.binary).cloned().unwrap_or_default();
                let mut settings = FunctionSettings::local(function, program, endpoint);
                settings.max_environments = 1;
                (declared(), Invoker::Local(Box::new(LocalFunction::new(settings))))
            }
            Self::Address(address) => {
                let remote = RemoteFunction::new(address, &function.binary, REMOTE_TIMEOUT)?;
                (declared(), Invoker::Remote(Box::new(remote)))
            }
        };
        Ok(Target {
            function: function.name.clone(),
            topic: variable(function, &variables, KAFKA_TOPIC)?,
            epoch: variable(function, &variables, EPOCH)?,
            invoker,
        })
    }
}

fn variable<T: std::str::FromStr>(
    function: &Function,
    variables: &HashMap<String, String>,
    name: &str,
) -> anyhow::Result<T> {
    let value = variables.get(name).and_then(|text| text.parse().ok());
    value.with_context(|| {
        let function = &function.name;
        format!("function `{function}` has no usable variable `{name}`: deploy it by the template")
    })
}
