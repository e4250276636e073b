"""The graph, as its nodes are given it."""

from tensorflow_data_validation import StatsOptions

from pipeline.build import create_judge_pipeline
from pipeline.config import load


def test_statistics_hold_no_images_in_memory(tmp_path):
    """Counted value by value, as TFX does it unless told otherwise, each image would be a key."""
    nodes = create_judge_pipeline(load("configs/digits.yaml"), str(tmp_path)).components
    (statistics,) = (node for node in nodes if node.id == "StatisticsGen")
    assert StatsOptions.from_json(statistics.exec_properties["stats_options_json"]).use_sketch_based_topk_uniques
