"""Serves the study in a folder at a port until it is killed: what `ratings serve` does, without the rest of the command."""

import sys
from pathlib import Path

from studies.pages.ratings import server
from studies.pages.ratings.settings import PageSettings
from studies.people.store import ResponseStore
from studies.people.study import RatingStudy

if __name__ == "__main__":
    folder, port, url, break_every, *names = sys.argv[1:]
    study = RatingStudy(Path(folder))
    settings = PageSettings(
        completion_url="https://example.org/done",
        break_every=int(break_every),
        hosts=(*names, *PageSettings.hosts),
    )
    server.serve(
        study, ResponseStore(url or study.database), settings, "127.0.0.1", int(port), print
    )
