"""Volumes go through everything that images do: patches, positions, masks, views, training and its resuming."""

import math
import re
from pathlib import Path

import pytest
import ssl_core
import torch
from safetensors.torch import load_file
from ssl_core._crops import _boxes, _draw_places
from ssl_core._distort import blur
from ssl_core._resample import Boxes, bicubic, bilinear

TINY = [
    "model.embed_dim=24",
    "model.depth=2",
    "model.num_heads=2",
    "model.patch_size=[2,4,4]",
    "head.prototypes=32",
    "head.hidden=32",
    "head.bottleneck=16",
    "crops.global_size=[8,16,16]",
    "crops.local_size=[6,8,8]",
    "crops.local_count=2",
    "train.precision=float32",
    "train.batch_size=4",
    "train.steps=4",
    "train.log_every=1",
    "train.checkpoint_every=2",
]


def config(*more: str) -> ssl_core.Config:
    return ssl_core.load_config("volume-3d", [*TINY, *more])


def volumes(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(count, 1, 12, 24, 20, generator=generator) * 65535).to(torch.uint16)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vit(**more: object) -> ssl_core.VisionTransformer:
    shape = {"embed_dim": 24, "depth": 1, "num_heads": 2, "patch_size": (2, 4, 3), "image_size": (8, 16, 12)}
    return ssl_core.VisionTransformer(ssl_core.ViTConfig(**{**shape, **more}))


