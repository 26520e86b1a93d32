//! What `template.yaml` declares, with names and variables resolved as `CloudFormation` would.

mod constraints;
mod mapping;
mod resolve;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use dynoxide::types::{AttributeDefinition, KeySchemaElement};
use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

pub use mapping::{Mapping, StartingPosition};

use resolve::{Resolver, scalar};

/// The file that the template stands in.
pub const FILE_NAME: &str = "template.yaml";

/// The stage whose names everything local carries.
pub const LOCAL_STAGE: &str = "local";

/// The resources that this workspace's programs work with, in the template's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    pub tables: Vec<Table>,
    pub functions: Vec<Function>,
    pub mappings: Vec<Mapping>,
    /// The names of the alarms in `CloudWatch`.
    pub alarms: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub name: String,
    /// The attributes that make its key, the partition key first.
    pub key_schema: Vec<KeySchemaElement>,
    pub attribute_definitions: Vec<AttributeDefinition>,
    /// `PAY_PER_REQUEST` or `PROVISIONED`, where it is set.
    pub billing_mode: Option<String>,
    /// The attribute that says when an item expires, where items do.
    pub ttl_attribute: Option<String>,
    /// What the table's stream shows, where it has one.
    pub stream_view_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name within the template.
    pub logical_id: String,
    pub name: String,
    /// The Cargo binary that it is built from.
    pub binary: String,
    pub variables: BTreeMap<String, String>,
    /// Its memory in MB.
    pub memory_size: u64,
    pub timeout: Duration,
    pub log_group: String,
}

impl Template {
    /// The stage, as the functions are told it.
    pub fn stage(&self) -> &str {
        let mut stages = self.functions.iter().filter_map(|it| it.variables.get("STAGE"));
        stages.next().map_or("", String::as_str)
    }

    /// What the names of all that belongs to the stage begin with: a function's name without its binary's.
    pub fn name_prefix(&self) -> &str {
        let mut prefixes = self.functions.iter().filter_map(|it| it.name.strip_suffix(&it.binary));
        prefixes.next().unwrap_or_default()
    }

    /// Searches `start` and the directories above it for a template.
    pub fn find(start: &Path) -> anyhow::Result<PathBuf> {
        let mut paths = start.ancestors().map(|directory| directory.join(FILE_NAME));
        paths.find(|path| path.is_file()).with_context(|| {
            let start = start.display();
            format!(
                "no `{FILE_NAME}` in `{start}` or any directory above it: start in the workspace or name the file"
            )
        })
    }

    /// Reads a template's file; see [`Self::parse`].
    pub fn read(path: &Path, parameters: &[(&str, &str)]) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text, parameters)
    }

    /// Reads a template's text; `parameters` override the defaults that it declares.
    pub fn parse(text: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Self> {
        let root: Value = serde_yaml_ng::from_str(text).context("the template is not YAML")?;
        // What it is instead is not shown: it may be a long text.
        let root = root.as_mapping().context("the template is not a YAML mapping")?;
        let resolver = Resolver::new(root, parameters)?;
        let globals = root.get("Globals").and_then(|globals| globals.get("Function"));
        let mut template = Self::default();
        let mut mappings = Vec::new();
        for (logical_id, declaration) in resolver.resources() {
            let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or_default();
            let is_function = kind == "AWS::Serverless::Function";
            let globals = globals.filter(|_| is_function);
            let resource = Resource { resolver: &resolver, logical_id, declaration, globals };
            match kind {
                "AWS::DynamoDB::Table" if resource.exists()? => {
                    template.tables.push(resource.table()?);
                }
                _ if is_function && resource.exists()? => {
                    template.functions.push(resource.function()?);
                }
                "AWS::CloudWatch::Alarm" if resource.exists()? => {
                    template.alarms.push(resource.required("Properties.AlarmName", scalar)?);
                }
                "AWS::Lambda::EventSourceMapping" if resource.exists()? => mappings.push(resource),
                _ => {}
            }
        }
        // After all functions, since they may stand anywhere.
        let mappings = mappings.iter().map(|mapping| mapping.mapping(&template.functions));
        template.mappings = mappings.collect::<Result<_, _>>()?;
        Ok(template)
    }
}

