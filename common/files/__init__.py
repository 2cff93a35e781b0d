"""Files that survive a kill, locks, and checks of what was written."""
