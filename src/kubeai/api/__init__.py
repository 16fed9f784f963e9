"""What the outside sees: Models, Kubernetes objects, OpenAI requests and errors. Pure; imports nothing of ours."""
