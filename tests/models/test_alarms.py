"""What is alarming in the figures of a look."""

from models.alarms import alarms
from models.options import MonitorOptions

FINE = {"step": 10, "overfitting": 0.6, "diversity_by_class": {"cat": 0.9, "dog": 0.31, "one image": None}}


def test_nothing_is_said_where_nothing_is_wrong():
    assert alarms(FINE, MonitorOptions()) == []
    assert alarms({"step": 10}, MonitorOptions()) == []


def test_overfitting_is_told_with_its_figure():
    (alarm,) = alarms({**FINE, "overfitting": 0.91}, MonitorOptions())
    assert alarm.kind == "overfitting" and "91%" in alarm.text and "step 10" in alarm.text


def test_collapsed_classes_are_named_worst_first():
    figures = {**FINE, "diversity_by_class": {"cat": 0.2, "dog": 0.05, "bird": 0.8, "one image": None}}
    (alarm,) = alarms(figures, MonitorOptions())
    assert alarm.kind == "collapse" and alarm.classes == ("cat", "dog")
    assert "dog (5%), cat (20%)" in alarm.text and "bird" not in alarm.text


def test_the_bounds_are_those_of_the_options():
    strict = MonitorOptions(overfitting_ceiling=0.5, diversity_floor=0.5)
    assert [alarm.kind for alarm in alarms(FINE, strict)] == ["overfitting", "collapse"]
