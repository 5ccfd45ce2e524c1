"""Preprocessing of published encoders, each with its source, for files that don't bring their own."""

from __future__ import annotations

from raddino_encoders._preprocess import Preprocessing

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
RAD_DINO_MEAN = 0.5307

PUBLISHED: dict[str, Preprocessing] = {
    "rad-dino": Preprocessing(
        518, (RAD_DINO_MEAN,) * 3, (0.2583,) * 3, 518, spline=True, source="model card of microsoft/rad-dino"
    ),
    "dinov2": Preprocessing(224, *_IMAGENET, 256, source="preprocessor_config.json of facebook/dinov2-base"),
    "dinov2_with_registers": Preprocessing(
        224, *_IMAGENET, 256, source="preprocessor_config.json of facebook/dinov2-with-registers-base"
    ),
    "dinov3_vit": Preprocessing(
        224, *_IMAGENET, resample="bilinear", fit="stretch", source="transformers' DINOv3ViTImageProcessor"
    ),
    "clip": Preprocessing(224, *_CLIP, 224, source="preprocessor_config.json of openai/clip-vit-large-patch14"),
    "siglip": Preprocessing(
        224, (0.5,) * 3, (0.5,) * 3, fit="stretch", source="preprocessor_config.json of google/siglip-base-patch16-224"
    ),
    "open_clip": Preprocessing(224, *_CLIP, 224, source="open_clip_config.json of BiomedCLIP"),
    "biovil-t": Preprocessing(
        448, (0.0,) * 3, (1.0,) * 3, 512, resample="bilinear",
        source="hi-ml-multimodal: create_chest_xray_transform_for_inference(512, 448), no normalisation",
    ),
    "mrm": Preprocessing(
        224, (0.4978,) * 3, (0.2449,) * 3, 224, resample="bilinear",
        source="MRM-pytorch, NIH_ChestX-ray/utils/data_utils.py; in pre-training the encoder saw 448 halved to 224",
    ),
    # torchxrayvision's normalize gives -1024 to 1024: (x - 0.5) / (1 / 2048).
    "xrv": Preprocessing(
        224, (0.5,), (1 / 2048,), resample="bilinear",
        source="torchxrayvision: XRayCenterCrop, XRayResizer(224), normalize",
    ),
    "lite0": Preprocessing(
        224, (127 / 255,) * 3, (128 / 255,) * 3, 256, source="EfficientNet-lite's reference: (x - 127) / 128"
    ),
}  # fmt: skip

IDS = (
    "microsoft/rad-dino",
    "microsoft/rad-dino-maira-2",
    "facebook/dinov2-base",
    "facebook/dinov2-large",
    "facebook/dinov2-giant",
    "facebook/dinov2-with-registers-base",
    "facebook/dinov3-vitb16-pretrain-lvd1689m",
    "openai/clip-vit-large-patch14",
    "openai/clip-vit-large-patch14-336",
    "google/siglip-base-patch16-224",
    "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
)
"""Ids that people look for; they tell a near name of what was mistyped."""
