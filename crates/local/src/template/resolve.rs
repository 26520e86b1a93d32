//! `CloudFormation`'s functions, as far as names and variables need them.

use std::{cell::Cell, collections::BTreeMap};

use anyhow::{Context as _, anyhow, bail, ensure};
use serde_yaml_ng::{Mapping, Value};

use super::constraints;

/// The account and region that local names of resources carry.
const PSEUDO_PARAMETERS: &[(&str, &str)] = &[
    ("AWS::AccountId", "000000000000"),
    ("AWS::Partition", "aws"),
    ("AWS::Region", "us-east-1"),
    ("AWS::StackName", "compare-connector-local"),
    ("AWS::URLSuffix", "amazonaws.com"),
];

/// References that lead further than this go in a circle.
const MAX_DEPTH: u32 = 32;

/// Occurs when an attribute is asked for that only a deployed resource has.
#[derive(Debug, thiserror::Error)]
#[error("attribute `{attribute}` of resource `{resource}` is not known without a deployment")]
pub(super) struct UnknownAttribute {
    resource: String,
    attribute: String,
}

/// Resolves the values of one template.
pub(super) struct Resolver<'a> {
    parameters: Option<&'a Mapping>,
    /// What was given for parameters.
    given: BTreeMap<&'a str, &'a str>,
    conditions: Option<&'a Mapping>,
    resources: Option<&'a Mapping>,
    /// How far references have led.
    depth: Cell<u32>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(root: &'a Mapping, given: &[(&'a str, &'a str)]) -> anyhow::Result<Self> {
        let section = |name: &str| root.get(name).and_then(Value::as_mapping);
        let parameters = section("Parameters");
        for (name, value) in given {
            let declaration = parameters.and_then(|all| all.get(*name));
            let declaration =
                declaration.with_context(|| format!("the template has no parameter `{name}`"))?;
            if let Some(expected) = constraints::broken(declaration, value) {
                bail!("parameter `{name}` cannot be `{value}`: {expected}");
            }
        }
        let (conditions, resources) = (section("Conditions"), section("Resources"));
        let (given, depth) = (given.iter().copied().collect(), Cell::default());
        Ok(Self { parameters, given, conditions, resources, depth })
    }

    /// The resources with their logical ids, in the template's order.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let resources = self.resources.into_iter().flatten();
        resources.filter_map(|(id, resource)| Some((id.as_str()?, resource)))
    }

    /// What stands at a path below a value, with the functions on the way to it applied.
    pub(super) fn find(&self, value: &Value, path: &str) -> anyhow::Result<Option<Value>> {
        if function_call(value).is_some() {
            return match self.resolve(value)? {
                Some(resolved) => self.find(&resolved, path),
                None => Ok(None),
            };
        }
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        match value.get(name) {
            Some(member) if rest.is_empty() => Ok(Some(member.clone())),
            Some(member) => self.find(member, rest),
            None => Ok(None),
        }
    }

    /// The value with all functions in it applied; `None` if it is `AWS::NoValue`.
    pub(super) fn resolve(&self, value: &Value) -> anyhow::Result<Option<Value>> {
        self.deeper(|| self.value(value))
    }

    fn deeper<T>(&self, resolve: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        ensure!(self.depth.get() <= MAX_DEPTH, "references go in a circle");
        self.depth.update(|depth| depth + 1);
        let resolved = resolve();
        self.depth.update(|depth| depth - 1);
        resolved
    }

    fn value(&self, value: &Value) -> anyhow::Result<Option<Value>> {
        if let Some((function, argument)) = function_call(value) {
            return self.call(&function, argument);
        }
        Ok(Some(match value {
            Value::Sequence(elements) => {
                let elements = elements.iter().map(|element| self.resolve(element));
                Value::Sequence(elements.filter_map(Result::transpose).collect::<Result<_, _>>()?)
            }
            Value::Mapping(members) => {
                let mut resolved = Mapping::new();
                for (name, member) in members {
                    if let Some(member) = self.resolve(member)? {
                        resolved.insert(name.clone(), member);
                    }
                }
                Value::Mapping(resolved)
            }
            plain => plain.clone(),
        }))
    }

    fn call(&self, function: &str, argument: &Value) -> anyhow::Result<Option<Value>> {
        Ok(Some(match function {
            "Ref" => match name(function, argument)? {
                "AWS::NoValue" => return Ok(None),
                name => self.reference(name)?,
            },
            "Sub" => self.substitute(argument)?.into(),
            "GetAtt" => match argument {
                Value::Sequence(parts) => {
                    let parts: Vec<_> = parts.iter().filter_map(Value::as_str).collect();
                    self.attribute(&parts.join("."))?.into()
                }
                target => self.attribute(name(function, target)?)?.into(),
            },
            "If" => {
                let [condition, then, otherwise] = arguments(function, argument)?;
                let holds = self.condition(name(function, condition)?)?;
                return self.resolve(if holds { then } else { otherwise });
            }
            "Join" => {
                let [delimiter, texts] = arguments(function, argument)?;
                let delimiter = name(function, delimiter)?;
                let texts = self.list(texts, function)?;
                texts.iter().map(scalar).collect::<Result<Vec<_>, _>>()?.join(delimiter).into()
            }
            "Split" => {
                let [delimiter, text] = arguments(function, argument)?;
                let delimiter = name(function, delimiter)?;
                self.text(text)?.split(delimiter).collect()
            }
            "Select" => {
                let [index, elements] = arguments(function, argument)?;
                let index = self.text(index)?.parse::<usize>();
                let elements = self.list(elements, function)?;
                let element = index.ok().and_then(|index| elements.into_iter().nth(index));
                element.ok_or_else(|| wrong_arguments(function))?
            }
            other => bail!("the function `{other}` is not supported here"),
        }))
    }

    /// The elements of a list, which may be given by functions.
    fn list(&self, value: &Value, function: &str) -> anyhow::Result<Vec<Value>> {
        match self.resolve(value)? {
            Some(Value::Sequence(elements)) => Ok(elements),
            _ => Err(wrong_arguments(function)),
        }
    }

    /// The text of a scalar, which may be given by functions.
    fn text(&self, value: &Value) -> anyhow::Result<String> {
        scalar(&self.resolve(value)?.unwrap_or_default())
    }

    fn reference(&self, name: &str) -> anyhow::Result<Value> {
        if let Some((_, value)) = PSEUDO_PARAMETERS.iter().find(|(it, _)| *it == name) {
            return Ok((*value).into());
        }
        let Some(declaration) = self.parameters.and_then(|all| all.get(name)) else {
            return Ok(self.resource_name(name)?.into());
        };
        let kind = declaration.get("Type").and_then(Value::as_str).unwrap_or_default();
        if kind.starts_with("AWS::SSM::Parameter::Value<") {
            bail!(
                "parameter `{name}` stands for a value in SSM that is not known without a deployment"
            );
        }
        let given = self.given.get(name).map(|&value| value.to_owned());
        let default = || declaration.get("Default").and_then(|it| scalar(it).ok());
        let value = given
            .or_else(default)
            .with_context(|| format!("parameter `{name}` has no default and no value was given"))?;
        let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
        Ok(if is_list { value.split(',').map(str::trim).collect() } else { value.into() })
    }

    /// The name that a reference to a resource stands for; only those have one that are given one in the template.
    fn resource_name(&self, logical_id: &str) -> anyhow::Result<String> {
        let named = || {
            let property = match self.resource_type(logical_id)? {
                "AWS::DynamoDB::Table" => "TableName",
                "AWS::Serverless::Function" => "FunctionName",
                "AWS::Logs::LogGroup" => "LogGroupName",
                _ => return None,
            };
            self.resources?.get(logical_id)?.get("Properties")?.get(property)
        };
        let name = named().map(|name| self.resolve(name)).transpose()?.flatten();
        scalar(&name.with_context(|| {
            format!("`{logical_id}` is neither a parameter nor a resource with a name")
        })?)
    }

    fn resource_type(&self, logical_id: &str) -> Option<&'a str> {
        self.resources?.get(logical_id)?.get("Type")?.as_str()
    }

    fn attribute(&self, target: &str) -> anyhow::Result<String> {
        let (resource, attribute) =
            target.split_once('.').ok_or_else(|| wrong_arguments("GetAtt"))?;
        let prefix = match (self.resource_type(resource), attribute) {
            (Some("AWS::DynamoDB::Table"), "Arn") => "dynamodb:us-east-1:000000000000:table/",
            (Some("AWS::Serverless::Function"), "Arn") => "lambda:us-east-1:000000000000:function:",
            _ => {
                let (resource, attribute) = (resource.to_owned(), attribute.to_owned());
                bail!(UnknownAttribute { resource, attribute });
            }
        };
        Ok(format!("arn:aws:{prefix}{}", self.resource_name(resource)?))
    }

    fn substitute(&self, argument: &Value) -> anyhow::Result<String> {
        let (mut rest, own) = match argument {
            Value::Sequence(_) => {
                let [pattern, own] = arguments("Sub", argument)?;
                (name("Sub", pattern)?, Some(own))
            }
            pattern => (name("Sub", pattern)?, None),
        };
        let mut result = String::new();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong_arguments("Sub"))?;
            result.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                result.extend(["${", literal, "}"]);
            } else if let Some(value) = own.and_then(|own| own.get(name)) {
                result.push_str(&self.text(value)?);
            } else if name.contains('.') {
                result.push_str(&self.attribute(name)?);
            } else {
                result.push_str(&scalar(&self.reference(name)?)?);
            }
            rest = after;
        }
        Ok(result + rest)
    }

    /// Says whether a condition holds.
    pub(super) fn condition(&self, name: &str) -> anyhow::Result<bool> {
        let definition = self.conditions.and_then(|conditions| conditions.get(name));
        let definition = definition.with_context(|| format!("there is no condition `{name}`"))?;
        self.deeper(|| self.holds(definition))
    }

    fn holds(&self, definition: &Value) -> anyhow::Result<bool> {
        let wrong = || wrong_arguments("Conditions");
        let (function, argument) = function_call(definition).ok_or_else(wrong)?;
        match (function.as_str(), argument, argument.as_sequence().map(Vec::as_slice)) {
            ("Condition", Value::String(name), _) => self.condition(name),
            ("Equals", _, Some([left, right])) => {
                // A parameter's value is a text, also where the other side is spelled as a number.
                Ok(self.text(left)? == self.text(right)?)
            }
            ("Not", _, Some([negated])) => Ok(!self.holds(negated)?),
            ("And", _, Some(all)) => {
                all.iter().try_fold(true, |holds, one| Ok(holds && self.holds(one)?))
            }
            ("Or", _, Some(any)) => {
                any.iter().try_fold(false, |holds, one| Ok(holds || self.holds(one)?))
            }
            _ => Err(wrong()),
        }
    }
}

