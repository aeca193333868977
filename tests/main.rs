//! One binary for all promises; `cargo test WORD` runs those with the word in their names or their module's.

mod support;

mod parts;
