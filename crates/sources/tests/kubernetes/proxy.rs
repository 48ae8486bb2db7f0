//! An API server behind a proxy.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use oomscope_sources::kubernetes::api::{Access, Cluster};
use oomscope_testkit::kubernetes::FakeCluster;
use serde_json::{Value, json};

use crate::support::pod;

/// A proxy for one connection; tells what it was asked.
fn start() -> (u16, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(client.try_clone().unwrap());
        let head: Vec<String> = (&mut reader).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        let target = head[0].split(' ').nth(1).unwrap();
        let mut server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        tell.send(head.clone()).unwrap();
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || drop(io::copy(&mut from_server, &mut to_client)));
        let _ = io::copy(&mut reader, &mut server);
    });
    (port, told)
}

/// The kubeconfig's proxy is used, with its password, which no message shows.
#[test]
fn a_tunnel() {
    let fake = FakeCluster::start();
    fake.put(pod("a", 0));
    let set = |url: &str| {
        let mut config: Value = serde_json::from_slice(&std::fs::read(fake.kubeconfig()).unwrap()).unwrap();
        config["clusters"][0]["cluster"]["proxy-url"] = json!(url);
        std::fs::write(fake.kubeconfig(), config.to_string()).unwrap();
    };
    let (port, told) = start();
    set(&format!("http://user:s3cret@127.0.0.1:{port}"));
    let cluster = Cluster::connect(&Access::new(Some(&fake.kubeconfig()), None)).unwrap();
    assert!(cluster.pod("shop", "a").unwrap().is_some());
    let head = told.recv().unwrap();
    let server = fake.url();
    assert!(head[0].starts_with(&format!("CONNECT {} ", server.trim_start_matches("http://"))), "{head:?}");
    assert!(
        head.iter().any(|line| line.eq_ignore_ascii_case("proxy-authorization: Basic dXNlcjpzM2NyZXQ=")),
        "{head:?}"
    );

    set("http://user:s3cret@127.0.0.1:1");
    let cluster = Cluster::connect(&Access::new(Some(&fake.kubeconfig()), None)).unwrap();
    let error = cluster.pod("shop", "a").unwrap_err().to_string();
    assert!(error.contains("not reachable") && !error.contains("s3cret"), "{error}");
    set("ftp://user:s3cret@127.0.0.1:1");
    let error = Cluster::connect(&Access::new(Some(&fake.kubeconfig()), None)).unwrap_err().to_string();
    assert!(error.contains("proxy of this kind") && !error.contains("s3cret"), "{error}");
}
