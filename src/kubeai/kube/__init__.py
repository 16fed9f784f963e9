"""A generic asynchronous Kubernetes client: transport, verbs, informers, workqueue. It knows no Model."""
