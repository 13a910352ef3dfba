"""Metrics for Prometheus. Every application has its own registry, so that there can be several in one process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from lipstream.server.limits import Places, WorkQueue

LATENESS_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
SECONDS_BUCKETS = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)


class Metrics:
    """Counters and gauges under ``lipstream_``."""

    def __init__(self, queue: WorkQueue, connections: Places) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        registry = self._registry
        self._requests = Counter("lipstream_requests", "Requests answered.", ["transport", "status"], registry=registry)
        self._errors = Counter("lipstream_errors", "Errors answered, by code.", ["code"], registry=registry)
        self.job_seconds = Histogram(
            "lipstream_job_seconds",
            "Time from the start of a job to its MP4.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.frames = Counter("lipstream_frames", "Video frames made.", registry=registry)
        self.connections = Gauge(
            "lipstream_websocket_connections", "Open WebSockets of /ws/lipsync.", registry=registry
        )
        self.live_sessions = Gauge("lipstream_live_sessions", "Running live streams.", registry=registry)
        self.live_frames = Counter("lipstream_live_frames", "Frames made for live streams.", registry=registry)
        self.live_dropped = Counter(
            "lipstream_live_frames_dropped", "Frames not sent because the receiver was slow.", registry=registry
        )
        self.live_lateness = Histogram(
            "lipstream_live_lateness_seconds",
            "Time from when a frame was due and its speech had arrived until it was ready.",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        places = Gauge("lipstream_connections", "Open WebSockets and requests, without probes.", registry=registry)
        places.set_function(lambda: connections.taken)
        running = Gauge("lipstream_jobs_running", "Jobs that have a worker.", registry=registry)
        running.set_function(lambda: queue.running)
        waiting = Gauge("lipstream_jobs_waiting", "Jobs that wait for a worker.", registry=registry)
        waiting.set_function(lambda: queue.waiting)

    def answered(self, transport: str, error_code: str | None = None) -> None:
        """Count an answer: a success, or an error by its code."""
        self._requests.labels(transport, "error" if error_code else "success").inc()
        if error_code:
            self._errors.labels(error_code).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
