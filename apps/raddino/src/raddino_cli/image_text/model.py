"""An image encoder and a small text encoder that meet in one space, and the loss that brings pairs together."""

from __future__ import annotations

import math

import ssl_core
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raddino_cli.image_text.reports import PADDING

_HOTTEST = math.log(100)  # of 1 / temperature, as CLIP's


class TextEncoder(nn.Module):
    """Numbers (B, T) of words to the mean (B, width) of their tokens after a transformer."""

    def __init__(self, vocabulary: int, width: int, layers: int, length: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=PADDING)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(
            width, max(width // 64, 1), 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Padding is neither looked at nor counted; a report without a word is its first, empty place."""
        empty = numbers == PADDING
        empty[:, 0] = False
        x = self.layers(self.words(numbers) + self.places[: numbers.shape[1]], src_key_padding_mask=empty)
        kept = (~empty).unsqueeze(2)
        mean: Tensor = (x * kept).sum(1) / kept.sum(1)
        return mean


class ImageText(nn.Module):
    """Both encoders, a projection for each, and a temperature that is learned."""

    def __init__(
        self, image: ssl_core.VisionTransformer, text: TextEncoder, width: int, shared: int, temperature: float
    ) -> None:
        super().__init__()
        self.image, self.text = image, text
        self.image_projection = nn.Linear(image.embed_dim, shared, bias=False)
        self.text_projection = nn.Linear(width, shared, bias=False)
        self.scale = nn.Parameter(torch.tensor(-math.log(temperature)))

    def forward(self, views: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of V views each of B images, view-major, against the B reports (B, T)."""
        seen = F.normalize(self.image_projection(self.image(views).cls).float(), dim=1)
        said = F.normalize(self.text_projection(self.text(numbers)).float(), dim=1)
        own = torch.arange(len(said), device=said.device)
        logits = [part @ said.T * self.scale.clamp(max=_HOTTEST).exp() for part in seen.chunk(len(seen) // len(said))]
        loss = torch.stack([symmetric_loss(each) for each in logits]).mean()
        right = torch.stack([(each.argmax(1) == own).float().mean() for each in logits]).mean()
        return loss, right


def symmetric_loss(logits: Tensor) -> Tensor:
    """InfoNCE of likenesses (B, B) whose pairs are on the diagonal, from images to texts and back, averaged."""
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
