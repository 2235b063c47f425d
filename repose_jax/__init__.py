"""RePoseDM in JAX/Flax: re-render a person from one photo in a new pose."""

from repose_jax.common.errors import UserError

__all__ = ["PoseTransfer", "UserError", "__version__"]

__version__ = "0.2.0"


def __getattr__(name: str):
    # Importing JAX takes a second that `import repose_jax` alone need not cost.
    if name == "PoseTransfer":
        from repose_jax.inference.pipeline import PoseTransfer
        return PoseTransfer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
