"""Progress on a terminal and in a log."""

import io
import subprocess
import sys

import pytest

from sdm_ray import progress
from sdm_ray.progress import Meter, say, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.0)


def test_a_log_takes_one_line_for_each_state_and_no_control_characters(capsys):
    assert list(track("abc", 3, "tiles")) == ["a", "b", "c"]
    written = capsys.readouterr().err
    assert [line.split(",")[0] for line in written.splitlines()] == [f"  tiles: {count}/3" for count in range(4)]
    assert "\r" not in written and "\x1b" not in written


def test_a_short_loop_leaves_no_line_in_a_log(monkeypatch, capsys):
    monkeypatch.undo()
    assert len(list(track(range(1000), 1000, "tiles"))) == 1000
    assert capsys.readouterr().err == ""


def test_a_terminal_line_is_rewritten_and_wiped(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "_TERMINAL_INTERVAL_S", 0.0)
    list(track("ab", 2, "tiles"))
    assert "\r  tiles: 2/2" in stream.getvalue() and "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r") and not stream.getvalue().split("\r")[-2].strip()


def test_the_time_left_of_a_resumed_job_is_reckoned_from_where_it_resumes(monkeypatch, capsys):
    meter = Meter(1000, "tiles")
    now = meter._bar.start_t
    monkeypatch.setattr(meter._bar, "_time", lambda: now)
    for count in range(991, 996):  # one a second
        now += 1
        meter.at(count)
    assert capsys.readouterr().err.splitlines()[-1] == "  tiles: 995/1000, 00:05 elapsed, about 00:05 left"
    meter.label = "other tiles"
    now += 1
    meter.at(996)
    assert "other tiles: 996/1000" in capsys.readouterr().err and meter.label == "other tiles"
    meter.close()


def test_a_meter_that_is_cleared_for_a_line_goes_on(capsys):
    meter = Meter(4, "steps")
    meter.at(1)
    meter.clear()
    say("epoch 1")
    meter.at(2)
    meter.close()
    written = capsys.readouterr()
    assert "  steps: 1/4" in written.err and "  steps: 2/4" in written.err and written.out == "epoch 1\n"


def test_lines_are_printed_while_a_loop_runs(capsys):
    for item in track("ab", 2, "tiles"):
        say(f"item {item}")
    assert capsys.readouterr().out == "item a\nitem b\n"


def test_the_bar_is_not_imported_before_it_is_needed():
    code = "import sys, sdm_ray.progress, sdm_ray.sources.config; print([m for m in %r if m in sys.modules])"
    heavy = ["tqdm", "pooch", "tenacity", "pystac", "pystac_client", "requests"]
    found = subprocess.run([sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
