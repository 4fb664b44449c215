"""Image towers: any timm model as an encoder of images of any number of bands.

timm is imported where a tower is built: with torchvision it takes as long to load as torch, in every process.
"""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sdm_ray.errors import InputError
from sdm_ray.models.config import HUB, TowerConfig

_GROUPS = 8


class ImageTower(nn.Module):
    """A timm model behind the normalisation of its images.

    With `chunk`, images are processed in chunks whose activations are not kept: the gradients of the embeddings are
    found first, and each chunk is recomputed for its own. So memory does not bound the batch of a contrastive loss, as
    in GradCache (Gao et al. 2021).

    Raises:
        InputError: there is no such model, or its weights are missing or do not fit.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = _backbone(config)
        self.project = nn.Linear(self.backbone.num_features, config.dim)
        self.register_buffer("mean", torch.tensor(config.mean).expand(config.bands).reshape(-1, 1, 1).clone())
        self.register_buffer("std", torch.tensor(config.std).expand(config.bands).reshape(-1, 1, 1).clone())

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, bands, height, width), bytes or reflectance, to embeddings (N, dim); N may be 0."""
        if len(images) == 0:
            # Some models cannot reshape nothing. All parameters take part, as data parallel training demands.
            return self.forward(images.new_zeros(1, *images.shape[1:]))[:0]
        chunk = self.config.chunk
        if chunk is None or not torch.is_grad_enabled():
            return self._embed(images)
        return torch.cat([checkpoint(self._embed, part, use_reentrant=False) for part in images.split(chunk)])

    def _embed(self, images: Tensor) -> Tensor:
        images = images.contiguous()  # of photos the channels come last, which group norms are a tenth slower with
        values = (images.float() - self.mean) / self.std
        if self.config.nodata_zero:
            values = values * (images != 0).any(dim=1, keepdim=True)
        return self.project(self.backbone(values))

    def train(self, mode: bool = True) -> "ImageTower":
        """As for any module, but frozen parts stay in evaluation mode."""
        super().train(mode)
        if self.config.trained_blocks == 0:
            self.backbone.eval()
        if self.config.norm == "frozen":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def _backbone(config: TowerConfig) -> Any:  # noqa: ANN401 - any timm model
    import timm

    options: dict[str, Any] = {} if config.size is None else {"img_size": config.size}
    try:
        model = timm.create_model(
            config.name, pretrained=config.weights == HUB, in_chans=config.bands, num_classes=0, **options
        )
    except (RuntimeError, TypeError, OSError, ValueError) as error:
        fault = "its weights cannot be had from the hub" if config.weights == HUB else "timm cannot build it"
        raise InputError(f"tower {config.name}: {fault} ({_line(error)})") from None
    if config.weights not in (None, HUB):
        _load_weights(model, config)
    if config.norm == "group":
        _to_group_norm(model)
    if config.recompute:
        model.set_grad_checkpointing(True)  # type: ignore[operator]
    if config.trained_blocks is not None:
        _freeze(model, config.trained_blocks)
    return model


def _load_weights(model: Any, config: TowerConfig) -> None:  # noqa: ANN401 - any timm model
    from timm.models import adapt_input_conv, load_state_dict

    assert config.weights is not None
    if not Path(config.weights).is_file():
        raise InputError(f"tower {config.name}: no weights at {config.weights}")
    own = model.state_dict()
    try:
        found = load_state_dict(config.weights)  # runs no code from the file
        first = f"{model.pretrained_cfg['first_conv']}.weight"
        if first in found and first in own and found[first].shape[1] != own[first].shape[1]:
            found[first] = adapt_input_conv(config.bands, found[first])
        missing = model.load_state_dict(found, strict=False).missing_keys  # a classifier in the file is not used
    except (SafetensorError, RuntimeError, UnpicklingError, NotImplementedError) as error:
        raise InputError(f"tower {config.name}: weights of {config.weights} do not fit ({_line(error)})") from None
    if missing:
        raise InputError(
            f"tower {config.name}: {config.weights} lacks {len(missing)} of its weights, first {missing[0]}; "
            f"expected weights of timm's {config.name}"
        )


def _line(error: Exception) -> str:
    """The text of an error, in one line of bounded length."""
    return " ".join(str(error).split())[:300]


def _freeze(model: Any, trained_blocks: int) -> None:  # noqa: ANN401 - any timm model
    """Train the last blocks only, as timm counts them: the stem is the first, final norms the last."""
    from timm.models import group_parameters

    groups = group_parameters(model, model.group_matcher(coarse=True))
    kept = {name for number in sorted(groups)[len(groups) - trained_blocks :] for name in groups[number]}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in kept)


def _to_group_norm(module: nn.Module) -> None:
    """Replace batch norms, whose statistics depend on how a batch is split over ranks."""
    from timm.layers.norm_act import BatchNormAct2d

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
