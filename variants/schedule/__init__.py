"""When which player learns: phases, stored fakes, the inflection, the settings of the game."""
