"""E-GAN (Wang et al. 2019): a population of generators evolves against one critic.

The method does not need a separate network for each child. The children of one parent share its forward pass and the critic's;
only the backward passes differ. A child's weights follow from the parent's weights, its Adam moments and one gradient, so only the
gradient is stored; the child's weights exist only while it is evaluated. The critic gradient that gives a survivor its diversity
fitness is exactly the gradient of the critic's next update, which therefore costs nothing extra.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.func import functional_call

from common.data.batches import Batch
from common.data.domain import Domain
from common.loop.engine import Engine
from common.loop.randomness import own_randomness
from common.loop.training import Losses
from variants.contract.adversarial import AdversarialConfig, AdversarialVariant
from variants.contract.ranges import ADVERSARIAL_SPACE, log_range
from variants.losses import objectives
from variants.players.player import Loss, Player, in_float32

MUTATIONS = {
    "minimax": objectives.minimax_generator,
    "heuristic": objectives.vanilla_generator,
    "least_squares": objectives.least_squares_generator,
}
MutationName = Literal["minimax", "heuristic", "least_squares"]
TINY = 1e-12  # keeps log‖∇_D‖ finite when the critic's gradient vanishes


class EganConfig(AdversarialConfig):
    """E-GAN."""

    name: Literal["egan"] = "egan"
    """The variant."""
    mutations: tuple[MutationName, ...] = ("minimax", "heuristic", "least_squares")
    """Adversarial losses that create the children, one child for each; any subset of the paper's three."""
    parents: int = Field(default=1, ge=1, le=16)
    """μ, number of generators that survive each step. Each starts with its own random weights; the authors' start equal."""
    diversity_weight: float = Field(default=0.05, ge=0)
    """γ, the weight of diversity in the fitness F = F_q + γ F_d. The paper: 0.01 to 0.1."""
    n_critic: int = Field(default=1, ge=1, le=100)
    """Critic updates in each step (n_D in the paper). The authors: 3."""
    evaluation_size: int | None = Field(default=None, ge=1, le=4096)
    """Number of images, over all devices, on which the children are evaluated; by default as many as a training batch has."""

    @field_validator("mutations")
    @classmethod
    def _distinct(cls, mutations: tuple[MutationName, ...]) -> tuple[MutationName, ...]:
        if not mutations or len(set(mutations)) < len(mutations):
            raise ValueError("name at least one mutation, each once")
        return mutations

    @model_validator(mode="after")
    def _whole_batches(self) -> "EganConfig":
        if self.waiting != "training":
            raise ValueError(
                "waiting=evaluation has no meaning here, for children and critic share one forward pass; leave it at training"
            )
        if self.parents > 1 and self.generator.average:
            raise ValueError(
                "generator.average would mix the weights of unrelated parents; use parents=1, or no average"
            )
        if self.accumulation > 1:
            raise ValueError(
                "accumulation does not work with children that share one forward pass; "
                "use generator.recompute or smaller batches to save memory"
            )
        return self


@dataclass(frozen=True)
class EvaluationBatch:
    """What all children are evaluated on: a batch, the seed of its dropout noise, and the critic's loss on real photographs."""

    batch: Batch
    noise: int
    real_loss: Tensor
    real_gradients: list[Tensor]


@dataclass(frozen=True)
class Judgement:
    """F_q, F_d and F of a child, and the critic's loss and gradients on the child's fakes."""

    quality: Tensor
    diversity: Tensor
    fitness: Tensor
    critic_loss: Tensor
    critic_gradients: list[Tensor]


@dataclass(frozen=True)
class Child:
    """A parent after one mutation: the parent's number, the mutation, its gradient g_θ, and the result of the evaluation."""

    parent: int
    mutation: str
    gradients: list[Tensor]
    buffers: dict[str, Tensor]
    reconstruction: Tensor
    judgement: Judgement

    @property
    def fitness(self) -> float:
        """F; -∞ if it is NaN, so that such a child is never selected before a valid one."""
        value = float(self.judgement.fitness)
        return -math.inf if math.isnan(value) else value


