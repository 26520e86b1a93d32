//! How many records wait in the quarantine, as far as a bounded look says.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use dynamo_sink::settings::QUARANTINE_TABLE_NAME;
use local::template::Template;

use super::QuarantineDepth;
use crate::aws_error::explained;

/// At most so many pages of 1 MB are looked at: entries hold whole records.
const MAX_PAGES: usize = 10;

/// Counts the entries by the function that rejected them; of an entry in several items only the head counts.
pub async fn depth(client: &Client, template: &Template) -> Result<QuarantineDepth, String> {
    let mut tables = template.functions.iter().map(|it| it.variables.get(QUARANTINE_TABLE_NAME));
    let table = tables.find_map(|table| table).ok_or("the template names no table for it")?;
    let mut depth = QuarantineDepth::default();
    let mut start = None;
    for _ in 0..MAX_PAGES {
        let request = client
            .scan()
            .table_name(table)
            .filter_expression("attribute_exists(#reason)")
            .projection_expression("#sink")
            .expression_attribute_names("#reason", "reason")
            .expression_attribute_names("#sink", "sink");
        let sent = request.set_exclusive_start_key(start).send().await;
        let output = sent.map_err(|error| explained(&error, "dynamodb:Scan", table))?;
        for item in output.items() {
            let sink = item.get("sink").and_then(|it| AttributeValue::as_s(it).ok());
            let sink = sink.map_or("an unknown function", String::as_str);
            *depth.by_function.entry(sink.to_owned()).or_default() += 1;
        }
        start = output.last_evaluated_key.filter(|key| !key.is_empty());
        if start.is_none() {
            return Ok(depth);
        }
    }
    depth.is_incomplete = true;
    Ok(depth)
}
