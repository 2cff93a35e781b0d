"""The pages: one colourises photographs, one is the human study's; one guard and one server for both."""
