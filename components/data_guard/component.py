"""The guard of the data, as a TFX component."""

from tfx.dsl.component.experimental.annotations import InputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from components.data_guard import guard


@component
def DataGuard(anomalies: InputArtifact[standard_artifacts.ExampleAnomalies], code_version: Parameter[str]) -> None:
    """Fails, and so stops the run, when ExampleValidator has found anomalies; ExampleValidator itself only reports.

    Nodes that must not see broken data are placed behind it by `add_upstream_node`.

    Args:
      anomalies: what ExampleValidator found.
      code_version: hash of the sources behind this component; part of the cache key, nothing else.
    """
    guard.check(anomalies)