@pytest.mark.parametrize("patch", [(2, 4, 3), (1, 1, 5), (4, 4, 4)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_patch_embedding_of_volumes_is_a_convolution(patch: tuple[int, int, int], channels: int) -> None:
    embed = ssl_core.PatchEmbed(channels, 7, patch)
    x = torch.randn(2, channels, *(3 * p for p in patch))
    assert isinstance(embed.proj, torch.nn.Conv3d)
    assert torch.allclose(embed(x), embed.proj(x).flatten(2).transpose(1, 2), atol=1e-5)


def test_positions_of_volumes_are_interpolated_along_each_axis() -> None:
    places = torch.stack(torch.meshgrid(*(torch.linspace(0, 1, n) for n in (4, 4, 6)), indexing="ij"), dim=-1)
    table = torch.cat((torch.zeros(1, 1, 3), places.reshape(1, -1, 3)), dim=1)
    assert ssl_core.interpolate_pos_embed(table, (4, 4, 6), learned=(4, 4, 6)) is table
    finer = ssl_core.interpolate_pos_embed(table, (8, 4, 6), learned=(4, 4, 6))[0, 1:].reshape(8, 4, 6, 3)
    assert torch.allclose(finer[..., 1:], places[:1, ..., 1:].expand(8, -1, -1, -1), atol=1e-6)
    steps = finer[1:, 0, 0, 0] - finer[:-1, 0, 0, 0]
    assert torch.allclose(steps[1:-1], torch.full((5,), 1 / 6), atol=1e-6)


def test_sines_and_cosines_tell_every_place_of_a_volume_apart() -> None:
    table = vit(sincos=1.0).pos_embed[0, 1:].detach()
    assert len(table.unique(dim=0)) == len(table) == 4 * 4 * 4


def test_volumes_become_tokens_at_any_size_that_the_patch_divides() -> None:
    model = vit(registers=2)
    for grid in ((4, 4, 4), (1, 2, 3)):
        size = [n * p for n, p in zip(grid, (2, 4, 3), strict=True)]
        out = model(torch.randn(2, 1, *size), torch.rand(2, math.prod(grid)) < 0.5)
        assert out.patches.shape == (2, math.prod(grid), 24)
    for shape, message in (((2, 1, 8, 16), r"\(B, 1, D, H, W\)"), ((2, 1, 9, 16, 12), "multiple of patch_size")):
        with pytest.raises(ssl_core.SslError, match=message):
            model(torch.zeros(shape))
    with pytest.raises(ssl_core.SslError, match="expected masks"):
        model(torch.randn(2, 1, 8, 16, 12), torch.zeros(2, 63, dtype=torch.bool))


def test_boxes_keep_the_proportions_of_the_view_so_voxels_keep_theirs() -> None:
    image = torch.zeros(1, 40, 200, 220)
    places = _draw_places(2000, (0.03, 0.1), 3, config().crops, generator())
    boxes = _boxes([image], (16, 64, 64), *places)
    share = boxes.sides.prod(dim=1) / (40 * 200 * 220)
    assert 0.03 <= float(share.min()) < float(share.max()) <= 0.1001
    zoom = boxes.sides / torch.tensor([16, 64, 64])
    assert (zoom[:, 0] / zoom[:, 1]).log().mean() == pytest.approx(0, abs=0.02)
    assert (zoom[:, 2] / zoom[:, 1]).log().mean() == pytest.approx(0, abs=0.02)
    assert (boxes.centre - boxes.sides / 2).min() >= -1e-3
    assert (boxes.centre + boxes.sides / 2 - torch.tensor(image.shape[1:])).max() <= 1e-3
    for axis in range(3):
        assert float(boxes.flip[:, axis].float().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("how", [bicubic, bilinear])
@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_views_of_a_ramp_lie_where_the_box_lies(how, angle: float) -> None:
    ramp = torch.stack(torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in (20, 40, 60)), indexing="ij"))
    box = Boxes(
        torch.tensor([[12.0, 20.0, 28.0]]),
        torch.tensor([[10.0, 18.0, 32.0]]),
        torch.tensor([[True, False, True]]),
        torch.tensor([angle]),
    )
    out = torch.empty(1, 3, 6, 10, 14)
    how([ramp], box, out)
    z, y, x = torch.meshgrid(*((torch.arange(n) * 2 + 1) / n - 1 for n in out.shape[2:]), indexing="ij")
    across, down = (
        -14 * x * math.cos(angle) - 10 * y * math.sin(angle),
        -14 * x * math.sin(angle) + 10 * y * math.cos(angle),
    )
    want = torch.stack(((10 - 6 * z) / 20, (18 + down) / 40, (32 + across) / 60))
    assert (out[0] - want)[:, 1:-1, 1:-1, 1:-1].abs().max() <= 0.01


def test_slices_finer_than_a_views_voxels_leave_no_pattern() -> None:
    stripes = (torch.arange(99) % 3 == 0).float()[None, :, None, None].expand(1, 99, 16, 16)
    box = Boxes(torch.tensor([[99.0, 16, 16]]), torch.tensor([[49.5, 8, 8]]), torch.zeros(1, 3).bool(), torch.zeros(1))
    out = torch.empty(1, 1, 8, 8, 8)
    bicubic([stripes], box, out)
    assert (out - 1 / 3).abs().max() < 0.05


def test_blur_spreads_a_point_alike_along_the_three_axes() -> None:
    x = torch.zeros(1, 1, 17, 17, 17)
    x[0, 0, 8, 8, 8] = 1
    out = blur(x, torch.tensor([1.5]))[0, 0]
    assert float(out.sum()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(out, out.permute(1, 2, 0), atol=1e-7)
    assert torch.allclose(out, out.permute(2, 1, 0), atol=1e-7)


def test_views_of_volumes_are_in_range_and_follow_the_seed() -> None:
    images = [ssl_core.to_unit(v) for v in volumes(3)] + [torch.full((1, 3, 9, 5), 0.4)]
    crops = ssl_core.load_config("volume-3d", [*TINY, "crops.mean=0.0", "crops.std=1.0"]).crops
    first, again = (ssl_core.make_crops(images, crops, generator()) for _ in range(2))
    assert first[0].shape == (8, 1, 8, 16, 16)
    assert first[1].shape == (8, 1, 6, 8, 8)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert 0 <= float(a.min()) <= float(a.max()) <= 1


def test_training_on_volumes_resumes_exactly_and_its_encoder_comes_back(tmp_path: Path) -> None:
    ssl_core.Trainer(config(), volumes(), tmp_path / "whole", device="cpu").fit()
    first = ssl_core.Trainer(config(), volumes(), tmp_path / "parts", device="cpu")
    for _ in range(2):
        first.train_step()
    first.save()
    ssl_core.Trainer(config(), volumes(), tmp_path / "parts", device="cpu").fit()
    whole, parts = (load_file(tmp_path / name / "encoder" / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

    encoder, preprocessing = ssl_core.load_encoder(tmp_path / "whole")
    assert preprocessing["crop_size"] == {"depth": 8, "height": 16, "width": 16}
    x = torch.randn(2, 1, 8, 16, 16)
    trained = ssl_core.Trainer(config(), volumes(), tmp_path / "whole", device="cpu").model.teacher.backbone
    with torch.no_grad():
        assert torch.equal(encoder(x).cls, trained(x).cls)
    random, _ = ssl_core.load_encoder(tmp_path / "whole", random_seed=1)
    assert not torch.equal(random.pos_embed, encoder.pos_embed)
    path = tmp_path / "whole" / "encoder" / "config.json"
    path.write_text(path.read_text().replace('"registers"', '"regsters"'))
    with pytest.raises(ssl_core.SslError, match=r"config\.json: expected the fields .*'registers'"):
        ssl_core.load_encoder(tmp_path / "whole")


def test_volumes_start_whitened_too(tmp_path: Path) -> None:
    model = ssl_core.Trainer(config("model.whitening=0.3"), volumes(), tmp_path, device="cpu").model
    assert not torch.equal(
        model.student.backbone.patch_embed.proj.weight,
        ssl_core.build(config()).student.backbone.patch_embed.proj.weight,
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crops.global_size=[9,16,16]", "expected crops.global_size to be a multiple of patch_size = (2, 4, 4)"),
        ("crops.local_size=[8,16]", "crops.local_size: expected a list of 3 numbers"),
        ("model.patch_size=[0,4,4]", "to be a multiple of patch_size = (0, 4, 4)"),
        ("model.patch_size=4", "expected crops.global_size to be a multiple of patch_size = 4, got (8, 16, 16)"),
    ],
)
def test_sizes_that_do_not_fit_a_volume_are_refused(override: str, message: str) -> None:
    with pytest.raises(ssl_core.SslError, match=re.escape(message)):
        config(override)


def test_pictures_are_no_volumes(tmp_path: Path) -> None:
    with pytest.raises(ssl_core.SslError, match=r"image 0: expected \(C=1, D, H, W\), got \(1, 24, 20\)"):
        ssl_core.Trainer(config(), torch.zeros(4, 1, 24, 20), tmp_path, device="cpu")
