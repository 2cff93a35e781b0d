"""Code that exists for speed alone; with `engine.fast: false` plain torch computes the same."""
