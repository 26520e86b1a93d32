//! `CloudFormation`'s functions, as far as names and variables need them.

use std::collections::BTreeMap;

use serde_yaml_ng::{Mapping, Value};

use super::{TemplateError, constraints};

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

/// What is wrong with a template's value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Occurs when a property that is needed is absent.
    #[error("it is missing")]
    Missing,
    /// Occurs when a value has not the structure that its property demands.
    #[error("it has the wrong structure")]
    Malformed(#[source] serde_yaml_ng::Error),
    /// Occurs when a text, number or boolean is needed.
    #[error("expected a text, a number or a boolean")]
    NotScalar,
    /// Occurs when a whole number is needed.
    #[error("`{found}` is not a whole number")]
    NotANumber {
        /// The text that stands there.
        found: String,
    },
    /// Occurs when a list of one element is needed.
    #[error("expected exactly one element")]
    NotOne,
    /// Occurs when the text is no position that a Kafka mapping can start at.
    #[error("`{found}` is none of LATEST, TRIM_HORIZON, AT_TIMESTAMP")]
    NotAStartingPosition {
        /// The text that stands there.
        found: String,
    },
    /// Occurs when a reference leads nowhere.
    #[error("`{name}` is neither a parameter nor a resource with a name")]
    UnknownName {
        /// The name that is referred to.
        name: String,
    },
    /// Occurs when a parameter without a default is referred to and no value is given.
    #[error("parameter `{parameter}` has no default and no value was given")]
    NoValue {
        /// The parameter.
        parameter: String,
    },
    /// Occurs when a parameter is referred to whose value stands in SSM, under the name that it is given.
    #[error(
        "parameter `{parameter}` stands for a value in SSM that is not known without a deployment"
    )]
    InSsm {
        /// The parameter.
        parameter: String,
    },
    /// Occurs when an attribute is asked for that only a deployed resource has.
    #[error("attribute `{attribute}` of resource `{resource}` is not known without a deployment")]
    UnknownAttribute {
        /// The resource's logical id.
        resource: String,
        /// The attribute's name.
        attribute: String,
    },
    /// Occurs when a condition is named that the template does not define.
    #[error("there is no condition `{condition}`")]
    UnknownCondition {
        /// The condition's name.
        condition: String,
    },
    /// Occurs at a function of `CloudFormation` that nothing here has needed so far.
    #[error("the function `{function}` is not supported here")]
    Unsupported {
        /// The function's name.
        function: String,
    },
    /// Occurs when a function's arguments are not what it takes.
    #[error("the arguments of `{function}` are not what it takes")]
    Arguments {
        /// The function's name.
        function: &'static str,
    },
    /// Occurs when references go in a circle.
    #[error("references go in a circle")]
    Circle,
}

/// Resolves the values of one template.
pub(super) struct Resolver<'a> {
    parameters: BTreeMap<&'a str, Parameter>,
    conditions: Option<&'a Mapping>,
    resources: Option<&'a Mapping>,
}

struct Parameter {
    kind: ParameterKind,
    /// What was given, or the default.
    value: Option<String>,
}

