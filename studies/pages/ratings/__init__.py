"""The study as a web page: what raters see, what the owner sees, and what is refused."""
