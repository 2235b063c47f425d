"""Networks of other packages in PyTorch, with random weights, to measure and test against."""

from __future__ import annotations

import importlib

import numpy as np


def import_torchvision():
    """torchvision, also beside a torch without CUDA that cannot load its operators.

    PyPI's torchvision is compiled for CUDA; with a CPU build of torch the import fails, as it
    registers operators ("torchvision::nms") that were not loaded. Networks for classification use
    none of them, so it is enough that the names exist.
    """
    import torch

    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # Its operators would be gone with it.
        import_torchvision.library = library
    return importlib.import_module("torchvision")


def arrays(state) -> dict[str, np.ndarray]:
    """A torch state dict as numpy arrays."""
    return {name: tensor.detach().numpy().copy() for name, tensor in state.items()}


def random_lpips(kind: str):
    """LPIPS version 0.1 of the package `lpips` with the published heads.

    Args:
      kind: "alex", "vgg" or "squeeze"; its weights and biases are random, with a fixed seed.

    Returns:
      The model, the network's arrays under torchvision's names, and the heads' arrays.
    """
    import_torchvision()
    import lpips
    import torch

    torch.manual_seed(0)
    model = lpips.LPIPS(net=kind, version="0.1", pnet_rand=True, verbose=False)
    with torch.no_grad():
        for name, parameter in model.net.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn_like(parameter))
    # "slice2.5.weight" is torchvision's "features.5.weight".
    backbone = {"features." + name.split(".", 1)[1]: array
                for name, array in arrays(model.net.state_dict()).items()}
    # "lins.0" is "lin0" once more.
    heads = arrays({name: tensor for name, tensor in model.state_dict().items()
                    if name.startswith("lin") and not name.startswith("lins.")})
    return model, backbone, heads
