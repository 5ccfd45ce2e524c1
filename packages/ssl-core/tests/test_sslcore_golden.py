"""The mathematics equals the reference implementation's, by numbers it produced."""

import json
from pathlib import Path

import pytest
import ssl_core
import torch
from safetensors.torch import load_file

GOLDEN = next(
    (p / "shared" / "golden" for p in Path(__file__).resolve().parents if (p / "shared" / "golden").is_dir()),
    Path("absent"),
)
pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="shared/golden, the reference's numbers, is not here")


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-300))


def model(case: dict, dtype: torch.dtype) -> ssl_core.SelfDistillation:
    vit = ssl_core.VisionTransformer(
        ssl_core.ViTConfig(embed_dim=32, depth=2, num_heads=2, patch_size=14, image_size=56, channels=3, layerscale=0.1)
    )
    separate = case["separate_ibot_head"]
    head = ssl_core.HeadConfig(prototypes=64, hidden=64, bottleneck=32, separate=separate)
    out = ssl_core.SelfDistillation(vit, head, ssl_core.LossConfig(centring=case["centering"])).to(dtype)
    weights = load_file(GOLDEN / "ssl_step_weights.safetensors")
    for side in ("student", "teacher"):
        state = {k.removeprefix(f"{side}."): v for k, v in weights.items() if k.startswith(f"{side}.")}
        if not separate:
            state = {k: v for k, v in state.items() if not k.startswith("ibot_head.")}
        getattr(out, side).load_state_dict(state)
    return out


def batch(tensors: dict[str, torch.Tensor], dtype: torch.dtype, prefix: str = "") -> ssl_core.Batch:
    def pixels(name: str) -> torch.Tensor:
        return (tensors[f"{prefix}{name}_u8"].to(dtype) - 128) / 64

    return ssl_core.Batch(pixels("global_crops"), pixels("local_crops"), tensors[f"{prefix}masks"])


def logged(terms: dict[str, torch.Tensor], koleo_weight: float = 0.1) -> dict[str, float]:
    return {
        "dino_local_crops_loss": float(terms["dino_local"].detach()),
        "dino_global_crops_loss": float(terms["dino_global"].detach()),
        "ibot_loss": float(terms["ibot"].detach()) / 2,
        "koleo_loss": float(terms["koleo"].detach()) * koleo_weight / 2,
    }


@pytest.mark.parametrize(("dtype", "key"), [(torch.float64, "f64"), (torch.float32, "f32")])
@pytest.mark.parametrize("heads", ["shared", "separate"])
@pytest.mark.parametrize("centring", ["centering", "sinkhorn"])
def test_losses_gradients_and_centres_equal_the_reference(
    centring: str, heads: str, dtype: torch.dtype, key: str
) -> None:
    name = f"ssl_step_{centring}_{heads}"
    case = json.loads((GOLDEN / f"{name}.json").read_text())
    arrays = load_file(GOLDEN / f"{name}.safetensors")
    m = model(case, dtype)
    if centring == "centering":
        m.dino_centre.value.copy_(arrays["dino_center_before"].flatten())
        m.ibot_centre.value.copy_(arrays["ibot_center_before"].flatten())
    terms = m(batch(load_file(GOLDEN / "ssl_step_batch.safetensors"), dtype), case["teacher_temp"])
    double = dtype == torch.float64
    rtol = 1e-12 if double else 2e-6
    for term, value in logged(terms).items():
        assert value == pytest.approx(case["losses_f64"][term], rel=rtol), term
    assert float(terms["loss"].detach()) == pytest.approx(case["losses_f64"]["total_backprop"], rel=rtol)

    terms["loss"].backward()
    bound = (1e-11 if heads == "shared" else 2e-7) if double else 1e-5
    compared = 0
    for parameter_name, parameter in m.student.named_parameters():
        expected = arrays[f"grad.{parameter_name}"]
        got = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert relative(got, expected) <= bound, parameter_name
        compared += 1
    assert compared == sum(k.startswith("grad.") for k in arrays)

    if centring == "centering":
        for ours, theirs in ((m.dino_centre, "dino"), (m.ibot_centre, "ibot")):
            nothing = ssl_core.Logits(torch.zeros(0, 8, dtype=dtype), torch.zeros(64, 8, dtype=dtype))
            ours.bias(nothing, 1.0)  # applies what is pending
            assert relative(ours.value, arrays[f"out.{theirs}_center_after"].flatten()) <= rtol


