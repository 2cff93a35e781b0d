"""Which network trains when: phases, stored fakes, the inflection detector, and settings for adversarial training."""
