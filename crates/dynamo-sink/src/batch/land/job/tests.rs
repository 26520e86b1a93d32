use super::*;

#[test]
fn company_is_waited_for_while_a_young_request_is_in_flight() {
    let sent_at = Instant::now();
    let company_until = |groups_in_flight, group_sent_at| {
        Lane { groups_in_flight, group_sent_at, ..Lane::default() }.company_until()
    };
    assert_eq!(company_until(1, Some(sent_at)), Some(sent_at + COMPANY_TIME));
    assert_eq!(company_until(2, Some(sent_at)), Some(sent_at + COMPANY_TIME));
    assert_eq!(company_until(0, Some(sent_at)), None);
    assert_eq!(company_until(0, None), None);
}

#[test]
fn a_new_request_has_no_past() {
    let mut job = Job {
        work: Work::Quarantine {
            record: 0,
            rejection: Rejection::new("CODE", "why"),
            position: 0,
            requests: 1,
            renews: false,
        },
        way: None,
        attempts: 3,
        last_trouble: Some((Table::Quarantine, Trouble::Throttled(String::new()))),
        is_alone: true,
        refused_by: Some(Operation::PutItem),
        found_one: true,
        progress: Progress::Sent,
        doubted_since: Some(Instant::now()),
    };
    job.start_over();
    assert_eq!((job.attempts, job.refused_by), (0, None));
    assert!(job.last_trouble.is_none());
    // What is known of its key and item stays.
    assert!(job.is_alone && job.found_one && job.progress == Progress::Sent);
}
