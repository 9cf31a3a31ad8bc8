"""DenseNet for small pictures (Huang et al. 2017, arXiv:1608.06993)."""

from torch import nn
from torchvision.models import DenseNet

from core.models.base import ImageClassifier, pooled_head
from core.models.registry import register


@register(
    "densenet",
    title="DenseNet",
    family="Dense network",
    summary="Three dense blocks, each of {layers} bottlenecks, growth {width}, for small pictures.",
    paper="Huang et al. 2017, Densely connected convolutional networks",
    paper_url="https://arxiv.org/abs/1608.06993",
    learning_rate=0.2,
    tunable={"width": ("int", 6, 16), "layers": ("int", 3, 8), "dropout": ("float", 0.0, 0.3)},
)
def densenet(classes: int, size: int, width: int = 12, layers: int = 6, dropout: float = 0.0) -> ImageClassifier:
    """Three blocks of ``layers`` bottlenecks with growth ``width`` (published: 32, up to 24 layers a block).

    torchvision's network behind a 3x3 stem (stride 1 up to 32 px, else 2) without max pooling.
    """
    published = DenseNet(width, (layers,) * 3, 2 * width, drop_rate=dropout, num_classes=classes)
    features = published.features
    features.conv0 = nn.Conv2d(3, 2 * width, 3, 1 if size <= 32 else 2, 1, bias=False)
    features.pool0 = nn.Identity()
    return ImageClassifier(nn.Sequential(features, nn.ReLU()), pooled_head(published.classifier.in_features, classes))
