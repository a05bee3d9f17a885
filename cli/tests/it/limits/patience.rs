//! What is only seen after ten, fifteen or thirty seconds, all at once.

use super::slow;
use crate::streams::ending;

#[test]
fn what_takes_its_time() {
    let all: [(&str, fn()); 6] = [
        ("headers that do not arrive", slow::headers_that_do_not_arrive_are_not_waited_for),
        ("a connection that rests", slow::a_connection_may_rest_between_requests_but_not_within_one),
        ("a body that does not arrive", slow::a_body_that_does_not_arrive_is_a_408),
        ("what a client of HTTP/2 never takes", slow::what_a_client_of_http2_never_takes_is_let_go),
        ("heartbeats of a quiet stream", ending::a_quiet_stream_of_a_busy_instance_has_its_heartbeats),
        ("a client that takes nothing", ending::a_client_that_takes_nothing_is_closed),
    ];
    let running: Vec<_> = all.map(|(name, check)| (name, std::thread::spawn(check))).into();
    let failed: Vec<_> =
        running.into_iter().filter_map(|(name, check)| check.join().is_err().then_some(name)).collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}
