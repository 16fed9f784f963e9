"""The command line: thin verbs over the Kubernetes API, the gateway, and the rooms below.

Starting must be quick, so files that hold verbs (up, objects, talk, engines, offline) import only what their
signatures need; what does the work is imported when a verb runs.
"""
