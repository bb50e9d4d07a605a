"""`make demo`: a real training on real data, wrapped, shipped to a collector of its own and followed live."""
