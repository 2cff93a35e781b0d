"""Video: reading, colouring, smoothing over time and measuring flicker, writing."""
