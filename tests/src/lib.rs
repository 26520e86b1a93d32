//! Everything is in the integration tests.
