"""What is measured of a colourised photograph, and of a set of them."""
