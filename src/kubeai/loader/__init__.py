"""The model loader: brings a model's weights from where they are to where a server reads them.

Runs in its own image on a cluster and as a local process on one machine; knows nothing of Kubernetes.
"""
