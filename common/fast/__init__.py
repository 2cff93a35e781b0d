"""What exists for speed alone; with `engine.fast: false` plain torch does the same."""
