"""A custom driver that makes a node depend on the state of the world."""

import abc
from typing import Any

from tfx.dsl.components.base import base_driver
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2


class StateDriver(base_driver.BaseDriver, portable_driver.BaseDriver, abc.ABC):
    """Adds to a node's execution properties what it must be run again for.

    A driver runs before TFX computes the cache key, and what it returns enters the key. The two base classes are what
    the compiler checks for and what the portable launcher calls.
    """

    def __init__(self, mlmd_connection: metadata.Metadata):
        base_driver.BaseDriver.__init__(self, mlmd_connection)
        portable_driver.BaseDriver.__init__(self, mlmd_connection)

    @abc.abstractmethod
    def state(self, exec_properties: dict[str, Any]) -> dict[str, str]:
        """The properties to add or replace, from the properties that the pipeline gave."""

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        """Called by the launcher."""
        output = driver_output_pb2.DriverOutput()
        for key, value in self.state(execution_info.exec_properties).items():
            data_types_utils.set_metadata_value(output.exec_properties[key], value)
        return output
