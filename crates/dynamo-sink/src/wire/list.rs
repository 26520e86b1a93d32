//! Requests that hold many: of statements, or of a transaction's actions.

use super::{
    Call, KeyRequest, LIST_END, Operation, STATEMENTS_START, TRANSACTION_START, Transport, Wire,
};

/// DynamoDB's limit on one transaction.
const MAX_TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// What statements may have together: what DynamoDB allows of them is not documented.
const MAX_STATEMENTS_BYTES: usize = 1024 * 1024;

/// A request that holds others, as a body that grows.
#[derive(Debug)]
pub(crate) struct RequestList {
    transport: Transport,
    body: Vec<u8>,
    is_empty: bool,
}

impl RequestList {
    /// An empty one for what goes like this, with so much room; none for what shares no list.
    pub(crate) fn new(transport: Transport, room: impl FnOnce() -> usize) -> Option<Self> {
        let (start, max_bytes) = match transport {
            Transport::Statement => (STATEMENTS_START, MAX_STATEMENTS_BYTES),
            Transport::Transaction => (TRANSACTION_START, MAX_TRANSACTION_BYTES),
            Transport::Look | Transport::Single => return None,
        };
        let mut body = Vec::with_capacity(room().min(max_bytes));
        body.extend_from_slice(start);
        Some(Self { transport, body, is_empty: true })
    }

    /// Appends a request, and says whether there was room for it.
    pub(crate) fn push(&mut self, wire: &mut Wire, keyed: KeyRequest<'_>) -> bool {
        let (body, is_first) = (&mut self.body, self.is_empty);
        let is_appended = match self.transport {
            Transport::Transaction => append(body, MAX_TRANSACTION_BYTES, is_first, |body| {
                wire.insert_actions(keyed, body);
            }),
            _ => append(body, MAX_STATEMENTS_BYTES, is_first, |body| wire.statement(keyed, body)),
        };
        self.is_empty &= !is_appended;
        is_appended
    }

    pub(crate) fn end(mut self) -> Call {
        self.body.extend_from_slice(LIST_END);
        let operation = match self.transport {
            Transport::Transaction => Operation::TransactWriteItems,
            _ => Operation::BatchExecuteStatement,
        };
        Call { operation, body: self.body }
    }
}

/// Appends an element to a list in a body, unless it would make the body larger than `max_bytes`.
fn append(
    body: &mut Vec<u8>,
    max_bytes: usize,
    is_first: bool,
    write: impl FnOnce(&mut Vec<u8>),
) -> bool {
    let end = body.len();
    if !is_first {
        body.push(b',');
    }
    write(body);
    let is_allowed = is_first || body.len() + LIST_END.len() <= max_bytes;
    if !is_allowed {
        body.truncate(end);
    }
    is_allowed
}

#[cfg(test)]
mod tests {
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
            assert_eq!(
                (found, body.as_slice()),
                (is_allowed, expected),
                "at most {max_bytes} bytes"
            );
        }

        let whole = "[1,2".len() + LIST_END.len();
        check(whole, false, true);
        check(whole - 1, false, false);
        check(0, true, true);
    }
}
