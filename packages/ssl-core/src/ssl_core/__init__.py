"""DINO + iBOT self-supervised training for images of any modality.

`load_config` gives a recipe, `Trainer` trains an encoder without labels, `load_encoder` brings it back.
"""

from importlib.metadata import version as _version

from ssl_core._attention import BACKENDS, attention, force_attention
from ssl_core._backbone import Backbone, mask_pixels
from ssl_core._batches import Batch, Images, make_batch, preview
from ssl_core._build import build
from ssl_core._config import (
    Config,
    CropConfig,
    HeadConfig,
    HighResConfig,
    InitConfig,
    LoraConfig,
    LossConfig,
    MaskConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
)
from ssl_core._crops import make_crops
from ssl_core._cross_entropy import prototype_cross_entropy
from ssl_core._distributed import process_group, rank, world_size
from ssl_core._errors import SslError
from ssl_core._flops import encoder_flops, step_flops
from ssl_core._gram import gram_loss
from ssl_core._head import DINOHead, Prototypes
from ssl_core._hf import load_encoder, save_encoder
from ssl_core._images import to_unit
from ssl_core._knn import Labels, knn_accuracy
from ssl_core._lora import LoRALinear, add_adapters, merge_adapters
from ssl_core._losses import koleo
from ssl_core._masking import block_mask, crop_masks
from ssl_core._monitor import advice, collapse_signs, lidar, rankme
from ssl_core._names import from_dinov2, from_timm, from_transformers, to_dinov2, to_transformers
from ssl_core._objective import Network, SelfDistillation
from ssl_core._param_groups import Multipliers, multipliers, param_groups
from ssl_core._pos_embed import interpolate_pos_embed
from ssl_core._recipes import load_config, presets, recipes
from ssl_core._schedules import cosine_schedule, warmup_schedule
from ssl_core._source import Source, read_head, read_source
from ssl_core._start import Start, start_from, start_overrides
from ssl_core._step_memory import parameter_counts, step_memory
from ssl_core._targets import Centre, Logits, Targets, sinkhorn_bias
from ssl_core._trainer import Trainer, check_shares
from ssl_core._vit import Features, PatchEmbed, VisionTransformer, ViTConfig
from ssl_core._vit_sizes import SIZES, vit
from ssl_core._whitening import whiten_patch_embed

__version__ = _version("ssl-core")

__all__ = [
    "BACKENDS",
    "SIZES",
    "Backbone",
    "Batch",
    "Centre",
    "Config",
    "CropConfig",
    "DINOHead",
    "Features",
    "HeadConfig",
    "HighResConfig",
    "Images",
    "InitConfig",
    "Labels",
    "LoRALinear",
    "Logits",
    "LoraConfig",
    "LossConfig",
    "MaskConfig",
    "ModelConfig",
    "Multipliers",
    "Network",
    "OptimConfig",
    "PatchEmbed",
    "Prototypes",
    "SelfDistillation",
    "Source",
    "SslError",
    "Start",
    "Targets",
    "TrainConfig",
    "Trainer",
    "ViTConfig",
    "VisionTransformer",
    "add_adapters",
    "advice",
    "attention",
    "block_mask",
    "build",
    "check_shares",
    "collapse_signs",
    "cosine_schedule",
    "crop_masks",
    "encoder_flops",
    "force_attention",
    "from_dinov2",
    "from_timm",
    "from_transformers",
    "gram_loss",
    "interpolate_pos_embed",
    "knn_accuracy",
    "koleo",
    "lidar",
    "load_config",
    "load_encoder",
    "make_batch",
    "make_crops",
    "mask_pixels",
    "merge_adapters",
    "multipliers",
    "param_groups",
    "parameter_counts",
    "presets",
    "preview",
    "process_group",
    "prototype_cross_entropy",
    "rank",
    "rankme",
    "read_head",
    "read_source",
    "recipes",
    "save_encoder",
    "sinkhorn_bias",
    "start_from",
    "start_overrides",
    "step_flops",
    "step_memory",
    "to_dinov2",
    "to_transformers",
    "to_unit",
    "vit",
    "warmup_schedule",
    "whiten_patch_embed",
    "world_size",
]
