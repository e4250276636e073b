"""Names of what the ServingValidator writes, for those who read it without TFX."""

VALIDATION_FILE = "validation.json"
SERVER_LOG = "server.log"
BLESSED_PROPERTY = "blessed"  # of the artifact, as TFX's InfraValidator has it: 1 or 0
