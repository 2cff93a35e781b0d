"""Pages of a study, of several data sets, and of a sweep."""
