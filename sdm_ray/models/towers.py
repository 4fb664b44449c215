"""Image towers: any timm model as an encoder of images of any number of bands."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.layers.norm_act import BatchNormAct2d
from timm.models import clean_state_dict
from torch import Tensor, nn

from sdm_ray.errors import InputError
from sdm_ray.models.config import TowerConfig

_GROUPS = 8


class ImageTower(nn.Module):
    """A timm model behind the normalisation of its images.

    Raises:
        InputError: there is no such model, or its weights' file is missing or does not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _backbone(config)
        self.project = nn.Linear(self.backbone.num_features, config.dim)  # type: ignore[arg-type]
        self.register_buffer("mean", torch.tensor(config.mean).expand(config.bands).reshape(-1, 1, 1).clone())
        self.register_buffer("std", torch.tensor(config.std).expand(config.bands).reshape(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, bands, height, width), bytes or reflectance, to embeddings (N, dim); N may be 0."""
        if len(images) == 0:
            # Some models cannot reshape nothing. All parameters take part, as data parallel training demands.
            return self.forward(images.new_zeros(1, *images.shape[1:]))[:0]
        values = (images.float() - self.mean) / self.std
        if self.config.nodata_zero:
            values = values * (images != 0).any(dim=1, keepdim=True)
        return self.project(self.backbone(values))

    def train(self, mode: bool = True) -> "ImageTower":
        """As for any module, but frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if self.config.norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def _backbone(config: TowerConfig) -> nn.Module:
    options: dict[str, Any] = {} if config.size is None else {"img_size": config.size}
    try:
        model = timm.create_model(config.name, pretrained=False, in_chans=config.bands, num_classes=0, **options)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"tower {config.name}: timm cannot build it ({error})") from None
    if config.weights:
        _load_weights(model, config)
    if config.norm == "group":
        _to_group_norm(model)
    return model


def _load_weights(model: nn.Module, config: TowerConfig) -> None:
    assert config.weights is not None
    if not Path(config.weights).is_file():
        raise InputError(f"tower {config.name}: no weights at {config.weights}")
    try:
        found = clean_state_dict(load_file(config.weights))
        missing = model.load_state_dict(found, strict=False).missing_keys  # a classifier in the file is not used
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"tower {config.name}: weights of {config.weights} do not fit ({error})") from None
    if missing:
        raise InputError(
            f"tower {config.name}: {config.weights} lacks {len(missing)} of its weights, first {missing[0]}; "
            f"expected weights of timm's {config.name}"
        )


def _to_group_norm(module: nn.Module) -> None:
    """Replace batch norms, whose statistics depend on how a batch was cut over workers."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            channels = child.num_features
            groups = next(g for g in (_GROUPS, 4, 2, 1) if channels % g == 0)
            norm: nn.Module = nn.GroupNorm(groups, channels, eps=child.eps)
            if child.affine:  # trained scales, and the zeros that residual branches may start from
                norm.load_state_dict({"weight": child.weight, "bias": child.bias})
            if isinstance(child, BatchNormAct2d):
                norm = nn.Sequential(norm, child.drop, child.act)
            setattr(module, name, norm)
        else:
            _to_group_norm(child)
