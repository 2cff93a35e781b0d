"""Using what was trained: models by name, model files and their cards, photographs, video, a page."""
