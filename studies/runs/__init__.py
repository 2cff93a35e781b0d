"""The life of one run: configuration, session, resume, finish; and the use of a trained run."""