fn wrong_arguments(function: &str) -> anyhow::Error {
    anyhow!("the arguments of `{function}` are not what it takes")
}

fn arguments<'v, const N: usize>(
    function: &str,
    argument: &'v Value,
) -> anyhow::Result<&'v [Value; N]> {
    let arguments = argument.as_sequence().and_then(|all| all.as_slice().try_into().ok());
    arguments.ok_or_else(|| wrong_arguments(function))
}

fn name<'v>(function: &str, argument: &'v Value) -> anyhow::Result<&'v str> {
    argument.as_str().ok_or_else(|| wrong_arguments(function))
}

/// The text of a scalar as `CloudFormation` would pass it on.
pub(super) fn scalar(value: &Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(boolean) => Ok(boolean.to_string()),
        _ => bail!("expected a text, a number or a boolean"),
    }
}

/// A function's name and argument, whether it is spelled as a tag (`!Sub x`) or in full (`Fn::Sub: x`).
fn function_call(value: &Value) -> Option<(String, &Value)> {
    match value {
        Value::Tagged(tagged) => {
            Some((tagged.tag.to_string().trim_start_matches('!').to_owned(), &tagged.value))
        }
        Value::Mapping(members) if members.len() == 1 => {
            let (name, argument) = members.iter().next()?;
            let name = name.as_str()?;
            let function = match name {
                "Ref" | "Condition" if argument.is_string() => name,
                _ => name.strip_prefix("Fn::")?,
            };
            Some((function.to_owned(), argument))
        }
        _ => None,
    }
}
