"""The context managers that come with Runyard, by the names under which run.toml knows them."""

from __future__ import annotations

BUILT_IN = {
    "datastore_mount": "runyard.agent.managers.datastore_mount:DatastoreMount",
    "output_upload": "runyard.agent.managers.output_upload:OutputUpload",
    "resource_sampling": "runyard.agent.managers.resource_sampling:ResourceSampling",
    "scratch": "runyard.agent.managers.scratch:Scratch",
}
