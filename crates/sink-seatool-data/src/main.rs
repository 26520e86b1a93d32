//! The Lambda function sinkSeatoolData.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    dynamo_sink::run(sink_seatool_data::SINK).await
}
