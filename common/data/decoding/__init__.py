"""Turns one untrusted file into squares of pixels, or into the reason why it cannot be used."""
