"""Views: what is drawn, how it is resampled, and that it is what torchvision makes of the same draws."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import ssl_core
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from ssl_core import _resample
from ssl_core._crops import _boxes, _draw_places
from ssl_core._distort import Looks, blur, distort, draw_looks
from ssl_core._resample import Boxes, bicubic, bilinear
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(preset: str = "dinov2", **changes: object) -> ssl_core.CropConfig:
    sizes = {"global_size": 32, "local_size": 16, "local_count": 3, "mean": 0.0, "std": 1.0}
    overrides = [f"crops.preset={preset}"]
    overrides += [f"crops.{key}={str(value).lower()}" for key, value in {**sizes, **changes}.items()]
    return ssl_core.load_config("cpu-tiny", [*overrides, "model.patch_size=4", "crops.encode_size=32"]).crops


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=generator(seed))


def resampled(how: Callable, image: torch.Tensor, box: Boxes, size: tuple[int, ...]) -> torch.Tensor:
    out = torch.empty(1, image.shape[0], *size)
    how([image], box, out)
    return out


def one_box(image: torch.Tensor, angle: float = 0.0, flip: bool = False, share: float = 1.0) -> Boxes:
    shape = torch.tensor([image.shape[1:]], dtype=torch.float32)
    flips = torch.zeros(shape.shape, dtype=torch.bool)
    flips[:, -1] = flip
    return Boxes(shape * share, shape / 2, flips, torch.tensor([angle]))


def test_presets_hold_the_published_augmentation_the_one_that_was_run_and_ours() -> None:
    assert ssl_core.presets() == ["dinov2", "dinov2-as-run", "radiograph"]
    published, run, ours = (small(name) for name in ssl_core.presets())
    assert published.blur == (1.0, 0.1, 0.5)
    assert run.blur == (0.0, 0.9, 0.5)
    for config in (published, run):
        assert (config.flip, config.jitter, config.brightness, config.contrast) == (0.5, 0.8, 0.4, 0.4)
        assert (config.jitter_order, config.solarise, config.resampling) == ("random", 0.2, "bicubic")
        assert (config.global_scale, config.local_scale) == ((0.32, 1.0), (0.05, 0.32))
    assert ours.global_scale[0] > published.global_scale[0]
    assert max(ours.blur[:2]) <= 0.1


def test_a_configuration_without_a_preset_is_the_one_for_radiographs() -> None:
    assert ssl_core.load_config("cpu-tiny", ["crops.preset=radiograph"]).crops.blur == ssl_core.CropConfig().blur
    names = {name for name in vars(ssl_core.CropConfig()) if not name.startswith(("global_size", "local_size"))}
    ours, given = vars(small("radiograph")), vars(ssl_core.CropConfig())
    assert {n for n in names if ours[n] != given[n]} <= {"local_count", "mean", "std", "encode_size"}


def test_what_comes_after_a_preset_changes_it(tmp_path) -> None:
    crops = ssl_core.load_config("cpu-tiny", ["crops.flip=0.25", "crops.preset=dinov2", "crops.solarise=0.1"]).crops
    assert (crops.flip, crops.solarise, crops.brightness) == (0.5, 0.1, 0.4)
    path = tmp_path / "own.toml"
    path.write_text('[crops]\nglobal_size = 28\nlocal_size = 14\nflip = 0.25\npreset = "dinov2"\n')
    crops = ssl_core.load_config(path).crops
    assert (crops.flip, crops.solarise, crops.global_size) == (0.25, 0.2, 28)
    with pytest.raises(ssl_core.SslError, match=r"crops\.preset: expected one of \['dinov2', 'dinov2-as-run'"):
        ssl_core.load_config("cpu-tiny", ["crops.preset=dinov3"])


@pytest.mark.parametrize("preset", ["dinov2", "dinov2-as-run"])
def test_views_equal_torchvisions_operations_on_the_same_draws(preset: str) -> None:
    config, shapes = small(preset), [(40, 50), (61, 30), (33, 33)]
    images = [noise(1, *shape, seed=i) for i, shape in enumerate(shapes)]
    crops, local = ssl_core.make_crops(images, config, generator(1))
    got = (*crops.split(3), local)
    chance = generator(1)
    solarised = blurred = 0
    for group, views in enumerate(got):
        size, scale = (32, config.global_scale) if group < 2 else (16, config.local_scale)
        places = _draw_places(len(views), scale, 2, config, chance)
        looks = draw_looks(len(views), config.blur[group], 0.2 if group == 1 else 0.0, config, chance)
        boxes = _boxes(images, (size, size), *places)
        for i, view in enumerate(views):
            image = images[i % 3]
            height, width = (min(round(float(s)), n) for s, n in zip(boxes.sides[i], image.shape[1:], strict=True))
            top, left = (
                min(max(round(float(c) - s / 2), 0), n - s)
                for c, s, n in zip(boxes.centre[i], (height, width), image.shape[1:], strict=True)
            )
            x = tv.resized_crop(image, top, left, height, width, [size, size], InterpolationMode.BICUBIC).clamp(0, 1)
            x = tv.horizontal_flip(x) if boxes.flip[i, 1] else x
            steps = [(tv.adjust_brightness, looks.brightness), (tv.adjust_contrast, looks.contrast)]
            for change, factor in reversed(steps) if looks.contrast_first[i] else steps:
                x = change(x, float(factor[i]))
            if looks.sigma[i]:
                x = tv.gaussian_blur(x, [9, 9], [float(looks.sigma[i])] * 2)
                blurred += 1
            if looks.solarised[i]:
                x = tv.solarize(x, 128 / 255)
                solarised += 1
            assert (view - x).abs().max() <= 2e-6, (group, i)
    assert blurred >= 3
    assert solarised <= 3


@pytest.mark.parametrize("rotation", [0, 7, 90])
@pytest.mark.parametrize("held", [1, 1 << 26])
@pytest.mark.parametrize(
    ("shapes", "size"),
    [
        ([(40, 50), (61, 30), (33, 33)], (32, 20)),
        ([(12, 30, 31), (20, 40, 20)], (8, 16, 12)),
        ([(1, 9), (40, 3), (5, 1)], (18, 7)),
    ],
)
def test_a_gpus_products_make_the_views_that_torchs_filter_makes(
    rotation: float, held: int, shapes: list[tuple[int, ...]], size: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_resample, "_HELD", held)
    images = [noise(2, *shape, seed=i) for i, shape in enumerate(shapes)]
    places = _draw_places(3 * len(images), (0.1, 1.0), len(size), small(rotation=rotation, flip=0.5), generator())
    boxes = _boxes(images, size, *places)
    turned = rotation > 0
    windows = _resample._windows(images, boxes, size, turned)
    made = []
    for way in (_resample._one_by_one, _resample._by_products):
        made.append(torch.full((3 * len(images), 2, *size), torch.nan))
        way(images, boxes, windows, turned, made[-1])
    assert (made[0] - made[1]).abs().max() <= 2e-5


def test_one_column_is_resized_as_pillow_does() -> None:
    image = noise(1, 14, 3)
    want = Image.fromarray(image[0].numpy()).resize((1, 18), Image.Resampling.BICUBIC)
    got = resampled(bicubic, image, one_box(image), (18, 1))
    assert (got[0, 0] - torch.from_numpy(np.array(want)).clamp(0, 1)).abs().max() <= 1e-5


@pytest.mark.parametrize("contrast_first", [False, True])
def test_brightness_contrast_and_solarisation_equal_torchvisions(contrast_first: bool) -> None:
    x, ones = noise(1, 1, 24, 24), torch.ones(1)
    looks = Looks(1.4 * ones, 1.3 * ones, ones, 0 * ones, torch.tensor([contrast_first]), torch.tensor([True]))
    steps = [(tv.adjust_brightness, 1.4), (tv.adjust_contrast, 1.3)]
    want = x
    for change, factor in reversed(steps) if contrast_first else steps:
        want = change(want, factor)
    got = x.clone()
    distort(got, looks, small("dinov2"))
    assert (got - tv.solarize(want, 128 / 255)).abs().max() <= 1e-6
    assert (got - want).abs().max() > 0.5


@settings(deadline=None, max_examples=25)
@given(st.floats(0.1, 2.0), st.integers(9, 40), st.integers(9, 40), st.integers(1, 3))
def test_blur_equals_torchvisions(sigma: float, height: int, width: int, channels: int) -> None:
    x = noise(2, channels, height, width)
    want = tv.gaussian_blur(x, [9, 9], [sigma, sigma])
    assert (blur(x, torch.full((2,), sigma)) - want).abs().max() <= 1e-6


def test_each_kind_of_look_is_drawn_as_often_as_it_says() -> None:
    n, config = 4000, small("dinov2")
    looks = draw_looks(n, 0.3, 0.2, config, generator())

    def share(chosen: torch.Tensor) -> float:
        return float(chosen.float().mean())

    bound = 4 * 0.5 / math.sqrt(n)
    assert share(looks.brightness != 1) == pytest.approx(0.8, abs=bound)
    assert torch.equal(looks.brightness != 1, looks.contrast != 1)
    assert share(looks.contrast_first) == pytest.approx(0.5, abs=bound)
    assert share(looks.solarised) == pytest.approx(0.2, abs=bound)
    assert share(looks.sigma > 0) == pytest.approx(0.3, abs=bound)
    assert float(looks.brightness.min()) >= 0.6
    assert float(looks.brightness.max()) <= 1.4


def test_boxes_have_the_share_and_the_aspect_that_were_drawn_whatever_the_images_shape() -> None:
    config, image = small(), torch.zeros(1, 300, 500)
    places = _draw_places(2000, (0.05, 0.3), 2, config, generator())
    boxes = _boxes([image], (16, 16), *places)
    share = boxes.sides.prod(dim=1) / (300 * 500)
    assert 0.05 <= float(share.min()) < float(share.max()) <= 0.3001
    aspect = boxes.sides[:, 1] / boxes.sides[:, 0]
    whole = boxes.sides[:, 0] < 300
    assert 0.749 <= float(aspect[whole].min()) < float(aspect[whole].max()) <= 1.334
    assert float(aspect.log().mean()) == pytest.approx(0, abs=0.02)
    assert (boxes.centre - boxes.sides / 2).min() >= -1e-3
    assert (boxes.centre + boxes.sides / 2 - torch.tensor([300, 500])).max() <= 1e-3


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(["dinov2", "dinov2-as-run", "radiograph"]), st.integers(1, 3))
def test_views_stay_in_range_are_finite_and_follow_the_seed(seed: int, preset: str, channels: int) -> None:
    images = [noise(channels, 45, 37, seed=seed), torch.zeros(channels, 20, 20), torch.ones(channels, 60, 33)]
    config = small(preset)
    first, again = (ssl_core.make_crops(images, config, generator(seed)) for _ in range(2))
    for a, b, rows in zip(first, again, (6, 9), strict=True):
        assert a.shape[:2] == (rows, channels)
        assert torch.equal(a, b)
        assert a.isfinite().all()
        assert a.min() >= -1e-6
        assert a.max() <= 1 + 1e-6
    other, _ = ssl_core.make_crops(images, config, generator(seed + 1))
    assert not torch.equal(first[0], other)


def test_crops_are_crop_major_and_normalised() -> None:
    config = small("radiograph", jitter=0.0, mean=0.5, std=0.25)
    images = [torch.full((1, 40, 50), 0.2), torch.full((1, 64, 30), 0.7)]
    crops, local = ssl_core.make_crops(images, config, generator())
    assert crops.shape == (4, 1, 32, 32)
    assert local.shape == (6, 1, 16, 16)
    levels = (torch.tensor([0.2, 0.7]) - 0.5) / 0.25
    assert torch.allclose(crops.mean(dim=(1, 2, 3)), levels.repeat(2), atol=1e-5)
    assert torch.allclose(local.mean(dim=(1, 2, 3)), levels.repeat(3), atol=1e-5)


def test_constant_images_give_constant_views() -> None:
    for preset in ssl_core.presets():
        for views in ssl_core.make_crops([torch.full((1, 40, 40), 0.6)], small(preset), generator(3)):
            assert float((views - views.mean(dim=(2, 3), keepdim=True)).abs().max()) <= 1e-5


def test_a_part_of_a_batch_has_the_views_it_has_in_the_whole() -> None:
    for preset in ssl_core.presets():
        images, config = [noise(1, 40, 40 + i, seed=i) for i in range(4)], small(preset)
        whole = ssl_core.make_crops(images, config, generator())
        parts = [ssl_core.make_crops(images[i : i + 2], config, generator(), first=i, total=4) for i in (0, 2)]
        for k in (0, 1):
            together = torch.cat([part[k].unflatten(0, (-1, 2)) for part in parts], dim=1).flatten(0, 1)
            assert torch.equal(together, whole[k])


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_stripes_finer_than_a_views_pixels_leave_no_pattern(angle: float) -> None:
    # Period 3 pixels of the image at 20 of them to one of the view: sampled without averaging, it is another pattern.
    stripes = ((torch.arange(2000) % 3) == 0).float().expand(1, 2000, 2000)
    box = one_box(stripes, angle, share=0.7)
    clean, aliased = (resampled(how, stripes, box, (98, 98)) for how in (bicubic, bilinear))
    assert float((clean - 1 / 3).abs().max()) < 0.02
    assert float(aliased.std()) > 0.1


@settings(deadline=None, max_examples=25)
@given(st.floats(-0.5, 0.5), st.booleans(), st.floats(0.3, 0.6), st.sampled_from([(24, 24), (60, 60), (8, 30)]))
def test_both_ways_of_resampling_follow_a_ramp_through_turns_and_mirrors(
    angle: float, flip: bool, share: float, size: tuple[int, int]
) -> None:
    y, x = torch.meshgrid((torch.arange(40) + 0.5) / 40, (torch.arange(56) + 0.5) / 56, indexing="ij")
    image = (0.3 * y + 0.6 * x)[None]
    box = one_box(image, angle, flip, share)
    v, u = torch.meshgrid(*((torch.arange(n) * 2 + 1) / n - 1 for n in size), indexing="ij")
    u = -u if flip else u
    half = box.sides[0] / 2
    across = 28 + half[1] * u * math.cos(angle) - half[0] * v * math.sin(angle)
    down = 20 + half[1] * u * math.sin(angle) + half[0] * v * math.cos(angle)
    want = 0.3 * down / 40 + 0.6 * across / 56
    assert (resampled(bilinear, image, box, size)[0, 0] - want).abs().max() <= 1e-4
    # Whole pixels where the box is not turned: half a pixel of the image at either edge, and the filter's own edge.
    assert (resampled(bicubic, image, box, size)[0, 0] - want)[2:-2, 2:-2].abs().max() <= 0.02


def test_an_image_smaller_than_a_view_is_enlarged() -> None:
    crops, _ = ssl_core.make_crops([noise(1, 7, 9), noise(1, 1, 1)], small("dinov2"), generator())
    assert crops.shape == (4, 1, 32, 32)
    assert crops.isfinite().all()


def test_sixteen_bits_survive_from_file_to_views() -> None:
    greys = torch.arange(65536, dtype=torch.int32).to(torch.uint16).reshape(1, 256, 256)
    unit = ssl_core.to_unit(greys)
    view = resampled(bicubic, unit, one_box(unit), (256, 256))
    assert view.dtype == torch.float32
    assert len(view.unique()) == 65536


def test_blur_of_views_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ssl_core.SslError, match="blur needs views of more than 4 pixels"):
        blur(torch.zeros(1, 1, 4, 9), torch.ones(1))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crops.flip=1.5", "crops.flip must be a number from 0 to 1"),
        ("crops.global_scale=[0.9,0.5]", "crops.global_scale must be two rising numbers"),
        ("crops.local_scale=[0.0,0.5]", "crops.local_scale must be two rising numbers"),
        ("crops.blur=[0,2,0]", "crops.blur must be three probabilities"),
        ("crops.std=0", "crops.std must be a number"),
        ("crops.jitter=nan", "crops.jitter must be a number from 0 to 1"),
        ("crops.local_count=-1", "crops.local_count must be a number from 0"),
        ("crops.global_size=[32,32,32]", "expected crops.global_size to be a multiple of patch_size = 16"),
        ("crops.global_size=[32,32]", "crops.global_size: expected a list of 3 numbers"),
        ("crops.global_size='big'", "crops.global_size: expected int"),
        ("crops.resampling=nearest", "crops.resampling: expected one of ['bicubic', 'bilinear']"),
    ],
)
def test_crops_that_cannot_be_are_refused_by_key(override: str, message: str) -> None:
    with pytest.raises(ssl_core.SslError) as caught:
        ssl_core.load_config("cpu-tiny", [override])
    assert message in str(caught.value)


def test_without_local_views_the_global_ones_are_the_same() -> None:
    images = [noise(1, 40, 40, seed=k) for k in range(3)]
    seen, local = ssl_core.make_crops(images, small(local_count=0), generator())
    assert local.shape == (0, 1, 16, 16)
    torch.testing.assert_close(seen, ssl_core.make_crops(images, small(), generator())[0])
