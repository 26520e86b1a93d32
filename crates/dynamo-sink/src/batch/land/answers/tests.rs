use super::*;

#[test]
fn a_fault_is_asked_about_once_more_before_its_time_is_used() {
    // Milliseconds after an answer: the delay, when the last request may start, and when the next one does.
    #[track_caller]
    fn check(delay: u64, last_start: u64, expected: u64) {
        let answered_at = Instant::now();
        let after = |millis| answered_at + Duration::from_millis(millis);
        let found = in_time(answered_at, Duration::from_millis(delay), after(last_start));
        assert_eq!(found, after(expected), "{delay} ms, {last_start} ms left");
    }

    check(100, 1000, 100);
    check(950, 1000, 950);
    check(990, 1000, 950);
    check(5000, 1000, 950);
    // That was the last time.
    check(100, 50, 100);
    check(100, 20, 100);
    check(100, 0, 100);
}
