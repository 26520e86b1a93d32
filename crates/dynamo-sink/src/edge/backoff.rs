//! How long to wait before a retry, and how many requests to have in flight.

use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(50);
/// Short beside an invocation, so that what passes is soon over for the batch too.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// The delay before retry `attempt` (1 for the first): exponential with full jitter, so that writers who were throttled
/// together don't come back together. `random` is from 0 up to, not including, 1.
///
/// See <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
pub(crate) fn delay(attempt: u32, random: f64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16);
    let ceiling = FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

/// Time between two reductions: one wave of throttles counts once.
const COOL_DOWN: Duration = Duration::from_millis(100);

/// The requests in flight with which an environment starts: it has no connections yet, and what the first answers say
/// of the keys decides how the rest is asked for.
pub(crate) const FIRST_WIDTH: usize = 3;

/// Many times what DynamoDB takes for a request, and far from its time-out.
const LATE: Duration = Duration::from_millis(250);

/// The number of requests that may be in flight. It doubles with each wave of answers until it is wide enough, is
/// halved by throttling, and grows by one with each wave from then on.
#[derive(Clone, Debug)]
pub(crate) struct Concurrency {
    max: f64,
    current: f64,
    reduced_at: Option<Instant>,
}

impl Concurrency {
    pub(crate) fn new(max: usize) -> Self {
        let max = number(max);
        Self { max, current: number(FIRST_WIDTH).min(max), reduced_at: None }
    }

    /// How many requests may be in flight, for a log.
    pub(crate) fn width(&self) -> f64 {
        self.current.floor()
    }

    /// Whether another request may start beside those in flight.
    pub(crate) fn admits(&self, in_flight: usize) -> bool {
        number(in_flight) + 1.0 <= self.current
    }

    /// One of so many requests in flight was taken, after this time. It is only widened where the width was in use, and
    /// where answers are not late: then more requests at once would only wait longer.
    pub(crate) fn succeeded(&mut self, in_flight: usize, took: Duration) {
        if self.admits(in_flight) || took > LATE {
            return;
        }
        let more = if self.reduced_at.is_none() { 1.0 } else { 1.0 / self.current };
        self.current = (self.current + more).min(self.max);
    }

    pub(crate) fn throttled(&mut self, now: Instant) {
        if self.reduced_at.is_none_or(|reduced_at| reduced_at + COOL_DOWN <= now) {
            self.current = (self.current / 2.0).max(1.0);
            self.reduced_at = Some(now);
        }
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_are_jittered() {
        let millis = |attempt, random| delay(attempt, random).as_millis();
        assert_eq!(
            [1, 2, 3, 5, 6, 1000].map(|attempt| millis(attempt, 1.0)),
            [50, 100, 200, 800, 1000, 1000]
        );
        assert_eq!(millis(2, 0.0), 0);
        assert_eq!(millis(2, 0.5), 50);
    }

    /// The most requests that may be in flight now.
    fn width(concurrency: &Concurrency) -> usize {
        (0..100).find(|&in_flight| !concurrency.admits(in_flight)).unwrap()
    }

    /// Answers one request after another while as many as may be are in flight.
    fn answer(concurrency: &mut Concurrency, answers: usize) {
        for _ in 0..answers {
            concurrency.succeeded(width(concurrency), LATE);
        }
    }

    #[test]
    fn each_wave_doubles_what_is_in_use_up_to_the_limit() {
        let mut concurrency = Concurrency::new(20);
        let mut widths = vec![width(&concurrency)];
        for _ in 0..4 {
            let wave = width(&concurrency);
            answer(&mut concurrency, wave);
            widths.push(width(&concurrency));
        }
        assert_eq!(widths, [3, 6, 12, 20, 20]);

        let mut concurrency = Concurrency::new(20);
        concurrency.succeeded(2, LATE);
        concurrency.succeeded(3, LATE + Duration::from_millis(1));
        assert_eq!(width(&concurrency), 3);
        assert_eq!(width(&Concurrency::new(1)), 1);
    }

    #[test]
    fn throttling_halves_once_a_wave_and_success_raises_again() {
        let mut concurrency = Concurrency::new(8);
        let start = Instant::now();
        answer(&mut concurrency, 10);
        assert_eq!(width(&concurrency), 8);
        concurrency.throttled(start);
        concurrency.throttled(start + COOL_DOWN / 2);
        assert_eq!(width(&concurrency), 4);
        answer(&mut concurrency, 5);
        assert_eq!(width(&concurrency), 5);
        for wave in 1..5 {
            concurrency.throttled(start + COOL_DOWN * wave);
        }
        assert_eq!(width(&concurrency), 1);
        answer(&mut concurrency, 100);
        assert_eq!(width(&concurrency), 8);
    }
}
