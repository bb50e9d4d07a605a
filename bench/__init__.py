"""Benchmarks: each measures one bar beside its anchor, in the same run, since only ratios hold on a shared machine."""
