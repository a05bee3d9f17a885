//! Counters and gauges in Prometheus' text format. No label names a thread, actor or record.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: &'static str,
    status: u16,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Histogram,
    pub(crate) records_written: Counter,
    pub(crate) records: Gauge<u64, AtomicU64>,
    pub(crate) queued: Gauge<u64, AtomicU64>,
    pub(crate) index_behind: Gauge<u64, AtomicU64>,
    pub(crate) streams: Gauge<u64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("spl");
        let requests = Family::default();
        let seconds = Histogram::new(exponential_buckets(0.000_1, 4.0, 9));
        let records_written = Counter::default();
        let (records, queued, index_behind, streams) =
            (Gauge::default(), Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "http_requests",
            "Requests answered, by method, matched route and status",
            requests.clone(),
        );
        registry.register("http_request_seconds", "Time to the head of an answer", seconds.clone());
        registry.register("records_written", "Records written since the start", records_written.clone());
        registry.register("log_records", "Records in the log", records.clone());
        registry.register("writer_queue_commands", "Commands that wait for the writer", queued.clone());
        registry.register("index_behind_records", "Records not yet in the index file", index_behind.clone());
        registry.register("streams", "Open streams", streams.clone());
        Self { registry, requests, seconds, records_written, records, queued, index_behind, streams }
    }

    pub(crate) fn answered(&self, method: &'static str, route: &'static str, status: u16, seconds: f64) {
        let labels = RequestLabels { method, route, status };
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(seconds);
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
