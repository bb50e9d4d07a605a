"""The collector: ingest, store, catalog, follow, query."""
