"""The web page's side of the collector: its files, and the sessions of browsers that have logged in."""
