//! The Lambda function sinkAppianData.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    dynamo_sink::run(sink_appian_data::SINK).await
}
