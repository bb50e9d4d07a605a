"""The notebook's widget: `RunDetails(run).show()` shows a run live, in JupyterLab, Notebook 7, VS Code and Colab.

Needs anywidget, which is installed by `pip install 'runyard[notebook]'`. docs/notebook.md tells more.
"""

try:
    import anywidget as anywidget
except ImportError:
    raise ImportError("runyard.widgets needs anywidget; install it with: pip install 'runyard[notebook]'") from None

from .run_details import RunDetails

__all__ = ["RunDetails"]