def test_five_training_steps_follow_the_reference_trajectory(tmp_path: Path) -> None:
    case = json.loads((GOLDEN / "train_5_steps.json").read_text())
    arrays = load_file(GOLDEN / "train_5_steps.safetensors")
    config = ssl_core.Config(
        model=ssl_core.ModelConfig(
            embed_dim=32, depth=2, num_heads=2, patch_size=14, channels=3, layerscale=0.1, drop_path=0.0
        ),
        head=ssl_core.HeadConfig(prototypes=64, hidden=64, bottleneck=32),
        loss=ssl_core.LossConfig(teacher_temperature_warmup=3),
        crops=ssl_core.CropConfig(global_size=56, local_size=28, local_count=2),
        # The rate is base_lr * sqrt(batch / 1024); the numbers state the rate itself.
        optim=ssl_core.OptimConfig(
            base_lr=0.002 * (1024 / 3) ** 0.5,
            warmup=3,
            freeze_last_layer=3,
            momentum=0.95,
            layerwise_decay=0.9,
        ),
        train=ssl_core.TrainConfig(steps=12, batch_size=3),
    )
    trainer = ssl_core.Trainer(config, torch.zeros(3, 3, 56, 56), tmp_path, device="cpu")
    trainer.model.load_state_dict(model(case, torch.float32).state_dict())
    for i, expected in enumerate(case["steps_f32"]):
        values = trainer.schedule(i)
        stated = expected["schedule"]
        assert values["lr"] == pytest.approx(stated["lr"], abs=1e-12)
        assert values["last_layer_lr"] == pytest.approx(stated["last_layer_lr"], abs=1e-12)
        assert values["weight_decay"] == pytest.approx(stated["weight_decay"], abs=1e-12)
        assert values["momentum"] == pytest.approx(stated["momentum"], abs=1e-12)
        assert values["teacher_temperature"] == pytest.approx(stated["teacher_temp"], abs=1e-12)
        terms, norms = trainer.optimise(batch(arrays, torch.float32, f"step{i}."), values)
        for term, value in logged({k: torch.tensor(v) for k, v in terms.items()}).items():
            assert value == pytest.approx(expected["losses"][term], rel=5e-6), (i, term)
        for part, norm in norms.items():
            assert norm == pytest.approx(expected["grad_norm_before_clip"][part], rel=2e-5), (i, part)
    for side in ("student", "teacher"):
        for name, parameter in getattr(trainer.model, side).named_parameters():
            got, want = parameter.detach(), arrays[f"final_{side}.{name}"]
            if name.endswith("attn.qkv.bias"):  # the key bias has no gradient but Adam's rounding noise
                got, want = (torch.cat((t[:32], t[64:])) for t in (got, want))
            assert (got - want).abs().max() <= 1e-5, (side, name)


