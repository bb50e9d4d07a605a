"""The phases of a run around its driver: image, execution, preparation and release. Each takes place in a process of its own.

Started by the shepherd through main.py, unlike it with all that is installed. What a phase has come to lies in
.runyard/phase/<phase>/; a phase that was killed is started again and goes on from what is on disk.
"""
