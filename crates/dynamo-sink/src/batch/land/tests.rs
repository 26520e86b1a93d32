use super::*;

#[test]
fn an_element_that_makes_a_body_too_large_is_left_out() {
    #[track_caller]
    fn check(max_bytes: usize, is_first: bool, is_allowed: bool) {
        let mut body = b"[1".to_vec();
        let found = append(&mut body, max_bytes, is_first, |out| out.push(b'2'));
        let expected: &[u8] = match (is_allowed, is_first) {
            (true, true) => b"[12",
            (true, false) => b"[1,2",
            (false, _) => b"[1",
        };
        assert_eq!((found, body.as_slice()), (is_allowed, expected), "at most {max_bytes} bytes");
    }

    let whole = "[1,2".len() + LIST_END.len();
    check(whole, false, true);
    check(whole - 1, false, false);
    check(0, true, true);
}
