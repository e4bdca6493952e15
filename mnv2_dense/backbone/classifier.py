"""The ImageNet classifier on a backbone."""

from torch import Tensor, nn

from mnv2_dense.backbone.backbone import Backbone


class Classifier(nn.Module):
    """The last tap of a backbone averaged over the map, dropout, and a linear layer.

    Args:
        backbone: Returns the map that is classified as its last tap.
        num_classes: Length of the logits.
        dropout: Share of pooled features dropped in training.
    """

    backbone: Backbone

    def __init__(self, backbone: Backbone, num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(backbone.specs[-1].channels, num_classes)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, num_classes] of images [B, 3, H, W] (normalised RGB)."""
        pooled = self.backbone(images)[self.backbone.specs[-1].name].mean(dim=(2, 3))
        return self.classifier(self.dropout(pooled))
