"""The page that colourises photographs: its limits, decoding apart from the rest, the queue, the web application, the server."""
