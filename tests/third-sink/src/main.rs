//! The Lambda function sinkProfileData.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    dynamo_sink::run(sink_profile_data::SINK).await
}
