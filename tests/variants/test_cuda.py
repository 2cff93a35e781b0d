"""The same steps on a GPU; skipped, with the reason, where there is none."""

import pytest
import torch

from common.data.batches import Batch
from common.loop.engine import Engine, EngineConfig
from studies.bench import suite
from studies.bench.measurements.training_steps import against_plain
from studies.bench.tasks import Task, photographs, product_step, product_variant
from variants.losses.objectives import gradient_penalty
from variants.wgan_gp import WganGp

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
TINY = {"size": 32, "batch": 4, "base_width": 8}


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", ["cgan", "wgan_gp", "egan"])
def test_steps_are_those_of_a_cpu(name: str, precision: str) -> None:
    weights, rates = [], []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        task = Task(name, **TINY, precision=precision, device=device, dropout=0.0)
        variant = product_variant(task)
        product_step(task, variant)()
        rates.append(variant.config.generator.adam.learning_rate)
        weights.append(
            torch.cat([p.detach().float().cpu().flatten() for p in variant.generator.parameters])
        )
    # an Adam step is about as long as the learning rate, and turns rounding about 0 into one of the other sign
    far = ((weights[0] - weights[1]).abs() > rates[0] / 2).float().mean()
    assert far < (0.02 if precision == "32" else 0.2)


def test_the_penalty_is_that_of_a_cpu() -> None:
    task = Task("wgan_gp", **TINY, precision="32", device="cuda")
    variant = product_variant(task)
    assert isinstance(variant, WganGp)
    (batch,) = photographs(task, 1)
    epsilon = torch.full((4, 1, 1, 1), 0.3, device="cuda")
    there, _ = gradient_penalty(
        variant.critic.network, batch.L, batch.ab, batch.ab * 0.5, None, epsilon
    )
    here = Batch(batch.L.cpu(), batch.ab.cpu(), batch.label.cpu())
    critic = variant.critic.network.cpu()
    penalty, _ = gradient_penalty(critic, here.L, here.ab, here.ab * 0.5, None, epsilon.cpu())
    assert there.item() == pytest.approx(penalty.item(), rel=1e-2)


def test_memory_and_speed_are_the_gpus() -> None:
    engine = Engine(EngineConfig(device="cuda"))
    torch.zeros(2**20, device="cuda")
    assert engine.peak_memory() >= 4 * 2**20
    result = against_plain(Task("cgan", **TINY, device="cuda"), 2, None)  # type: ignore[arg-type]
    assert all(side.share is not None and 0 < side.share < 1 for side in result.sides)
    assert suite.device_for("auto") == "cuda"
