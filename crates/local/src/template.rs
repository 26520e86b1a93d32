//! What `template.yaml` declares, with names and variables resolved as `CloudFormation` would.

mod constraints;
mod mapping;
mod resolve;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use serde_yaml_ng::Value;

pub use mapping::{Mapping, StartingPosition};
pub use resolve::ResolveError;

use resolve::{Resolver, scalar};

/// The file that the template stands in.
pub const FILE_NAME: &str = "template.yaml";

/// The stage whose names everything local carries.
pub const LOCAL_STAGE: &str = "local";

/// The resources that this workspace's programs work with, in the template's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The `DynamoDB` tables.
    pub tables: Vec<Table>,
    /// The Lambda functions.
    pub functions: Vec<Function>,
    /// The event source mappings that invoke them.
    pub mappings: Vec<Mapping>,
    /// The names of the alarms in `CloudWatch`.
    pub alarms: Vec<String>,
}

/// A `DynamoDB` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name within the template.
    pub logical_id: String,
    /// Its name in `DynamoDB`.
    pub name: String,
    /// The attributes that make its key, the partition key first.
    pub key_schema: Vec<KeyElement>,
    /// The types of the attributes that keys consist of.
    pub attribute_definitions: Vec<AttributeDefinition>,
    /// `PAY_PER_REQUEST` or `PROVISIONED`, where it is set.
    pub billing_mode: Option<String>,
    /// The attribute that says when an item expires, where items do.
    pub ttl_attribute: Option<String>,
    /// What the table's stream shows, where it has one.
    pub stream_view_type: Option<String>,
}

/// One attribute of a table's key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyElement {
    /// The attribute's name.
    pub attribute_name: String,
    /// What it is in the key.
    pub key_type: KeyType,
}

/// A key attribute's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyType {
    /// The partition key.
    Hash,
    /// The sort key.
    Range,
}

/// A key attribute's type.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributeDefinition {
    /// The attribute's name.
    pub attribute_name: String,
    /// Its type.
    pub attribute_type: AttributeType,
}

/// A type that a key attribute can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum AttributeType {
    /// A string.
    S,
    /// A number.
    N,
    /// Bytes.
    B,
}

/// A Lambda function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name within the template.
    pub logical_id: String,
    /// Its name in Lambda.
    pub name: String,
    /// The directory that it is built from, relative to the template.
    pub code_uri: String,
    /// The Cargo binary that it is built from.
    pub binary: String,
    /// Its environment variables.
    pub variables: BTreeMap<String, String>,
    /// Its memory in MB.
    pub memory_size: u64,
    /// How long an invocation may take.
    pub timeout: Duration,
    /// Where its log goes.
    pub log_group: String,
}

