"""Metrics of a running job, and the dashboard that draws them."""

import json
import re
from pathlib import Path

from ray.util import metrics

from sdm_ray import ray_metrics

DASHBOARD = Path(__file__).parents[1] / "cluster" / "monitoring" / "grafana.json"


def test_without_ray_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(ray_metrics, "_running", lambda: False)
    monkeypatch.setattr(ray_metrics, "_metric", None)
    ray_metrics.count("sdm_ray_steps", 3, fit="all")
    ray_metrics.gauge("sdm_ray_parts_left", 3, work="tile")


def test_metrics_are_made_once_with_their_tags(monkeypatch):
    made = []

    class Metric:
        def __init__(self, name, description, tag_keys):
            made.append((name, tag_keys))
            assert description

        def inc(self, amount, tags):
            made.append((amount, tags))

        set = inc

    monkeypatch.setattr(ray_metrics, "_running", lambda: True)
    monkeypatch.setattr(metrics, "Counter", Metric)
    monkeypatch.setattr(metrics, "Gauge", Metric)
    ray_metrics._metric.cache_clear()
    for amount in (2, 3):
        ray_metrics.count("sdm_ray_steps", amount, fit="all")
    ray_metrics.count("sdm_ray_steps", 0, fit="all")  # a counter that grows by nothing
    assert made == [("sdm_ray_steps", ("fit",)), (2, {"fit": "all"}), (3, {"fit": "all"})]
    ray_metrics._metric.cache_clear()


def test_the_dashboard_draws_every_metric_and_no_other():
    board = json.loads(DASHBOARD.read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert all(each.count("(") == each.count(")") for each in asked)
    drawn = set(re.findall(r"ray_(sdm_ray_\w+?)(?:_total)?\b", " ".join(asked)))
    assert drawn == set(ray_metrics.METRICS)
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles) and all(panel.get("description") for panel in board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(titles)


def test_the_dashboard_asks_for_tags_that_there_are():
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            tags = {tag for name, (_, _, tags) in ray_metrics.METRICS.items() if name in target["expr"] for tag in tags}
            asked = re.findall(r"by \(([^)]*)\)", target["expr"]) + re.findall(r"\{([^}]*)=", target["expr"])
            assert {word.strip(" ~!") for each in asked for word in each.split(",")} <= tags, target["expr"]
