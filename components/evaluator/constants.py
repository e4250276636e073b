"""Names of what the Evaluator writes, for those who read it without TFX."""

EVALUATION_FILE = "evaluation.json"
SAMPLES_FILE = "samples.npz"
MODEL_CARD_FILE = "modelcard.md"
VERDICT_PROPERTY = "verdict"  # of the artifact; figures stand beside it under their names in rules
