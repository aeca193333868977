//! What the gates look at.

use std::net::IpAddr;

/// One request. The peer is what the kernel says; the rest is what front relayed, and front may have been taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where the connection comes from (getpeername(2)).
    pub peer: IpAddr,
    /// `POST` or `GET`.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The value of every `Authorization` header, in order, without the blanks around it.
    pub authorization: Vec<String>,
    /// The body, decoded and bounded.
    pub body: Vec<u8>,
}
