"""What Prometheus is told. One registry per app, so that several apps can live in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The cloud's counters; names follow Prometheus' conventions."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "baywatt_http_requests_total",
            "HTTP requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.latency = Histogram(
            "baywatt_http_request_seconds", "HTTP latency", ["route"], registry=self.registry
        )
        self.events = Counter(
            "baywatt_ingest_events_total",
            "Events of sites by what became of them",
            ["outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "baywatt_ingest_refused_total",
            "Messages of sites dropped at the border",
            ["why"],
            registry=self.registry,
        )
        self.broker = Gauge(
            "baywatt_broker_connected", "1 while the MQTT broker is reachable",
            registry=self.registry,
        )  # fmt: skip
