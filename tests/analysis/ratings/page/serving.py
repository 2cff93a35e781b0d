"""Serves the study in a folder at a port until it is killed: what `ratings serve` does, without the rest of the command."""

import sys
from pathlib import Path

from analysis.ratings.page import server
from analysis.ratings.page.settings import PageSettings
from analysis.ratings.store import ResponseStore
from analysis.ratings.study import RatingStudy

if __name__ == "__main__":
    folder, port, url, break_every = sys.argv[1:]
    study = RatingStudy(Path(folder))
    settings = PageSettings(completion_url="https://example.org/done", break_every=int(break_every))
    server.serve(study, ResponseStore(url or study.database), settings, "127.0.0.1", int(port), print)
