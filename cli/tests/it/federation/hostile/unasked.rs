//! Addresses that no stranger may name, and names that are none: nobody is connected to.

use std::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;

use super::GLOBAL;
use crate::{federation::kit::Home, namespace::runs_inside, raw::wait_at_most, support::LIMIT};

/// Names that lead to addresses of our own networks, and to what is nobody's.
const PRIVATE: [(&str, &[&str]); 19] = [
    ("loopback.example-test.org", &["127.0.0.1"]),
    ("loopback-other.example-test.org", &["127.8.9.10"]),
    ("loopback-six.example-test.org", &["::1"]),
    ("mapped.example-test.org", &["::ffff:127.0.0.1"]),
    ("translated.example-test.org", &["64:ff9b::10.1.2.3"]),
    ("ten.example-test.org", &["10.1.2.3"]),
    ("carrier.example-test.org", &["100.64.0.7"]),
    ("metadata.example-test.org", &["169.254.169.254"]),
    ("link-local.example-test.org", &["fe80::1"]),
    ("private.example-test.org", &["172.16.5.4"]),
    ("router.example-test.org", &["192.168.1.1"]),
    ("unique.example-test.org", &["fd00::1"]),
    ("benchmark.example-test.org", &["198.18.0.9"]),
    ("document.example-test.org", &["198.51.100.7"]),
    ("document-three.example-test.org", &["203.0.113.9"]),
    ("zero.example-test.org", &["0.0.0.0"]),
    ("multicast.example-test.org", &["224.0.0.1"]),
    ("both.example-test.org", &[GLOBAL, "127.0.0.1"]),
    ("both-others.example-test.org", &["10.1.2.3", GLOBAL]),
];
const GLOBAL_NAME: (&str, &[&str]) = ("web.example-test.org", &[GLOBAL]);

/// Counts who connects to port 443, wherever.
fn listener() -> Arc<AtomicUsize> {
    let listener = TcpListener::bind("[::]:443").or_else(|_| TcpListener::bind("0.0.0.0:443"));
    let (listener, count) =
        (listener.expect("port 443 of a network of its own"), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    // Ends with the process of the tests. Whoever came is hung up on.
    std::thread::spawn(move || {
        for _one in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::AcqRel);
        }
    });
    count
}

#[track_caller]
fn comes_to(count: &AtomicUsize, expected: usize) {
    wait_at_most(LIMIT, "so many have come", || (count.load(Ordering::Acquire) == expected).then_some(()));
}

#[test]
fn our_own_networks_are_never_connected_to() {
    let hosts: Vec<(&str, &[&str])> = PRIVATE.into_iter().chain([GLOBAL_NAME]).collect();
    runs_inside("federation::hostile::unasked::inside", &hosts);
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside() {
    let came = listener();
    // All these addresses answer here: whoever were asked would be reached.
    let reachable = ["127.0.0.1:443", "10.1.2.3:443", "169.254.169.254:443", "192.168.1.1:443"];
    for address in reachable {
        TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    }
    comes_to(&came, reachable.len());
    let home = Home::memory();
    let link = home.open_invite();
    let global = format!("did:web:{}", GLOBAL_NAME.0);
    // Off unless somebody switches it on.
    home.refuses_signer(&link, &global, "KEY_UNKNOWN");
    home.spl(&["config", "set", "federation_did_web", "true"]).ok();
    for (name, _) in PRIVATE {
        home.refuses_signer(&link, &format!("did:web:{name}"), "KEY_UNKNOWN");
        let logged = home.logged_of(name);
        assert!(logged.len() == 1 && logged[0].ends_with("is not connected to"), "{name}: {logged:?}");
    }
    // What is no lower-case name with a dot is not even looked up.
    for spelt in [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "WEB.example-test.org",
        "web.example-test.org.",
        "web.example-test.org:443",
        "web.example-test.org%3A443",
        "web.example-test.org:path",
        "web.example-test.org/path",
        "user@web.example-test.org",
        "web.example-test.org#web.example-test.org",
        "web.example-test.org?a=b",
        "web..example-test.org",
        "",
    ] {
        home.refuses_signer(&link, &format!("did:web:{spelt}"), "KEY_UNKNOWN");
    }
    assert_eq!(came.load(Ordering::Acquire), reachable.len(), "somebody was connected to");
    // An honest address is connected to: that nobody was is not for lack of trying.
    home.refuses_signer(&link, &global, "KEY_UNKNOWN");
    comes_to(&came, reachable.len() + 1);
    // Nobody is asked about what is refused anyway.
    home.spl(&["config", "set", "federation_did_web", "false"]).ok();
    home.refuses_signer(&link, "did:web:ten.example-test.org", "KEY_UNKNOWN");
    assert_eq!(home.row(&link.id)["redemptions"], json!([]));
    assert_eq!(came.load(Ordering::Acquire), reachable.len() + 1);
}

#[test]
fn a_name_server_that_never_answers_is_not_waited_for() {
    runs_inside("federation::hostile::unasked::inside_slow_names", &[]);
}

#[test]
#[ignore = "run by the test above, in a network of its own"]
fn inside_slow_names() {
    let server = UdpSocket::bind("93.184.216.53:53").expect("port 53 of a network of its own");
    let home = Home::memory();
    home.asks_hosts(true);
    let link = home.open_invite();
    home.refuses_signer(&link, "did:web:slow.example-test.net", "KEY_UNKNOWN");
    server.set_read_timeout(Some(LIMIT)).expect("a limit");
    let (length, _) = server.recv_from(&mut [0; 512]).expect("a question");
    assert!(length > 12, "it was asked for the name");
    assert_eq!(home.logged_of("slow.example-test.net"), ["no answer in time"]);
    // The instance itself is as quick as ever.
    let start = crate::raw::now();
    home.admin.get("/v1/identity").is(200);
    assert!(start.elapsed() < super::SOON / 4);
}
