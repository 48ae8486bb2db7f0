//! node_exporter, as `scripts/exporters` unpacked it: what most machines run already.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "target/bench/exporters/node_exporter";
const STARTS: Duration = Duration::from_secs(10);
/// As Prometheus waits by default.
const ANSWERS: Duration = Duration::from_secs(10);

/// A running exporter; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) label: String,
    process: Child,
    address: SocketAddr,
}

#[derive(Debug, Deserialize)]
struct About {
    name: String,
    version: String,
}

impl Exporter {
    pub(crate) fn start() -> Result<Self> {
        let folder = Path::new(FOLDER);
        let Ok(about) = std::fs::read(folder.join("about.json")) else {
            let why = std::fs::read_to_string(folder.join("missing")).unwrap_or_default();
            bail!("could not be had: {}", why.trim());
        };
        let about: About = serde_json::from_slice(&about).context("reading about.json")?;
        let address = free_address()?;
        let process = Command::new(folder.join("run"))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting it")?;
        let exporter = Self { label: format!("{} {}", about.name, about.version), process, address };
        let started = Instant::now();
        while let Err(error) = exporter.scrape() {
            ensure!(started.elapsed() < STARTS, "it does not answer: {error:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(exporter)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What a Prometheus server does; gives the length of the answer.
    pub(crate) fn scrape(&self) -> Result<usize> {
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWERS).context("connecting")?;
        stream.set_read_timeout(Some(ANSWERS))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("reading the answer")?;
        ensure!(answer.starts_with(b"HTTP/1.0 200"), "the answer is no 200");
        Ok(answer.len())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?)
}
