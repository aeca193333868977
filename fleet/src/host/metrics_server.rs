//! The metrics over HTTP: one path, bounded requests, a few connections at a time.

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::limits::METRICS_REQUEST_BYTES;

/// More are closed at once.
const CONNECTIONS: usize = 8;

pub type Text = Rc<RefCell<String>>;

/// `:9972` is every address of this host.
pub async fn bind(address: &str) -> std::io::Result<TcpListener> {
    match address.strip_prefix(':').and_then(|port| port.parse().ok()) {
        Some(port) => {
            TcpListener::bind(&[(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()][..]).await
        }
        None => TcpListener::bind(address).await,
    }
}

pub async fn serve(listener: TcpListener, text: Text) {
    let open = Rc::new(());
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        if Rc::strong_count(&open) > CONNECTIONS {
            continue;
        }
        let (open, text) = (open.clone(), text.clone());
        tokio::task::spawn_local(async move {
            tokio::time::timeout(Duration::from_secs(5), answer(connection, text)).await.ok();
            drop(open);
        });
    }
}

async fn answer(mut connection: TcpStream, text: Text) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= METRICS_REQUEST_BYTES || connection.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let path = request.split(|b| *b == b' ').nth(1).unwrap_or_default();
    let (status, body) = match request.starts_with(b"GET ") && path == b"/metrics" {
        true => ("200 OK", text.borrow().clone()),
        false => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await?;
    connection.shutdown().await
}
