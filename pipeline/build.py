"""From a configuration to a TFX pipeline: the graph, and nothing that runs it."""

from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from tfx.components import ExampleValidator, Pusher, SchemaGen, StatisticsGen, Trainer
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration import pipeline
from tfx.proto import pusher_pb2
from tfx.utils import path_utils

from components.data_guard.component import DataGuard
from components.evaluator.component import Evaluator
from components.example_gen.component import ExampleGen
from components.pusher import executor
from components.rebalancer.component import Rebalancer
from components.serving_validator.component import ServingValidator
from pipeline.code_version import code_version
from pipeline.config import Config
from pipeline.root import ARTIFACTS


def serving_dir(root: str, config: Config) -> str:
    """Base path of the served model, as TF Serving is given it."""
    return str(Path(root) / "serving" / config.serving.name)


def _trainer(node_id: str, run_fn: str, options: Any, custom: dict[str, Any], **inputs: Any) -> Trainer:
    """TFX's own Trainer over one of our `run_fn`s."""
    module = run_fn.rpartition(".")[0]
    custom_config = {"options": options.model_dump_json(), "code_version": code_version(module), **custom}
    return Trainer(run_fn=run_fn, custom_config=custom_config, **inputs).with_id(node_id)


def _validation(config: Config, examples: Any) -> list[BaseNode]:
    """Statistics, schema and validation by TFX; the guard that stops the run comes last."""
    # Without sketches, whatever is a string is counted value by value: all images would be in memory, as keys.
    statistics = StatisticsGen(examples=examples, stats_options=tfdv.StatsOptions(use_sketch_based_topk_uniques=True))
    if config.data.schema_file:
        schema: BaseNode = ImportSchemaGen(schema_file=config.data.schema_file)
    else:
        schema = SchemaGen(statistics=statistics.outputs["statistics"], infer_feature_shape=True)
    validator = ExampleValidator(statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
    guard = DataGuard(
        anomalies=validator.outputs["anomalies"], code_version=code_version("components.data_guard.component")
    )
    return [statistics, schema, validator, guard]


def _serving_validation(config: Config, model: Any, blessing: Any) -> ServingValidator | None:
    """The node that calls the generator in a server before it is pushed; None if the configuration wants none."""
    options = config.serving.validation
    if options.server == "none":
        return None
    return ServingValidator(
        model=model,
        model_blessing=blessing,
        options=options.model_dump_json(),
        code_version=code_version("components.serving_validator.executor", "serving.__main__"),
    )


def cache_dir(root: str) -> str:
    """Directory of what the Evaluator keeps of real images from one run to the next."""
    return str(Path(root) / "cache")


def looking_version() -> str:
    """Hash of the sources behind what is kept there: of those that look, and of the graph of the judge.

    The judge's fingerprint is of its weights alone: files of equal graphs differ with what their process did before.
    """
    return code_version("components.evaluator.looking") + code_version("models.judge")


def exported(uri: str) -> str:
    """Directory of the SavedModel in a Model artifact."""
    return path_utils.serving_model_path(uri)


def _up_to_the_judge(config: Config) -> list[BaseNode]:
    """The nodes that real images and a judge of them take; ExampleGen comes first, the Judge last."""
    example_gen = ExampleGen(
        options=config.data.model_dump_json(), code_version=code_version("components.example_gen.executor")
    )
    examples = example_gen.outputs["examples"]
    validation = _validation(config, examples)
    judge = _trainer("Judge", "models.judge.run_fn", config.classifier, {"seed": config.seed}, examples=examples)
    judge.add_upstream_node(validation[-1])
    return [example_gen, *validation, judge]


def _pipeline(config: Config, root: str, nodes: list[BaseNode]) -> pipeline.Pipeline:
    return pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(Path(root) / ARTIFACTS),
        components=nodes,
        enable_cache=True,
        beam_pipeline_args=config.beam.pipeline_args(),
    )


def create_judge_pipeline(config: Config, root: str) -> pipeline.Pipeline:
    """The part of `create_pipeline` that ends with the judge; the two share what is cached."""
    return _pipeline(config, root, _up_to_the_judge(config))


def create_pipeline(config: Config, root: str) -> pipeline.Pipeline:
    """The pipeline of one experiment.

    Args:
      config: the experiment.
      root: directory of everything the pipeline writes; absolute.
    """
    example_gen, *validation, judge = _up_to_the_judge(config)
    examples = example_gen.outputs["examples"]
    rebalancer = Rebalancer(
        examples=examples,
        options=config.rebalance.model_dump_json(),
        code_version=code_version("components.rebalancer.executor"),
    )
    rebalancer.add_upstream_node(validation[-1])
    gan = _trainer(
        "GAN",
        "models.training.run_fn",
        config.gan,
        {
            "seed": config.seed,
            "checkpoint_root": str(Path(root) / "checkpoints"),
            # Where a warm start looks for what serves, when it trains. No driver makes what serves part of the cache
            # key: each push would change it, and a run in which nothing else changed would train.
            **({"serving_dir": serving_dir(root, config)} if config.gan.warm_start else {}),
        },
        examples=rebalancer.outputs["examples"],
        hyperparameters=rebalancer.outputs["hyperparameters"],
    )
    evaluator = Evaluator(
        examples=examples,
        model=gan.outputs["model"],
        judge=judge.outputs["model"],
        options=config.gate.model_dump_json(),
        serving_dir=serving_dir(root, config),
        cache_dir=cache_dir(root),
        looking_version=looking_version(),
        code_version=code_version("components.evaluator.executor"),
    )
    validator = _serving_validation(config, gan.outputs["model"], evaluator.outputs["blessing"])
    pusher = Pusher(
        model=gan.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=validator and validator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=serving_dir(root, config))
        ),
        custom_executor_spec=executor_spec.ExecutorClassSpec(executor.Executor),
    )
    nodes = [example_gen, *validation, judge, rebalancer, gan, evaluator]
    return _pipeline(config, root, [*nodes, *([validator] if validator else []), pusher])