/// One resource, with the globals of its type behind its properties.
struct Resource<'a> {
    resolver: &'a Resolver<'a>,
    logical_id: &'a str,
    declaration: &'a Value,
    globals: Option<&'a Value>,
}

impl Resource<'_> {
    /// Says whether the condition, if there is one, holds.
    fn exists(&self) -> anyhow::Result<bool> {
        match self.declaration.get("Condition").and_then(Value::as_str) {
            Some(name) => self.at("Condition", || self.resolver.condition(name)),
            None => Ok(true),
        }
    }

    fn table(&self) -> anyhow::Result<Table> {
        let expires = self.is_true("Properties.TimeToLiveSpecification.Enabled")?;
        let ttl_attribute = "Properties.TimeToLiveSpecification.AttributeName";
        Ok(Table {
            name: self.required("Properties.TableName", scalar)?,
            key_schema: self.required("Properties.KeySchema", structure)?,
            attribute_definitions: self.required("Properties.AttributeDefinitions", structure)?,
            billing_mode: self.get("Properties.BillingMode", scalar)?,
            ttl_attribute: expires.then(|| self.required(ttl_attribute, scalar)).transpose()?,
            stream_view_type: self.get("Properties.StreamSpecification.StreamViewType", scalar)?,
        })
    }

    fn function(&self) -> anyhow::Result<Function> {
        let name = self.required("Properties.FunctionName", scalar)?;
        let log_group = self.get("Properties.LoggingConfig.LogGroup", scalar)?;
        Ok(Function {
            logical_id: self.logical_id.to_owned(),
            log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            name,
            binary: self.required("Metadata.BuildProperties.Binary", scalar)?,
            variables: self.texts("Properties.Environment.Variables")?,
            memory_size: self.required("Properties.MemorySize", number)?,
            timeout: Duration::from_secs(self.required("Properties.Timeout", number)?),
        })
    }

    /// What `read` makes of a property; `None` if it is not there.
    fn get<T>(
        &self,
        path: &str,
        read: impl FnOnce(&Value) -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        self.at(path, || {
            let value = match self.resolver.find(self.declaration, path)? {
                Some(value) => Some(value),
                None => self.global(path)?,
            };
            let resolved = value.map(|value| self.resolver.resolve(&value)).transpose()?;
            resolved.flatten().as_ref().map(read).transpose()
        })
    }

    fn required<T>(
        &self,
        path: &str,
        read: impl FnOnce(&Value) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let found = self.get(path, read)?;
        self.at(path, || found.ok_or_else(|| anyhow!("it is missing")))
    }

    fn is_true(&self, path: &str) -> anyhow::Result<bool> {
        Ok(self.get(path, scalar)?.is_some_and(|text| text == "true"))
    }

    /// A mapping from names to texts: the globals' members and the resource's own, which win.
    fn texts(&self, path: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let mut members = BTreeMap::<String, Value>::new();
        self.at(path, || {
            let own = self.resolver.find(self.declaration, path)?;
            for section in [self.global(path)?, own].into_iter().flatten() {
                members.extend(structure::<BTreeMap<_, _>>(&section)?);
            }
            Ok(())
        })?;
        let mut texts = BTreeMap::new();
        for (name, member) in members {
            let text = self.at(&format!("{path}.{name}"), || {
                self.resolver.resolve(&member)?.as_ref().map(scalar).transpose()
            })?;
            texts.extend(text.map(|text| (name, text)));
        }
        Ok(texts)
    }

    fn global(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match (self.globals, path.strip_prefix("Properties.")) {
            (Some(globals), Some(path)) => self.resolver.find(globals, path),
            _ => Ok(None),
        }
    }

    /// Names the property in the error.
    fn at<T>(&self, path: &str, read: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let resource = self.logical_id;
        read().with_context(|| format!("template resource `{resource}`: cannot read `{path}`"))
    }
}

/// A number may stand in the template as a text, and a reference to a parameter always is one.
fn number(value: &Value) -> anyhow::Result<u64> {
    let text = scalar(value)?;
    text.parse().map_err(|_| anyhow!("`{text}` is not a whole number"))
}

fn structure<T: DeserializeOwned>(value: &Value) -> anyhow::Result<T> {
    serde_yaml_ng::from_value(value.clone()).context("it has the wrong structure")
}

#[cfg(test)]
mod tests;
