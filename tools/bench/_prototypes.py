"""The loss over prototypes in chunks against the plain formula: time and peak memory of both, and their gradients."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys, time
import torch
import ssl_core
from torch.nn.functional import normalize

torch.set_num_threads(1)
way, centring = sys.argv[1:3]
n, k, d = 4096, 65536, 256
torch.manual_seed(0)
student, teacher = normalize(torch.randn(n, d)).requires_grad_(), normalize(torch.randn(n, d))
mine, theirs = normalize(torch.randn(k, d)).requires_grad_(), normalize(torch.randn(k, d))
weights, bias = torch.full((n,), 1 / n), torch.rand(k)


def plain():
    logits = teacher @ theirs.T
    if centring == "softmax":
        target = torch.softmax(logits / 0.05 + bias, dim=-1)
    else:
        target = torch.exp((logits - logits.max()) / 0.05)
        for _ in range(3):
            target /= target.sum(dim=0, keepdim=True) * k
            target /= target.sum(dim=1, keepdim=True)
    logits = student @ mine.T / 0.1
    return -((target * logits.log_softmax(-1)).sum(1) * weights).sum()


def ours():
    logits = ssl_core.Logits(teacher, theirs)
    added = bias if centring == "softmax" else ssl_core.sinkhorn_bias(logits, 0.05)
    targets = ssl_core.Targets(logits, 0.05, added)
    return ssl_core.prototype_cross_entropy(student, mine, targets, weights, 0.1, compiled=way == "compiled")


def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**20


(normalize(student[:64]) @ mine[:64].T).sum().backward()  # what torch loads once
if way == "compiled":
    ours().backward()
student.grad = mine.grad = None
before, start = resident("VmRSS"), time.process_time()
loss = (plain if way == "plain" else ours)()
loss.backward()
seconds = time.process_time() - start
print(seconds, resident("VmHWM") - before, float(loss), float(student.grad.norm()), float(mine.grad.norm()))
"""


def prototypes() -> str:
    """4,096 masked tokens x 65,536 prototypes, float32, one thread, loss and gradients; each in its own process."""
    words = []
    for centring in ("softmax", "sinkhorn"):
        found = {}
        for way in ("ours", "compiled", "plain"):
            done = subprocess.run(
                [sys.executable, "-c", _SCRIPT, way, centring], capture_output=True, text=True, check=True
            )
            found[way] = [float(word) for word in done.stdout.split()]
        ours, plain = found["ours"], found["plain"]
        for loss in (ours[2:], found["compiled"][2:]):
            if any(abs(a - b) > 1e-4 * abs(b) for a, b in zip(loss, plain[2:], strict=True)):
                raise RuntimeError(f"expected the same loss and gradients within 1e-4, got {loss} and {plain[2:]}")
        words.append(
            f"{centring}: {plain[0] / ours[0]:.2f} x the plain formula ({ours[0]:.1f} s against {plain[0]:.1f} s), "
            f"{plain[0] / found['compiled'][0]:.2f} x compiled, "
            f"1/{plain[1] / ours[1]:.1f} of its memory ({ours[1]:.2f} against {plain[1]:.2f} GiB)"
        )
    return "; ".join(words)
