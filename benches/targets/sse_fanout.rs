//! One record to many subscribers of a real instance, from its post to the last one's frame. Floor: the same
//! bytes written to as many plain sockets by one task.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run has no result")]

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use spl_benches::{Size, disk_directory, now, ratio};
use spl_server::{ServeOptions, serve_until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

/// Reads a socket to its end and counts the frames that carry a record.
async fn count_frames(mut socket: TcpStream, mark: &'static [u8], received: Arc<Semaphore>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut line = Vec::new();
    while let Ok(n) = socket.read(&mut buffer).await {
        if n == 0 {
            return;
        }
        for byte in &buffer[..n] {
            if *byte == b'\n' {
                if line.ends_with(mark) {
                    received.add_permits(1);
                }
                line.clear();
            } else {
                line.push(*byte);
            }
        }
    }
}

async fn all(received: &Semaphore, count: usize) {
    let permits = u32::try_from(count).expect("a small number");
    received.acquire_many(permits).await.expect("open").forget();
}

async fn subscribe(port: u16, received: &Arc<Semaphore>) {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.expect("connected");
    let request = format!("GET /v1/threads/fanout/watch HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sent");
    tokio::spawn(count_frames(socket, b"event: record.created", received.clone()));
}

async fn post(socket: &mut TcpStream, port: u16) {
    let body =
        "{\"thread\":\"fanout\",\"actor\":\"did:sync:user:bench\",\"act\":\"KNOW\",\"body\":{\"n\":1}}";
    let request = format!(
        "POST /v1/records HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

fn options(home: &std::path::Path, port: u16) -> ServeOptions {
    ServeOptions {
        home: home.to_owned(),
        host: Ipv4Addr::LOCALHOST.into(),
        port,
        memory: true,
        insecure_localhost: true,
        public_url: None,
        new_log: false,
        accept_older_log: false,
        keep_token: None,
        accept_clock: false,
        foreground: false,
        log_filter: None,
        bootstrap_token: None,
        bootstrap_actor: "did:sync:user:bench".to_owned(),
    }
}

/// Sockets of a plain fan-out, and what their readers have received.
async fn plain_fanout(count: usize) -> (Vec<TcpStream>, Arc<Semaphore>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let received = Arc::new(Semaphore::new(0));
    let mut writers = Vec::with_capacity(count);
    for _ in 0..count {
        let reader = TcpStream::connect(address).await.expect("connected");
        writers.push(listener.accept().await.expect("accepted").0);
        tokio::spawn(count_frames(reader, b"event: record.created", received.clone()));
    }
    (writers, received)
}

fn fanout(c: &mut Criterion) {
    let size = Size::of_this_run();
    let home = disk_directory().expect("a directory");
    let port = free_port();
    let (stop, stopped) = oneshot::channel::<()>();
    let options = options(&home.path().join("home"), port);
    let server = std::thread::spawn(move || {
        serve_until(options, async {
            // Dropping the other end stops it too.
            let _ = stopped.await;
        })
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (mut publisher, received, mut plain, plain_received) = runtime.block_on(async {
        let publisher = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Ok(socket) => break socket,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let received = Arc::new(Semaphore::new(0));
        for _ in 0..size.subscribers {
            subscribe(port, &received).await;
        }
        let (plain, plain_received) = plain_fanout(size.subscribers).await;
        (publisher, received, plain, plain_received)
    });
    // Subscriptions are live once the first record has reached them all.
    let live = u32::try_from(size.subscribers).expect("a small number");
    runtime.block_on(async {
        while received.available_permits() < size.subscribers {
            post(&mut publisher, port).await;
            let _ = tokio::time::timeout(Duration::from_millis(500), received.acquire_many(live)).await;
        }
        received.forget_permits(usize::MAX >> 4);
    });
    let frame = b"event: record.created\nid: 1234\ndata: {\"id\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"record\":{\"object\":\"record\"},\"cursor\":\"1234\"}\n\n";
    let mut floor = || -> Duration {
        let start = now();
        runtime.block_on(async {
            for socket in &mut plain {
                socket.write_all(frame).await.expect("sent");
            }
            all(&plain_received, size.subscribers).await;
        });
        now().duration_since(start)
    };
    let mut ours = || -> Duration {
        let start = now();
        runtime.block_on(async {
            post(&mut publisher, port).await;
            all(&received, size.subscribers).await;
        });
        now().duration_since(start)
    };
    ratio(
        &format!("one record to {} streams over plain sockets", size.subscribers),
        size.rounds,
        &mut floor,
        &mut ours,
    );
    c.bench_function("fan-out", |b| b.iter(&mut ours));
    drop(stop);
    drop(publisher);
    server.join().expect("no panic").expect("stopped well");
}

criterion_group!(benches, fanout);
criterion_main!(benches);
