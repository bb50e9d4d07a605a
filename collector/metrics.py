"""What Prometheus is told. One registry for each collector; nothing is kept in the process's global one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .cluster.gauges import NodeGauges

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The collector's own numbers. Gauges that mirror other parts are set when they are asked for."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.ingest_bytes = Counter("runyard_ingest_bytes_total", "Bytes of streams that were written.", registry=registry)
        self.ingest_frames = Counter("runyard_ingest_frames_total", "Frames that were taken.", registry=registry)
        self.ingest_requests = Counter(
            "runyard_ingest_requests_total", "Ingest requests by result.", ["result"], registry=registry
        )
        self.snapshot_uploads = Counter(
            "runyard_snapshot_uploads_total", "Uploads of snapshots that were not kept before.", registry=registry
        )
        self.snapshot_bytes = Counter("runyard_snapshot_bytes_total", "Bytes that came in these uploads.", registry=registry)
        self.blob_uploads = Counter(
            "runyard_blob_uploads_total", "Uploads of artifacts' bytes that were begun.", registry=registry
        )
        self.blob_bytes = Counter("runyard_blob_bytes_total", "Bytes that came in these uploads.", registry=registry)
        self.commit_seconds = Histogram(
            "runyard_commit_seconds", "Time that a group commit took, by what was synced.", ["synced"], registry=registry
        )
        self.followers = Gauge("runyard_followers", "Connections that follow a run.", registry=registry)
        self.runs = Gauge("runyard_runs", "Runs by status.", ["status"], registry=registry)
        self.open_streams = Gauge("runyard_open_streams", "Streams in memory.", registry=registry)
        self.disk_free_bytes = Gauge("runyard_disk_free_bytes", "Room left for streams.", registry=registry)
        self.database_errors = Counter("runyard_database_errors_total", "Database calls that failed.", registry=registry)
        self.nodes = NodeGauges()
        registry.register(self.nodes)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)
