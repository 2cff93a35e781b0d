"""How many raters a study needs, and when it may stop."""