/// Why a template could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// Occurs when no directory on the way up holds a template.
    #[error("no `{FILE_NAME}` in `{}` or any directory above it: start in the workspace or name the file", start.display())]
    NotFound {
        /// Where the search began.
        start: PathBuf,
    },
    /// Occurs when the file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Occurs when the text is no YAML, or no mapping.
    #[error("the template is not a YAML mapping")]
    Yaml(#[source] serde_yaml_ng::Error),
    /// Occurs when a value is given for a parameter that the template does not have.
    #[error("the template has no parameter `{parameter}`")]
    UnknownParameter {
        /// The parameter's name.
        parameter: String,
    },
    /// Occurs when a value is given for a parameter that may not have it.
    #[error("parameter `{parameter}` cannot be `{found}`: {expected}")]
    RefusedValue {
        /// The parameter's name.
        parameter: String,
        /// The value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// Occurs when a property that is needed is absent or makes no sense.
    #[error("template resource `{resource}`: cannot read `{property}`")]
    Property {
        /// The resource's logical id.
        resource: String,
        /// The property's path.
        property: String,
        /// What is wrong with it.
        source: ResolveError,
    },
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
    pub fn find(start: &Path) -> Result<PathBuf, TemplateError> {
        let found = start
            .ancestors()
            .map(|directory| directory.join(FILE_NAME))
            .find(|path| path.is_file());
        found.ok_or_else(|| TemplateError::NotFound { start: start.to_owned() })
    }

    /// Reads a template's file; `parameters` override the defaults that it declares.
    pub fn read(path: &Path, parameters: &[(&str, &str)]) -> Result<Self, TemplateError> {
        let text = fs::read_to_string(path)
            .map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, parameters)
    }

    /// Reads a template's text; `parameters` override the defaults that it declares.
    pub fn parse(text: &str, parameters: &[(&str, &str)]) -> Result<Self, TemplateError> {
        let root: serde_yaml_ng::Mapping =
            serde_yaml_ng::from_str(text).map_err(TemplateError::Yaml)?;
        let mut template = Self {
            tables: Vec::new(),
            functions: Vec::new(),
            mappings: Vec::new(),
            alarms: Vec::new(),
        };
        let reader =
            Reader { resolver: Resolver::new(&root, parameters)?, globals: globals(&root) };
        for (logical_id, resource) in reader.resolver.resources() {
            match resource.get("Type").and_then(Value::as_str) {
                Some("AWS::DynamoDB::Table") if reader.exists(logical_id, resource)? => {
                    template.tables.push(reader.table(logical_id, resource)?);
                }
                Some("AWS::Serverless::Function") if reader.exists(logical_id, resource)? => {
                    template.functions.push(reader.function(logical_id, resource)?);
                }
                Some("AWS::CloudWatch::Alarm") if reader.exists(logical_id, resource)? => {
                    template.alarms.push(reader.alarm_name(logical_id, resource)?);
                }
                _ => {}
            }
        }
        // After all functions, since they may stand anywhere.
        for (logical_id, resource) in reader.resolver.resources() {
            let resource_type = resource.get("Type").and_then(Value::as_str);
            if resource_type == Some("AWS::Lambda::EventSourceMapping")
                && reader.exists(logical_id, resource)?
            {
                let mapping = reader.mapping(logical_id, resource, &template.functions)?;
                template.mappings.push(mapping);
            }
        }
        Ok(template)
    }
}

/// What the Serverless transform adds to each function.
fn globals(root: &serde_yaml_ng::Mapping) -> Option<&Value> {
    root.get("Globals")?.get("Function")
}

struct Reader<'a> {
    resolver: Resolver<'a>,
    globals: Option<&'a Value>,
}

impl Reader<'_> {
    fn alarm_name(&self, logical_id: &str, resource: &Value) -> Result<String, TemplateError> {
        let resolver = &self.resolver;
        let properties = Properties { resolver, logical_id, resource, globals: None };
        properties.required_text(&["Properties", "AlarmName"])
    }

    /// Says whether a resource's condition, if it has one, holds.
    fn exists(&self, logical_id: &str, resource: &Value) -> Result<bool, TemplateError> {
        let Some(condition) = resource.get("Condition").and_then(Value::as_str) else {
            return Ok(true);
        };
        self.resolver
            .condition(condition)
            .map_err(|source| property_error(logical_id, "Condition", source))
    }

    fn table(&self, logical_id: &str, resource: &Value) -> Result<Table, TemplateError> {
        let properties =
            Properties { resolver: &self.resolver, logical_id, resource, globals: None };
        let ttl_enabled = properties.text(&["Properties", "TimeToLiveSpecification", "Enabled"])?;
        Ok(Table {
            logical_id: logical_id.to_owned(),
            name: properties.required_text(&["Properties", "TableName"])?,
            key_schema: properties.required(&["Properties", "KeySchema"])?,
            attribute_definitions: properties.required(&["Properties", "AttributeDefinitions"])?,
            billing_mode: properties.text(&["Properties", "BillingMode"])?,
            ttl_attribute: match ttl_enabled.as_deref() {
                Some("true") => Some(properties.required_text(&[
                    "Properties",
                    "TimeToLiveSpecification",
                    "AttributeName",
                ])?),
                _ => None,
            },
            stream_view_type: properties.text(&[
                "Properties",
                "StreamSpecification",
                "StreamViewType",
            ])?,
        })
    }

    fn function(&self, logical_id: &str, resource: &Value) -> Result<Function, TemplateError> {
        let properties =
            Properties { resolver: &self.resolver, logical_id, resource, globals: self.globals };
        let name = properties.required_text(&["Properties", "FunctionName"])?;
        let log_group = properties.text(&["Properties", "LoggingConfig", "LogGroup"])?;
        Ok(Function {
            logical_id: logical_id.to_owned(),
            log_group: log_group.unwrap_or_else(|| format!("/aws/lambda/{name}")),
            name,
            code_uri: properties.required_text(&["Properties", "CodeUri"])?,
            binary: properties.required_text(&["Metadata", "BuildProperties", "Binary"])?,
            variables: properties.texts(&["Properties", "Environment", "Variables"])?,
            memory_size: properties.number(&["Properties", "MemorySize"])?,
            timeout: Duration::from_secs(properties.number(&["Properties", "Timeout"])?),
        })
    }
}

