//! The streams of DynamoDB Local's tables.

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// An item before and after a change, in DynamoDB's JSON; nothing where there is none.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) before: Value,
    pub(crate) after: Value,
}

/// All changes that a stream holds, those of one item in their order.
pub(crate) async fn read(endpoint: &str, stream: &str) -> Vec<Change> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let described = call(&client, endpoint, "DescribeStream", json!({"StreamArn": stream})).await;
    let mut changes = Vec::new();
    for shard in described["StreamDescription"]["Shards"].as_array().unwrap() {
        let start = json!({
            "StreamArn": stream,
            "ShardId": shard["ShardId"],
            "ShardIteratorType": "TRIM_HORIZON",
        });
        let mut next = call(&client, endpoint, "GetShardIterator", start).await;
        let mut iterator = next["ShardIterator"].take();
        // A shard that is open has always a next one.
        while iterator.is_string() {
            let mut answer =
                call(&client, endpoint, "GetRecords", json!({"ShardIterator": iterator})).await;
            let records = answer["Records"].as_array_mut().unwrap();
            if records.is_empty() {
                break;
            }
            changes.extend(records.iter_mut().map(|record| Change {
                before: record["dynamodb"]["OldImage"].take(),
                after: record["dynamodb"]["NewImage"].take(),
            }));
            iterator = answer["NextShardIterator"].take();
        }
    }
    changes
}

async fn call(
    client: &Client<HttpConnector, Full<Bytes>>,
    endpoint: &str,
    operation: &str,
    input: Value,
) -> Value {
    // It looks at the access key, whose tables they are, and not at the signature.
    let authorization = "AWS4-HMAC-SHA256 \
        Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
    let request = Request::post(endpoint)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDBStreams_20120810.{operation}"))
        .header("authorization", authorization)
        .body(input.to_string().into())
        .unwrap();
    let answer = client.request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{operation}: {status} {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}
