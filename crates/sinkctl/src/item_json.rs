//! Items in DynamoDB's JSON, as its API takes and gives them.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dynamo_sink::stored::Attributes;
use serde_json::{Map, Value, json};

/// An item's members, sorted by their names.
pub fn members(attributes: &Attributes) -> Map<String, Value> {
    attributes.iter().map(|(name, it)| (name.clone(), value(it))).collect()
}

fn value(attribute: &AttributeValue) -> Value {
    match attribute {
        AttributeValue::B(bytes) => json!({"B": BASE64.encode(bytes)}),
        AttributeValue::Bool(flag) => json!({"BOOL": flag}),
        AttributeValue::Bs(set) => {
            json!({"BS": set.iter().map(|it| BASE64.encode(it)).collect::<Vec<_>>()})
        }
        AttributeValue::L(list) => json!({"L": list.iter().map(value).collect::<Vec<_>>()}),
        AttributeValue::M(map) => json!({"M": members(map)}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Ns(set) => json!({"NS": set}),
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::Ss(set) => json!({"SS": set}),
        // The only other type that there is.
        _ => json!({"NULL": true}),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;

    use super::*;

    #[test]
    fn each_type_has_its_name() {
        #[track_caller]
        fn check(attribute: &AttributeValue, expected: &Value) {
            assert_eq!(&value(attribute), expected);
        }

        let text = |text: &str| AttributeValue::S(text.to_owned());
        check(&text("a"), &json!({"S": "a"}));
        check(&AttributeValue::N("1.10".to_owned()), &json!({"N": "1.10"}));
        check(&AttributeValue::B(Blob::new([0, 255])), &json!({"B": "AP8="}));
        check(&AttributeValue::Null(true), &json!({"NULL": true}));
        check(&AttributeValue::Bool(false), &json!({"BOOL": false}));
        check(&AttributeValue::L(vec![text("a")]), &json!({"L": [{"S": "a"}]}));
        let members = Attributes::from([("b".to_owned(), text("c"))]);
        check(&AttributeValue::M(members), &json!({"M": {"b": {"S": "c"}}}));
        check(&AttributeValue::Ss(vec!["a".to_owned()]), &json!({"SS": ["a"]}));
        check(&AttributeValue::Ns(vec!["1".to_owned()]), &json!({"NS": ["1"]}));
        check(&AttributeValue::Bs(vec![Blob::new("a")]), &json!({"BS": ["YQ=="]}));
    }
}
