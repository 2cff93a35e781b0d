"""One run's life: configuration, session, resume, finish; and a trained run taken up again."""
