"""A folder for the driver's PYTHONPATH: Python itself loads what is called sitecustomize there, at the start of every program."""
