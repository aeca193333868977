//! One binary for all promises.

mod ci_client;
