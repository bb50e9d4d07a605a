"""The node side of Runyard: shepherd, capture, wrapper, ship."""
