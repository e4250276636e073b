"""Names of what the ServingValidator writes, for those who read it without TFX."""

VALIDATION_FILE = "validation.json"
SERVER_LOG = "server.log"