class Egan(AdversarialVariant):
    """Variation, evaluation, selection, critic update: Algorithm 1, but with the critic's updates after the generators'."""

    Config = EganConfig
    config: EganConfig
    space = ADVERSARIAL_SPACE | {"variant.diversity_weight": log_range(0.001, 0.5)}
    # γ, the lower end of the range in Wang et al. 2019
    presets = ({"variant.diversity_weight": 0.01},)

    def __init__(self, config: EganConfig, engine: Engine, domain: Domain) -> None:
        super().__init__(config, engine, domain)
        with own_randomness("population"):
            self.population = [self.generator] + [
                self.new_generator() for _ in range(config.parents - 1)
            ]

    @property
    def parents(self) -> list[Player]:
        """The population, fittest first."""
        return self.population

    def step(self, batches: Iterator[Batch]) -> Losses:
        """One iteration of Algorithm 1: every parent mutates on one batch, and all children are evaluated on a second one."""
        batch = self.draw(batches)
        evaluation = self._evaluation_batch(batches)
        survivors: list[Child] = []
        judged: list[Losses] = []
        for number, parent in enumerate(self.population):  # j = 1 … μ
            # h = 1 … n_m: variation and evaluation
            for child in self._children(number, parent, batch, evaluation):
                judged.append(_figures(child))
                # sort by F
                survivors = sorted([*survivors, child], key=lambda c: c.fitness, reverse=True)
                del survivors[self.config.parents :]  # keep the μ fittest
        self._replace_parents(survivors)  # θ_1, …, θ_μ ← the survivors' θ_child
        self._update_critic(survivors, batches)  # w ← Adam(g_w, w), n_D times
        return _history(survivors, judged, self.config.mutations)

    def load_generator_state(self, state: dict[str, Any]) -> None:
        """Restores the population, fittest first."""
        super().load_generator_state(state)
        self.generator = self.population[0]

    def critic_loss(self, real: objectives.Maps, fake: objectives.Maps) -> objectives.Scalar:
        """-½ E[log D(L, ab)] - ½ E[log(1 - D(L, G(L)))] (eq. 1, halved)."""
        return objectives.vanilla_critic(real, fake, self.config.critic.real_label)

    def _evaluation_batch(self, batches: Iterator[Batch]) -> EvaluationBatch:
        """This rank's share of `evaluation_size` new images, on which the children are evaluated."""
        drawn = [self.draw(batches)]
        size = self.config.evaluation_size
        wanted = self.engine.share_of(size) if size else len(drawn[0])
        while sum(map(len, drawn)) < wanted:
            drawn.append(self.draw(batches))
        names = ("L", "ab", "label", *(["hints"] if self.config.generator.hints else []))
        whole = {name: torch.cat([getattr(batch, name) for batch in drawn]) for name in names}
        return self._prepared(Batch(**{name: rows[:wanted] for name, rows in whole.items()}))

    def _prepared(self, batch: Batch) -> EvaluationBatch:
        # one seed for all children, so that they differ in their weights only
        noise = int(torch.randint(2**62, ()))
        real_loss = objectives.vanilla_critic_real(
            self.critic(batch.L, batch.ab, batch.label), self.config.critic.real_label
        )
        return EvaluationBatch(batch, noise, real_loss.detach(), self.critic.gradients(real_loss))

    def _children(
        self, number: int, parent: Player, batch: Batch, evaluation: EvaluationBatch
    ) -> Iterator[Child]:
        """Variation (§3.2): all mutations share one forward pass of generator and critic; each has its own backward pass."""
        fake = parent(batch.seen, batch.label)  # G_θ(L)
        maps = self.critic(batch.L, fake.ab, batch.label)  # D(L, G_θ(L))
        reconstruction = self.reconstruction(fake, batch)
        buffers = dict(parent.network.named_buffers())
        for mutation in self.config.mutations:
            # M_h + λ E‖ab - G_θ(L)‖_p
            loss = MUTATIONS[mutation](maps) + self.config.reconstruction_weight * reconstruction
            # g_θ
            gradients = parent.gradients(loss, retain_graph=mutation != self.config.mutations[-1])
            own_buffers = {name: buffer.clone() for name, buffer in buffers.items()}
            judgement = self._evaluate(parent, gradients, own_buffers, evaluation)
            yield Child(
                number, mutation, gradients, own_buffers, reconstruction.detach(), judgement
            )

    def _evaluate(
        self,
        parent: Player,
        gradients: list[Tensor],
        buffers: dict[str, Tensor],
        evaluation: EvaluationBatch,
    ) -> Judgement:
        """Evaluation (§3.3): F = F_q + γ F_d with F_q = E[σ(D(fake))] (eq. 5) and F_d = -log‖∇_D critic loss‖ (eq. 6).

        Both follow the paper, with the critic's loss halved: F_d is the paper's + log 2, a constant that all children share. The
        authors' PyTorch code differs from their paper: there F_d is +log‖∇_D‖, F_q the mean raw output of the critic, and the
        critic's default loss is least squares.
        """
        fake_maps = self.critic(
            evaluation.batch.L,
            self._colours(parent, gradients, buffers, evaluation),
            evaluation.batch.label,
        )
        fake_loss = objectives.vanilla_critic_fake(fake_maps)
        fake_gradients = self.critic.gradients(fake_loss)
        critic_gradients = [
            real.float() + fake.float()
            for real, fake in zip(evaluation.real_gradients, fake_gradients, strict=True)
        ]
        (quality,) = self.engine.average(
            [objectives.over_scales(lambda x: torch.sigmoid(x).mean(), fake_maps).detach()]
        )
        # ‖∇_D‖ over all weights
        norm = torch.stack([gradient.norm() for gradient in critic_gradients]).norm()
        diversity = -torch.log(norm + TINY)  # F_d
        fitness = quality + self.config.diversity_weight * diversity  # F = F_q + γ F_d
        return Judgement(
            quality, diversity, fitness, evaluation.real_loss + fake_loss.detach(), critic_gradients
        )

    def _colours(
        self,
        parent: Player,
        gradients: list[Tensor],
        buffers: dict[str, Tensor],
        evaluation: EvaluationBatch,
    ) -> Tensor:
        """A child's ab (N, 2, H, W) on the evaluation batch; the child's weights exist only inside this method."""
        weights = parent.stepped(gradients)  # θ_child ← Adam(g_θ, θ)
        devices = [self.engine.device] if self.engine.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices), self.engine.autocast():
            torch.manual_seed(evaluation.noise + self.engine.rank)
            fake = functional_call(
                parent.network, (weights, buffers), (evaluation.batch.seen, evaluation.batch.label)
            )
        ab: Tensor = in_float32(fake).ab
        return ab

    def _replace_parents(self, survivors: list[Child]) -> None:
        """Selection: the fittest children become the parents; a parent is copied only if several of its children survive."""
        parents = self.population
        unused = [
            player
            for number, player in enumerate(parents)
            if number not in {child.parent for child in survivors}
        ]
        taken: set[int] = set()
        population: list[Player] = []
        for child in survivors:
            player = parents[child.parent]
            if child.parent in taken:
                player = unused.pop()
                player.copy_from(parents[child.parent])
            taken.add(child.parent)
            population.append(player)
        for child, player in zip(survivors, population, strict=True):
            player.step(child.gradients)  # θ_j ← θ_child
            for name, buffer in player.network.named_buffers():
                buffer.copy_(child.buffers[name])
        self.population = population
        self.generator = population[0]

    def _update_critic(self, survivors: list[Child], batches: Iterator[Batch]) -> None:
        """The first update reuses the critic gradients of the survivors' evaluation, averaged; further ones use new batches.

        The authors draw one batch of fakes from all survivors; with one parent (μ = 1) this is the same.
        """
        every = zip(*(child.judgement.critic_gradients for child in survivors), strict=True)
        # g_w, the mean over the μ survivors
        self.critic.step([torch.stack(gradients).mean(0) for gradients in every])
        done = [
            {"critic": torch.stack([child.judgement.critic_loss for child in survivors]).mean()}
        ]
        while not self.is_critic_good(done, self.config.n_critic):
            done.append(self.critic.update(self._population_descent, [self.draw(batches)]))

    def _population_descent(self, batch: Batch) -> Loss:
        """The critic's loss on a new batch, averaged over the population."""
        losses = []
        for player in self.population:
            with torch.no_grad():
                fake = player(batch.seen, batch.label).ab
            losses.append(self.critic_loss(*self.logits(batch, fake)))
        loss = torch.stack(losses).mean()
        return loss, {"critic": loss}


def _figures(child: Child) -> Losses:
    """F_q and F_d of one child, logged under the name of its mutation."""
    return {
        f"quality_{child.mutation}": child.judgement.quality,
        f"diversity_{child.mutation}": child.judgement.diversity,
    }


def _history(survivors: list[Child], judged: list[Losses], mutations: tuple[str, ...]) -> Losses:
    """Values for the report: each mutation's share of the survivors and mean F_q and F_d, and the values of the fittest child."""
    best = survivors[0].judgement
    shares = {
        name: sum(child.mutation == name for child in survivors) / len(survivors)
        for name in mutations
    }
    names = dict.fromkeys(name for figures in judged for name in figures)
    return {
        "critic": best.critic_loss,
        "adversarial": -best.quality,
        "quality": best.quality,
        "diversity": best.diversity,
        "fitness": best.fitness,
        "reconstruction": survivors[0].reconstruction,
        **{f"mutation_{name}": best.fitness.new_tensor(share) for name, share in shares.items()},
        **{
            name: torch.stack([figures[name] for figures in judged if name in figures]).mean()
            for name in names
        },
    }
