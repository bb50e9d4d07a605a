"""Which process of a run failed first, and why: gathered, decided and told.

signatures.py (a table) ← log_words.py (what a log's end tells) ← facts.py ← decide.py: pure. gather.py reads the catalog and the
logs' ends; routes.py answers.
"""
