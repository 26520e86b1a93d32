//! `CloudFormation`'s functions, as far as names and variables need them.

use std::collections::BTreeMap;

use serde_yaml_ng::{Mapping, Value};

use super::TemplateError;

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
    parameters: BTreeMap<&'a str, Option<String>>,
    conditions: Option<&'a Mapping>,
    resources: Option<&'a Mapping>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        root: &'a Mapping,
        overrides: &[(&str, &str)],
    ) -> Result<Self, TemplateError> {
        let section = |name: &str| root.get(name).and_then(Value::as_mapping);
        let mut parameters = BTreeMap::new();
        for (name, declaration) in section("Parameters").into_iter().flatten() {
            let default = declaration.get("Default").and_then(|default| scalar(default).ok());
            parameters.extend(name.as_str().map(|name| (name, default)));
        }
        for (name, value) in overrides {
            let Some((_, parameter)) =
                parameters.iter_mut().find(|(declared, _)| *declared == name)
            else {
                return Err(TemplateError::UnknownParameter { parameter: (*name).to_owned() });
            };
            *parameter = Some((*value).to_owned());
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
                    self.reference(name, depth).map(|text| Some(Value::String(text)))
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
            other => Err(ResolveError::Unsupported { function: other.to_owned() }),
        }
    }

    fn reference(&self, name: &str, depth: u32) -> Result<String, ResolveError> {
        if let Some((_, value)) = PSEUDO_PARAMETERS.iter().find(|(parameter, _)| *parameter == name)
        {
            return Ok((*value).to_owned());
        }
        match self.parameters.get(name) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => Err(ResolveError::NoValue { parameter: name.to_owned() }),
            None => self.resource_name(name, depth),
        }
    }

    /// The name that a reference to a resource stands for; only those have one that are given one in the template.
    fn resource_name(&self, logical_id: &str, depth: u32) -> Result<String, ResolveError> {
        let unknown = || ResolveError::UnknownName { name: logical_id.to_owned() };
        let property = match self.resource_type(logical_id) {
            Some("AWS::DynamoDB::Table") => "TableName",
            Some("AWS::Serverless::Function") => "FunctionName",
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
                result.push_str(&scalar(
                    &self.value(value, depth + 1)?.ok_or(ResolveError::NotScalar)?,
                )?);
            } else if name.contains('.') {
                result.push_str(&self.attribute(name, depth)?);
            } else {
                result.push_str(&self.reference(name, depth)?);
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
                Ok(self.value(left, depth + 1)? == self.value(right, depth + 1)?)
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
