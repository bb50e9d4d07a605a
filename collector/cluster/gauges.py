"""The nodes of the clusters as numbers for Prometheus: what is known when it asks, nothing is counted here.

Told by the route /metrics, from the registry and the newest samples. Names of values come from nodes: those that Prometheus
does not take, and all beyond MOST_NAMES, are left out, so that no node can make more of them than that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily

from .answers import ClusterNode

MOST_NAMES = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LABELS = ("cluster", "node_id", "hostname")


class NodeGauges:
    """A collector of Prometheus' client."""

    def __init__(self) -> None:
        self._nodes: Sequence[ClusterNode] = ()
        self._runs: Mapping[tuple[str, str], int] = {}

    def tell(self, nodes: Sequence[ClusterNode], runs_by_stage: Mapping[tuple[str, str], int]) -> None:
        """What the next answer says."""
        self._nodes, self._runs = nodes, runs_by_stage

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """As Prometheus' client asks for it."""
        yield self._by_status()
        runs = GaugeMetricFamily(
            "runyard_queue_runs", "Runs of a cluster's queue that are not over.", labels=("cluster", "stage")
        )
        for place, count in self._runs.items():
            runs.add_metric(place, count)
        yield runs
        yield from self._samples()

    def _by_status(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("runyard_nodes", "Nodes of a cluster by status.", labels=("cluster", "status"))
        for place, count in Counter((node.cluster, str(node.status)) for node in self._nodes).items():
            family.add_metric(place, count)
        return family

    def _samples(self) -> Iterator[GaugeMetricFamily]:
        """The newest sample of each node that is heard from: of others it would be no more than a memory."""
        living = [node for node in self._nodes if node.status != "LostContact"]
        told = {name for node in living for name in node.sample if _NAME.fullmatch(name)}
        for name in sorted(told)[:MOST_NAMES]:
            family = GaugeMetricFamily(f"runyard_node_{name}", "Of a node's newest sample; docs/monitoring.md.", labels=_LABELS)
            for node in living:
                if name in node.sample:
                    family.add_metric((node.cluster, node.node_id, node.hostname), node.sample[name])
            yield family
