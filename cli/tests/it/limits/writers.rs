//! More writers than the instance keeps up with.

use std::time::Duration;

use crate::raw::{Server, now};

#[test]
fn a_flood_of_writers_is_answered_in_time() {
    const WRITERS: u64 = 400;
    const EACH: u64 = 4;
    let server = Server::disk();
    let text = "x".repeat(250_000);
    let start = now();
    let (written, busy) = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (server, text) = (&server, &text);
                scope.spawn(move || {
                    let (mut written, mut busy) = (0_u64, 0_u64);
                    for n in 0..EACH {
                        let one = |m: u64| {
                            let clock = 2 * n + m;
                            format!(
                                r#"{{"thread":"th.flood","actor":"did:sync:user:{writer}","act":"KNOW","clock":{clock},"body":{{"t":"{text}"}}}}"#
                            )
                        };
                        let body = format!(r#"{{"records":[{},{}]}}"#, one(0), one(1));
                        // A connection each: one that waits for its turn on a busy machine may be idle for too long.
                        let sent = server.client().try_send("POST", "/v1/records", body.as_bytes());
                        let reply = sent.expect("an answer");
                        if reply.status == 201 {
                            written += 2;
                        } else {
                            let reply = reply.refuses(503, "BUSY");
                            assert_eq!(reply.header("retry-after"), Some("1"));
                            assert_eq!(reply.json()["retry_after_seconds"], 1);
                            busy += 1;
                        }
                    }
                    (written, busy)
                })
            })
            .collect();
        handles.into_iter().map(|h| h.join().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    });
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(written > 0);
    assert_eq!(server.metric("spl_log_records"), 1 + written, "{busy} were busy");
    let peak = server.peak_mib();
    assert!(peak < 500, "the instance took {peak} MiB");
}
