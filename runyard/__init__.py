"""Runyard: a compute-cluster node agent and log collector for machine-learning training.

What users import is loaded when it is first asked for; `import runyard` itself, which every process of
ours does, costs nothing.
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from . import sweep as sweep
    from .errors import RunFailed as RunFailed
    from .sdk.environment import DockerConfiguration as DockerConfiguration
    from .sdk.environment import Environment as Environment
    from .sdk.experiment import Experiment as Experiment
    from .sdk.run import Run as Run
    from .sdk.script_run_config import MpiConfiguration as MpiConfiguration
    from .sdk.script_run_config import PyTorchConfiguration as PyTorchConfiguration
    from .sdk.script_run_config import ScriptRunConfig as ScriptRunConfig
    from .sdk.script_run_config import TensorflowConfiguration as TensorflowConfiguration
    from .sdk.workspace import Workspace as Workspace

# Public name -> the module that has it.
_PUBLIC = {
    "Run": "runyard.sdk.run",
    "Workspace": "runyard.sdk.workspace",
    "Experiment": "runyard.sdk.experiment",
    "ScriptRunConfig": "runyard.sdk.script_run_config",
    "MpiConfiguration": "runyard.sdk.script_run_config",
    "PyTorchConfiguration": "runyard.sdk.script_run_config",
    "TensorflowConfiguration": "runyard.sdk.script_run_config",
    "Environment": "runyard.sdk.environment",
    "DockerConfiguration": "runyard.sdk.environment",
    "RunFailed": "runyard.errors",
    "sweep": "runyard.sweep",
}

if not TYPE_CHECKING:  # a checker sees the imports above, and no others

    def __getattr__(name: str) -> object:
        if name not in _PUBLIC:
            raise AttributeError(f"module 'runyard' has no attribute {name!r}")
        import importlib

        module = importlib.import_module(_PUBLIC[name])
        value: object = module if _PUBLIC[name] == f"runyard.{name}" else getattr(module, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
