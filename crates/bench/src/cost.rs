//! What a million records cost, by the list prices of us-east-1: <https://aws.amazon.com/lambda/pricing/> and
//! <https://aws.amazon.com/dynamodb/pricing/on-demand/>.

/// A GB-second of an arm64 function, in dollars.
const GB_SECOND: f64 = 0.000_013_333_4;
/// An invocation.
const INVOCATION: f64 = 0.000_000_2;
/// A write unit of a table that is billed by request.
const WRITE_UNIT: f64 = 0.000_000_625;
/// A read unit of such a table.
const READ_UNIT: f64 = 0.000_000_125;
/// The memory in MB that comes with one whole processor.
const MEMORY_OF_A_PROCESSOR: f64 = 1769.0;

/// What a batch costs on Lambda, in dollars. A function with less memory has a share of a processor only, so that its
/// own time can be what a batch takes.
pub(super) fn lambda(cpu_seconds: f64, wall_seconds: f64, memory_mb: f64) -> f64 {
    let seconds = wall_seconds.max(cpu_seconds * MEMORY_OF_A_PROCESSOR / memory_mb);
    seconds * memory_mb / 1024.0 * GB_SECOND + INVOCATION
}

/// What writing and reading cost, in dollars.
pub(super) fn dynamodb(write_units: f64, read_units: f64) -> f64 {
    write_units * WRITE_UNIT + read_units * READ_UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_of_the_price_lists() {
        #[track_caller]
        fn check(found: f64, expected: f64) {
            assert!((found / expected - 1.0).abs() < 0.001, "{found}");
        }

        // 100 ms at a quarter of a GB.
        check(lambda(0.001, 0.1, 256.0), 0.1 * 0.25 * 0.000_013_333_4 + 0.000_000_2);
        // 10 ms of a whole processor are 69 ms of the share that comes with 256 MB.
        check(lambda(0.01, 0.02, 256.0), 0.069_102 * 0.25 * 0.000_013_333_4 + 0.000_000_2);
        check(dynamodb(2e6, 0.0), 1.25);
        check(dynamodb(0.0, 2e6), 0.25);
        check(dynamodb(1e6, 0.5e6), 0.6875);
    }
}
