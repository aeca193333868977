//! One binary for all promises.
