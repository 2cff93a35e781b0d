"""Model files for other programs, and the card that goes with them."""
