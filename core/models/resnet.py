"""ResNet-18 with a stem for small pictures (He et al. 2016, arXiv:1512.03385)."""

from torch import nn
from torchvision.models.resnet import BasicBlock

from core.models.base import ImageClassifier, pooled_head
from core.models.compact import conv_norm
from core.models.registry import register


@register(
    "resnet18",
    title="ResNet-18",
    family="Residual network",
    summary="ResNet-18 with a 3x3 stem for small pictures and {share} of the published width.",
    paper="He et al. 2016, Deep residual learning for image recognition",
    paper_url="https://arxiv.org/abs/1512.03385",
    published={64: 0.9567},
    imagenet="resnet18",
    published_width=64,
    tunable={"width": ("int", 12, 32), "dropout": ("float", 0.0, 0.5)},
)
def resnet18(classes: int, size: int, width: int = 24, dropout: float = 0.0) -> ImageClassifier:
    """Eight basic blocks of widths w, 2w, 4w, 8w (published: w = 64) behind a 3x3 stem, without max pooling.

    The stem has stride 1 up to 32 px, else 2.
    """
    body: list[nn.Module] = [conv_norm(3, width, 3, 1 if size <= 32 else 2), nn.ReLU()]
    channels = width
    for stage in range(4):
        outputs = width * 2**stage
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            shortcut = conv_norm(channels, outputs, 1, stride) if stride != 1 or channels != outputs else None
            body.append(BasicBlock(channels, outputs, stride, shortcut))
            channels = outputs
    network = ImageClassifier(nn.Sequential(*body), pooled_head(channels, classes, dropout))
    for module in network.modules():
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
    return network
