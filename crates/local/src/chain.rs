//! Errors as people read them.

use std::error::Error;

/// An error and its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
