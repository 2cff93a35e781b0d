"""How MLflow's UI shows a study: a view that is shared under a key, which the UI keeps as a tag of the experiment."""

import json
from urllib.parse import urlencode

KEY = "colourbench"
TAG = f"mlflow.sharedViewState.{KEY}"
OF_ARMS = ("metrics.`test/delta_e`", "metrics.`test/colourfulness`", "tags.`arm`", "tags.`seed`")
OF_TRIALS = (
    "metrics.`validation/delta_e`",
    "metrics.`validation/colourfulness`",
    "tags.`trial`",
    "tags.`outcome`",
)
# the parts of the UI's own state that it does not fill in by itself
STATE = {
    "searchFilter": "tags.kind != 'comparison' and tags.kind != 'sweep'",
    "orderByKey": "attributes.start_time",
    "orderByAsc": True,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "runsExpanded": {},
    "runsPinned": [],
    "runsHidden": [],
    "runsHiddenMode": "FIRST_10_RUNS",
    "runListHidden": False,
    "isAccordionReordered": False,
    "useGroupedValuesInCharts": True,
    "hideEmptyCharts": True,
    "groupsExpanded": {},
    "autoRefreshEnabled": True,
    "globalLineChartConfig": {
        "xAxisKey": "step",
        "lineSmoothness": 0,
        "selectedXAxisMetricKey": "",
    },
}


def view(by_arm: bool) -> str:
    """The state of the view: the runs as charts, without the row of the comparison itself.

    Args:
        by_arm: whether runs are grouped by arm, and charts show the arms' means.
    """
    keys = [{"mode": "tag", "groupByData": "arm"}]
    grouped = {"aggregateFunction": "average", "groupByKeys": keys} if by_arm else None
    columns = OF_ARMS if by_arm else OF_TRIALS
    return json.dumps(STATE | {"groupBy": grouped, "selectedColumns": columns})


def page_of(experiment: str, port: int) -> str:
    """The address of an experiment in the UI on this machine, in that view."""
    asked = urlencode({"viewStateShareKey": KEY, "compareRunsMode": "CHART"})
    return f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?{asked}"
