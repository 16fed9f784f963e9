"""Programs that run *inside* an engine's own environment: they import the engine and nothing of ours."""
