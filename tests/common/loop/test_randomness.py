"""Private random streams: apart from each other, and without effect on the one outside."""

import torch

from common.loop.randomness import noise_of_rank, own_randomness, seed_everything


def drawn_in(name: str) -> list[float]:
    with own_randomness(name):
        return torch.rand(3).tolist()


def test_the_stream_outside_does_not_notice() -> None:
    seed_everything(1)
    expected = torch.rand(3)
    seed_everything(1)
    drawn_in("critic")
    assert torch.equal(torch.rand(3), expected)


def test_streams_of_two_names_differ_and_each_follows_the_seed() -> None:
    seed_everything(1)
    first = drawn_in("critic")
    assert drawn_in("population") != first
    assert drawn_in("critic") == first
    torch.rand(1)
    assert drawn_in("critic") != first
    seed_everything(2)
    assert drawn_in("critic") != first


def test_noise_differs_by_rank_and_moves_the_shared_stream_only_if_something_was_drawn() -> None:
    cpu = torch.device("cpu")
    noises = []
    for rank in range(2):
        seed_everything(1)
        with noise_of_rank(rank, cpu):
            noises.append(torch.rand(3).tolist())
        after = torch.rand(1)
    assert noises[0] != noises[1]
    seed_everything(1)
    with noise_of_rank(0, cpu):
        pass
    assert not torch.equal(torch.rand(1), after)
    seed_everything(1)
    torch.rand(())
    assert torch.equal(torch.rand(1), after)