/// What a reference to a parameter stands for.
enum ParameterKind {
    Text,
    /// The texts between the value's commas.
    List,
    /// What SSM holds under the value.
    InSsm,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        root: &'a Mapping,
        overrides: &[(&str, &str)],
    ) -> Result<Self, TemplateError> {
        let section = |name: &str| root.get(name).and_then(Value::as_mapping);
        let mut parameters = BTreeMap::new();
        for (name, declaration) in section("Parameters").into_iter().flatten() {
            let value = declaration.get("Default").and_then(|default| scalar(default).ok());
            let kind = match declaration.get("Type").and_then(Value::as_str) {
                Some(in_ssm) if in_ssm.starts_with("AWS::SSM::Parameter::Value<") => {
                    ParameterKind::InSsm
                }
                Some(list) if list == "CommaDelimitedList" || list.starts_with("List<") => {
                    ParameterKind::List
                }
                _ => ParameterKind::Text,
            };
            parameters.extend(name.as_str().map(|name| (name, Parameter { kind, value })));
        }
        for (name, value) in overrides {
            let Some((_, parameter)) =
                parameters.iter_mut().find(|(declared, _)| *declared == name)
            else {
                return Err(TemplateError::UnknownParameter { parameter: (*name).to_owned() });
            };
            let declaration = section("Parameters").and_then(|all| all.get(*name));
            if let Some(expected) = declaration.and_then(|it| constraints::broken(it, value)) {
                let (parameter, found) = ((*name).to_owned(), (*value).to_owned());
                return Err(TemplateError::RefusedValue { parameter, found, expected });
            }
            parameter.value = Some((*value).to_owned());
        }
        Ok(Self { parameters, conditions: section("Conditions"), resources: section("Resources") })
    }

    /// The resources with their logical ids, in the template's order.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.resources
            .into_iter()
            .flatten()
            .filter_map(|(id, resource)| Some((id.as_str()?, resource)))
    }

    /// What stands at a path below a value, with the functions on the way to it applied.
    pub(super) fn find(&self, value: &Value, path: &[&str]) -> Result<Option<Value>, ResolveError> {
        let Some((name, rest)) = path.split_first() else { return Ok(Some(value.clone())) };
        if function_call(value).is_some() {
            let Some(resolved) = self.resolve(value)? else { return Ok(None) };
            return self.find(&resolved, path);
        }
        match value.get(*name) {
            Some(member) => self.find(member, rest),
            None => Ok(None),
        }
    }

    /// The value with all functions in it applied; `None` if it is `AWS::NoValue`.
    pub(super) fn resolve(&self, value: &Value) -> Result<Option<Value>, ResolveError> {
        self.value(value, 0)
    }

    /// Says whether a condition holds.
    pub(super) fn condition(&self, name: &str) -> Result<bool, ResolveError> {
        self.named_condition(name, 0)
    }

    fn value(&self, value: &Value, depth: u32) -> Result<Option<Value>, ResolveError> {
        if depth > MAX_DEPTH {
            return Err(ResolveError::Circle);
        }
        if let Some((function, argument)) = function_call(value) {
            return self.call(&function, argument, depth + 1);
        }
        Ok(Some(match value {
            Value::Sequence(elements) => {
                let elements = elements.iter().map(|element| self.value(element, depth + 1));
                Value::Sequence(elements.filter_map(Result::transpose).collect::<Result<_, _>>()?)
            }
            Value::Mapping(members) => {
                let mut resolved = Mapping::new();
                for (name, member) in members {
                    if let Some(member) = self.value(member, depth + 1)? {
                        resolved.insert(name.clone(), member);
                    }
                }
                Value::Mapping(resolved)
            }
            plain => plain.clone(),
        }))
    }

    fn call(
        &self,
        function: &str,
        argument: &Value,
        depth: u32,
    ) -> Result<Option<Value>, ResolveError> {
        match function {
            "Ref" => {
                let name = argument.as_str().ok_or(ResolveError::Arguments { function: "Ref" })?;
                if name == "AWS::NoValue" {
                    Ok(None)
                } else {
                    self.reference(name, depth).map(Some)
                }
            }
            "Sub" => self.substitute(argument, depth).map(|text| Some(Value::String(text))),
            "GetAtt" => {
                let target = match argument {
                    Value::String(target) => target.clone(),
                    Value::Sequence(parts) => {
                        parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(".")
                    }
                    _ => return Err(ResolveError::Arguments { function: "GetAtt" }),
                };
                self.attribute(&target, depth).map(|text| Some(Value::String(text)))
            }
            "If" => {
                let Some([condition, then, otherwise]) = argument.as_sequence().map(Vec::as_slice)
                else {
                    return Err(ResolveError::Arguments { function: "If" });
                };
                let condition =
                    condition.as_str().ok_or(ResolveError::Arguments { function: "If" })?;
                self.value(
                    if self.named_condition(condition, depth)? { then } else { otherwise },
                    depth,
                )
            }
            "Join" => {
                let wrong = ResolveError::Arguments { function: "Join" };
                let Some([delimiter, texts]) = argument.as_sequence().map(Vec::as_slice) else {
                    return Err(wrong);
                };
                let delimiter = delimiter.as_str().ok_or(wrong)?;
                let texts = self.list(texts, "Join", depth)?;
                let texts = texts.iter().map(scalar).collect::<Result<Vec<_>, _>>()?;
                Ok(Some(Value::String(texts.join(delimiter))))
            }
            "Split" => {
                let wrong = ResolveError::Arguments { function: "Split" };
                let Some([delimiter, text]) = argument.as_sequence().map(Vec::as_slice) else {
                    return Err(wrong);
                };
                let delimiter = delimiter.as_str().ok_or(wrong)?;
                Ok(Some(list_of(self.text(text, depth)?.split(delimiter))))
            }
            "Select" => {
                let wrong = || ResolveError::Arguments { function: "Select" };
                let Some([index, elements]) = argument.as_sequence().map(Vec::as_slice) else {
                    return Err(wrong());
                };
                let index: usize = self.text(index, depth)?.parse().map_err(|_| wrong())?;
                let mut elements = self.list(elements, "Select", depth)?;
                if index < elements.len() {
                    Ok(Some(elements.swap_remove(index)))
                } else {
                    Err(wrong())
                }
            }
            other => Err(ResolveError::Unsupported { function: other.to_owned() }),
        }
    }

    /// The elements of a list, which may be given by functions.
    fn list(
        &self,
        value: &Value,
        function: &'static str,
        depth: u32,
    ) -> Result<Vec<Value>, ResolveError> {
        match self.value(value, depth)? {
            Some(Value::Sequence(elements)) => Ok(elements),
            _ => Err(ResolveError::Arguments { function }),
        }
    }

    /// The text of a scalar, which may be given by functions.
    fn text(&self, value: &Value, depth: u32) -> Result<String, ResolveError> {
        scalar(&self.value(value, depth)?.ok_or(ResolveError::NotScalar)?)
    }

    fn reference(&self, name: &str, depth: u32) -> Result<Value, ResolveError> {
        if let Some((_, value)) = PSEUDO_PARAMETERS.iter().find(|(parameter, _)| *parameter == name)
        {
            return Ok(Value::String((*value).to_owned()));
        }
        let Some(Parameter { kind, value }) = self.parameters.get(name) else {
            return self.resource_name(name, depth).map(Value::String);
        };
        match (kind, value) {
            (ParameterKind::InSsm, _) => Err(ResolveError::InSsm { parameter: name.to_owned() }),
            (_, None) => Err(ResolveError::NoValue { parameter: name.to_owned() }),
            (ParameterKind::Text, Some(text)) => Ok(Value::String(text.clone())),
            (ParameterKind::List, Some(texts)) => Ok(list_of(texts.split(',').map(str::trim))),
        }
    }

    /// The name that a reference to a resource stands for; only those have one that are given one in the template.
    fn resource_name(&self, logical_id: &str, depth: u32) -> Result<String, ResolveError> {
        let unknown = || ResolveError::UnknownName { name: logical_id.to_owned() };
        let property = match self.resource_type(logical_id) {
            Some("AWS::DynamoDB::Table") => "TableName",
            Some("AWS::Serverless::Function") => "FunctionName",
            Some("AWS::Logs::LogGroup") => "LogGroupName",
            _ => return Err(unknown()),
        };
        let properties =
            self.resources.and_then(|resources| resources.get(logical_id)?.get("Properties"));
        let name =
            properties.and_then(|properties| properties.get(property)).ok_or_else(unknown)?;
        scalar(&self.value(name, depth + 1)?.ok_or_else(unknown)?)
    }

    fn resource_type(&self, logical_id: &str) -> Option<&'a str> {
        self.resources?.get(logical_id)?.get("Type")?.as_str()
    }

    fn attribute(&self, target: &str, depth: u32) -> Result<String, ResolveError> {
        let (logical_id, attribute) =
            target.split_once('.').ok_or(ResolveError::Arguments { function: "GetAtt" })?;
        let prefix = match (self.resource_type(logical_id), attribute) {
            (Some("AWS::DynamoDB::Table"), "Arn") => "dynamodb:us-east-1:000000000000:table/",
            (Some("AWS::Serverless::Function"), "Arn") => "lambda:us-east-1:000000000000:function:",
            _ => {
                let (resource, attribute) = (logical_id.to_owned(), attribute.to_owned());
                return Err(ResolveError::UnknownAttribute { resource, attribute });
            }
        };
        Ok(format!("arn:aws:{prefix}{}", self.resource_name(logical_id, depth)?))
    }

    fn substitute(&self, argument: &Value, depth: u32) -> Result<String, ResolveError> {
        let wrong = ResolveError::Arguments { function: "Sub" };
        let (pattern, own) = match argument {
            Value::String(pattern) => (pattern.as_str(), None),
            Value::Sequence(arguments) => match arguments.as_slice() {
                [Value::String(pattern), Value::Mapping(own)] => (pattern.as_str(), Some(own)),
                _ => return Err(wrong),
            },
            _ => return Err(wrong),
        };
        let mut result = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or(ResolveError::Arguments { function: "Sub" })?;
            result.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                result.extend(["${", literal, "}"]);
            } else if let Some(value) = own.and_then(|own| own.get(name)) {
                result.push_str(&self.text(value, depth + 1)?);
            } else if name.contains('.') {
                result.push_str(&self.attribute(name, depth)?);
            } else {
                result.push_str(&scalar(&self.reference(name, depth)?)?);
            }
            rest = after;
        }
        Ok(result + rest)
    }

    fn named_condition(&self, name: &str, depth: u32) -> Result<bool, ResolveError> {
        let definition = self.conditions.and_then(|conditions| conditions.get(name));
        let definition = definition
            .ok_or_else(|| ResolveError::UnknownCondition { condition: name.to_owned() })?;
        self.holds(definition, depth)
    }

    fn holds(&self, definition: &Value, depth: u32) -> Result<bool, ResolveError> {
        if depth > MAX_DEPTH {
            return Err(ResolveError::Circle);
        }
        let wrong = ResolveError::Arguments { function: "Conditions" };
        let Some((function, argument)) = function_call(definition) else { return Err(wrong) };
        match (function.as_str(), argument, argument.as_sequence().map(Vec::as_slice)) {
            ("Condition", Value::String(name), _) => self.named_condition(name, depth + 1),
            ("Equals", _, Some([left, right])) => {
                // A parameter's value is a text, also where the other side is spelled as a number.
                Ok(self.text(left, depth + 1)? == self.text(right, depth + 1)?)
            }
            ("Not", _, Some([negated])) => Ok(!self.holds(negated, depth + 1)?),
            ("And", _, Some(all)) => {
                all.iter().try_fold(true, |holds, one| Ok(holds && self.holds(one, depth + 1)?))
            }
            ("Or", _, Some(any)) => {
                any.iter().try_fold(false, |holds, one| Ok(holds || self.holds(one, depth + 1)?))
            }
            _ => Err(wrong),
        }
    }
}

fn list_of<'t>(texts: impl Iterator<Item = &'t str>) -> Value {
    Value::Sequence(texts.map(|text| Value::String(text.to_owned())).collect())
}

/// The text of a scalar as `CloudFormation` would pass it on.
pub(super) fn scalar(value: &Value) -> Result<String, ResolveError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(boolean) => Ok(boolean.to_string()),
        _ => Err(ResolveError::NotScalar),
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