/// One resource's properties, with the globals of its type behind them.
struct Properties<'a> {
    resolver: &'a Resolver<'a>,
    logical_id: &'a str,
    resource: &'a Value,
    globals: Option<&'a Value>,
}

impl Properties<'_> {
    fn required<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, TemplateError> {
        let value = self.value(path)?.ok_or_else(|| self.error(path, ResolveError::Missing))?;
        serde_yaml_ng::from_value(value)
            .map_err(|source| self.error(path, ResolveError::Malformed(source)))
    }

    fn required_text(&self, path: &[&str]) -> Result<String, TemplateError> {
        self.text(path)?.ok_or_else(|| self.error(path, ResolveError::Missing))
    }

    fn text(&self, path: &[&str]) -> Result<Option<String>, TemplateError> {
        let Some(value) = self.value(path)? else { return Ok(None) };
        scalar(&value).map(Some).map_err(|source| self.error(path, source))
    }

    /// A number may stand in the template as a text, and a reference to a parameter always is one.
    fn number(&self, path: &[&str]) -> Result<u64, TemplateError> {
        let text = self.required_text(path)?;
        text.parse().map_err(|_| self.error(path, ResolveError::NotANumber { found: text }))
    }

    /// A mapping from names to texts: the globals' members and the resource's own, which win.
    fn texts(&self, path: &[&str]) -> Result<BTreeMap<String, String>, TemplateError> {
        let mut members = BTreeMap::new();
        for section in [self.global(path)?, self.own(path)?].into_iter().flatten() {
            let section: BTreeMap<String, Value> = serde_yaml_ng::from_value(section)
                .map_err(|source| self.error(path, ResolveError::Malformed(source)))?;
            members.extend(section);
        }
        let mut texts = BTreeMap::new();
        for (name, member) in members {
            let text = self
                .resolver
                .resolve(&member)
                .and_then(|resolved| resolved.as_ref().map(scalar).transpose());
            let text =
                text.map_err(|source| self.error(&[path, &[name.as_str()]].concat(), source))?;
            texts.extend(text.map(|text| (name, text)));
        }
        Ok(texts)
    }

    fn value(&self, path: &[&str]) -> Result<Option<Value>, TemplateError> {
        let value = match self.own(path)? {
            Some(value) => value,
            None => match self.global(path)? {
                Some(value) => value,
                None => return Ok(None),
            },
        };
        self.resolver.resolve(&value).map_err(|source| self.error(path, source))
    }

    fn own(&self, path: &[&str]) -> Result<Option<Value>, TemplateError> {
        self.resolver.find(self.resource, path).map_err(|source| self.error(path, source))
    }

    fn global(&self, path: &[&str]) -> Result<Option<Value>, TemplateError> {
        match (self.globals, path) {
            (Some(globals), ["Properties", rest @ ..]) => {
                self.resolver.find(globals, rest).map_err(|source| self.error(path, source))
            }
            _ => Ok(None),
        }
    }

    fn error(&self, path: &[&str], source: ResolveError) -> TemplateError {
        property_error(self.logical_id, &path.join("."), source)
    }
}

fn property_error(logical_id: &str, property: &str, source: ResolveError) -> TemplateError {
    TemplateError::Property {
        resource: logical_id.to_owned(),
        property: property.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
