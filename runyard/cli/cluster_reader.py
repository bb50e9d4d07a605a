"""Clusters, their nodes and their queues, read from the collector's API.

Reads from GET clusters, clusters/{cluster}/runs and nodes through a CollectorClient; writes nothing.
"""

from __future__ import annotations

from runyard import reader
from runyard.client import CollectorClient, path_segment
from runyard.errors import InputError
from runyard.reader import Document


def nodes(client: CollectorClient, cluster: str | None = None) -> list[Document]:
    """The nodes, by cluster and host name."""
    found: list[Document] = client.json("GET", "/nodes", params={"cluster": cluster})["nodes"]
    return found


def node(client: CollectorClient, word: str) -> Document:
    """The node that `word` names: its id, host name or IP. InputError where none is called so, or several are."""
    known = nodes(client)
    found = [one for one in known if word in (one["node_id"], one["hostname"], one["ip"])]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(str(one["node_id"]) for one in found)
        raise InputError(f"{len(found)} nodes are called {word!r}; name one by its id: {ids}")
    close = reader.nearest(word, [str(one[key]) for one in known for key in ("node_id", "hostname", "ip")])
    hint = f"did you mean {close!r}?" if close else "`runyard nodes` lists them"
    raise InputError(f"there is no node {word!r}; {hint}")


def node_path(node_id: str) -> str:
    """The node's path below the API's root."""
    return f"/nodes/{path_segment(node_id)}"


def clusters(client: CollectorClient) -> list[Document]:
    """The clusters, by name."""
    found: list[Document] = client.json("GET", "/clusters")["clusters"]
    return found


def cluster_path(cluster: str) -> str:
    """The cluster's path below the API's root."""
    return f"/clusters/{path_segment(cluster)}"


def queue(client: CollectorClient, cluster: str) -> list[Document]:
    """The runs that are queued or active there, in the order in which they get nodes."""
    found: list[Document] = client.json("GET", f"{cluster_path(cluster)}/runs")["runs"]
    return found
