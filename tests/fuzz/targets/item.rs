#![no_main]

#[path = "../item.rs"]
mod item;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| item::check(bytes));
