"""The one training loop, the engine it runs on, and what happens beside it."""
