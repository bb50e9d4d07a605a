"""Which process of a run failed first, and why: gathered, decided and told.

signatures.py (a table) ← log_words.py (what a log's end tells) ← facts.py ← suspect.py (one process) ← decide.py (all): pure.
gather.py reads the catalog and the ends of the logs; routes.py answers.
"""
