"""The OpenAI-compatible surface: which routes exist, and how an error looks."""
