"""A folder for the driver's PYTHONPATH: whatever is called sitecustomize there, Python loads at the start of every program."""
