//! What a service's second port answers.

use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vedette_harness::LIMIT;

/// A page: its status and its text.
#[derive(Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// What comes behind the head.
    pub text: String,
}

/// Gets a page.
///
/// # Errors
/// If nobody answers in time, or not in HTTP.
pub async fn page(at: SocketAddr, path: &str) -> Result<Page> {
    let asked = async {
        let mut stream = TcpStream::connect(at).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(LIMIT, asked).await.context("no answer in time")??;
    let (head, text) = answer.split_once("\r\n\r\n").context("it has no head")?;
    let status = head.split(' ').nth(1).context("it has no status")?.parse()?;
    Ok(Page { status, text: text.into() })
}
