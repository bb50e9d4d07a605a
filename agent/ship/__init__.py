"""Shipping: copies what is new in a run's spool to the collector, until the collector's copy is sealed as identical.

`shipper` ships one run; `watch` ships all of a node's spool. The collector's offsets are the only truth about what has
arrived, no checkpoint is kept here. Nothing is loaded here: who only registers a run, before its driver starts, needs little.
"""
