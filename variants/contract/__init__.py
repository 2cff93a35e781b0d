"""What a training method offers: the contract, the base of those with a critic, and the ranges of its hyper-parameters."""