def dense(logits: torch.Tensor) -> ssl_core.Logits:
    """Given logits as the product that the losses take."""
    return ssl_core.Logits(logits, torch.eye(logits.shape[1], dtype=logits.dtype))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_sinkhorn_targets_equal_the_reference(dtype: torch.dtype, bound: float) -> None:
    arrays = load_file(GOLDEN / "sinkhorn.safetensors")
    for name, case in json.loads((GOLDEN / "sinkhorn.json").read_text())["cases"].items():
        logits = dense(arrays[f"{name}.logits"].to(dtype))
        bias = ssl_core.sinkhorn_bias(logits, case["temp"], case["iterations"])
        got = ssl_core.Targets(logits, case["temp"], bias)[:]
        assert relative(got, arrays[f"{name}.out"]) <= bound, name


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
def test_centred_targets_equal_the_reference(dtype: torch.dtype, bound: float) -> None:
    arrays = load_file(GOLDEN / "softmax_center.safetensors")
    for kind, case in json.loads((GOLDEN / "softmax_center.json").read_text())["cases"].items():
        centre = ssl_core.Centre(24, case["momentum"]).to(dtype)
        centre.value.copy_(arrays[f"{kind}.center0"].flatten())
        for call, temperature in enumerate(case["temps"]):
            logits = dense(arrays[f"{kind}.call{call}.logits"].to(dtype).flatten(0, -2))
            got = ssl_core.Targets(logits, temperature, centre.bias(logits, temperature))[:]
            assert relative(got, arrays[f"{kind}.call{call}.softmax"].flatten(0, -2)) <= bound
            assert relative(centre.value, arrays[f"{kind}.call{call}.center_used"].flatten()) <= bound
        centre.bias(dense(torch.zeros(0, 24, dtype=dtype)), 1.0)
        assert relative(centre.value, arrays[f"{kind}.center_final"].flatten()) <= bound


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_koleo_and_its_gradient_equal_the_reference(dtype: torch.dtype) -> None:
    arrays = load_file(GOLDEN / "koleo.safetensors")
    for name, case in json.loads((GOLDEN / "koleo.json").read_text())["cases"].items():
        x = arrays[f"{name}.x"].to(dtype).requires_grad_()
        loss = ssl_core.koleo(x)
        loss.backward()
        close = name == "near_duplicates"
        rtol, bound = (1e-12, 1e-12) if dtype == torch.float64 else (2e-5, 5e-3) if close else (2e-6, 5e-6)
        assert float(loss.detach()) == pytest.approx(case["loss_float64"], rel=rtol), name
        assert x.grad is not None
        assert relative(x.grad, arrays[f"{name}.grad"]) <= bound or not arrays[f"{name}.grad"].any(), name


def test_position_embeddings_equal_the_reference_at_every_size() -> None:
    arrays = load_file(GOLDEN / "pos_embed.safetensors")
    compared = 0
    for key, expected in arrays.items():
        kind, _, size = key.rpartition(".")
        if kind not in ("offset0.1_noaa", "offset0.0_aa"):
            continue
        height, width = map(int, size.split("x"))
        for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 5e-6)):
            offset, antialias = (0.1, False) if kind.endswith("noaa") else (0.0, True)
            got = ssl_core.interpolate_pos_embed(
                arrays["table"].to(dtype), (height, width), offset=offset, antialias=antialias
            )
            assert relative(got, expected) <= bound, key
        compared += 1
    assert compared >= 20


def test_schedules_equal_the_reference() -> None:
    for case in json.loads((GOLDEN / "schedules.json").read_text())["cosine_scheduler"]:
        k = case["kwargs"]
        for step, expected in enumerate(case["values"]):
            got = ssl_core.cosine_schedule(
                step,
                base=k["base_value"],
                final=k["final_value"],
                total=k["total_iters"],
                warmup=k.get("warmup_iters", 0),
                start=k.get("start_warmup_value", 0),
                freeze=k.get("freeze_iters", 0),
            )
            assert got == pytest.approx(expected, abs=1e-15 * max(1, abs(k["base_value"])))


def test_parameter_groups_of_vit_b14_equal_the_reference() -> None:
    case = json.loads((GOLDEN / "param_groups_vitb14.json").read_text())
    for name, (lr, decay, last) in case["params"].items():
        got = ssl_core.multipliers(name, depth=12, layerwise_decay=0.9, patch_embed_lr=0.2)
        assert (got.lr, got.weight_decay, got.is_last_layer) == (
            pytest.approx(lr, abs=1e-12),
            pytest.approx(decay, abs=1e-12),
            bool(last),
        ), name
