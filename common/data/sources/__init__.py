"""Where photographs come from: published data sets, folders, archives, lists."""
